//! Notices of the payment vendors, made with the vendors' keys: genuine ones, and such as no vendor sends.
//! They are posted to the Worker by the test itself, so that any byte of them can be another.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::api::{Call, Reply};
use crate::money::Payment;
use crate::stack::{Stack, node};

/// Where they are sent.
pub const WECHAT_PAY: &str = "/webhooks/wechat-pay";
/// Where Alipay's are sent.
pub const ALIPAY: &str = "/webhooks/alipay";

/// A notice as it is sent.
#[derive(Clone, Debug, Deserialize)]
pub struct Notice {
    /// The vendor's headers.
    pub headers: BTreeMap<String, String>,
    /// The raw body.
    pub body: String,
}

impl Notice {
    /// With this header, or without it.
    #[must_use]
    pub fn with(&self, name: &str, value: Option<&str>) -> Self {
        let mut other = self.clone();
        match value {
            Some(value) => other.headers.insert(name.into(), value.into()),
            None => other.headers.remove(name),
        };
        other
    }

    /// With this body.
    #[must_use]
    pub fn saying(&self, body: impl Into<String>) -> Self {
        Self { headers: self.headers.clone(), body: body.into() }
    }

    /// The call that brings it.
    pub fn call(&self, stack: &Stack, path: &str) -> Call {
        self.bring(stack.api().call(http::Method::POST, path))
    }

    /// Makes this call the one that brings it.
    #[must_use]
    pub fn bring(&self, call: Call) -> Call {
        let kind = self.headers.get("content-type").map_or("application/json", String::as_str);
        let call = call.body(kind, self.body.clone().into_bytes());
        self.headers.iter().fold(call, |call, (name, value)| call.header(name, value))
    }

    /// Brings it.
    pub async fn post(&self, stack: &Stack, path: &str) -> Reply {
        self.call(stack, path).await
    }
}

/// What a notice of WeChat Pay that somebody paid is to be like; what is not said is as it should be.
#[derive(Clone, Debug)]
pub struct Wanted(Value);

impl Wanted {
    /// With these contents.
    pub fn saying(contents: &Value) -> Self {
        Self(json!({"contents": contents}))
    }

    /// A genuine one: this payment was made, by somebody, for its whole amount.
    pub fn paid(stack: &Stack, payment: &Payment, transaction_id: &str) -> Self {
        Self::saying(&json!({
            "amount": {"currency": "CNY", "payer_currency": "CNY", "payer_total": payment.amount,
                "total": payment.amount},
            "appid": stack.var("WECHAT_APPID"), "attach": "", "bank_type": "OTHERS",
            "mchid": stack.var("WECHAT_PAY_MCHID"), "out_trade_no": payment.out_trade_no,
            "payer": {"openid": "oSomebodyWhoPays"}, "promotion_detail": [],
            "success_time": "2026-11-01T10:00:00+08:00", "trade_state": "SUCCESS",
            "trade_state_desc": "支付成功", "trade_type": "JSAPI", "transaction_id": transaction_id,
        }))
    }

    /// With this in what is sealed, at a JSON pointer.
    #[must_use]
    pub fn content(mut self, pointer: &str, value: impl Into<Value>) -> Self {
        let there = self.0["contents"].pointer_mut(pointer);
        *there.unwrap_or_else(|| panic!("no {pointer}")) = value.into();
        self
    }

    /// With this in the envelope, signed like that.
    #[must_use]
    pub fn envelope(mut self, field: &str, value: impl Into<Value>) -> Self {
        self.0["envelope"][field] = value.into();
        self
    }

    /// With this beside the seal, signed like that.
    #[must_use]
    pub fn resource(mut self, field: &str, value: impl Into<Value>) -> Self {
        self.0["resource"][field] = value.into();
        self
    }

    /// With a bit of the sealed bytes turned, counted from the end when negative; signed like that.
    #[must_use]
    pub fn turned(mut self, byte: i64) -> Self {
        self.0["turned"] = byte.into();
        self
    }

    /// Signed at this time, in Unix seconds.
    #[must_use]
    pub fn signed_at(mut self, seconds: i64) -> Self {
        self.0["signed_at"] = seconds.into();
        self
    }

    /// Sealed with another key than the merchant's.
    #[must_use]
    pub fn sealed_by_another(mut self) -> Self {
        self.0["other_seal"] = true.into();
        self
    }

    /// Signed with WeChat Pay's other key, the platform certificate's; under this serial or its own.
    #[must_use]
    pub fn certificate(mut self, serial: Option<&str>) -> Self {
        self.0["certificate"] = true.into();
        self.0["serial"] = json!(serial);
        self
    }
}

