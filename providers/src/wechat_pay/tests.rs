use chrono::NaiveDate;
use serde_json::{Value, json};

use super::*;
use crate::crypto::host::{
    Broken, Host, VENDOR_CERTIFICATE, VENDOR_PUBLIC_KEY, VENDOR_SERIAL, now, our_key,
    our_public_key, seal, vectors, vendor_sign,
};
use crate::crypto::{PublicKey, verify_base64};
use crate::http::{Headers, MAX_REPLY_BYTES, Method, Reply, SignedReply, USER_AGENT};
use crate::payment::{
    BuildError, CloseOutcome, Doubt, Mismatch, NoticeError, Order, Prepaid, PrepayOutcome,
    QueryOutcome, Refund, RefundOrder, RefundOutcome, RefundStatus, Refusal, VerifiedNotice,
};

/// The time of the published example of a request.
const NOW: i64 = 1_554_208_460;
const PUBLIC_KEY_ID: &str = "PUB_KEY_ID_0114232134912410000000000000";
const API_V3_KEY: &[u8; 32] = b"a7cde1ZJB1kG2e7VfTs3jQzaWizur8Gb";

fn stamp() -> Stamp {
    let nonce = 0x593B_EC0C_930B_F1AF_EB40_B4A0_8C8F_B242_u128.to_be_bytes();
    Stamp { now_unix_seconds: NOW, nonce }
}

fn merchant() -> Merchant {
    let mut keys = VerificationKeys::new();
    keys.insert(PUBLIC_KEY_ID, PublicKey::parse(VENDOR_PUBLIC_KEY).unwrap());
    keys.insert_certificate(VENDOR_CERTIFICATE).unwrap();
    Merchant {
        base_url: "https://api.mch.weixin.qq.com".to_owned(),
        fallback_base_url: Some("https://api2.mch.weixin.qq.com".to_owned()),
        appid: "wxd678efh567hg6787".to_owned(),
        mchid: "1900007291".to_owned(),
        serial_no: "408B07E79B8269FEC3D5D3E6AB8ED163A6A380DB".to_owned(),
        private_key: our_key(),
        api_v3_key: AeadKey::new(API_V3_KEY).unwrap(),
        verification_keys: keys,
    }
}

fn order() -> Order<'static> {
    Order {
        out_trade_no: "1217752501201407033233368018",
        description: "Image形象店-深圳腾大-QQ公仔",
        total_fen: 100,
        notify_url: "https://www.weixin.qq.com/wxpay/pay.php",
        expires_at_unix_seconds: None,
    }
}

fn refund_order() -> RefundOrder<'static> {
    RefundOrder {
        out_trade_no: order().out_trade_no,
        out_refund_no: "R1217752501201407033233368018",
        refund_fen: 60,
        total_fen: 100,
        reason: Some("顾客取消"),
        notify_url: Some("https://shop.example/notices/wechat"),
    }
}

fn header<'a>(request: &'a Request, name: &str) -> &'a str {
    let values: Vec<_> = request.headers.iter().filter(|(n, _)| *n == name).collect();
    assert_eq!(values.len(), 1, "{name}");
    &values[0].1
}

fn json_body(request: &Request) -> Value {
    serde_json::from_slice(&request.body).unwrap()
}

/// The parts of the `Authorization` header.
fn authorization(request: &Request) -> Vec<(String, String)> {
    let value = header(request, "Authorization");
    let parts = value.strip_prefix("WECHATPAY2-SHA256-RSA2048 ").unwrap();
    let part = |part: &str| {
        let (name, value) = part.split_once("=\"").unwrap();
        (name.to_owned(), value.strip_suffix('"').unwrap().to_owned())
    };
    parts.split(',').map(part).collect()
}

/// Checks a request as WeChat Pay would: what is signed is what is sent.
fn assert_signed(request: &Request, path_and_query: &str) {
    let parts = authorization(request);
    let part = |name: &str| &parts.iter().find(|(n, _)| n == name).unwrap().1;
    assert_eq!(request.url, format!("https://api.mch.weixin.qq.com{path_and_query}"));
    let message = format!(
        "{}\n{path_and_query}\n{}\n{}\n{}\n",
        request.method.as_str(),
        part("timestamp"),
        part("nonce_str"),
        std::str::from_utf8(&request.body).unwrap(),
    );
    let verified =
        now(verify_base64(&Host, &our_public_key(), message.as_bytes(), part("signature")));
    assert_eq!(verified, Ok(true));
    for (name, value) in [
        ("Accept", "application/json"),
        ("User-Agent", USER_AGENT),
        ("Content-Type", "application/json"),
        ("Wechatpay-Serial", PUBLIC_KEY_ID),
    ] {
        assert_eq!(header(request, name), value);
    }
    assert_eq!(request.headers.len(), 5);
}

