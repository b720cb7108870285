//! What the deployment says of itself: variables and secrets, read once an isolate and checked whole.
//!
//! There is no default for a secret, and a production deployment that points at a plain-http or a
//! loopback address is refused with the name of the variable: every request then answers 503
//! `misconfigured`, and `/healthz` says why.

use std::cell::RefCell;
use std::rc::Rc;

use worker::Env;
use zhundian_domain::reminder::{Kind, Quiet, To};
use zhundian_providers::alipay::{App as Alipay, Verification};
use zhundian_providers::crypto::{AeadKey, PrivateKey, PublicKey};
use zhundian_providers::phone::Phone;
use zhundian_providers::sms::Sms;
use zhundian_providers::sms::aliyun::AliyunSms;
use zhundian_providers::sms::tencent::TencentSms;
use zhundian_providers::wechat::MiniProgram;
use zhundian_providers::wechat_pay::{Merchant, VerificationKeys};

use crate::auth::token::Keys;
use crate::reminder::templates::Templates;

/// The configuration.
pub struct Config {
    /// Keys of the tokens, the first one signs.
    pub keys: Keys,
    /// The mini program's server API.
    pub wechat: MiniProgram,
    /// SMS.
    pub sms: Sms,
    /// SMS template of sign-in codes; its one parameter is the code.
    pub sms_code_template: String,
    /// What customers and technicians are told by which template.
    pub templates: Templates,
    /// The page of the mini program that shows an order, up to the order's id; none when it is empty.
    pub wechat_order_page: Option<String>,
    /// When nobody is to be disturbed, on each store's clock.
    pub quiet: Option<Quiet>,
    /// Whether this is the merchant's own deployment, and no developer's.
    pub production: bool,
    /// The first owner.
    pub owner_phone: Phone,
    /// Shared with the merchant's own reverse proxy, when there is one: it vouches for `X-Real-IP`.
    pub proxy_secret: Option<String>,
    /// Where calendar objects are created: a location hint of Durable Objects.
    pub calendar_location: String,
    /// WeChat Pay, when the merchant uses it.
    pub wechat_pay: Option<Merchant>,
    /// Alipay, when the merchant uses it.
    pub alipay: Option<Alipay>,
    /// The Worker's own address, to which payment services send their notices.
    pub public_url: String,
    /// How long a time is held for payment, in minutes: [`HOLD_MINUTES`].
    pub hold_minutes: i64,
    /// How long somebody on a waitlist is offered a place, in minutes: [`OFFER_MINUTES`].
    pub offer_minutes: i64,
    /// How long after a visit the answers to its services' forms are kept, in days: [`INTAKE_KEEP_DAYS`].
    pub intake_keep_days: i64,
}

/// Fewest and most minutes that a time is held for payment, and what holds when nothing is said.
pub const HOLD_MINUTES: (i64, i64, i64) = (5, 60, 15);

/// Fewest and most minutes that a place is offered to somebody who waited, and what holds when nothing is
/// said. A hold is not committed on in its last minute, so one minute would be none.
pub const OFFER_MINUTES: (i64, i64, i64) = (2, 240, 15);

/// Fewest and most days that answers to forms are kept after the visit, and what holds when nothing is said.
pub const INTAKE_KEEP_DAYS: (i64, i64, i64) = (0, 3650, 365);

/// Variables and secrets that must be there.
pub const REQUIRED: &[&str] = &[
    "ENVIRONMENT",
    "TOKEN_KEYS",
    "WECHAT_BASE_URL",
    "WECHAT_APPID",
    "WECHAT_SECRET",
    "SMS_BASE_URL",
    "SMS_SECRET_ID",
    "SMS_SECRET_KEY",
    "SMS_SIGN_NAME",
    "SMS_CODE_TEMPLATE",
    "SMS_MESSAGES",
    "OWNER_PHONE",
];

thread_local! {
    static CONFIG: RefCell<Option<Rc<Config>>> = const { RefCell::new(None) };
}

impl Config {
    /// The configuration, read at the isolate's first request.
    ///
    /// # Errors
    /// The name of the variable at fault and what is wrong with it; never its value.
    pub fn of(env: &Env) -> Result<Rc<Self>, String> {
        if let Some(config) = CONFIG.with_borrow(Clone::clone) {
            return Ok(config);
        }
        let read = |name: &str| {
            env.var(name).map(|value| value.to_string()).ok().filter(|value| !value.is_empty())
        };
        let config = Rc::new(Self::parse(read)?);
        CONFIG.replace(Some(Rc::clone(&config)));
        Ok(config)
    }

