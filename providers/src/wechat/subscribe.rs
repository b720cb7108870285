//! Subscribe messages (`subscribeMessage.send`): one message for one consent that the user gave to a
//! template in the mini program.
//!
//! | errcode | WeChat's meaning | outcome |
//! |---|---|---|
//! | 0 | | [`Sent`](SubscribeOutcome::Sent) |
//! | 43101 | the user refuses, or has no consent left | [`NoConsent`](SubscribeOutcome::NoConsent) |
//! | 40003 | the openid is wrong | [`Refused`](SubscribeOutcome::Refused) |
//! | 40037 | the template is not there | [`Refused`](SubscribeOutcome::Refused) |
//! | 41030 | the page is not there | [`Refused`](SubscribeOutcome::Refused) |
//! | 43107 | the mini program may not send any | [`Refused`](SubscribeOutcome::Refused) |
//! | 47003 | a value is missing, empty, too long or of the wrong kind | [`Refused`](SubscribeOutcome::Refused) |
//! | any other | | by the table of [`WechatError`] |
//!
//! The name of a template's keyword says what its value may be ([`Word`]):
//!
//! | name | value |
//! |---|---|
//! | `thing` | 20 characters |
//! | `number` | 32 digits, a point among them |
//! | `letter` | 32 letters |
//! | `symbol` | 5 symbols |
//! | `character_string` | 32 digits, letters and symbols |
//! | `time`, `date` | `15:01`, `2019年10月1日`, or both |
//! | `amount` | one sign of a currency and 10 digits, `元` after them |
//! | `phone_number` | 17 digits and symbols |
//! | `car_number` | 8 characters |
//! | `name` | 10 Chinese characters, or 20 letters and symbols |
//! | `phrase` | 5 Chinese characters |
//!
//! Source: WeChat Open Documentation, "发送订阅消息" and its "参数值内容限制说明".

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::error::{Bearer, malformed};
use super::{MiniProgram, WechatError, is_id, post, read};
use crate::http::{Reply, Request, query};

/// Values of one message, at most; WeChat's templates have 5.
pub const MAX_WORDS: usize = 10;

/// What stands for a `thing` that is empty: an empty value is refused.
const NOTHING: &str = "无";
/// As [`NOTHING`], where no Chinese may stand.
const NO_CHARACTERS: &str = "-";

/// What the value of a keyword may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Word {
    /// Anything.
    Thing,
    /// Digits.
    Number,
    /// Letters.
    Letter,
    /// Symbols.
    Symbol,
    /// Digits, letters and symbols.
    CharacterString,
    /// A time of day, with a date or without.
    Time,
    /// A date, with a time of day or without.
    Date,
    /// A sum.
    Amount,
    /// A telephone number.
    PhoneNumber,
    /// A car's number.
    CarNumber,
    /// Somebody's name.
    Name,
    /// Chinese.
    Phrase,
}

impl Word {
    /// What a keyword's name (`thing1`, `date12`) says of its value; `None` for a name that is none.
    #[must_use]
    pub fn of_name(name: &str) -> Option<Self> {
        let kind = name.trim_end_matches(|c: char| c.is_ascii_digit());
        let number = name.get(kind.len()..)?;
        if !(1..=2).contains(&number.len()) || number.starts_with('0') {
            return None;
        }
        Some(match kind {
            "thing" => Self::Thing,
            "number" => Self::Number,
            "letter" => Self::Letter,
            "symbol" => Self::Symbol,
            "character_string" => Self::CharacterString,
            "time" => Self::Time,
            "date" => Self::Date,
            "amount" => Self::Amount,
            "phone_number" => Self::PhoneNumber,
            "car_number" => Self::CarNumber,
            "name" => Self::Name,
            "phrase" => Self::Phrase,
            _ => return None,
        })
    }

