use super::*;
use crate::http::{Method, USER_AGENT};
use crate::sms::MAX_CODE_CHARS;

/// 2026-01-01T00:00:00Z.
const NEW_YEAR: i64 = 1_767_225_600;

fn account(base_url: &str) -> TencentSms {
    TencentSms {
        base_url: base_url.to_owned(),
        secret_id: "AKIDexample".to_owned(),
        secret_key: "exampleSecretKey".to_owned(),
        sdk_app_id: "1400006666".to_owned(),
        sign_name: "准点预约".to_owned(),
        region: "ap-guangzhou".to_owned(),
    }
}

fn code_to(base_url: &str, now_unix_seconds: i64, params: &[&str]) -> Request {
    let phone = Phone::parse("13812345678").unwrap();
    account(base_url).send(now_unix_seconds, &phone, "1110", params)
}

fn header<'a>(request: &'a Request, name: &str) -> &'a str {
    let values: Vec<_> = request.headers.iter().filter(|(n, _)| *n == name).collect();
    assert_eq!(values.len(), 1, "{name}");
    &values[0].1
}

fn read(status: u16, body: &[u8]) -> Result<Sent, SmsError> {
    account("https://sms.tencentcloudapi.com").read_send(Reply { status, body })
}

fn read_number_code(code: &str) -> Result<Sent, SmsError> {
    let body = json!({"Response": {
        "SendStatusSet": [{"SerialNo": "", "PhoneNumber": "+8613812345678", "Fee": 0,
            "SessionContext": "", "Code": code, "Message": "…", "IsoCode": ""}],
        "RequestId": "a0aabda6-cf91-4f3e-a81f-9198114a2279",
    }});
    read(200, body.to_string().as_bytes())
}

fn read_request_code(code: &str) -> Result<Sent, SmsError> {
    let body = json!({"Response": {
        "Error": {"Code": code, "Message": "…"},
        "RequestId": "a0aabda6-cf91-4f3e-a81f-9198114a2279",
    }});
    read(200, body.to_string().as_bytes())
}

fn unavailable_with(reason: &str) -> Result<Sent, SmsError> {
    Err(SmsError::Unavailable { status: 200, reason: reason.to_owned() })
}

#[test]
fn a_request_is_what_the_document_describes() {
    let request = code_to("https://sms.tencentcloudapi.com", NEW_YEAR, &["042519", "5"]);
    assert_eq!(request.method, Method::Post);
    assert_eq!(request.url, "https://sms.tencentcloudapi.com/");
    assert_eq!(
        std::str::from_utf8(&request.body).unwrap(),
        r#"{"PhoneNumberSet":["+8613812345678"],"SignName":"准点预约","SmsSdkAppId":"1400006666","TemplateId":"1110","TemplateParamSet":["042519","5"]}"#
    );
    let expected = [
        ("Accept", "application/json"),
        ("User-Agent", USER_AGENT),
        ("Content-Type", "application/json; charset=utf-8"),
        ("X-TC-Action", "SendSms"),
        ("X-TC-Version", "2021-01-11"),
        ("X-TC-Region", "ap-guangzhou"),
        ("X-TC-Timestamp", "1767225600"),
    ];
    for (name, value) in expected {
        assert_eq!(header(&request, name), value);
    }
    assert_eq!(request.headers.len(), expected.len() + 1);
}

