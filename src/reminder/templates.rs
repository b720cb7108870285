//! Which of the merchant's approved templates says what, as the deployment's variables have it.
//!
//! `SMS_MESSAGES` and `WECHAT_MESSAGES` are entries, one a line or with `;` between them:
//!
//! ```text
//! booked = 1000003 store start service            SMS: template, then its variables in order
//! technician.booked = 1000010 customer start      SMS to the technician
//! booked = Ab3…9 thing1=service date2=start       WeChat: template, then keyword=field
//! ```
//!
//! What is told ([`Kind`]) and has no entry is not told; but without `plan` the sessions of a plan have
//! `before`, and without `technician.asked` who is to accept has `technician.booked` or `changed`. A field is one of [`Field`]'s, or `:` with a text
//! of one's own (`phrase4=:预约成功`).

use zhundian_domain::reminder::{Kind, To};
use zhundian_providers::wechat::subscribe::{MAX_WORDS, Word};

/// What a message can say.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Field {
    /// The store's name.
    Store,
    /// Its address.
    Address,
    /// Its telephone.
    Phone,
    /// The service.
    Service,
    /// Who does it.
    Technician,
    /// Who comes.
    Customer,
    /// When it starts, on the store's clock.
    Start,
    /// Of how many sessions of a plan, or classes, it is news; `start` is the first one's.
    Sessions,
    /// The merchant's own words.
    Own(String),
}

impl Field {
    fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "store" => Self::Store,
            "address" => Self::Address,
            "phone" => Self::Phone,
            "service" => Self::Service,
            "technician" => Self::Technician,
            "customer" => Self::Customer,
            "start" => Self::Start,
            "sessions" => Self::Sessions,
            text => Self::Own(text.strip_prefix(':').filter(|own| !own.is_empty())?.to_owned()),
        })
    }

    /// As a template's variable is named.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Store => "store",
            Self::Address => "address",
            Self::Phone => "phone",
            Self::Service => "service",
            Self::Technician => "technician",
            Self::Customer => "customer",
            Self::Start => "start",
            Self::Sessions => "sessions",
            Self::Own(_) => "text",
        }
    }
}

/// A template of short messages.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sms {
    kind: Kind,
    to: To,
    /// Its id at the vendor.
    pub id: String,
    /// Its variables in order.
    pub fields: Vec<Field>,
}

/// A template of subscribe messages.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Wechat {
    /// What it tells.
    pub kind: Kind,
    /// Its id at WeChat.
    pub id: String,
    /// Its keywords: the name, what its value may be, and what is said.
    pub words: Vec<(String, Word, Field)>,
}

/// The merchant's templates.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Templates {
    sms: Vec<Sms>,
    wechat: Vec<Wechat>,
}

impl Templates {
    /// Reads both variables.
    ///
    /// # Errors
    /// What is wrong with which.
    pub fn parse(sms: &str, wechat: &str) -> Result<Self, String> {
        let mut all = Self::default();
        for (name, id, rest) in entries(sms).map_err(|why| format!("SMS_MESSAGES {why}"))? {
            let (to, kind) = match name.strip_prefix("technician.") {
                Some(kind) => (To::Technician, kind),
                None => (To::Customer, name),
            };
            let kind = named(kind).ok_or_else(|| format!("SMS_MESSAGES: no message {name}"))?;
            if all.sms(kind, to).is_some() {
                return Err(format!("SMS_MESSAGES has {name} twice"));
            }
            let fields = rest
                .into_iter()
                .map(|field| {
                    Field::parse(field)
                        .ok_or_else(|| format!("SMS_MESSAGES {name}: no field {field}"))
                })
                .collect::<Result<_, _>>()?;
            all.sms.push(Sms { kind, to, id: id.to_owned(), fields });
        }
        for (name, id, rest) in entries(wechat).map_err(|why| format!("WECHAT_MESSAGES {why}"))? {
            let kind = named(name).ok_or_else(|| format!("WECHAT_MESSAGES: no message {name}"))?;
            if all.wechat(kind).is_some() {
                return Err(format!("WECHAT_MESSAGES has {name} twice"));
            }
            let words = rest
                .into_iter()
                .map(|pair| {
                    let (keyword, field) = pair.split_once('=')?;
                    let word = Word::of_name(keyword)?;
                    // An instant has a form of its own, and no other field has it.
                    let field = Field::parse(field)?;
                    let instant = matches!(word, Word::Time | Word::Date);
                    (!instant || field == Field::Start).then(|| (keyword.to_owned(), word, field))
                })
                .collect::<Option<Vec<_>>>()
                .filter(|words| (1..=MAX_WORDS).contains(&words.len()))
                .ok_or_else(|| format!("WECHAT_MESSAGES {name} is not keyword=field …"))?;
            all.wechat.push(Wechat { kind, id: id.to_owned(), words });
        }
        Ok(all)
    }