    /// A text as the keyword's value: what may not stand there is left out, the rest is cut. `None` when
    /// nothing is left that says anything.
    #[must_use]
    pub fn fit(self, text: &str) -> Option<String> {
        let graphic = |c: char| c.is_ascii_graphic();
        let kept = |keep: fn(char) -> bool, most: usize| {
            let kept: String = plain(text).chars().filter(|c| keep(*c)).take(most).collect();
            kept.trim().to_owned()
        };
        let filled = |text: String, otherwise: Option<&str>| {
            if text.is_empty() { otherwise.map(str::to_owned) } else { Some(text) }
        };
        match self {
            Self::Thing => filled(kept(|_| true, 20), Some(NOTHING)),
            Self::Number => filled(kept(|c| c.is_ascii_digit() || c == '.', 32), None),
            Self::Letter => filled(kept(|c| c.is_ascii_alphabetic(), 32), None),
            Self::Symbol => filled(kept(|c| c.is_ascii_punctuation(), 5), Some(NO_CHARACTERS)),
            Self::CharacterString => {
                filled(kept(|c| c.is_ascii_graphic(), 32), Some(NO_CHARACTERS))
            }
            Self::Time | Self::Date => {
                let text = plain(text);
                is_instant(&text, self).then_some(text)
            }
            Self::Amount => {
                let digits = kept(|c| c.is_ascii_digit() || c == '.', 10);
                (!digits.is_empty()).then(|| format!("{digits}元"))
            }
            Self::PhoneNumber => {
                filled(kept(|c| c.is_ascii_digit() || c.is_ascii_punctuation(), 17), None)
            }
            Self::CarNumber => filled(kept(|c| c.is_ascii_alphanumeric() || is_han(c), 8), None),
            Self::Name => {
                let letters = plain(text);
                let letters = letters.trim();
                let latin = letters.chars().all(|c| graphic(c) || c == ' ');
                let fitting = |c: char| !c.is_ascii_digit() && (latin || is_han(c));
                let most = if latin { 20 } else { 10 };
                let name: String = letters.chars().filter(|c| fitting(*c)).take(most).collect();
                filled(name.trim().to_owned(), None)
            }
            Self::Phrase => filled(kept(is_han, 5), None),
        }
    }
}

fn is_han(c: char) -> bool {
    matches!(c, '\u{4e00}'..='\u{9fff}' | '\u{3400}'..='\u{4dbf}')
}

/// Without control characters, line breaks and characters of four bytes.
fn plain(text: &str) -> String {
    let breaks = text.chars().map(|c| if c.is_whitespace() { ' ' } else { c });
    breaks.filter(|c| !c.is_control() && c.len_utf8() < 4).collect::<String>().trim().to_owned()
}

/// `2026年11月25日 15:01`; a time may be without the date, a date without the time.
fn is_instant(text: &str, word: Word) -> bool {
    let digits = |text: &str, most: usize| {
        (1..=most).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
    };
    let is_time = |text: &str| {
        text.split_once(':')
            .is_some_and(|(hour, minute)| digits(hour, 2) && minute.len() == 2 && digits(minute, 2))
    };
    let is_date = |text: &str| {
        let parts = text.strip_suffix('日').and_then(|rest| {
            let (year, rest) = rest.split_once('年')?;
            let (month, day) = rest.split_once('月')?;
            Some((year, month, day))
        });
        parts.is_some_and(|(year, month, day)| {
            year.len() == 4 && digits(year, 4) && digits(month, 2) && digits(day, 2)
        })
    };
    match text.split_once(' ') {
        Some((date, time)) => is_date(date) && is_time(time),
        None if word == Word::Time => is_time(text),
        None => is_date(text),
    }
}

/// A message for one user.
#[derive(Clone, Copy)]
pub struct SubscribeMessage<'a> {
    /// Who is told.
    pub openid: &'a str,
    /// The approved template's id.
    pub template_id: &'a str,
    /// What opens when it is tapped: a page of the mini program with its query.
    pub page: Option<&'a str>,
    /// The keywords' names and values, each as [`Word::fit`] made it.
    pub words: &'a [(String, String)],
    /// Whether it opens the mini program's published version, and not the developer's.
    pub published: bool,
}

