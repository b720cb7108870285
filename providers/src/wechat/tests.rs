use super::*;
use crate::http::{Method, USER_AGENT};

const OPENID: &str = "oGZUI0egBJY1zhBYw2KhdUfwVJJE";
const PHONE_REPLY: &str = r#"{"errcode":0,"errmsg":"ok","phone_info":{"phoneNumber":"13812345678","purePhoneNumber":"13812345678","countryCode":"86","watermark":{"timestamp":1637744274,"appid":"wx0123456789abcdef"}}}"#;

fn app() -> MiniProgram {
    MiniProgram {
        base_url: "https://api.weixin.qq.com".to_owned(),
        appid: "wx0123456789abcdef".to_owned(),
        secret: "0hush1hush2hush3hush4hush5hush6h".to_owned(),
    }
}

fn reply(body: &str) -> Reply<'_> {
    Reply { status: 200, body: body.as_bytes() }
}

fn not_understood<T>(reason: &'static str) -> Result<T, WechatError> {
    Err(WechatError::Unexpected { status: 200, errcode: None, reason })
}

type Reader = fn(Reply<'_>) -> Result<(), WechatError>;

/// Every call's reader, its value dropped: what they must all do is tested on all.
fn readers() -> [(&'static str, Reader); 3] {
    [
        ("session", |reply| app().read_session(reply).map(drop)),
        ("access token", |reply| app().read_access_token(reply).map(drop)),
        ("phone number", |reply| app().read_phone_number(reply).map(drop)),
    ]
}

fn headers(request: &Request) -> Vec<(&str, &str)> {
    request.headers.iter().map(|(name, value)| (*name, value.as_str())).collect()
}

fn json_body(request: &Request) -> Value {
    serde_json::from_slice(&request.body).unwrap()
}

#[test]
fn the_session_request_is_what_the_document_describes() {
    let request = app().session("0a1b2c");
    assert_eq!(request.method, Method::Get);
    assert_eq!(
        request.url,
        "https://api.weixin.qq.com/sns/jscode2session?appid=wx0123456789abcdef\
         &secret=0hush1hush2hush3hush4hush5hush6h&js_code=0a1b2c&grant_type=authorization_code"
    );
    assert_eq!(headers(&request), [("Accept", "application/json"), ("User-Agent", USER_AGENT)]);
    assert!(request.body.is_empty());

    let hostile = app().session("x&appid=wxother#");
    assert!(hostile.url.ends_with("&js_code=x%26appid%3Dwxother%23&grant_type=authorization_code"));
}

#[test]
fn the_token_request_is_what_the_document_describes() {
    let request = app().access_token();
    assert_eq!(request.method, Method::Post);
    assert_eq!(request.url, "https://api.weixin.qq.com/cgi-bin/stable_token");
    assert_eq!(
        headers(&request),
        [
            ("Accept", "application/json"),
            ("User-Agent", USER_AGENT),
            ("Content-Type", "application/json"),
        ]
    );
    assert_eq!(
        json_body(&request),
        json!({
            "grant_type": "client_credential",
            "appid": "wx0123456789abcdef",
            "secret": "0hush1hush2hush3hush4hush5hush6h",
        })
    );
}

#[test]
fn the_phone_request_is_what_the_document_describes() {
    let request = app().phone_number("63_to+ken/=", "e31968\"a7f");
    assert_eq!(request.method, Method::Post);
    assert_eq!(
        request.url,
        "https://api.weixin.qq.com/wxa/business/getuserphonenumber?access_token=63_to%2Bken%2F%3D"
    );
    assert_eq!(
        headers(&request),
        [
            ("Accept", "application/json"),
            ("User-Agent", USER_AGENT),
            ("Content-Type", "application/json"),
        ]
    );
    assert_eq!(json_body(&request), json!({"code": "e31968\"a7f"}));
}

#[test]
fn a_base_may_have_a_path_and_end_in_a_slash() {
    for (base_url, expected) in [
        ("http://127.0.0.1:9100", "http://127.0.0.1:9100/cgi-bin/stable_token"),
        ("http://127.0.0.1:9100/", "http://127.0.0.1:9100/cgi-bin/stable_token"),
        ("https://relay.example/wx/", "https://relay.example/wx/cgi-bin/stable_token"),
    ] {
        let app = MiniProgram { base_url: base_url.to_owned(), ..app() };
        assert_eq!(app.access_token().url, expected);
    }
}

#[test]
fn a_session_is_read_with_or_without_errcode_and_unionid() {
    let with_unionid = Some("o6_bmasdasdsad6_2sgVt7hMZOPfL");
    let cases = [
        (r#"{"session_key":"k","openid":"OPENID"}"#, None),
        (r#"{"session_key":"k","openid":"OPENID","errcode":0,"errmsg":"ok"}"#, None),
        (r#"{"openid":"OPENID","errcode":null}"#, None),
        (r#"{"openid":"OPENID","unionid":null}"#, None),
        (r#"{"openid":"OPENID","unionid":""}"#, None),
        (
            r#"{"openid":"OPENID","session_key":"k","unionid":"o6_bmasdasdsad6_2sgVt7hMZOPfL"}"#,
            with_unionid,
        ),
        (r#" {"openid":"OPENID","new_field":{"a":[1]}} "#, None),
    ];
    for (body, unionid) in cases {
        let body = body.replace("OPENID", OPENID);
        let session =
            Session { openid: OPENID.to_owned(), unionid: unionid.map(ToOwned::to_owned) };
        assert_eq!(app().read_session(reply(&body)), Ok(session), "{body}");
    }
}

#[test]
fn a_session_without_a_sound_openid_is_refused() {
    let openid = "openid is missing or malformed";
    let unionid = "unionid is malformed";
    let wrong_type = "a field has the wrong type";
    let too_long = format!(r#"{{"openid":"{}"}}"#, "o".repeat(MAX_ID_BYTES + 1));
    let cases = [
        ("{}", openid),
        (r#"{"errcode":0}"#, openid),
        (r#"{"session_key":"k"}"#, openid),
        (r#"{"openid":null}"#, openid),
        (r#"{"openid":""}"#, openid),
        (r#"{"openid":"a b"}"#, openid),
        (r#"{"openid":"准点"}"#, openid),
        (r#"{"openid":"a\u0000"}"#, openid),
        (too_long.as_str(), openid),
        (r#"{"openid":1}"#, wrong_type),
        (r#"{"openid":["o"]}"#, wrong_type),
        (r#"{"openid":"o","unionid":7}"#, wrong_type),
        (r#"{"openid":"o","unionid":"a b"}"#, unionid),
    ];
    for (body, reason) in cases {
        assert_eq!(app().read_session(reply(body)), not_understood(reason), "{body}");
    }
    let longest = "o".repeat(MAX_ID_BYTES);
    let body = format!(r#"{{"openid":"{longest}"}}"#);
    assert_eq!(app().read_session(reply(&body)).unwrap().openid, longest);
}

#[test]
fn a_token_is_read_and_its_life_is_bounded() {
    let cases = [
        (r#"{"access_token":"63_abc","expires_in":7200}"#, 7200),
        (r#"{"access_token":"63_abc","expires_in":345,"errcode":0}"#, 345),
        (r#"{"access_token":"63_abc","expires_in":1}"#, 1),
        (r#"{"access_token":"63_abc","expires_in":7201}"#, 7200),
        (r#"{"access_token":"63_abc","expires_in":18446744073709551615}"#, 7200),
    ];
    for (body, expires_in_seconds) in cases {
        let token = AccessToken { token: "63_abc".to_owned(), expires_in_seconds };
        assert_eq!(app().read_access_token(reply(body)), Ok(token), "{body}");
    }
}

#[test]
fn a_token_that_cannot_be_used_is_refused() {
    let token = "access_token is missing";
    let expires_in = "expires_in is missing or zero";
    let wrong_type = "a field has the wrong type";
    let cases = [
        ("{}", token),
        (r#"{"errcode":0,"expires_in":7200}"#, token),
        (r#"{"access_token":null,"expires_in":7200}"#, token),
        (r#"{"access_token":"","expires_in":7200}"#, token),
        (r#"{"access_token":"63_abc"}"#, expires_in),
        (r#"{"access_token":"63_abc","expires_in":null}"#, expires_in),
        (r#"{"access_token":"63_abc","expires_in":0}"#, expires_in),
        (r#"{"access_token":"63_abc","expires_in":-1}"#, wrong_type),
        (r#"{"access_token":"63_abc","expires_in":"7200"}"#, wrong_type),
        (r#"{"access_token":63,"expires_in":7200}"#, wrong_type),
    ];
    for (body, reason) in cases {
        assert_eq!(app().read_access_token(reply(body)), not_understood(reason), "{body}");
    }
}

#[test]
fn a_mainland_number_is_read_whichever_way_its_country_is_written() {
    let phone = Phone::parse("13812345678").unwrap();
    for (from, to) in [
        ("", ""),
        (r#""86""#, "86"),
        (r#""errcode":0,"errmsg":"ok","#, ""),
        (r#""phoneNumber":"13812345678","#, ""),
        (r#""phoneNumber":"13812345678","#, r#""phoneNumber":"+8613812345678","#),
        (r#""timestamp":1637744274,"#, ""),
    ] {
        let body = PHONE_REPLY.replacen(from, to, 1);
        assert_eq!(app().read_phone_number(reply(&body)), Ok(phone.clone()), "{body}");
    }
}

#[test]
fn a_phone_reply_is_changed_in_one_place_and_refused() {
    let unsupported = || Err(WechatError::UnsupportedPhone);
    let pure = r#""purePhoneNumber":"13812345678""#;
    let country = r#""countryCode":"86""#;
    let watermark = r#""watermark":{"timestamp":1637744274,"appid":"wx0123456789abcdef"}"#;
    let no_number = || not_understood("purePhoneNumber is missing");
    let no_country = || not_understood("countryCode is missing or malformed");
    let foreign_mark = || not_understood("the watermark does not name our appid");
    let wrong_type = || not_understood("a field has the wrong type");
    let cases = [
        (pure, r#""purePhoneNumber":"12812345678""#, unsupported()),
        (pure, r#""purePhoneNumber":"1381234567""#, unsupported()),
        (pure, r#""purePhoneNumber":"+8613812345678""#, unsupported()),
        (pure, r#""purePhoneNumber":"""#, unsupported()),
        (pure, r#""purePhoneNumber":null"#, no_number()),
        (pure, r#""other":1"#, no_number()),
        (pure, r#""purePhoneNumber":13812345678"#, wrong_type()),
        (country, r#""countryCode":"852""#, unsupported()),
        (country, r#""countryCode":852"#, unsupported()),
        (country, r#""countryCode":86.5"#, unsupported()),
        (country, r#""countryCode":-86"#, unsupported()),
        (country, r#""countryCode":"""#, unsupported()),
        (country, r#""countryCode":null"#, no_country()),
        (country, r#""countryCode":true"#, no_country()),
        (country, r#""countryCode":["86"]"#, no_country()),
        (country, r#""other":1"#, no_country()),
        (watermark, r#""watermark":{"appid":"wxother"}"#, foreign_mark()),
        (watermark, r#""watermark":{"appid":"WX0123456789ABCDEF"}"#, foreign_mark()),
        (watermark, r#""watermark":{"appid":""}"#, foreign_mark()),
        (watermark, r#""watermark":{"appid":null}"#, foreign_mark()),
        (watermark, r#""watermark":{}"#, foreign_mark()),
        (watermark, r#""watermark":null"#, foreign_mark()),
        (watermark, r#""other":1"#, foreign_mark()),
        (watermark, r#""watermark":"wx0123456789abcdef""#, wrong_type()),
    ];
    for (from, to, expected) in cases {
        let body = PHONE_REPLY.replace(from, to);
        assert_ne!(body, PHONE_REPLY);
        assert_eq!(app().read_phone_number(reply(&body)), expected, "{body}");
    }
    for body in ["{}", r#"{"errcode":0}"#, r#"{"errcode":0,"phone_info":null}"#] {
        assert_eq!(
            app().read_phone_number(reply(body)),
            not_understood("phone_info is missing"),
            "{body}"
        );
    }
}

#[test]
fn each_errcode_has_its_variant() {
    let misconfigured = |errcode| WechatError::Misconfigured { errcode };
    let unknown = |errcode| WechatError::Unexpected {
        status: 200,
        errcode: Some(errcode),
        reason: "the errcode is not in the table",
    };
    // The errcode, its meaning on a call with the AppSecret, and on one with an access token.
    let same = |errcode: i64, error: WechatError| (errcode, error.clone(), error);
    let table = [
        same(-1, WechatError::Busy),
        same(40029, WechatError::InvalidCode),
        same(41008, WechatError::InvalidCode),
        same(40163, WechatError::CodeUsed),
        same(45009, WechatError::RateLimited),
        same(45011, WechatError::RateLimited),
        same(40226, WechatError::HighRiskUser),
        (40001, misconfigured(40001), WechatError::TokenExpired),
        (40014, unknown(40014), WechatError::TokenExpired),
        (42001, unknown(42001), WechatError::TokenExpired),
        same(40013, misconfigured(40013)),
        same(40125, misconfigured(40125)),
        same(40164, misconfigured(40164)),
        same(41002, misconfigured(41002)),
        same(41004, misconfigured(41004)),
        same(48001, misconfigured(48001)),
        same(48004, misconfigured(48004)),
        same(1, unknown(1)),
        same(-2, unknown(-2)),
        same(40002, unknown(40002)),
        same(99_999_999_999, unknown(99_999_999_999)),
        same(i64::MIN, unknown(i64::MIN)),
    ];
    for (errcode, with_secret, with_token) in table {
        // The fields of a success do not make up for an errcode.
        let body = json!({
            "errcode": errcode, "errmsg": "some text rid: 61725984-6126f6f9-040f19c4",
            "openid": OPENID, "access_token": "63_abc", "expires_in": 7200,
        })
        .to_string();
        let phone_body = PHONE_REPLY.replace(r#""errcode":0"#, &format!(r#""errcode":{errcode}"#));
        assert_eq!(app().read_session(reply(&body)), Err(with_secret.clone()), "{errcode}");
        assert_eq!(app().read_access_token(reply(&body)), Err(with_secret), "{errcode}");
        assert_eq!(app().read_phone_number(reply(&phone_body)), Err(with_token), "{errcode}");
    }
}

#[test]
fn an_errcode_that_is_no_integer_is_never_success() {
    for errcode in [r#""0""#, r#""""#, "0.0", "false", "[]", "{}", "9223372036854775808", "1e400"] {
        let body = PHONE_REPLY.replace(r#""errcode":0"#, &format!(r#""errcode":{errcode}"#));
        let expected = if errcode == "1e400" {
            not_understood("the reply is not a JSON object")
        } else {
            not_understood("errcode is not an integer")
        };
        assert_eq!(app().read_phone_number(reply(&body)), expected, "{errcode}");
    }
}

#[test]
fn a_body_that_is_no_json_object_is_never_success() {
    let deep = "[".repeat(10_000);
    let bodies: [&[u8]; 10] = [
        b"",
        b" ",
        b"null",
        b"0",
        b"[]",
        b"\"ok\"",
        b"{\"openid\":\"o\"",
        b"<html>502</html>",
        &[0xff, 0xfe, 0x00],
        deep.as_bytes(),
    ];
    for (name, read) in readers() {
        for body in bodies {
            assert_eq!(
                read(Reply { status: 200, body }),
                not_understood("the reply is not a JSON object"),
                "{name}"
            );
        }
    }
}

#[test]
fn any_other_status_is_never_success() {
    let everything = r#"{"openid":"o","access_token":"63_abc","expires_in":7200}"#;
    for (name, read) in readers() {
        for body in ["", "Bad Gateway", everything, PHONE_REPLY] {
            for status in [500, 502, 503, 504, 599] {
                let reply = Reply { status, body: body.as_bytes() };
                assert_eq!(read(reply), Err(WechatError::Busy), "{name}");
            }
            let reply = Reply { status: 429, body: body.as_bytes() };
            assert_eq!(read(reply), Err(WechatError::RateLimited), "{name}");
            for status in [0, 204, 302, 400, 403, 404, 412, 600] {
                let reply = Reply { status, body: body.as_bytes() };
                let reason = "the HTTP status is not 200";
                let expected = WechatError::Unexpected { status, errcode: None, reason };
                assert_eq!(read(reply), Err(expected), "{name}");
            }
        }
    }
}

#[test]
fn a_reply_is_read_up_to_its_limit() {
    let mut body = PHONE_REPLY.as_bytes().to_vec();
    body.resize(MAX_REPLY_BYTES, b' ');
    assert!(app().read_phone_number(Reply { status: 200, body: &body }).is_ok());
    body.push(b' ');
    for (name, read) in readers() {
        assert_eq!(
            read(Reply { status: 200, body: &body }),
            not_understood("the reply is too long"),
            "{name}"
        );
    }
}

#[test]
fn nothing_private_is_shown() {
    let token =
        app().read_access_token(reply(r#"{"access_token":"63_abc","expires_in":7200}"#)).unwrap();
    let session = app()
        .read_session(reply(r#"{"openid":"oPrivate","unionid":"uPrivate","session_key":"k"}"#))
        .unwrap();
    let phone = app().read_phone_number(reply(PHONE_REPLY)).unwrap();
    let requests =
        [app().session("theCode"), app().access_token(), app().phone_number("63_abc", "theCode")];
    // A field of the wrong type: the JSON reader's own message would quote it.
    let error = app().read_session(reply(r#"{"openid":["oPrivate"]}"#)).unwrap_err();
    let shown =
        format!("{:?} {token:?} {session:?} {phone:?} {requests:?} {error:?} {error}", app());
    for private in [&*app().secret, "63_abc", "oPrivate", "uPrivate", "13812345678", "theCode"] {
        assert!(!shown.contains(private), "{private} in {shown}");
    }
    assert!(shown.contains("wx0123456789abcdef"));
}
