use serde_json::json;

use super::*;
use crate::http::USER_AGENT;

fn account() -> AliyunSms {
    AliyunSms {
        base_url: "https://dysmsapi.aliyuncs.com".to_owned(),
        access_key_id: "LTAIexample".to_owned(),
        access_key_secret: "hush".to_owned(),
        sign_name: "准点预约".to_owned(),
    }
}

fn read(status: u16, body: &[u8]) -> Result<Sent, SmsError> {
    account().read_send(Reply { status, body })
}

#[test]
fn a_request_is_what_the_document_describes() {
    let phone = Phone::parse("13812345678").unwrap();
    let variables = [("minutes", "5"), ("code", "042519")];
    let request = account().send(1_767_225_600, [0xab; 16], &phone, "SMS_1", &variables);
    assert_eq!(request.method, Method::Post);
    assert_eq!(
        request.url,
        "https://dysmsapi.aliyuncs.com/?PhoneNumbers=13812345678\
         &SignName=%E5%87%86%E7%82%B9%E9%A2%84%E7%BA%A6&TemplateCode=SMS_1\
         &TemplateParam=%7B%22code%22%3A%22042519%22%2C%22minutes%22%3A%225%22%7D"
    );
    assert!(request.body.is_empty());
    let expected = [
        ("Accept", "application/json"),
        ("User-Agent", USER_AGENT),
        ("x-acs-action", "SendSms"),
        (
            "x-acs-content-sha256",
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        ),
        ("x-acs-date", "2026-01-01T00:00:00Z"),
        ("x-acs-signature-nonce", "abababababababababababababababab"),
        ("x-acs-version", "2017-05-25"),
    ];
    let headers: Vec<_> = request.headers.iter().map(|(n, v)| (*n, v.as_str())).collect();
    assert_eq!(headers[..expected.len()], expected);
    let (name, value) = headers[expected.len()];
    assert_eq!(name, "Authorization");
    assert!(value.starts_with("ACS3-HMAC-SHA256 Credential=LTAIexample,SignedHeaders=host;x-acs-"));
    assert_eq!(headers.len(), expected.len() + 1);
    assert!(!format!("{request:?} {:?}", account()).contains("hush"));
    assert!(!format!("{request:?}").contains("13812345678"));
}

#[test]
fn what_codes_mean() {
    let refused = |code: &str| SmsError::Refused { code: code.to_owned() };
    let limited = |code: &str| SmsError::RateLimited { code: code.to_owned() };
    let misconfigured = |code: &str| SmsError::Misconfigured { code: code.to_owned() };
    let cases = [
        (200, "isv.MOBILE_NUMBER_ILLEGAL", SmsError::InvalidPhone),
        (200, "isv.BUSINESS_LIMIT_CONTROL", limited("isv.BUSINESS_LIMIT_CONTROL")),
        (200, "isv.DAY_LIMIT_CONTROL", limited("isv.DAY_LIMIT_CONTROL")),
        (400, "Throttling.User", limited("Throttling.User")),
        (200, "isv.INVALID_JSON_PARAM", refused("isv.INVALID_JSON_PARAM")),
        (200, "isv.AMOUNT_NOT_ENOUGH", misconfigured("isv.AMOUNT_NOT_ENOUGH")),
        (200, "isv.DENY_IP_RANGE", misconfigured("isv.DENY_IP_RANGE")),
        (400, "SignatureDoesNotMatch", misconfigured("SignatureDoesNotMatch")),
        (400, "InvalidTimeStamp.Expired", misconfigured("InvalidTimeStamp.Expired")),
        (404, "InvalidAccessKeyId.NotFound", misconfigured("InvalidAccessKeyId.NotFound")),
    ];
    for (status, code, error) in cases {
        let body = json!({"Code": code, "Message": "…", "RequestId": "1"}).to_string();
        assert_eq!(read(status, body.as_bytes()), Err(error), "{code}");
    }
    let sent = br#"{"Code":"OK","Message":"OK","BizId":"9006^0","RequestId":"1"}"#;
    assert_eq!(read(200, sent), Ok(Sent { serial_no: Some("9006^0".to_owned()) }));
    assert_eq!(read(200, br#"{"Code":"OK"}"#), Ok(Sent { serial_no: None }));
    let too_long = vec![b' '; MAX_REPLY_BYTES + 1];
    let unavailable = [
        (400, &sent[..]),
        (500, sent),
        (301, sent),
        (200, b"{}"),
        (200, b""),
        (200, br#"{"Code":"ok"}"#),
        (200, br#"{"Code":"isp.SYSTEM_ERROR"}"#),
        (200, br#"{"Code":7}"#),
        (200, &too_long),
    ];
    for (status, body) in unavailable {
        assert!(matches!(read(status, body), Err(SmsError::Unavailable { .. })), "{status}");
    }
    assert_eq!(read(429, b""), Err(limited("HTTP 429")));
}