/// What became of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SubscribeOutcome {
    /// It is on its way.
    Sent,
    /// The user has given no consent, or it is used up.
    NoConsent,
    /// It will not be taken like this; nothing was sent.
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
    /// Sends a message. `None` when the openid or the template's id is malformed, or there are no values
    /// or more than [`MAX_WORDS`].
    #[must_use]
    pub fn send_message(
        &self,
        access_token: &str,
        message: &SubscribeMessage<'_>,
    ) -> Option<Request> {
        let SubscribeMessage { openid, template_id, page, words, published } = *message;
        if !is_id(openid) || !is_id(template_id) || !(1..=MAX_WORDS).contains(&words.len()) {
            return None;
        }
        let data: Map<String, Value> =
            words.iter().map(|(name, value)| (name.clone(), json!({ "value": value }))).collect();
        let state = if published { "formal" } else { "developer" };
        let mut body: Map<String, Value> = [
            ("touser".to_owned(), openid.into()),
            ("template_id".to_owned(), template_id.into()),
            ("data".to_owned(), data.into()),
            ("miniprogram_state".to_owned(), state.into()),
            ("lang".to_owned(), "zh_CN".into()),
        ]
        .into_iter()
        .collect();
        if let Some(page) = page {
            body.insert("page".to_owned(), page.into());
        }
        let query = query(&[("access_token", access_token)]);
        Some(post(self.url("/cgi-bin/message/subscribe/send", &query), &body.into()))
    }

    /// Reads the reply to [`send_message`](Self::send_message). After [`WechatError::Unexpected`] it is
    /// not known whether the message was sent; after any other it was not.
    ///
    /// # Errors
    /// By the table of [`WechatError`].
    pub fn read_send_message(&self, reply: Reply<'_>) -> Result<SubscribeOutcome, WechatError> {
        // A server in between may have lost the answer of one that has sent the message.
        if let status @ 500..=599 = reply.status {
            let reason = "the HTTP status is not 200";
            return Err(WechatError::Unexpected { status, errcode: None, reason });
        }
        match read(reply, Bearer::Token) {
            // It must be there: a success says nothing else.
            Ok(DoneWire { errcode: None }) => Err(malformed("errcode is missing")),
            Ok(DoneWire { errcode: Some(_zero) }) => Ok(SubscribeOutcome::Sent),
            Err(WechatError::Unexpected { errcode: Some(43101), .. }) => {
                Ok(SubscribeOutcome::NoConsent)
            }
            Err(WechatError::Unexpected {
                errcode: Some(errcode @ (40003 | 40037 | 41030 | 43107 | 47003)),
                ..
            }) => Ok(SubscribeOutcome::Refused { errcode }),
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn app() -> MiniProgram {
        MiniProgram {
            base_url: "https://api.weixin.qq.com".to_owned(),
            appid: "wx1".to_owned(),
            secret: "s".to_owned(),
        }
    }

    #[test]
    fn a_keywords_name_says_what_its_value_may_be() {
        assert_eq!(Word::of_name("thing1"), Some(Word::Thing));
        assert_eq!(Word::of_name("character_string12"), Some(Word::CharacterString));
        assert_eq!(Word::of_name("phone_number3"), Some(Word::PhoneNumber));
        for bad in ["", "thing", "thing01", "thing123", "1", "Thing1", "thing1 ", "other1"] {
            assert_eq!(Word::of_name(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn values_are_cut_and_cleaned_to_what_their_keyword_takes() {
        let when = "2026年11月25日 15:01";
        let cases: &[(Word, &str, Option<&str>)] = &[
            (Word::Thing, "肩颈舒缓", Some("肩颈舒缓")),
            (
                Word::Thing,
                "一二三四五六七八九十一二三四五六七八九十一",
                Some("一二三四五六七八九十一二三四五六七八九十"),
            ),
            (Word::Thing, " 李\n明 ✨💆", Some("李 明 ✨")),
            (Word::Thing, "  ", Some("无")),
            (Word::Number, "共 12.5 次", Some("12.5")),
            (Word::Number, "无", None),
            (Word::CharacterString, "订单 A-12", Some("A-12")),
            (Word::CharacterString, "订单", Some("-")),
            (Word::Time, when, Some(when)),
            (Word::Date, when, Some(when)),
            (Word::Time, "15:01", Some("15:01")),
            (Word::Date, "15:01", None),
            (Word::Date, "2026年1月5日", Some("2026年1月5日")),
            (Word::Time, "2026年1月5日", None),
            (Word::Date, "2026-11-25 15:01", None),
            (Word::Amount, "¥198.00", Some("198.00元")),
            (Word::PhoneNumber, "021-6248 0000", Some("021-62480000")),
            (Word::PhoneNumber, "", None),
            (Word::Name, "欧阳 明月女士", Some("欧阳明月女士")),
            (Word::Name, "Anna Maria 2", Some("Anna Maria")),
            (Word::Name, "42", None),
            (Word::Phrase, "预约已经成功了", Some("预约已经成")),
            (Word::Phrase, "OK", None),
            (Word::CarNumber, "沪A·12345", Some("沪A12345")),
            (Word::Letter, "a1b2", Some("ab")),
            (Word::Symbol, "", Some("-")),
        ];
        for (word, text, expected) in cases {
            assert_eq!(word.fit(text).as_deref(), *expected, "{word:?} {text:?}");
        }
    }

    proptest! {
        #[test]
        fn no_value_is_empty_or_too_long(text in any::<String>()) {
            for (word, most) in [
                (Word::Thing, 20), (Word::Number, 32), (Word::Letter, 32), (Word::Symbol, 5),
                (Word::CharacterString, 32), (Word::Amount, 11), (Word::PhoneNumber, 17),
                (Word::CarNumber, 8), (Word::Name, 20), (Word::Phrase, 5),
            ] {
                if let Some(value) = word.fit(&text) {
                    let length = value.chars().count();
                    prop_assert!(length <= most && length > 0, "{word:?} {value:?}");
                    prop_assert!(!value.chars().any(char::is_control));
                }
            }
        }
    }

    #[test]
    fn a_message_is_what_wechat_documents() {
        let words = [
            ("thing1".to_owned(), "肩颈舒缓".to_owned()),
            ("time2".to_owned(), "15:01".to_owned()),
        ];
        let message = SubscribeMessage {
            openid: "oAnna",
            template_id: "T1",
            page: Some("pages/order?id=1"),
            words: &words,
            published: true,
        };
        let request = app().send_message("tok&en", &message).unwrap();
        assert_eq!(
            request.url,
            "https://api.weixin.qq.com/cgi-bin/message/subscribe/send?access_token=tok%26en"
        );
        let body: Value = serde_json::from_slice(&request.body).unwrap();
        assert_eq!(
            body,
            json!({
                "touser": "oAnna", "template_id": "T1", "page": "pages/order?id=1",
                "data": {"thing1": {"value": "肩颈舒缓"}, "time2": {"value": "15:01"}},
                "miniprogram_state": "formal", "lang": "zh_CN",
            })
        );
        let developer = SubscribeMessage { page: None, published: false, ..message };
        let request = app().send_message("t", &developer).unwrap();
        let body: Value = serde_json::from_slice(&request.body).unwrap();
        assert_eq!(body["miniprogram_state"], "developer");
        assert_eq!(body.get("page"), None);
        for bad in [
            SubscribeMessage { openid: "", ..message },
            SubscribeMessage { template_id: "模板", ..message },
            SubscribeMessage { words: &[], ..message },
        ] {
            assert!(app().send_message("t", &bad).is_none());
        }
    }

    #[test]
    fn each_answer_has_its_outcome() {
        let read =
            |body: &str| app().read_send_message(Reply { status: 200, body: body.as_bytes() });
        let cases = [
            (0, Ok(SubscribeOutcome::Sent)),
            (43101, Ok(SubscribeOutcome::NoConsent)),
            (40003, Ok(SubscribeOutcome::Refused { errcode: 40003 })),
            (40037, Ok(SubscribeOutcome::Refused { errcode: 40037 })),
            (41030, Ok(SubscribeOutcome::Refused { errcode: 41030 })),
            (43107, Ok(SubscribeOutcome::Refused { errcode: 43107 })),
            (47003, Ok(SubscribeOutcome::Refused { errcode: 47003 })),
            (-1, Err(WechatError::Busy)),
            (40001, Err(WechatError::TokenExpired)),
            (42001, Err(WechatError::TokenExpired)),
            (45009, Err(WechatError::RateLimited)),
            (48001, Err(WechatError::Misconfigured { errcode: 48001 })),
        ];
        for (errcode, outcome) in cases {
            let body = format!(r#"{{"errcode":{errcode},"errmsg":"… rid: 1"}}"#);
            assert_eq!(read(&body), outcome, "{errcode}");
        }
        for body in ["{}", "[]", "", "<html>", r#"{"errcode":null}"#, r#"{"errcode":7}"#] {
            assert!(matches!(read(body), Err(WechatError::Unexpected { .. })), "{body}");
        }
        // Unlike elsewhere: it may have been sent.
        let lost = app().read_send_message(Reply { status: 502, body: b"" });
        assert!(matches!(lost, Err(WechatError::Unexpected { status: 502, .. })), "{lost:?}");
    }
}