/// The expected signatures were computed twice outside Rust: with Python's `hmac` and `hashlib`
/// from the document's formula, and (the first two) with Tencent's own SDK for Node.
#[test]
fn signatures_agree_with_other_implementations() {
    let cases: [(&str, i64, &[&str], &str, &str); 4] = [
        (
            "https://sms.tencentcloudapi.com",
            NEW_YEAR - 1,
            &["042519", "5"],
            "2025-12-31",
            "bd946ed353a014716f8ece5c9ad4a9b97fe31fea422841dda20f0a2363672301",
        ),
        (
            "https://sms.tencentcloudapi.com",
            NEW_YEAR,
            &["042519", "5"],
            "2026-01-01",
            "d85706c5b0e9c7f96b90292f25deb18b2c2caf9a093c814bca1c40c21fd526f1",
        ),
        (
            "http://127.0.0.1:9100",
            NEW_YEAR,
            &["042519", "5"],
            "2026-01-01",
            "1901c3e29824867025596314f8d07cebe4e8f30bf383e2f1e935acaa58045691",
        ),
        (
            "https://sms.tencentcloudapi.com",
            NEW_YEAR,
            &[],
            "2026-01-01",
            "c77e7e1854e3b4cd930220b36d45bf702ddbce0867b05494049d0b1ee20985d2",
        ),
    ];
    for (base_url, now, params, date, signature) in cases {
        let request = code_to(base_url, now, params);
        assert_eq!(
            header(&request, "Authorization"),
            format!(
                "TC3-HMAC-SHA256 Credential=AKIDexample/{date}/sms/tc3_request, \
                 SignedHeaders=content-type;host, Signature={signature}"
            )
        );
    }
}

#[test]
fn the_signed_host_is_the_one_the_sender_writes() {
    let cases = [
        (
            "https://sms.tencentcloudapi.com",
            "https://sms.tencentcloudapi.com",
            "sms.tencentcloudapi.com",
        ),
        (
            "https://sms.tencentcloudapi.com/",
            "https://sms.tencentcloudapi.com",
            "sms.tencentcloudapi.com",
        ),
        (
            "HTTPS://SMS.TencentCloudAPI.com:443/",
            "https://sms.tencentcloudapi.com",
            "sms.tencentcloudapi.com",
        ),
        ("sms.tencentcloudapi.com", "https://sms.tencentcloudapi.com", "sms.tencentcloudapi.com"),
        ("http://localhost:80", "http://localhost", "localhost"),
        ("http://localhost:443", "http://localhost:443", "localhost:443"),
        ("https://localhost:80", "https://localhost:80", "localhost:80"),
        ("http://127.0.0.1:9100/sms?a#b", "http://127.0.0.1:9100", "127.0.0.1:9100"),
        ("http://[::1]:9100", "http://[::1]:9100", "[::1]:9100"),
    ];
    for (base_url, origin, host) in cases {
        assert_eq!(origin_and_host(base_url), (origin.to_owned(), host.to_owned()), "{base_url}");
    }
    let request = code_to("http://127.0.0.1:9100/sms", NEW_YEAR, &[]);
    assert_eq!(request.url, "http://127.0.0.1:9100/");
}

#[test]
fn only_ok_is_sent() {
    let body = json!({"Response": {
        "SendStatusSet": [{"SerialNo": "5000:1045710669157053657849499619",
            "PhoneNumber": "+8613812345678", "Fee": 1, "SessionContext": "",
            "Code": "Ok", "Message": "send success", "IsoCode": "CN"}],
        "RequestId": "a0aabda6-cf91-4f3e-a81f-9198114a2279",
    }});
    let serial_no = Some("5000:1045710669157053657849499619".to_owned());
    assert_eq!(read(200, body.to_string().as_bytes()), Ok(Sent { serial_no }));
    // A message that was taken stays taken, whether or not it has a number.
    assert_eq!(read_number_code("Ok"), Ok(Sent { serial_no: None }));
    for body in [
        r#"{"Response":{"SendStatusSet":[{"Code":"Ok"}]}}"#,
        r#"{"Response":{"Error":null,"SendStatusSet":[{"Code":"Ok","SerialNo":null}]}}"#,
    ] {
        assert_eq!(read(200, body.as_bytes()), Ok(Sent { serial_no: None }), "{body}");
    }
    for code in ["OK", "ok", "Ok ", "Okay"] {
        assert_eq!(read_number_code(code), unavailable_with(code.trim()), "{code:?}");
    }
    // As the request's own code, `Ok` means nothing.
    assert_eq!(read_request_code("Ok"), unavailable_with("Ok"));
}