    /// Reads and checks everything.
    ///
    /// # Errors
    /// As [`Config::of`].
    pub fn parse(read: impl Fn(&str) -> Option<String>) -> Result<Self, String> {
        if let Some(missing) = REQUIRED.iter().find(|name| read(name).is_none()) {
            return Err(format!("{missing} is missing"));
        }
        let get = |name: &str| read(name).unwrap_or_default();
        let production = match get("ENVIRONMENT").as_str() {
            "production" => true,
            "development" => false,
            _ => return Err("ENVIRONMENT is neither production nor development".into()),
        };
        let base_url = |name: &str| {
            let url = get(name);
            if production && !is_public_https(&url) {
                return Err(format!("{name} must be a public https address in production"));
            }
            Ok(url.trim_end_matches('/').to_owned())
        };
        let wechat_pay = wechat_pay(&read, &base_url)?;
        let alipay = alipay(&read, &base_url)?;
        let public_url = match (&wechat_pay, &alipay) {
            (None, None) => String::new(),
            _ if get("PUBLIC_URL").is_empty() => return Err("PUBLIC_URL is missing".into()),
            _ => base_url("PUBLIC_URL")?,
        };
        let templates =
            Templates::parse(&get("SMS_MESSAGES"), &read("WECHAT_MESSAGES").unwrap_or_default())?;
        // Whoever paid and gets nothing for it must hear of it.
        if templates.sms(Kind::Lost, To::Customer).is_none() {
            return Err("SMS_MESSAGES has no lost".into());
        }
        let owner_phone =
            Phone::parse(&get("OWNER_PHONE")).map_err(|_| "OWNER_PHONE is no mobile number")?;
        Ok(Self {
            keys: Keys::parse(&get("TOKEN_KEYS")).map_err(|why| format!("TOKEN_KEYS {why}"))?,
            wechat: MiniProgram {
                base_url: base_url("WECHAT_BASE_URL")?,
                appid: get("WECHAT_APPID"),
                secret: get("WECHAT_SECRET"),
            },
            sms: sms(&read, &base_url)?,
            sms_code_template: get("SMS_CODE_TEMPLATE"),
            templates,
            wechat_order_page: read("WECHAT_ORDER_PAGE"),
            quiet: quiet_hours(&read)?,
            production,
            owner_phone,
            proxy_secret: read("PROXY_SECRET"),
            calendar_location: read("CALENDAR_LOCATION").unwrap_or_else(|| "apac-ne".into()),
            wechat_pay,
            alipay,
            public_url,
            hold_minutes: number(&read, "HOLD_MINUTES", HOLD_MINUTES)?,
            offer_minutes: number(&read, "WAITLIST_OFFER_MINUTES", OFFER_MINUTES)?,
            intake_keep_days: number(&read, "INTAKE_KEEP_DAYS", INTAKE_KEEP_DAYS)?,
        })
    }
}

type Read<'a> = &'a dyn Fn(&str) -> Option<String>;
type BaseUrl<'a> = &'a dyn Fn(&str) -> Result<String, String>;

fn need(read: Read, name: &str) -> Result<String, String> {
    read(name).ok_or_else(|| format!("{name} is missing"))
}

fn private_key(read: Read, name: &str) -> Result<PrivateKey, String> {
    PrivateKey::parse(&need(read, name)?).map_err(|why| format!("{name}: {why}"))
}

/// `name:key,name:key`: keys by the names that a provider calls them.
fn named_keys(read: Read, name: &str) -> Result<Vec<(String, PublicKey)>, String> {
    need(read, name)?
        .split(',')
        .map(|one| {
            let (serial, key) =
                one.split_once(':').ok_or_else(|| format!("{name} is not name:key,name:key"))?;
            let key = PublicKey::parse(key).map_err(|why| format!("{name}: {why}"))?;
            Ok((serial.trim().to_owned(), key))
        })
        .collect()
}