impl Stack {
    /// Makes notices of WeChat Pay.
    pub fn wechat_pay_notices(&self, wanted: &[Wanted]) -> Vec<Notice> {
        let wanted: Vec<&Value> = wanted.iter().map(|one| &one.0).collect();
        let argument = json!({"keys": self.var("SANDBOX_KEYS"), "wanted": wanted});
        made(WECHAT_PAY_NOTICES, &argument)
    }

    /// Makes notices of Alipay that say these fields.
    pub fn alipay_notices(&self, wanted: &[Value]) -> Vec<Notice> {
        let argument = json!({"keys": self.var("SANDBOX_KEYS"), "wanted": wanted});
        made(ALIPAY_NOTICES, &argument)
    }

    /// What Alipay's notice of this payment says.
    pub fn alipay_fields(&self, payment: &Payment, trade_no: &str) -> Value {
        let fen = payment.amount;
        let yuan = format!("{}.{:02}", fen / 100, fen % 100);
        json!({
            "notify_time": "2026-11-01 10:00:00", "notify_type": "trade_status_sync",
            "notify_id": "2026110100222000000000000000000001", "charset": "utf-8", "version": "1.0",
            "app_id": self.var("ALIPAY_APP_ID"), "auth_app_id": self.var("ALIPAY_APP_ID"),
            "seller_id": self.var("ALIPAY_SELLER_ID"), "out_trade_no": payment.out_trade_no,
            "trade_no": trade_no, "trade_status": "TRADE_SUCCESS", "total_amount": yuan,
            "buyer_id": "2088000000000009", "gmt_payment": "2026-11-01 10:00:00", "subject": "推拿 & 足疗",
        })
    }
}

fn made(script: &str, argument: &Value) -> Vec<Notice> {
    let output = node(script, &argument.to_string(), &[]);
    serde_json::from_slice(&output).expect("notices")
}

/// Sealed and signed by the rules of the vendor's documents, with Node's own primitives.
const WECHAT_PAY_NOTICES: &str = r#"
const crypto = require("node:crypto");
const { keys: folder, wanted } = JSON.parse(process.argv[1]);
const { wechatPay: keys } = JSON.parse(require("node:fs").readFileSync(folder + "/keys.json", "utf8"));
const make = (one) => {
  const aad = "transaction";
  const nonce = crypto.randomBytes(6).toString("hex");
  const secret = one.other_seal ? crypto.randomBytes(32) : keys.apiV3Key;
  const cipher = crypto.createCipheriv("aes-256-gcm", secret, nonce).setAAD(Buffer.from(aad));
  const sealed = Buffer.concat([cipher.update(JSON.stringify(one.contents)), cipher.final(), cipher.getAuthTag()]);
  if (one.turned !== undefined) sealed[one.turned < 0 ? sealed.length + one.turned : one.turned] ^= 1;
  const body = JSON.stringify({
    id: crypto.randomUUID(), create_time: "2026-11-01T10:00:00+08:00", resource_type: "encrypt-resource",
    event_type: "TRANSACTION.SUCCESS", summary: "支付成功", ...one.envelope,
    resource: {
      original_type: "transaction", algorithm: "AEAD_AES_256_GCM", ciphertext: sealed.toString("base64"),
      associated_data: aad, nonce, ...one.resource,
    },
  });
  const [serial, key] = one.certificate
    ? [one.serial ?? keys.platformSerial, keys.platformPrivateKey]
    : [keys.publicKeyId, keys.publicKeyPrivateKey];
  const time = String(one.signed_at ?? Math.floor(Date.now() / 1000));
  const word = crypto.randomBytes(16).toString("hex");
  const signature = crypto.sign("sha256", Buffer.from(`${time}\n${word}\n${body}\n`), key).toString("base64");
  return {
    headers: {
      "content-type": "application/json", "wechatpay-nonce": word, "wechatpay-serial": serial,
      "wechatpay-signature": signature, "wechatpay-signature-type": "WECHATPAY2-SHA256-RSA2048",
      "wechatpay-timestamp": time,
    },
    body,
  };
};
process.stdout.write(JSON.stringify(wanted.map(make)));
"#;

const ALIPAY_NOTICES: &str = r#"
const crypto = require("node:crypto");
const { keys: folder, wanted } = JSON.parse(process.argv[1]);
const { alipay: keys } = JSON.parse(require("node:fs").readFileSync(folder + "/keys.json", "utf8"));
const make = (fields) => {
  const text = Object.keys(fields).sort().map((name) => `${name}=${fields[name]}`).join("&");
  const sign = crypto.sign("sha256", Buffer.from(text), keys.alipayPrivateKey).toString("base64");
  const body = new URLSearchParams({ ...fields, sign, sign_type: "RSA2" }).toString();
  return { headers: { "content-type": "application/x-www-form-urlencoded; charset=utf-8" }, body };
};
process.stdout.write(JSON.stringify(wanted.map(make)));
"#;
