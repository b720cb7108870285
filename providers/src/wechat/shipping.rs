//! `uploadShippingInfo`: WeChat holds a payment in a mini program back until it is told that what was
//! paid for has been delivered.
//!
//! | errcode | WeChat's meaning | outcome |
//! |---|---|---|
//! | 0 | | [`Recorded`](ShippingOutcome::Recorded) |
//! | 10060001 | the payment is not there, or not there yet: it takes up to a minute | [`NotYetKnown`](ShippingOutcome::NotYetKnown) |
//! | 10060002, 10060003 | it has been told already, and told again once | [`AlreadyRecorded`](ShippingOutcome::AlreadyRecorded) |
//! | other 10060000 to 10060999 | it will not be taken like this | [`Refused`](ShippingOutcome::Refused) |
//! | any other | | by the table of [`WechatError`] |
//!
//! Source: WeChat Open Documentation, "小程序发货信息管理服务"; what 10060001 to 10060003 mean in
//! practice, the answers of WeChat's staff in its community.

use serde::Deserialize;
use serde_json::json;

use super::error::{Bearer, malformed};
use super::{MiniProgram, WechatError, is_id, post, read};
use crate::http::{Reply, Request, query};
use crate::payment::plain_text;
use crate::time::rfc3339_beijing;

/// The longest description, in bytes (documented: 120 characters).
const MAX_ITEM_BYTES: usize = 120;

/// How what was paid for reaches the customer (`logistics_type`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// There is nothing to carry (3): a deposit, a balance, a card.
    Virtual,
    /// The customer comes for it (4): a service in the shop.
    InPerson,
}

/// A delivery to be told of: a whole payment at once.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Shipping<'a> {
    /// The merchant's number at WeChat Pay.
    pub mchid: &'a str,
    /// Our number of the order.
    pub out_trade_no: &'a str,
    /// The customer who paid.
    pub openid: &'a str,
    /// What was paid for. It is cut and cleaned; something must be left.
    pub item: &'a str,
    /// How it was delivered.
    pub delivery: Delivery,
    /// When, in Unix seconds. Of two reports the later one counts.
    pub at_unix_seconds: i64,
}

/// What became of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShippingOutcome {
    /// WeChat has it.
    Recorded,
    /// WeChat had it before.
    AlreadyRecorded,
    /// WeChat does not know the payment yet: again in a minute.
    NotYetKnown,
    /// WeChat does not take it, now or later.
    Refused {
        /// WeChat's errcode, which says why.
        errcode: i64,
    },
}

#[derive(Deserialize)]
struct DoneWire {
    errcode: Option<i64>,
}

impl MiniProgram {
    /// Tells WeChat that what was paid for has been delivered. `None` when a number or openid is
    /// malformed, the time is none, or nothing is left of the item.
    #[must_use]
    pub fn upload_shipping(&self, access_token: &str, shipping: &Shipping<'_>) -> Option<Request> {
        let Shipping { mchid, out_trade_no, openid, item, delivery, at_unix_seconds } = *shipping;
        let item = plain_text(item, "", MAX_ITEM_BYTES);
        if item.is_empty() || ![mchid, out_trade_no, openid].into_iter().all(is_id) {
            return None;
        }
        let body = json!({
            "order_key": {"order_number_type": 1, "mchid": mchid, "out_trade_no": out_trade_no},
            "logistics_type": match delivery {
                Delivery::Virtual => 3,
                Delivery::InPerson => 4,
            },
            "delivery_mode": 1,
            "shipping_list": [{"item_desc": item}],
            "upload_time": rfc3339_beijing(at_unix_seconds)?,
            "payer": {"openid": openid},
        });
        let query = query(&[("access_token", access_token)]);
        Some(post(self.url("/wxa/sec/order/upload_shipping_info", &query), &body))
    }