/// WeChat Pay is on when it has a merchant number, and then all of it must be there.
fn wechat_pay(read: Read, base_url: BaseUrl) -> Result<Option<Merchant>, String> {
    let Some(mchid) = read("WECHAT_PAY_MCHID") else { return Ok(None) };
    need(read, "WECHAT_PAY_BASE_URL")?;
    let fallback_base_url = match read("WECHAT_PAY_FALLBACK_URL") {
        Some(_) => Some(base_url("WECHAT_PAY_FALLBACK_URL")?),
        None => None,
    };
    let mut verification_keys = VerificationKeys::new();
    if read("WECHAT_PAY_KEYS").is_some() {
        for (serial, key) in named_keys(read, "WECHAT_PAY_KEYS")? {
            verification_keys.insert(serial, key);
        }
    }
    let api_v3_key = AeadKey::new(need(read, "WECHAT_PAY_API_V3_KEY")?.as_bytes())
        .map_err(|why| format!("WECHAT_PAY_API_V3_KEY: {why}"))?;
    Ok(Some(Merchant {
        base_url: base_url("WECHAT_PAY_BASE_URL")?,
        fallback_base_url,
        appid: need(read, "WECHAT_APPID")?,
        mchid,
        serial_no: need(read, "WECHAT_PAY_SERIAL")?,
        private_key: private_key(read, "WECHAT_PAY_PRIVATE_KEY")?,
        api_v3_key,
        verification_keys,
    }))
}

/// Alipay is on when it has an app, and then all of it must be there.
fn alipay(read: Read, base_url: BaseUrl) -> Result<Option<Alipay>, String> {
    let Some(app_id) = read("ALIPAY_APP_ID") else { return Ok(None) };
    need(read, "ALIPAY_BASE_URL")?;
    let verification = match read("ALIPAY_APP_CERT_SN") {
        Some(app_cert_sn) => Verification::Certificates {
            app_cert_sn,
            alipay_root_cert_sn: need(read, "ALIPAY_ROOT_CERT_SN")?,
            alipay: named_keys(read, "ALIPAY_KEYS")?,
        },
        None => Verification::Key(
            PublicKey::parse(&need(read, "ALIPAY_KEYS")?)
                .map_err(|why| format!("ALIPAY_KEYS: {why}"))?,
        ),
    };
    Ok(Some(Alipay {
        gateway_url: base_url("ALIPAY_BASE_URL")?,
        app_id,
        seller_id: need(read, "ALIPAY_SELLER_ID")?,
        private_key: private_key(read, "ALIPAY_PRIVATE_KEY")?,
        verification,
    }))
}

/// Tencent unless `SMS_PROVIDER` says otherwise; Alibaba has no application and no region.
fn sms(read: Read, base_url: BaseUrl) -> Result<Sms, String> {
    let base_url = base_url("SMS_BASE_URL")?;
    let (id, key) = (need(read, "SMS_SECRET_ID")?, need(read, "SMS_SECRET_KEY")?);
    let sign_name = need(read, "SMS_SIGN_NAME")?;
    match read("SMS_PROVIDER").as_deref() {
        None | Some("tencent") => Ok(Sms::Tencent(TencentSms {
            base_url,
            secret_id: id,
            secret_key: key,
            sdk_app_id: need(read, "SMS_SDK_APP_ID")?,
            sign_name,
            region: read("SMS_REGION").unwrap_or_else(|| "ap-guangzhou".into()),
        })),
        Some("aliyun") => Ok(Sms::Aliyun(AliyunSms {
            base_url,
            access_key_id: id,
            access_key_secret: key,
            sign_name,
        })),
        Some(_) => Err("SMS_PROVIDER is neither tencent nor aliyun".into()),
    }
}

fn quiet_hours(read: Read) -> Result<Option<Quiet>, String> {
    let Some(text) = read("QUIET_HOURS").filter(|text| text != "none") else { return Ok(None) };
    Quiet::parse(&text).map(Some).ok_or_else(|| {
        "QUIET_HOURS is not HH:MM-HH:MM of at most 16 hours, such as 22:00-08:00, or none".into()
    })
}

/// A number: the least, the most, and what holds when nothing is said.
fn number(read: Read, name: &str, (least, most, standard): (i64, i64, i64)) -> Result<i64, String> {
    let Some(text) = read(name) else { return Ok(standard) };
    text.parse()
        .ok()
        .filter(|number| (least..=most).contains(number))
        .ok_or_else(|| format!("{name} is not {least} to {most}"))
}