fn headers_of(at: i64, serial: &str, body: &[u8]) -> Vec<(String, String)> {
    let nonce = "5K8264ILTKCH16CQ2502SI8ZNMTM67VS";
    let message = [format!("{at}\n{nonce}\n").as_bytes(), body, b"\n"].concat();
    [
        ("content-type", "application/json; charset=utf-8"),
        ("request-id", "08F78BB5AF0610D302-0"),
        ("wechatpay-timestamp", &at.to_string()),
        ("wechatpay-nonce", nonce),
        ("wechatpay-signature", &vendor_sign(&message)),
        ("wechatpay-serial", serial),
        ("wechatpay-signature-type", "WECHATPAY2-SHA256-RSA2048"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .to_vec()
}

/// Reads a signed reply, and makes sure that the same reply without its signature, or changed in one
/// byte, is not read.
fn read_signed<T: PartialEq + std::fmt::Debug>(
    status: u16,
    body: &str,
    read: impl Fn(SignedReply<'_>) -> T,
) -> T {
    let headers = headers_of(NOW, PUBLIC_KEY_ID, body.as_bytes());
    let outcome = read(SignedReply { status, headers: Headers(&headers), body: body.as_bytes() });
    let unsigned = read(SignedReply { status, headers: Headers(&[]), body: body.as_bytes() });
    assert!(format!("{unsigned:?}").starts_with("Unknown(Doubt"), "{unsigned:?}");
    let longer = format!("{body} ");
    let changed = read(SignedReply { status, headers: Headers(&headers), body: longer.as_bytes() });
    assert!(format!("{changed:?}").contains("the signature does not verify"), "{changed:?}");
    outcome
}

fn read_error<T>(status: u16, body: &str, read: impl Fn(SignedReply<'_>) -> T) -> T {
    let headers = [("Request-ID".to_owned(), "08F78BB5AF06-268498688".to_owned())];
    read(SignedReply { status, headers: Headers(&headers), body: body.as_bytes() })
}

fn error_body(code: &str) -> String {
    json!({"code": code, "message": "…", "detail": {"field": "/amount/total", "value": 1}})
        .to_string()
}

fn refusal(code: &str) -> Refusal {
    Refusal {
        code: code.to_owned(),
        field: Some("/amount/total".to_owned()),
        request_id: Some("08F78BB5AF06-268498688".to_owned()),
    }
}

fn read_order(reply: SignedReply<'_>) -> PrepayOutcome {
    now(merchant().read_order(&Host, NOW, reply))
}

fn read_query(reply: SignedReply<'_>) -> QueryOutcome {
    now(merchant().read_query_order(&Host, NOW, reply, order().out_trade_no))
}

fn read_close(reply: SignedReply<'_>) -> CloseOutcome {
    now(merchant().read_close_order(&Host, NOW, reply))
}

fn read_refund(reply: SignedReply<'_>) -> RefundOutcome {
    now(merchant().read_refund(&Host, NOW, reply, &refund_order()))
}

fn read_bill_url(reply: SignedReply<'_>) -> BillOutcome {
    now(merchant().read_bill_url(&Host, NOW, reply))
}

fn transaction() -> Value {
    json!({
        "appid": "wxd678efh567hg6787", "mchid": "1900007291",
        "out_trade_no": order().out_trade_no, "transaction_id": "1217752501201407033233368018",
        "trade_type": "JSAPI", "trade_state": "SUCCESS", "trade_state_desc": "支付成功",
        "bank_type": "OTHERS", "attach": "", "success_time": "2018-06-08T10:34:56+08:00",
        "payer": {"openid": "oUpF8uMuAJO_M2pxb1Q9zNjWeS6o"},
        "amount": {"total": 100, "payer_total": 90, "currency": "CNY", "payer_currency": "CNY"},
    })
}

fn paid() -> crate::payment::Transaction {
    crate::payment::Transaction {
        app_id: "wxd678efh567hg6787".to_owned(),
        merchant_id: "1900007291".to_owned(),
        out_trade_no: order().out_trade_no.to_owned(),
        transaction_id: "1217752501201407033233368018".to_owned(),
        total_fen: 100,
        payer_total_fen: Some(90),
        currency: "CNY".to_owned(),
        paid_at_ms: Some(1_528_425_296_000),
        payer: Some("oUpF8uMuAJO_M2pxb1Q9zNjWeS6o".to_owned()),
    }
}

fn refund_reply() -> Value {
    json!({
        "refund_id": "50000000382019052709732678859", "out_refund_no": refund_order().out_refund_no,
        "transaction_id": "1217752501201407033233368018", "out_trade_no": order().out_trade_no,
        "channel": "ORIGINAL", "user_received_account": "招商银行信用卡0403",
        "success_time": "2020-12-01T16:18:12+08:00", "create_time": "2020-12-01T16:18:12+08:00",
        "status": "SUCCESS", "funds_account": "AVAILABLE",
        "amount": {"total": 100, "refund": 60, "payer_total": 90, "payer_refund": 54,
            "settlement_refund": 60, "settlement_total": 100, "discount_refund": 6, "currency": "CNY"},
    })
}

fn refunded() -> Refund {
    Refund {
        out_refund_no: refund_order().out_refund_no.to_owned(),
        refund_id: Some("50000000382019052709732678859".to_owned()),
        out_trade_no: order().out_trade_no.to_owned(),
        refund_fen: 60,
        total_fen: Some(100),
        succeeded_at_ms: Some(1_606_810_692_000),
    }
}

fn with(mut value: Value, pointer: &str, new: Value) -> String {
    *value.pointer_mut(pointer).unwrap() = new;
    value.to_string()
}

#[test]
fn the_published_request_is_reproduced_byte_for_byte() {
    let vectors = vectors();
    let case = &vectors["wechat_v3"]["cases"][0];
    let merchant = Merchant { verification_keys: VerificationKeys::new(), ..merchant() };
    let request =
        now(merchant.jsapi_order(&Host, stamp(), &order(), "oUpF8uMuAJO_M2pxb1Q9zNjWeS6o"))
            .unwrap();
    assert_eq!(request.method, Method::Post);
    assert_eq!(request.url, "https://api.mch.weixin.qq.com/v3/pay/transactions/jsapi");
    let body = case["message"].as_str().unwrap().split('\n').nth(4).unwrap();
    assert_eq!(std::str::from_utf8(&request.body).unwrap(), body);
    let expected = [
        ("mchid", "1900007291"),
        ("nonce_str", "593BEC0C930BF1AFEB40B4A08C8FB242"),
        ("signature", case["signature"].as_str().unwrap()),
        ("timestamp", "1554208460"),
        ("serial_no", "408B07E79B8269FEC3D5D3E6AB8ED163A6A380DB"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!(authorization(&request), expected);
    assert!(request.headers.iter().all(|(name, _)| *name != "Wechatpay-Serial"));
}

#[test]
fn the_published_client_parameters_are_reproduced() {
    let vectors = vectors();
    let merchant = Merchant { appid: "wx2421b1c4370ec43b".to_owned(), ..merchant() };
    let prepay_id = "wx201410272009395522657a690389285100";
    let parameters = now(merchant.jsapi_parameters(&Host, stamp(), prepay_id)).unwrap();
    assert_eq!(
        serde_json::to_value(&parameters).unwrap(),
        json!({
            "timeStamp": "1554208460",
            "nonceStr": "593BEC0C930BF1AFEB40B4A08C8FB242",
            "package": "prepay_id=wx201410272009395522657a690389285100",
            "signType": "RSA",
            "paySign": vectors["wechat_v3"]["cases"][1]["signature"],
        })
    );
    assert_eq!(format!("{parameters:?}"), "JsapiParameters { .. }");
    for prepay_id in ["", "a b", "a\nb"] {
        let built = now(merchant.jsapi_parameters(&Host, stamp(), prepay_id));
        assert_eq!(built, Err(BuildError::Invalid("prepay_id is malformed")));
    }
}

#[test]
fn the_published_reply_is_verified() {
    let vectors = vectors();
    let vector = &vectors["wechat_v3_response"];
    let text = |name: &str| vector[name].as_str().unwrap().to_owned();
    let mut keys = VerificationKeys::new();
    keys.insert(text("serial"), PublicKey::parse(&text("public_key_pem")).unwrap());
    let merchant = Merchant { verification_keys: keys, ..merchant() };
    let headers = [
        ("Wechatpay-Timestamp", "timestamp"),
        ("Wechatpay-Nonce", "nonce"),
        ("Wechatpay-Signature", "signature"),
        ("Wechatpay-Serial", "serial"),
    ]
    .map(|(header, name)| (header.to_owned(), text(name)));
    let (at, body) = (text("timestamp").parse().unwrap(), text("body"));
    let reply = SignedReply { status: 200, headers: Headers(&headers), body: body.as_bytes() };
    let url = "weixin://wxpay/bizpayurl?pr=JyC91EIz1".to_owned();
    let outcome = now(merchant.read_order(&Host, at, reply));
    assert_eq!(outcome, PrepayOutcome::Ready(Prepaid::CodeUrl(url)));
    let late = now(merchant.read_order(&Host, at + 300, reply));
    assert!(matches!(late, PrepayOutcome::Unknown(_)));
}

#[test]
fn every_request_is_signed_as_it_is_sent() {
    let merchant = merchant();
    let number = order().out_trade_no;
    let day = NaiveDate::from_ymd_opt(2026, 1, 31).unwrap();
    let reply = r#"{"hash_type":"SHA1","hash_value":"79bb0f45fc4c42234a918000b2668d689e2bde04",
        "download_url":"https://elsewhere.example/v3/billdownload/file?token=a%2Bb_c"}"#;
    let BillOutcome::Ready(bill) = read_signed(200, reply, read_bill_url) else { panic!() };
    let cases = [
        (
            now(merchant.native_order(&Host, stamp(), &order())),
            "/v3/pay/transactions/native".to_owned(),
            Some(json!({
                "appid": "wxd678efh567hg6787", "mchid": "1900007291",
                "description": "Image形象店-深圳腾大-QQ公仔", "out_trade_no": number,
                "notify_url": "https://www.weixin.qq.com/wxpay/pay.php",
                "amount": {"total": 100, "currency": "CNY"},
            })),
        ),
        (
            now(merchant.query_order(&Host, stamp(), number)),
            format!("/v3/pay/transactions/out-trade-no/{number}?mchid=1900007291"),
            None,
        ),
        (
            now(merchant.close_order(&Host, stamp(), number)),
            format!("/v3/pay/transactions/out-trade-no/{number}/close"),
            Some(json!({"mchid": "1900007291"})),
        ),
        (
            now(merchant.refund(&Host, stamp(), &refund_order())),
            "/v3/refund/domestic/refunds".to_owned(),
            Some(json!({
                "out_trade_no": number, "out_refund_no": refund_order().out_refund_no,
                "reason": "顾客取消", "notify_url": "https://shop.example/notices/wechat",
                "amount": {"refund": 60, "total": 100, "currency": "CNY"},
            })),
        ),
        (
            now(merchant.query_refund(&Host, stamp(), &refund_order())),
            format!("/v3/refund/domestic/refunds/{}", refund_order().out_refund_no),
            None,
        ),
        (
            now(merchant.trade_bill(&Host, stamp(), day)),
            "/v3/bill/tradebill?bill_date=2026-01-31&bill_type=ALL".to_owned(),
            None,
        ),
        (
            now(merchant.fund_flow_bill(&Host, stamp(), day)),
            "/v3/bill/fundflowbill?bill_date=2026-01-31&account_type=BASIC".to_owned(),
            None,
        ),
        (
            now(merchant.download_bill(&Host, stamp(), &bill)),
            "/v3/billdownload/file?token=a%2Bb_c".to_owned(),
            None,
        ),
        (now(merchant.certificates(&Host, stamp())), "/v3/certificates".to_owned(), None),
    ];
    for (request, path, body) in cases {
        let request = request.unwrap();
        assert_signed(&request, &path);
        match body {
            Some(body) => assert_eq!(json_body(&request), body, "{path}"),
            None => assert!(request.method == Method::Get && request.body.is_empty(), "{path}"),
        }
    }
}

#[test]
fn what_the_customer_reads_is_cut_and_cleaned() {
    let merchant = merchant();
    let long = "发".repeat(43);
    let cases = [
        ("洗吹 😀", Some("洗吹".to_owned())),
        ("a\u{0}b\r\nc`d", Some("abcd".to_owned())),
        (&long, Some("发".repeat(42))),
        ("😀", None),
        ("", None),
    ];
    for (description, expected) in cases {
        let order = Order { description, expires_at_unix_seconds: Some(NOW), ..order() };
        let request = now(merchant.native_order(&Host, stamp(), &order));
        let Some(expected) = expected else {
            let nothing = BuildError::Invalid("nothing is left of the description");
            assert_eq!(request, Err(nothing));
            continue;
        };
        let body = json_body(&request.unwrap());
        assert_eq!(body["description"], expected);
        assert_eq!(body["time_expire"], "2019-04-02T20:34:20+08:00");
    }
    let silent = RefundOrder { reason: Some("😀"), notify_url: None, ..refund_order() };
    let request = now(merchant.refund(&Host, stamp(), &silent)).unwrap();
    let text = std::str::from_utf8(&request.body).unwrap();
    assert!(!text.contains("null") && !text.contains("reason") && !text.contains("notify_url"));
}

#[test]
fn what_cannot_be_signed_or_breaks_a_rule_is_not_made() {
    let merchant = merchant();
    let broken = now(merchant.native_order(&Broken, stamp(), &order()));
    assert!(matches!(broken, Err(BuildError::Crypto(_))));
    for number in ["", "T0001", "a/../../x", "准点准点准点", "T00001?x"] {
        assert!(now(merchant.query_order(&Host, stamp(), number)).is_err(), "{number}");
        assert!(now(merchant.close_order(&Host, stamp(), number)).is_err(), "{number}");
        let refund = RefundOrder { out_refund_no: number, out_trade_no: number, ..refund_order() };
        assert!(now(merchant.refund(&Host, stamp(), &refund)).is_err(), "{number}");
        assert!(now(merchant.query_refund(&Host, stamp(), &refund)).is_err(), "{number}");
    }
    for (refund_fen, total_fen) in [(0, 100), (-1, 100), (101, 100), (1, 0)] {
        let refund = RefundOrder { refund_fen, total_fen, ..refund_order() };
        assert!(now(merchant.refund(&Host, stamp(), &refund)).is_err());
    }
    assert!(now(merchant.jsapi_order(&Host, stamp(), &order(), "")).is_err());
}

#[test]
fn the_same_request_goes_to_the_second_host_with_another_nonce() {
    let relayed = Merchant { base_url: "https://relay.example/wxpay/".to_owned(), ..merchant() };
    for merchant in [merchant(), relayed] {
        let first = now(merchant.native_order(&Host, stamp(), &order())).unwrap();
        let other = Stamp { nonce: [9; 16], ..stamp() };
        let at_fallback = |merchant: &Merchant, request| {
            now(merchant.at_fallback(&Host, other, request)).unwrap()
        };
        let second = at_fallback(&merchant, &first).unwrap();
        assert_eq!(second.url, "https://api2.mch.weixin.qq.com/v3/pay/transactions/native");
        assert_eq!(second.body, first.body);
        // As if it had been made with the other stamp from the first, but for the host.
        let mut made = now(merchant.native_order(&Host, other, &order())).unwrap();
        made.headers.sort();
        let mut headers = second.headers.clone();
        headers.sort();
        assert_eq!(headers, made.headers);
        assert_ne!(second.headers, first.headers);
        let single = Merchant { fallback_base_url: None, ..merchant.clone() };
        assert_eq!(at_fallback(&single, &first), None);
        assert_eq!(at_fallback(&merchant, &second), None);
    }
}

#[test]
fn an_order_is_ready_only_when_a_signed_reply_says_so() {
    let id = "wx26112221580621e9b071c00d9e093b0000";
    let code = "weixin://wxpay/bizpayurl/up?pr=NwY5Mz9&groupid=00";
    let cases = [
        (json!({"prepay_id": id}), Some(Prepaid::PrepayId(id.to_owned()))),
        (json!({"code_url": code}), Some(Prepaid::CodeUrl(code.to_owned()))),
        (json!({}), None),
        (json!([]), None),
        (json!({"prepay_id": ""}), None),
        (json!({"prepay_id": null}), None),
        (json!({"prepay_id": 1}), None),
        (json!({"prepay_id": id, "code_url": code}), None),
        (json!({"code_url": "准点"}), None),
    ];
    for (body, ready) in cases {
        let outcome = read_signed(200, &body.to_string(), read_order);
        match ready {
            Some(ready) => assert_eq!(outcome, PrepayOutcome::Ready(ready)),
            None => assert!(matches!(outcome, PrepayOutcome::Unknown(_)), "{body}"),
        }
    }
}

#[test]
fn what_errors_mean_for_an_order() {
    let cases = [
        (400, "ORDERPAID", PrepayOutcome::AlreadyPaid),
        (400, "ORDER_PAID", PrepayOutcome::AlreadyPaid),
        (400, "ORDERCLOSED", PrepayOutcome::Closed),
        (403, "OUT_TRADE_NO_USED", PrepayOutcome::ParametersChanged),
        (400, "INVALID_REQUEST", PrepayOutcome::ParametersChanged),
        (400, "PARAM_ERROR", PrepayOutcome::Refused(refusal("PARAM_ERROR"))),
        (401, "SIGN_ERROR", PrepayOutcome::Refused(refusal("SIGN_ERROR"))),
        (403, "NOAUTH", PrepayOutcome::Refused(refusal("NOAUTH"))),
        (404, "SOMETHING_NEW", PrepayOutcome::Refused(refusal("SOMETHING_NEW"))),
        (500, "OPENID_MISMATCH", PrepayOutcome::Refused(refusal("OPENID_MISMATCH"))),
        (429, "FREQUENCY_LIMITED", PrepayOutcome::Busy),
        (429, "ANYTHING", PrepayOutcome::Busy),
        (403, "RATELIMIT_EXCEEDED", PrepayOutcome::Busy),
    ];
    for (status, code, outcome) in cases {
        assert_eq!(read_error(status, &error_body(code), read_order), outcome, "{status} {code}");
    }
    let other =
        SignedReply { status: 400, headers: Headers(&[]), body: br#"{"code":"INVALID_REQUEST"}"# };
    assert!(matches!(read_order(other), PrepayOutcome::Refused(_)));
}

#[test]
fn what_is_not_certain_is_unknown_for_every_call() {
    let too_long = format!(r#"{{"code":"ORDERPAID{}"}}"#, " ".repeat(MAX_REPLY_BYTES));
    let cases = [
        (500, error_body("SYSTEM_ERROR")),
        (500, error_body("SYSTEMERROR")),
        (500, error_body("ORDERPAID")),
        (502, error_body("BANKERROR")),
        (503, String::new()),
        (400, error_body("SYSTEM_ERROR")),
        (400, String::new()),
        (400, "<html>".to_owned()),
        (400, r#"{"code":""}"#.to_owned()),
        (400, r#"{"code":7}"#.to_owned()),
        (400, too_long),
        (202, error_body("USERPAYING")),
        (201, "{}".to_owned()),
        (301, error_body("ORDERPAID")),
        (302, String::new()),
        (418, error_body("ORDERPAID")),
        (0, String::new()),
        (200, r#"{"prepay_id":"unsigned"}"#.to_owned()),
        (204, String::new()),
    ];
    for (status, body) in cases {
        let unknown = [
            matches!(read_error(status, &body, read_order), PrepayOutcome::Unknown(_)),
            matches!(read_error(status, &body, read_query), QueryOutcome::Unknown(_)),
            matches!(read_error(status, &body, read_close), CloseOutcome::Unknown(_)),
            matches!(read_error(status, &body, read_refund), RefundOutcome::Unknown(_)),
            matches!(read_error(status, &body, read_bill_url), BillOutcome::Unknown(_)),
        ];
        assert_eq!(unknown, [true; 5], "{status} {body}");
    }
    let headers = headers_of(NOW, PUBLIC_KEY_ID, b"{}");
    let reply = SignedReply { status: 200, headers: Headers(&headers), body: b"{}" };
    assert_eq!(
        now(merchant().read_order(&Broken, NOW, reply)),
        PrepayOutcome::Unknown(Doubt {
            status: 200,
            code: None,
            request_id: Some("08F78BB5AF0610D302-0".to_owned()),
            reason: "the crypto engine failed: broken".into(),
        })
    );
}

#[test]
fn an_order_is_what_its_state_says() {
    let state = |state: &str| {
        let body = with(transaction(), "/trade_state", json!(state));
        read_signed(200, &body, read_query)
    };
    let cases = [
        ("SUCCESS", QueryOutcome::Paid(paid())),
        ("REFUND", QueryOutcome::RefundedSince(paid())),
        ("NOTPAY", QueryOutcome::NotPaid),
        ("PAYERROR", QueryOutcome::NotPaid),
        ("CLOSED", QueryOutcome::Closed),
        ("REVOKED", QueryOutcome::Closed),
        ("USERPAYING", QueryOutcome::Pending),
        ("ACCEPT", QueryOutcome::Pending),
        ("SOMETHING_NEW", QueryOutcome::Pending),
        ("success", QueryOutcome::Pending),
        ("", QueryOutcome::Pending),
    ];
    for (name, outcome) in cases {
        assert_eq!(state(name), outcome, "{name}");
    }
    let unpaid = json!({
        "appid": "wxd678efh567hg6787", "mchid": "1900007291", "out_trade_no": order().out_trade_no,
        "trade_state": "NOTPAY", "trade_state_desc": "订单未支付", "payer": {}, "amount": null,
    });
    assert_eq!(read_signed(200, &unpaid.to_string(), read_query), QueryOutcome::NotPaid);
    for (status, code) in [(404, "ORDER_NOT_EXIST"), (404, "ORDERNOTEXIST")] {
        assert_eq!(read_error(status, &error_body(code), read_query), QueryOutcome::NotFound);
    }
    let refused = read_error(401, &error_body("SIGN_ERROR"), read_query);
    assert!(matches!(refused, QueryOutcome::Unknown(_)));
}

#[test]
fn a_payment_that_lacks_something_is_unknown() {
    let cases = [
        ("/out_trade_no", json!("T00001")),
        ("/appid", json!("wx1")),
        ("/mchid", json!("1")),
        ("/mchid", json!(null)),
        ("/trade_state", json!(null)),
        ("/transaction_id", json!("")),
        ("/transaction_id", json!(null)),
        ("/amount", json!(null)),
        ("/amount/total", json!(null)),
        ("/amount/total", json!(-1)),
        ("/amount/total", json!("100")),
        ("/amount/total", json!(100.5)),
        ("/amount/total", json!(10_000_000_001_i64)),
    ];
    for (pointer, value) in cases {
        let body = with(transaction(), pointer, value.clone());
        let outcome = read_signed(200, &body, read_query);
        assert!(matches!(outcome, QueryOutcome::Unknown(_)), "{pointer} {value}: {outcome:?}");
    }
    for pointer in ["/success_time", "/payer", "/amount/payer_total", "/amount/currency"] {
        let body = with(transaction(), pointer, json!(null));
        let QueryOutcome::Paid(paid) = read_signed(200, &body, read_query) else { panic!() };
        assert_eq!(paid.currency, "CNY");
    }
}

#[test]
fn what_becomes_of_an_order_that_is_closed() {
    assert_eq!(read_signed(204, "", read_close), CloseOutcome::Closed);
    assert_eq!(read_signed(200, "{}", read_close), CloseOutcome::Closed);
    let cases = [
        (400, "ORDERPAID", CloseOutcome::AlreadyPaid),
        (400, "ORDER_CLOSED", CloseOutcome::Closed),
        (404, "ORDER_NOT_EXIST", CloseOutcome::NotFound),
    ];
    for (status, code, outcome) in cases {
        assert_eq!(read_error(status, &error_body(code), read_close), outcome, "{code}");
    }
    for code in ["PARAM_ERROR", "SIGN_ERROR", "INVALID_REQUEST", "OUT_TRADE_NO_USED"] {
        let outcome = read_error(400, &error_body(code), read_close);
        assert!(matches!(outcome, CloseOutcome::Unknown(_)), "{code}");
    }
}

#[test]
fn a_refund_is_what_its_status_says() {
    let cases = [
        ("SUCCESS", RefundOutcome::Succeeded(refunded())),
        ("PROCESSING", RefundOutcome::Processing(refunded())),
        ("SOMETHING_NEW", RefundOutcome::Processing(refunded())),
        ("ABNORMAL", RefundOutcome::Abnormal(refunded())),
        ("CLOSED", RefundOutcome::Closed(refunded())),
    ];
    for (status, outcome) in cases {
        let body = with(refund_reply(), "/status", json!(status));
        assert_eq!(read_signed(200, &body, read_refund), outcome, "{status}");
    }
    let cases = [
        ("/out_refund_no", json!("R2")),
        ("/out_trade_no", json!("T00001")),
        ("/refund_id", json!(null)),
        ("/status", json!(null)),
        ("/amount/refund", json!(61)),
        ("/amount/refund", json!(-60)),
        ("/amount/total", json!(101)),
        ("/amount", json!(null)),
    ];
    for (pointer, value) in cases {
        let body = with(refund_reply(), pointer, value.clone());
        let outcome = read_signed(200, &body, read_refund);
        assert!(matches!(outcome, RefundOutcome::Unknown(_)), "{pointer} {value}");
    }
    let cases = [
        (403, "NOT_ENOUGH", RefundOutcome::NotEnough),
        (403, "NOTENOUGH", RefundOutcome::NotEnough),
        (404, "RESOURCE_NOT_EXISTS", RefundOutcome::NotFound),
        (404, "ORDER_NOT_EXIST", RefundOutcome::NotFound),
        (403, "USER_ACCOUNT_ABNORMAL", RefundOutcome::Refused(refusal("USER_ACCOUNT_ABNORMAL"))),
        (400, "INVALID_REQUEST", RefundOutcome::Refused(refusal("INVALID_REQUEST"))),
    ];
    for (status, code, outcome) in cases {
        assert_eq!(read_error(status, &error_body(code), read_refund), outcome, "{code}");
    }
    let limited = read_error(429, &error_body("FREQUENCY_LIMITED"), read_refund);
    assert!(matches!(limited, RefundOutcome::Unknown(_)));
}

mod bills {
    use super::*;

    const TRADE: &str = include_str!("../../testdata/wechat_trade_bill.csv");
    const FLOW: &str = include_str!("../../testdata/wechat_fund_flow_bill.csv");

    #[test]
    fn a_bill_is_found_or_not() {
        let ready = |url: &str, hash: &str| {
            let body = json!({"hash_type": "SHA1", "hash_value": hash, "download_url": url});
            matches!(read_signed(200, &body.to_string(), read_bill_url), BillOutcome::Ready(_))
        };
        let hash = "79bb0f45fc4c42234a918000b2668d689e2bde04";
        let url = "https://api.mch.weixin.qq.com/v3/billdownload/file?token=x";
        assert!(ready(url, hash));
        for (url, hash) in [
            (url, ""),
            (url, "79bb0f45"),
            ("", hash),
            ("/v3/file", hash),
            ("https://api.mch.weixin.qq.com", hash),
            ("https://api.mch.weixin.qq.com/a b", hash),
            ("https://api.mch.weixin.qq.com/a#b", hash),
        ] {
            assert!(!ready(url, hash), "{url} {hash}");
        }
        let md5 = json!({"hash_type": "MD5", "hash_value": hash, "download_url": url}).to_string();
        assert!(matches!(read_signed(200, &md5, read_bill_url), BillOutcome::Unknown(_)));
        let cases = [
            (400, "NO_STATEMENT_EXIST", BillOutcome::Empty),
            (400, "INVALID_REQUEST", BillOutcome::NotYet(refusal("INVALID_REQUEST"))),
            (400, "STATEMENT_CREATING", BillOutcome::NotYet(refusal("STATEMENT_CREATING"))),
            (403, "NO_AUTH", BillOutcome::Refused(refusal("NO_AUTH"))),
        ];
        for (status, code, outcome) in cases {
            assert_eq!(read_error(status, &error_body(code), read_bill_url), outcome, "{code}");
        }
    }

    #[test]
    fn only_the_file_whose_hash_was_signed_is_read() {
        // `sha1sum` of the file.
        let body = json!({"hash_type": "SHA1", "hash_value": TRADE_SHA1,
            "download_url": "https://api.mch.weixin.qq.com/v3/billdownload/file?token=x"});
        let BillOutcome::Ready(bill) = read_signed(200, &body.to_string(), read_bill_url) else {
            panic!()
        };
        let file = |status, body| bill.file(Reply { status, body });
        assert_eq!(file(200, TRADE.as_bytes()), Ok(TRADE.as_bytes()));
        assert_eq!(file(200, &TRADE.as_bytes()[1..]), Err(BillError::Hash));
        assert_eq!(file(200, b""), Err(BillError::Hash));
        assert_eq!(file(401, TRADE.as_bytes()), Err(BillError::Status(401)));
        assert_eq!(file(200, &vec![0; MAX_BILL_BYTES + 1]), Err(BillError::TooLong));
    }

    const TRADE_SHA1: &str = "4c15053191c5d4ee655d2d2cc8a6c3ddb57326f4";

    #[test]
    fn a_trade_bill_is_read_and_added_up() {
        let bill = TradeBill::parse(TRADE.as_bytes()).unwrap();
        let payment = TradeRow {
            kind: TradeKind::Payment,
            out_trade_no: "T20260131A1".to_owned(),
            transaction_id: "4200000846202601317461830397".to_owned(),
            out_refund_no: None,
            refund_id: None,
            amount_fen: 12_880,
            at_ms: 1_769_824_845_000,
        };
        let refund = TradeRow {
            kind: TradeKind::Refund(RefundStatus::Succeeded),
            out_refund_no: Some("R20260131A1".to_owned()),
            refund_id: Some("50300907032026013105978998710".to_owned()),
            amount_fen: 6_001,
            at_ms: 1_769_828_400_000,
            ..payment.clone()
        };
        let comma = TradeRow {
            out_trade_no: "T20260131A2".to_owned(),
            transaction_id: "4200000846202601317461830398".to_owned(),
            amount_fen: 1,
            at_ms: 1_769_828_401_000,
            ..payment.clone()
        };
        assert_eq!(
            bill,
            TradeBill { rows: vec![payment, refund, comma], paid_fen: 12_881, refund_fen: 6_001 }
        );
        let windows = TRADE.replace('\n', "\r\n");
        assert_eq!(TradeBill::parse(windows.as_bytes()), Ok(bill.clone()));
        assert_eq!(TradeBill::parse(TRADE.trim_start_matches('\u{feff}').as_bytes()), Ok(bill));
    }

    #[test]
    fn a_fund_flow_bill_is_read_and_added_up() {
        let bill = FundFlowBill::parse(FLOW.as_bytes()).unwrap();
        assert_eq!((bill.rows.len(), bill.in_fen, bill.out_fen), (3, 12_880, 6_078));
        assert_eq!(
            bill.rows[1],
            FundFlow {
                at_ms: 1_769_824_846_000,
                business_id: "4200000846202601317461830397".to_owned(),
                business_type: "扣除交易手续费".to_owned(),
                direction: Direction::Out,
                amount_fen: 77,
                balance_fen: 12_803,
            }
        );
    }

    #[test]
    fn a_bill_that_is_not_whole_is_not_read() {
        let total = |name| Err(BillError::Total(name));
        let cases = [
            ("`3,`128.81", "`2,`128.81", total("总交易单数")),
            ("`128.81,`60.01\n", "`128.82,`60.01\n", total("订单总金额")),
            ("`128.81,`60.01\n", "`128.81,`60.00\n", total("申请退款总金额")),
            ("`128.81,`60.01\n", "`128.81,`x\n", total("申请退款总金额")),
        ];
        for (from, to, result) in cases {
            let changed = TRADE.replace(from, to);
            assert_eq!(TradeBill::parse(changed.as_bytes()).map(drop), result, "{from} {to}");
        }
        let malformed = [
            ("总交易单数", "总笔数"),
            ("交易时间", "时间"),
            (",`剪发", ""),
            (",`剪发", ",`剪发,`x"),
            ("`2026-01-31 10:00:45", "2026-01-31 10:00:45"),
            ("`2026-01-31 10:00:45", "`2026-01-32 10:00:45"),
            ("`T20260131A1", "`"),
            ("`R20260131A1", "`"),
            (",`REFUND,", ",`SOMETHING_NEW,"),
            ("`0.00,`60.01,`", "`0.00,`-60.01,`"),
        ];
        for (from, to) in malformed {
            let changed = TRADE.replace(from, to);
            assert_ne!(changed, TRADE, "{from}");
            let result = TradeBill::parse(changed.as_bytes());
            assert!(matches!(result, Err(BillError::Malformed { .. })), "{from}: {result:?}");
        }
        let lines: Vec<_> = TRADE.lines().collect();
        for length in 0..lines.len() {
            let cut = lines[..length].join("\n");
            assert!(TradeBill::parse(cut.as_bytes()).is_err(), "{length}");
        }
        let followed = format!("{TRADE}`1\n");
        assert!(TradeBill::parse(followed.as_bytes()).is_err());
        assert!(TradeBill::parse(b"\xff").is_err());
        for (from, to) in
            [("收入,`128.80", "支出,`128.80"), ("`3,`1,", "`3,`2,"), ("收入,`1", "其他,`1")]
        {
            assert!(FundFlowBill::parse(FLOW.replace(from, to).as_bytes()).is_err(), "{from}");
        }
    }
}

mod keys {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_serial_is_compared_by_its_kind() {
        let keys = merchant().verification_keys;
        let known =
            [PUBLIC_KEY_ID.to_owned(), VENDOR_SERIAL.to_owned(), VENDOR_SERIAL.to_lowercase()];
        for serial in known {
            assert!(keys.get(&serial).is_some(), "{serial}");
        }
        let unknown = [
            String::new(),
            PUBLIC_KEY_ID.to_lowercase(),
            PUBLIC_KEY_ID.replace("PUB_KEY_ID_", ""),
            format!("{PUBLIC_KEY_ID}0"),
            format!(" {VENDOR_SERIAL}"),
            format!("0{VENDOR_SERIAL}"),
        ];
        for serial in unknown {
            assert!(keys.get(&serial).is_none(), "{serial}");
        }
        assert_eq!(format!("{keys:?}"), format!("[{PUBLIC_KEY_ID:?}, {VENDOR_SERIAL:?}]"));
        let mut keys = keys;
        keys.insert(VENDOR_SERIAL.to_lowercase(), our_public_key());
        assert!(keys.get(VENDOR_SERIAL) == Some(&our_public_key()));
    }

    fn certificates_reply(key: &AeadKey, pem: &str, serial: &str) -> String {
        json!({"data": [{
            "serial_no": serial, "effective_time": "2018-06-08T10:34:56+08:00",
            "expire_time": "2023-06-08T10:34:56+08:00",
            "encrypt_certificate": {
                "algorithm": "AEAD_AES_256_GCM", "nonce": "61f9c719728a",
                "associated_data": "certificate",
                "ciphertext": seal(key, b"61f9c719728a", b"certificate", pem.as_bytes()),
            },
        }]})
        .to_string()
    }

    fn read(merchant: &Merchant, at: i64, body: &str) -> CertificatesOutcome {
        let headers = headers_of(at, VENDOR_SERIAL, body.as_bytes());
        let reply = SignedReply { status: 200, headers: Headers(&headers), body: body.as_bytes() };
        now(merchant.read_certificates(&Host, at, reply))
    }

    #[test]
    fn certificates_come_sealed_and_may_sign_for_themselves() {
        let key = merchant().api_v3_key;
        let body = certificates_reply(&key, VENDOR_CERTIFICATE, VENDOR_SERIAL);
        let none = Merchant { verification_keys: VerificationKeys::new(), ..merchant() };
        for merchant in [merchant(), none.clone()] {
            let CertificatesOutcome::Certificates(certificates) = read(&merchant, NOW, &body)
            else {
                panic!()
            };
            assert_eq!(certificates.len(), 1);
            assert_eq!(certificates[0].serial, VENDOR_SERIAL);
            assert_eq!(certificates[0].pem, VENDOR_CERTIFICATE);
            assert_eq!(certificates[0].effective_at_ms, 1_528_425_296_000);
            assert_eq!(certificates[0].expires_at_ms, 1_686_191_696_000);
            let mut keys = VerificationKeys::new();
            keys.insert_certificate(&certificates[0].pem).unwrap();
            assert!(keys.get(VENDOR_SERIAL).is_some());
        }

        let other_key = AeadKey::new(&[b'x'; 32]).unwrap();
        let unknown = [
            certificates_reply(&other_key, VENDOR_CERTIFICATE, VENDOR_SERIAL),
            certificates_reply(&key, VENDOR_CERTIFICATE, PUBLIC_KEY_ID),
            certificates_reply(&key, "hush", VENDOR_SERIAL),
            body.replace("AEAD_AES_256_GCM", "NONE"),
            body.replace("61f9c719728a", "61f9c719728ab"),
            body.replace("2023-06", "2023-13"),
            r#"{"data":[]}"#.to_owned(),
            "{}".to_owned(),
            String::new(),
        ];
        for body in unknown {
            let outcome = read(&none, NOW, &body);
            assert!(matches!(outcome, CertificatesOutcome::Unknown(_)), "{outcome:?}");
        }
        // Expired: it is not handed out, and does not sign.
        let late = 1_686_191_696;
        assert!(matches!(read(&none, late, &body), CertificatesOutcome::Unknown(_)));
        assert_eq!(read(&merchant(), late, &body), CertificatesOutcome::Certificates(vec![]));

        let changed = format!("{body} ");
        let headers = headers_of(NOW, VENDOR_SERIAL, body.as_bytes());
        let reply =
            SignedReply { status: 200, headers: Headers(&headers), body: changed.as_bytes() };
        let outcome = now(none.read_certificates(&Host, NOW, reply));
        assert!(matches!(outcome, CertificatesOutcome::Unknown(_)));

        let read = |reply: SignedReply<'_>| now(merchant().read_certificates(&Host, NOW, reply));
        let outcome = read_error(404, &error_body("RESOURCE_NOT_EXISTS"), read);
        assert_eq!(outcome, CertificatesOutcome::NotOffered);
        let outcome = read_error(500, &error_body("SYSTEM_ERROR"), read);
        assert!(matches!(outcome, CertificatesOutcome::Unknown(_)));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn no_headers_make_an_unsigned_notice_count(
            values in proptest::collection::vec(".{0,40}", 5),
            body in ".{0,200}",
        ) {
            let names = ["Timestamp", "Nonce", "Signature", "Serial", "Signature-Type"];
            let headers: Vec<_> =
                names.iter().map(|name| format!("Wechatpay-{name}")).zip(values).collect();
            let notice = Notice { headers: Headers(&headers), body: body.as_bytes() };
            let result = now(notice.verify(&merchant(), &Host, NOW));
            prop_assert!(matches!(result, Err(NoticeError::NotVerified(_))));
        }
    }
}

mod notices {
    use super::*;

    const NONCE: &[u8; 12] = b"fdasflkja484";

    fn envelope(event_type: &str, original_type: &str, content: &str) -> Value {
        let key = merchant().api_v3_key;
        json!({
            "id": "EV-2018022511223320873", "create_time": "2015-05-20T13:29:35+08:00",
            "resource_type": "encrypt-resource", "event_type": event_type, "summary": "支付成功",
            "resource": {
                "original_type": original_type, "algorithm": "AEAD_AES_256_GCM",
                "associated_data": original_type, "nonce": "fdasflkja484",
                "ciphertext": seal(&key, NONCE, original_type.as_bytes(), content.as_bytes()),
            },
        })
    }

    fn payment() -> Value {
        envelope("TRANSACTION.SUCCESS", "transaction", &transaction().to_string())
    }

    fn verify(
        headers: &[(String, String)],
        body: &[u8],
        at: i64,
    ) -> Result<VerifiedNotice, NoticeError> {
        now(Notice { headers: Headers(headers), body }.verify(&merchant(), &Host, at))
    }

    fn verify_signed(body: &Value) -> Result<VerifiedNotice, NoticeError> {
        let body = body.to_string();
        let headers = headers_of(NOW, PUBLIC_KEY_ID, body.as_bytes());
        verify(&headers, body.as_bytes(), NOW)
    }

    #[test]
    fn a_payment_is_read_under_either_kind_of_key() {
        let body = payment().to_string();
        for serial in [PUBLIC_KEY_ID, VENDOR_SERIAL, &VENDOR_SERIAL.to_lowercase()] {
            let headers = headers_of(NOW, serial, body.as_bytes());
            let notice = verify(&headers, body.as_bytes(), NOW);
            assert_eq!(notice, Ok(VerifiedNotice::Paid(paid())), "{serial}");
        }
    }

    #[test]
    fn a_refund_is_read_with_its_status() {
        let mut content = refund_reply();
        let fields = content.as_object_mut().unwrap();
        fields.remove("status");
        fields.insert("mchid".to_owned(), json!("1900007291"));
        let cases = [
            ("SUCCESS", RefundStatus::Succeeded),
            ("ABNORMAL", RefundStatus::Abnormal),
            ("CLOSED", RefundStatus::Closed),
            ("PROCESSING", RefundStatus::Processing),
        ];
        for (status, expected) in cases {
            content["refund_status"] = json!(status);
            let event = format!("REFUND.{}", status.replace("PROCESSING", "CLOSED"));
            let notice = verify_signed(&envelope(&event, "refund", &content.to_string()));
            assert_eq!(notice, Ok(VerifiedNotice::Refund(expected, refunded())), "{status}");
        }
        content["mchid"] = json!("1900007292");
        let notice = verify_signed(&envelope("REFUND.SUCCESS", "refund", &content.to_string()));
        assert_eq!(notice, Err(NoticeError::Mismatch(Mismatch::MerchantId)));
    }

    #[test]
    fn the_window_is_less_than_five_minutes_to_either_side() {
        let body = payment().to_string();
        let headers = headers_of(NOW, PUBLIC_KEY_ID, body.as_bytes());
        for (at, good) in
            [(-301, false), (-300, false), (-299, true), (299, true), (300, false), (301, false)]
        {
            let result = verify(&headers, body.as_bytes(), NOW + at);
            assert_eq!(result.is_ok(), good, "{at}: {result:?}");
        }
        for at in [i64::MIN, i64::MAX] {
            assert!(verify(&headers, body.as_bytes(), at).is_err());
        }
    }

    #[test]
    fn a_notice_with_any_header_changed_is_not_verified() {
        let body = payment().to_string();
        let good = headers_of(NOW, PUBLIC_KEY_ID, body.as_bytes());
        let at = |name: &str| good.iter().position(|(n, _)| n == name).unwrap();
        let signature = &good[at("wechatpay-signature")].1;
        let changes = [
            ("wechatpay-timestamp", (NOW + 1).to_string()),
            ("wechatpay-timestamp", format!("0{NOW}")),
            ("wechatpay-timestamp", format!("+{NOW}")),
            ("wechatpay-timestamp", format!(" {NOW}")),
            ("wechatpay-timestamp", format!("-{NOW}")),
            ("wechatpay-timestamp", format!("{NOW}.0")),
            ("wechatpay-timestamp", "99999999999999999999".to_owned()),
            ("wechatpay-timestamp", String::new()),
            ("wechatpay-nonce", "5K8264ILTKCH16CQ2502SI8ZNMTM67VT".to_owned()),
            ("wechatpay-nonce", String::new()),
            ("wechatpay-signature", "WECHATPAY/SIGNTEST/H1GSWVTFb4rR3xYs".to_owned()),
            ("wechatpay-signature", format!("WECHATPAY/SIGNTEST/{signature}")),
            ("wechatpay-signature", String::new()),
            ("wechatpay-signature", signature.replacen(&signature[..1], "/", 1)),
            ("wechatpay-signature", vendor_sign(body.as_bytes())),
            ("wechatpay-signature", format!("{signature}, {signature}")),
            ("wechatpay-serial", "PUB_KEY_ID_0114232134912410000000000001".to_owned()),
            ("wechatpay-serial", PUBLIC_KEY_ID.to_lowercase()),
            ("wechatpay-serial", String::new()),
            ("wechatpay-signature-type", "WECHATPAY2-SM2-WITH-SM3".to_owned()),
            ("wechatpay-signature-type", String::new()),
            ("wechatpay-signature-type", "none".to_owned()),
        ];
        for (name, value) in changes {
            let mut headers = good.clone();
            headers[at(name)].1.clone_from(&value);
            let result = verify(&headers, body.as_bytes(), NOW);
            assert!(
                matches!(result, Err(NoticeError::NotVerified(_))),
                "{name} {value}: {result:?}"
            );
        }
        for name in ["timestamp", "nonce", "signature", "serial"] {
            let name = format!("wechatpay-{name}");
            let mut headers = good.clone();
            let header = headers.remove(at(&name));
            let missing = verify(&headers, body.as_bytes(), NOW);
            headers.extend([header.clone(), header]);
            let twice = verify(&headers, body.as_bytes(), NOW);
            for result in [missing, twice] {
                assert!(matches!(result, Err(NoticeError::NotVerified(_))), "{name}");
            }
        }
        let mut untyped = good.clone();
        untyped.remove(at("wechatpay-signature-type"));
        assert!(verify(&untyped, body.as_bytes(), NOW).is_ok());
        assert!(verify(&good, body.as_bytes(), NOW).is_ok());
    }

    #[test]
    fn a_notice_with_any_byte_changed_is_not_verified() {
        let body = payment().to_string().into_bytes();
        let headers = headers_of(NOW, PUBLIC_KEY_ID, &body);
        // Every seventh byte meets names, punctuation, base64 and the Chinese summary.
        for at in (0..body.len()).step_by(7) {
            let mut changed = body.clone();
            changed[at] ^= 1;
            let result = verify(&headers, &changed, NOW);
            assert!(matches!(result, Err(NoticeError::NotVerified(_))), "{at}");
        }
        let text = String::from_utf8(body.clone()).unwrap();
        let reserialised = serde_json::to_vec_pretty(&payment()).unwrap();
        let others = [
            Vec::new(),
            body[..body.len() - 1].to_vec(),
            [&body[..], b"\n"].concat(),
            [b" ", &body[..]].concat(),
            text.replace("支付", "\\u652f\\u4ed8").into_bytes(),
            reserialised,
            vec![b' '; MAX_REPLY_BYTES + 1],
        ];
        for changed in others {
            let result = verify(&headers, &changed, NOW);
            assert!(matches!(result, Err(NoticeError::NotVerified(_))));
        }
    }

    #[test]
    fn a_verified_notice_that_does_not_open_or_fit_is_told_apart() {
        let cases = [
            ("/resource/nonce", json!("fdasflkja485"), "the APIv3 key does not open the seal"),
            ("/resource/nonce", json!("fdasflkja48"), "the seal's nonce has not 12 bytes"),
            ("/resource/nonce", json!("fdasflkja48484ab"), "the seal's nonce has not 12 bytes"),
            ("/resource/associated_data", json!("refund"), "the APIv3 key does not open the seal"),
            ("/resource/associated_data", json!(null), "the APIv3 key does not open the seal"),
            ("/resource/algorithm", json!("AEAD_SM4_GCM"), "the seal is of another algorithm"),
            ("/resource/algorithm", json!(null), "the body is not the JSON it should be"),
            ("/resource/ciphertext", json!("AAAA"), "the APIv3 key does not open the seal"),
            ("/resource/ciphertext", json!(""), "the APIv3 key does not open the seal"),
            ("/resource/ciphertext", json!("*"), "the ciphertext is not base64"),
            ("/resource", json!(null), "the body is not the JSON it should be"),
            ("/event_type", json!(7), "the body is not the JSON it should be"),
        ];
        for (pointer, value, reason) in cases {
            let mut body = payment();
            *body.pointer_mut(pointer).unwrap() = value.clone();
            assert_eq!(
                verify_signed(&body),
                Err(NoticeError::Unreadable(reason)),
                "{pointer} {value}"
            );
        }
        let mut tag = payment();
        let text = tag["resource"]["ciphertext"].as_str().unwrap().to_owned();
        tag["resource"]["ciphertext"] = json!(text.replacen(&text[..4], "AAAA", 1));
        let unopened = Err(NoticeError::Unreadable("the APIv3 key does not open the seal"));
        assert_eq!(verify_signed(&tag), unopened);

        let cases = [
            ("/appid", json!("wx1"), NoticeError::Mismatch(Mismatch::AppId)),
            ("/mchid", json!("1"), NoticeError::Mismatch(Mismatch::MerchantId)),
            (
                "/trade_state",
                json!("NOTPAY"),
                NoticeError::Unreadable("trade_state is not SUCCESS"),
            ),
            ("/amount", json!(null), NoticeError::Unreadable("amount is missing")),
            ("/amount", json!([]), NoticeError::Unreadable("the content is not a transaction")),
        ];
        for (pointer, value, error) in cases {
            let content = with(transaction(), pointer, value);
            let body = envelope("TRANSACTION.SUCCESS", "transaction", &content);
            assert_eq!(verify_signed(&body), Err(error), "{pointer}");
        }
    }

    #[test]
    fn what_is_sealed_without_associated_data_opens() {
        let content = transaction().to_string();
        let mut body = payment();
        let resource = body["resource"].as_object_mut().unwrap();
        let ciphertext = seal(&merchant().api_v3_key, NONCE, b"", content.as_bytes());
        resource.insert("ciphertext".to_owned(), json!(ciphertext));
        for associated_data in [Some(json!("")), Some(json!(null)), None] {
            let mut body = body.clone();
            let resource = body["resource"].as_object_mut().unwrap();
            resource.remove("associated_data");
            resource.extend(associated_data.map(|data| ("associated_data".to_owned(), data)));
            assert_eq!(verify_signed(&body), Ok(VerifiedNotice::Paid(paid())));
        }
    }

    #[test]
    fn what_is_not_known_is_other() {
        let cases = [
            ("MCHTRANSFER.BILL.FINISHED", "mch_payment"),
            ("SOMETHING.NEW", "transaction"),
            ("TRANSACTION.SUCCESS", "refund"),
            ("REFUND.SUCCESS", "transaction"),
        ];
        for (event, original) in cases {
            let notice = verify_signed(&envelope(event, original, &transaction().to_string()));
            assert_eq!(notice, Ok(VerifiedNotice::Other { kind: event.to_owned() }), "{event}");
        }
    }

    #[test]
    fn a_fault_of_ours_is_neither() {
        let body = payment().to_string();
        let headers = headers_of(NOW, PUBLIC_KEY_ID, body.as_bytes());
        let notice = Notice { headers: Headers(&headers), body: body.as_bytes() };
        let result = now(notice.verify(&merchant(), &Broken, NOW));
        assert!(matches!(result, Err(NoticeError::Crypto(_))));
    }
}

#[test]
fn debug_shows_no_key() {
    let text = format!("{:?}", merchant());
    assert_eq!(
        text,
        format!(
            "Merchant {{ base_url: \"https://api.mch.weixin.qq.com\", \
             fallback_base_url: Some(\"https://api2.mch.weixin.qq.com\"), \
             appid: \"wxd678efh567hg6787\", mchid: \"1900007291\", \
             serial_no: \"408B07E79B8269FEC3D5D3E6AB8ED163A6A380DB\", \
             verification_keys: [{PUBLIC_KEY_ID:?}, {VENDOR_SERIAL:?}], .. }}"
        )
    );
}