    /// Reads the reply to [`upload_shipping`](Self::upload_shipping).
    ///
    /// # Errors
    /// By the table of [`WechatError`].
    pub fn read_upload_shipping(&self, reply: Reply<'_>) -> Result<ShippingOutcome, WechatError> {
        match read(reply, Bearer::Token) {
            // It must be there: a success says nothing else.
            Ok(DoneWire { errcode: None }) => Err(malformed("errcode is missing")),
            Ok(DoneWire { errcode: Some(_zero) }) => Ok(ShippingOutcome::Recorded),
            Err(WechatError::Unexpected { errcode: Some(errcode), .. }) if is_ours(errcode) => {
                Ok(match errcode {
                    10_060_001 => ShippingOutcome::NotYetKnown,
                    10_060_002 | 10_060_003 => ShippingOutcome::AlreadyRecorded,
                    _ => ShippingOutcome::Refused { errcode },
                })
            }
            Err(error) => Err(error),
        }
    }
}

/// Whether an errcode is one of this call's own.
fn is_ours(errcode: i64) -> bool {
    (10_060_000..10_061_000).contains(&errcode)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn app() -> MiniProgram {
        MiniProgram {
            base_url: "https://api.weixin.qq.com".to_owned(),
            appid: "wx0123456789abcdef".to_owned(),
            secret: "hush".to_owned(),
        }
    }

    fn shipping() -> Shipping<'static> {
        Shipping {
            mchid: "1900007291",
            out_trade_no: "T00001",
            openid: "oUpF8uMuAJO_M2pxb1Q9zNjWeS6o",
            item: "剪发 😀",
            delivery: Delivery::InPerson,
            at_unix_seconds: 1_767_225_600,
        }
    }

    #[test]
    fn the_request_is_what_the_document_describes() {
        let request = app().upload_shipping("to+ken", &shipping()).unwrap();
        assert_eq!(
            request.url,
            "https://api.weixin.qq.com/wxa/sec/order/upload_shipping_info?access_token=to%2Bken"
        );
        let body: serde_json::Value = serde_json::from_slice(&request.body).unwrap();
        assert_eq!(
            body,
            json!({
                "order_key": {
                    "order_number_type": 1, "mchid": "1900007291", "out_trade_no": "T00001",
                },
                "logistics_type": 4, "delivery_mode": 1,
                "shipping_list": [{"item_desc": "剪发"}],
                "upload_time": "2026-01-01T08:00:00+08:00",
                "payer": {"openid": "oUpF8uMuAJO_M2pxb1Q9zNjWeS6o"},
            })
        );
        let virtual_goods = Shipping { delivery: Delivery::Virtual, ..shipping() };
        let request = app().upload_shipping("t", &virtual_goods).unwrap();
        assert!(std::str::from_utf8(&request.body).unwrap().contains(r#""logistics_type":3"#));
    }

    #[test]
    fn what_cannot_be_told_is_not_told() {
        let broken = [
            Shipping { item: "😀", ..shipping() },
            Shipping { openid: "", ..shipping() },
            Shipping { out_trade_no: "a b", ..shipping() },
            Shipping { mchid: "", ..shipping() },
            Shipping { at_unix_seconds: i64::MAX, ..shipping() },
        ];
        for shipping in broken {
            assert_eq!(app().upload_shipping("t", &shipping), None);
        }
    }

    #[test]
    fn what_errcodes_mean() {
        let read =
            |body: &str| app().read_upload_shipping(Reply { status: 200, body: body.as_bytes() });
        let cases = [
            (0, Ok(ShippingOutcome::Recorded)),
            (10_060_001, Ok(ShippingOutcome::NotYetKnown)),
            (10_060_002, Ok(ShippingOutcome::AlreadyRecorded)),
            (10_060_003, Ok(ShippingOutcome::AlreadyRecorded)),
            (10_060_004, Ok(ShippingOutcome::Refused { errcode: 10_060_004 })),
            (-1, Err(WechatError::Busy)),
            (42001, Err(WechatError::TokenExpired)),
            (48001, Err(WechatError::Misconfigured { errcode: 48001 })),
        ];
        for (errcode, outcome) in cases {
            let body = format!(r#"{{"errcode":{errcode},"errmsg":"… rid: 1"}}"#);
            assert_eq!(read(&body), outcome, "{errcode}");
        }
        for body in ["{}", "[]", "", r#"{"errcode":null}"#, r#"{"errcode":7}"#] {
            assert!(matches!(read(body), Err(WechatError::Unexpected { .. })), "{body}");
        }
        let busy = app().read_upload_shipping(Reply { status: 502, body: b"" });
        assert_eq!(busy, Err(WechatError::Busy));
    }
}