/// An https address whose host is a name, and not this machine's.
fn is_public_https(url: &str) -> bool {
    let Some(rest) = url.strip_prefix("https://") else { return false };
    let host = rest.split(['/', ':', '?']).next().unwrap_or_default();
    host.contains('.')
        && !host.ends_with(".localhost")
        && host.rsplit('.').next().is_some_and(|last| !last.chars().all(|c| c.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::{Config, REQUIRED, is_public_https};

    fn value(name: &str) -> Option<String> {
        Some(match name {
            "ENVIRONMENT" => "production".into(),
            "TOKEN_KEYS" => format!("k1:{}", "A".repeat(43)),
            "OWNER_PHONE" => "13800000000".into(),
            name if name.ends_with("_URL") => "https://api.example.com".into(),
            "SMS_MESSAGES" => "lost=1 store start".into(),
            "PROXY_SECRET"
            | "CALENDAR_LOCATION"
            | "SMS_REGION"
            | "HOLD_MINUTES"
            | "WAITLIST_OFFER_MINUTES"
            | "INTAKE_KEEP_DAYS"
            | "SMS_PROVIDER"
            | "QUIET_HOURS"
            | "WECHAT_MESSAGES"
            | "WECHAT_ORDER_PAGE"
            | "WECHAT_PAY_MCHID"
            | "ALIPAY_APP_ID" => return None,
            _ => "x".into(),
        })
    }

    #[test]
    fn every_required_variable_is_missed_by_name() {
        assert!(Config::parse(value).is_ok());
        for missing in REQUIRED {
            let without = |name: &str| if name == *missing { None } else { value(name) };
            let error = Config::parse(without).err().expect("a missing variable must be refused");
            assert_eq!(error, format!("{missing} is missing"));
        }
    }

    #[test]
    fn what_is_said_is_read_whole_or_refused() {
        let with = |name: &'static str, text: &'static str| {
            Config::parse(
                move |asked| {
                    if asked == name { Some(text.to_owned()) } else { value(asked) }
                },
            )
        };
        assert!(with("QUIET_HOURS", "22:00-08:00").is_ok_and(|config| config.quiet.is_some()));
        assert!(with("QUIET_HOURS", "none").is_ok_and(|config| config.quiet.is_none()));
        assert!(with("INTAKE_KEEP_DAYS", "0").is_ok_and(|config| config.intake_keep_days == 0));
        assert!(Config::parse(value).is_ok_and(|config| config.intake_keep_days == 365));
        let cases = [
            ("INTAKE_KEEP_DAYS", "3651", "INTAKE_KEEP_DAYS is not 0 to 3650"),
            ("INTAKE_KEEP_DAYS", "ever", "INTAKE_KEEP_DAYS is not 0 to 3650"),
            ("QUIET_HOURS", "night", "QUIET_HOURS is not"),
            ("SMS_MESSAGES", "booked=1 store", "SMS_MESSAGES has no lost"),
            ("SMS_MESSAGES", "lost=1 shop", "SMS_MESSAGES lost: no field shop"),
            ("WECHAT_MESSAGES", "booked", "WECHAT_MESSAGES has an entry"),
            ("SMS_PROVIDER", "pigeon", "SMS_PROVIDER is neither"),
        ];
        for (name, text, why) in cases {
            let error = with(name, text).err().expect("it must be refused");
            assert!(error.starts_with(why), "{error}");
        }
        let aliyun = |name: &str| match name {
            "SMS_PROVIDER" => Some("aliyun".to_owned()),
            "SMS_SDK_APP_ID" => None,
            name => value(name),
        };
        assert!(Config::parse(aliyun).is_ok());
        let tencent = |name: &str| if name == "SMS_SDK_APP_ID" { None } else { value(name) };
        assert_eq!(Config::parse(tencent).err().as_deref(), Some("SMS_SDK_APP_ID is missing"));
    }

    #[test]
    fn production_refuses_plain_and_loopback_addresses() {
        for url in [
            "http://api.example.com",
            "https://127.0.0.1:8788",
            "https://localhost",
            "https://a.localhost",
        ] {
            assert!(!is_public_https(url), "{url}");
            let read = |name: &str| {
                if name == "SMS_BASE_URL" { Some(url.to_owned()) } else { value(name) }
            };
            assert!(Config::parse(read).is_err(), "{url}");
        }
        assert!(is_public_https("https://api.weixin.qq.com"));
    }
}