/// Whether it comes for the number or for the request, a code means the same.
fn assert_outcome(outcome: impl Fn(String) -> SmsError, codes: &[&str]) {
    for code in codes {
        let expected = Err(outcome((*code).to_owned()));
        assert_eq!(read_number_code(code), expected, "of the number: {code}");
        assert_eq!(read_request_code(code), expected, "of the request: {code}");
    }
}

#[test]
fn codes_of_limits() {
    assert_outcome(
        |code| SmsError::RateLimited { code },
        &[
            "RequestLimitExceeded",
            "RequestLimitExceeded.IPLimitExceeded",
            "RequestLimitExceeded.UinLimitExceeded",
            "LimitExceeded",
            "LimitExceeded.AppDailyLimit",
            "LimitExceeded.DailyLimit",
            "LimitExceeded.DeliveryFrequencyLimit",
            "LimitExceeded.PhoneNumberDailyLimit",
            "LimitExceeded.PhoneNumberOneHourLimit",
            "LimitExceeded.PhoneNumberSameContentDailyLimit",
            "LimitExceeded.PhoneNumberThirtySecondLimit",
        ],
    );
}

#[test]
fn the_code_of_a_wrong_number() {
    assert_outcome(|_| SmsError::InvalidPhone, &["InvalidParameterValue.IncorrectPhoneNumber"]);
}

#[test]
fn codes_of_refused_messages() {
    assert_outcome(
        |code| SmsError::Refused { code },
        &[
            "FailedOperation.PhoneNumberInBlacklist",
            "FailedOperation.PhoneNumberOnBlacklist",
            "FailedOperation.ContainSensitiveWord",
            "InvalidParameterValue.ContentLengthLimit",
            "InvalidParameterValue.TemplateParameterFormatError",
            "InvalidParameterValue.TemplateParameterLengthLimit",
            "InvalidParameterValue.ProhibitedUseUrlInTemplateParameter",
        ],
    );
}

#[test]
fn codes_a_person_has_to_act_on() {
    assert_outcome(
        |code| SmsError::Misconfigured { code },
        &[
            "AuthFailure",
            "AuthFailure.SecretIdNotFound",
            "AuthFailure.SignatureExpire",
            "AuthFailure.SignatureFailure",
            "UnauthorizedOperation.RequestIpNotInWhitelist",
            "UnauthorizedOperation.SdkAppidIsDisabled",
            "UnauthorizedOperation.SerivceSuspendDueToArrears",
            "UnauthorizedOperation.SmsSdkAppidVerifyFail",
            "InvalidParameter",
            "InvalidParameter.AppidAndBizId",
            "InvalidParameterValue.SdkAppIdNotExist",
            "MissingParameter",
            "MissingParameter.EmptyPhoneNumberSet",
            "UnknownParameter",
            "UnsupportedOperation.UnsupportedRegion",
            "UnsupportedRegion",
            "InvalidAction",
            "NoSuchVersion",
            "FailedOperation.InsufficientBalanceInSmsPackage",
            "FailedOperation.MarketingSendTimeConstraint",
            "FailedOperation.MissingSignature",
            "FailedOperation.SignatureIncorrectOrUnapproved",
            "FailedOperation.TemplateIncorrectOrUnapproved",
        ],
    );
}

#[test]
fn other_codes_leave_it_open() {
    assert_outcome(
        |code| SmsError::Unavailable { status: 200, reason: code },
        &[
            "InternalError",
            "InternalError.OtherError",
            "InternalError.SendAndRecvFail",
            "InternalError.Timeout",
            "FailedOperation",
            "FailedOperation.FailResolvePacket",
            "FailedOperation.OtherError",
            "ServiceUnavailable",
            "AuthFailures",
            "SomethingNew.NobodyKnows",
            "",
        ],
    );
}