    /// The template of short messages that tells this.
    #[must_use]
    pub fn sms(&self, kind: Kind, to: To) -> Option<&Sms> {
        self.sms.iter().find(|one| (one.kind, one.to) == (kind, to))
    }

    /// The template of subscribe messages that tells this.
    #[must_use]
    pub fn wechat(&self, kind: Kind) -> Option<&Wechat> {
        self.wechat.iter().find(|one| one.kind == kind)
    }

    /// Every template of subscribe messages.
    #[must_use]
    pub fn all_wechat(&self) -> &[Wechat] {
        &self.wechat
    }

    /// Whether this is told at all.
    #[must_use]
    pub fn tells(&self, kind: Kind, to: To) -> bool {
        self.sms(kind, to).is_some() || (to == To::Customer && self.wechat(kind).is_some())
    }
}

fn named(name: &str) -> Option<Kind> {
    Kind::ALL.into_iter().find(|kind| kind.as_str() == name)
}

type Entry<'a> = (&'a str, &'a str, Vec<&'a str>);

fn entries(text: &str) -> Result<Vec<Entry<'_>>, String> {
    text.split([';', '\n'])
        .map(str::trim)
        .filter(|entry| !entry.is_empty())
        .map(|entry| {
            let bad = || format!("has an entry that is not message = template …: {entry}");
            let (name, rest) = entry.split_once('=').ok_or_else(bad)?;
            let mut words = rest.split_whitespace();
            Ok((name.trim(), words.next().ok_or_else(bad)?, words.collect()))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_say_which_template_tells_what() {
        let all = Templates::parse(
            "booked = 1000003 store start service; technician.booked=1000010 customer start\nlost=1 store",
            "booked=T1 thing1=service date2=start phrase3=:预约成功",
        )
        .unwrap();
        let booked = all.sms(Kind::Booked, To::Customer).unwrap();
        assert_eq!((booked.id.as_str(), booked.fields.len()), ("1000003", 3));
        let theirs = all.sms(Kind::Booked, To::Technician).unwrap();
        assert_eq!(theirs.fields, [Field::Customer, Field::Start]);
        let wechat = all.wechat(Kind::Booked).unwrap();
        assert_eq!(wechat.words[2].2, Field::Own("预约成功".to_owned()));
        assert!(all.tells(Kind::Lost, To::Customer) && !all.tells(Kind::Lost, To::Technician));
        assert!(!all.tells(Kind::Before, To::Customer));
        assert_eq!(Templates::parse("", "").unwrap(), Templates::default());
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (sms, wechat, why) in [
            ("booked", "", "SMS_MESSAGES has an entry"),
            ("booked=", "", "SMS_MESSAGES has an entry"),
            ("other=1", "", "SMS_MESSAGES: no message other"),
            ("booked=1 shop", "", "SMS_MESSAGES booked: no field shop"),
            ("booked=1 :", "", "SMS_MESSAGES booked: no field :"),
            ("booked=1; booked=2", "", "SMS_MESSAGES has booked twice"),
            ("", "technician.booked=T thing1=store", "WECHAT_MESSAGES: no message"),
            ("", "booked=T", "WECHAT_MESSAGES booked is not"),
            ("", "booked=T thing=store", "WECHAT_MESSAGES booked is not"),
            ("", "booked=T date1=store", "WECHAT_MESSAGES booked is not"),
            (
                "",
                "booked=T thing1=store; booked=U thing1=store",
                "WECHAT_MESSAGES has booked twice",
            ),
        ] {
            let error = Templates::parse(sms, wechat).unwrap_err();
            assert!(error.starts_with(why), "{error}");
        }
    }
}