#[test]
fn a_reply_that_does_not_fit_is_never_sent() {
    let not_json = "the reply is not the JSON it should be";
    let not_one = "SendStatusSet has not one entry";
    let cases = [
        ("", not_json),
        ("null", not_json),
        ("[]", not_json),
        ("Ok", not_json),
        ("<html></html>", not_json),
        ("{", not_json),
        ("{}", not_json),
        (r#"{"Response":null}"#, not_json),
        (r#"{"Response":"Ok"}"#, not_json),
        (r#"{"Response":{"Error":{}}}"#, not_json),
        (r#"{"Response":{"Error":{"Code":null}}}"#, not_json),
        (r#"{"Response":{"Error":"AuthFailure"}}"#, not_json),
        (r#"{"Response":{"SendStatusSet":{"Code":"Ok"}}}"#, not_json),
        (r#"{"Response":{"SendStatusSet":[{"SerialNo":"1"}]}}"#, not_json),
        (r#"{"Response":{"SendStatusSet":[{"Code":null}]}}"#, not_json),
        (r#"{"Response":{"SendStatusSet":[{"Code":0}]}}"#, not_json),
        (r#"{"Response":{"SendStatusSet":[null]}}"#, not_json),
        (r#"{"Response":{"SendStatusSet":[{"Code":"Ok"}],"SendStatusSet":[]}}"#, not_json),
        (r#"{"response":{"SendStatusSet":[{"Code":"Ok"}]}}"#, not_json),
        (r#"{"Response":{}}"#, not_one),
        (r#"{"Response":{"Error":null}}"#, not_one),
        (r#"{"Response":{"SendStatusSet":null}}"#, not_one),
        (r#"{"Response":{"SendStatusSet":[]}}"#, not_one),
        (r#"{"Response":{"SendStatusSet":[{"Code":"Ok"},{"Code":"Ok"}]}}"#, not_one),
        (
            r#"{"Response":{"Error":{"Code":"InternalError"},"SendStatusSet":[{"Code":"Ok"}]}}"#,
            "InternalError",
        ),
    ];
    for (body, reason) in cases {
        assert_eq!(read(200, body.as_bytes()), unavailable_with(reason), "{body}");
    }
    assert_eq!(read(200, &[0xff, 0xfe]), unavailable_with(not_json));
}

#[test]
fn a_reply_of_any_other_status_is_never_sent() {
    let sent = br#"{"Response":{"SendStatusSet":[{"Code":"Ok"}]}}"#;
    for status in [0, 204, 301, 400, 403, 404, 500, 502, 503, 504] {
        let reason = "the HTTP status is not 200".to_owned();
        assert_eq!(read(status, sent), Err(SmsError::Unavailable { status, reason }));
    }
    assert_eq!(read(429, sent), Err(SmsError::RateLimited { code: "HTTP 429".to_owned() }));
}

#[test]
fn a_reply_is_read_up_to_its_limit() {
    let mut body = br#"{"Response":{"SendStatusSet":[{"Code":"Ok"}]}}"#.to_vec();
    body.resize(MAX_REPLY_BYTES, b' ');
    assert_eq!(read(200, &body), Ok(Sent { serial_no: None }));
    body.push(b' ');
    assert_eq!(read(200, &body), unavailable_with("the reply is too long"));
}

#[test]
fn a_code_is_cut_and_cleaned_for_the_log() {
    assert_eq!(
        read_number_code("AuthFailure.\r\nlevel=fatal 准点\u{1b}[31m"),
        Err(SmsError::Misconfigured { code: "AuthFailure.levelfatal31m".to_owned() })
    );
    let long = "X".repeat(5000);
    assert_eq!(read_number_code(&long), unavailable_with(&"X".repeat(MAX_CODE_CHARS)));
}

#[test]
fn no_key_is_shown() {
    let account = account("https://sms.tencentcloudapi.com");
    let request = code_to(&account.base_url, NEW_YEAR, &["042519"]);
    let shown = format!("{account:?} {request:?}");
    for secret in ["AKIDexample", "exampleSecretKey", "Signature=", "042519", "13812345678"] {
        assert!(!shown.contains(secret), "{shown}");
    }
}
