use std::collections::BTreeMap;

use chrono::NaiveDate;
use serde_json::{Value, json};

use super::*;
use crate::crypto::host::{
    Broken, Host, VENDOR_CERTIFICATE, VENDOR_PUBLIC_KEY, now, our_key, our_public_key, vendor_sign,
};
use crate::http::{MAX_REPLY_BYTES, Method, Reply, Request, USER_AGENT};
use crate::payment::{
    BuildError, CNY, CloseOutcome, Mismatch, NoticeError, Order, Prepaid, PrepayOutcome,
    QueryOutcome, Refund, RefundOrder, RefundOutcome, Refusal, Transaction, VerifiedNotice,
};

/// 2026-01-01T00:00:00Z.
const NOW: i64 = 1_767_225_600;
const NUMBER: &str = "T20260131A1";
const CERT_SN: &str = "b5a0c9a7b1a3a1b1d3c1e1f1a1b1c1d1";
const APP_CERT_SN: &str = "866dd4a1d3e4b4b1a0d0a0d0a0d0a0d0";
const ROOT_CERT_SN: &str = "687b59193f3f462dd5336e5abf83c5d8_02941eef3187dddf3d3b83462e1dfcf6";

fn app() -> App {
    App {
        gateway_url: "https://openapi.alipay.com/gateway.do".to_owned(),
        app_id: "2021000000000001".to_owned(),
        seller_id: "2088102119685838".to_owned(),
        private_key: our_key(),
        verification: Verification::Key(PublicKey::parse(VENDOR_PUBLIC_KEY).unwrap()),
    }
}

fn certified_app() -> App {
    let verification = Verification::Certificates {
        app_cert_sn: APP_CERT_SN.to_owned(),
        alipay_root_cert_sn: ROOT_CERT_SN.to_owned(),
        alipay: vec![
            ("another".to_owned(), our_public_key()),
            (CERT_SN.to_owned(), PublicKey::parse(VENDOR_CERTIFICATE).unwrap()),
        ],
    };
    App { verification, ..app() }
}

fn order() -> Order<'static> {
    Order {
        out_trade_no: NUMBER,
        description: "剪发",
        total_fen: 12_880,
        notify_url: "https://shop.example/notices/alipay",
        expires_at_unix_seconds: None,
    }
}

fn refund_order() -> RefundOrder<'static> {
    RefundOrder {
        out_trade_no: NUMBER,
        out_refund_no: "R20260131A1",
        refund_fen: 6_001,
        total_fen: 12_880,
        reason: Some("顾客取消"),
        notify_url: None,
    }
}

/// What Alipay's own SDK signed or accepted.
fn oracle() -> Value {
    serde_json::from_str(include_str!("../../testdata/alipay_sdk.json")).unwrap()
}

/// All parameters of a request, decoded, as Alipay sees them.
fn parameters(request: &Request) -> BTreeMap<String, String> {
    let (_, query) = request.url.split_once('?').unwrap();
    let text = format!("{query}&{}", std::str::from_utf8(&request.body).unwrap());
    form_urlencoded::parse(text.as_bytes()).into_owned().collect()
}

fn content(request: &Request) -> Value {
    serde_json::from_str(&parameters(request)["biz_content"]).unwrap()
}

fn signed_reply(method: &str, object: &str) -> String {
    let name = method.replace('.', "_");
    format!(r#"{{"{name}_response":{object},"sign":"{}"}}"#, vendor_sign(object.as_bytes()))
}

/// Reads a signed reply, and makes sure that the same success without its signature, or changed in
/// one byte, is not read.
fn read_signed<T: std::fmt::Debug>(
    method: &str,
    object: &Value,
    read: impl Fn(Reply<'_>) -> T,
) -> T {
    let body = signed_reply(method, &object.to_string());
    let changed = body.replacen(r#""msg":"Success""#, r#""msg":"success""#, 1);
    let (unsigned, _) = body.rsplit_once(r#","sign""#).unwrap();
    let unsigned = format!("{unsigned}}}");
    for (bad, reason) in
        [(changed, "the signature does not verify"), (unsigned, "a success without a signature")]
    {
        let outcome = read(Reply { status: 200, body: bad.as_bytes() });
        assert!(format!("{outcome:?}").starts_with("Unknown(Doubt"), "{outcome:?}");
        assert!(format!("{outcome:?}").contains(reason), "{outcome:?}");
    }
    read(Reply { status: 200, body: body.as_bytes() })
}

/// Reads an error as it comes, without a signature.
fn read_error<T>(method: &str, code: &str, sub_code: &str, read: impl Fn(Reply<'_>) -> T) -> T {
    let name = format!("{}_response", method.replace('.', "_"));
    let body = json!({name: {"code": code, "msg": "…", "sub_code": sub_code, "sub_msg": "…"}});
    read(Reply { status: 200, body: body.to_string().as_bytes() })
}

fn refusal(code: &str) -> Refusal {
    Refusal { code: code.to_owned(), field: None, request_id: None }
}

const PRECREATE: &str = "alipay.trade.precreate";
const QUERY: &str = "alipay.trade.query";
const CLOSE: &str = "alipay.trade.close";
const CANCEL: &str = "alipay.trade.cancel";
const REFUND: &str = "alipay.trade.refund";
const REFUND_QUERY: &str = "alipay.trade.fastpay.refund.query";
const BILL: &str = "alipay.data.dataservice.bill.downloadurl.query";

fn read_precreate(reply: Reply<'_>) -> PrepayOutcome {
    now(app().read_precreate(&Host, reply, NUMBER))
}

fn read_query(reply: Reply<'_>) -> QueryOutcome {
    now(app().read_query_order(&Host, reply, NUMBER))
}

fn read_close(reply: Reply<'_>) -> CloseOutcome {
    now(app().read_close_order(&Host, reply))
}

fn read_cancel(reply: Reply<'_>) -> CancelOutcome {
    now(app().read_cancel_order(&Host, reply, NUMBER))
}

fn read_refund(reply: Reply<'_>) -> RefundOutcome {
    now(app().read_refund(&Host, reply, &refund_order()))
}

fn read_query_refund(reply: Reply<'_>) -> RefundOutcome {
    now(app().read_query_refund(&Host, reply, &refund_order()))
}

fn read_bill(reply: Reply<'_>) -> BillOutcome {
    now(app().read_bill(&Host, reply))
}

fn with(mut value: Value, name: &str, new: Value) -> Value {
    value[name] = new;
    value
}

#[test]
fn requests_are_signed_as_alipays_own_sdk_signs_them() {
    let oracle = oracle();
    let requests = [
        now(app().precreate(&Host, NOW, &order())).unwrap(),
        now(certified_app().query_order(&Host, NOW, NUMBER)).unwrap(),
    ];
    for (request, expected) in requests.iter().zip(oracle["requests"].as_array().unwrap()) {
        assert_eq!(request.method, Method::Post);
        assert_eq!(request.endpoint(), "https://openapi.alipay.com/gateway.do");
        assert_eq!(serde_json::to_value(parameters(request)).unwrap(), *expected);
        assert!(request.url.contains("charset=utf-8"));
        let headers: Vec<_> =
            request.headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        assert_eq!(
            headers,
            [
                ("Accept", "application/json"),
                ("User-Agent", USER_AGENT),
                ("Content-Type", "application/x-www-form-urlencoded;charset=utf-8"),
            ]
        );
    }
}

#[test]
fn what_each_request_holds() {
    let day = NaiveDate::from_ymd_opt(2026, 1, 31).unwrap();
    let expiring = Order {
        description: "洗/剪=吹&烫 😀",
        expires_at_unix_seconds: Some(NOW + 900),
        ..order()
    };
    let by_number = json!({"out_trade_no": NUMBER});
    let cases = [
        (
            now(app().precreate(&Host, NOW, &expiring)),
            PRECREATE,
            json!({
                "out_trade_no": NUMBER, "total_amount": "128.80", "subject": "洗剪吹烫",
                "product_code": "FACE_TO_FACE_PAYMENT", "time_expire": "2026-01-01 08:15:00",
            }),
        ),
        (now(app().query_order(&Host, NOW, NUMBER)), QUERY, by_number.clone()),
        (now(app().close_order(&Host, NOW, NUMBER)), CLOSE, by_number.clone()),
        (now(app().cancel_order(&Host, NOW, NUMBER)), CANCEL, by_number),
        (
            now(app().refund(&Host, NOW, &refund_order())),
            REFUND,
            json!({
                "out_trade_no": NUMBER, "refund_amount": "60.01", "out_request_no": "R20260131A1",
                "refund_reason": "顾客取消",
            }),
        ),
        (
            now(app().query_refund(&Host, NOW, &refund_order())),
            REFUND_QUERY,
            json!({
                "out_trade_no": NUMBER, "out_request_no": "R20260131A1",
                "query_options": ["gmt_refund_pay"],
            }),
        ),
        (
            now(app().bill(&Host, NOW, BillKind::Trades, day)),
            BILL,
            json!({"bill_type": "trade", "bill_date": "2026-01-31"}),
        ),
        (
            now(app().bill(&Host, NOW, BillKind::Account, day)),
            BILL,
            json!({"bill_type": "signcustomer", "bill_date": "2026-01-31"}),
        ),
    ];
    for (request, method, expected) in cases {
        let request = request.unwrap();
        assert_eq!(parameters(&request)["method"], method);
        assert_eq!(content(&request), expected, "{method}");
    }
    let broken = now(app().precreate(&Broken, NOW, &order()));
    assert!(matches!(broken, Err(BuildError::Crypto(_))));
    for number in ["", "T0001", "a b c d e f", "准点准点准点"] {
        assert!(now(app().query_order(&Host, NOW, number)).is_err());
        assert!(now(app().cancel_order(&Host, NOW, number)).is_err());
    }
    let empty = Order { description: "/=&😀", ..order() };
    assert!(now(app().precreate(&Host, NOW, &empty)).is_err());
    let more = RefundOrder { refund_fen: 12_881, ..refund_order() };
    assert!(now(app().refund(&Host, NOW, &more)).is_err());
}

#[test]
fn replies_that_alipays_own_sdk_accepts_are_accepted() {
    let oracle = oracle();
    let replies = oracle["replies"].as_array().unwrap();
    let [plain, certified] = [0, 1].map(|at| replies[at].as_str().unwrap());
    let url = "https://qr.alipay.com/bax03206ug0kulveltqc80a8".to_owned();
    let ready = PrepayOutcome::Ready(Prepaid::CodeUrl(url));
    let read = |app: App, body: &str| {
        now(app.read_precreate(&Host, Reply { status: 200, body: body.as_bytes() }, NUMBER))
    };
    assert_eq!(read(app(), plain), ready);
    assert_eq!(read(app(), certified), ready);
    assert_eq!(read(certified_app(), certified), ready);
    let spaced = plain.replace(r#"":{"#, r#"" : {"#).replace(r#","sign""#, r#" , "sign""#);
    assert_eq!(read(app(), &spaced), ready);

    let reserialised = plain.replace("\\/", "/");
    let other_sn = certified.replace(CERT_SN, "unknown");
    // The signature is of a key that is known, but by another name.
    let swapped = certified.replace(CERT_SN, "another");
    let cases = [
        (certified_app(), plain),
        (certified_app(), &other_sn),
        (certified_app(), &swapped),
        (app(), &reserialised),
        (app(), &plain.replace("bax03206", "bax03207")),
        (app(), &plain.replace("T20260131A1", "T20260131A2")),
        (app(), &plain.replace(r#""sign":""#, r#""sign":"WECHATPAY/SIGNTEST/"#)),
        (app(), &plain.replace("precreate", "query")),
        (app(), &plain.replace(r#""sign""#, r#""sing""#)),
    ];
    for (app, body) in cases {
        assert!(matches!(read(app, body), PrepayOutcome::Unknown(_)), "{body}");
    }
    let other_order = Reply { status: 200, body: plain.as_bytes() };
    let outcome = now(app().read_precreate(&Host, other_order, "T20260131A2"));
    assert!(matches!(outcome, PrepayOutcome::Unknown(_)));
}

#[test]
fn what_is_not_certain_is_unknown_for_every_call() {
    let unknown = |status: u16, body: &[u8]| {
        let reply = Reply { status, body };
        let unknown = [
            matches!(read_precreate(reply), PrepayOutcome::Unknown(_)),
            matches!(read_query(reply), QueryOutcome::Unknown(_)),
            matches!(read_close(reply), CloseOutcome::Unknown(_)),
            matches!(read_cancel(reply), CancelOutcome::Unknown(_)),
            matches!(read_refund(reply), RefundOutcome::Unknown(_)),
            matches!(read_query_refund(reply), RefundOutcome::Unknown(_)),
            matches!(read_bill(reply), BillOutcome::Unknown(_)),
        ];
        assert_eq!(unknown, [true; 7], "{status} {}", String::from_utf8_lossy(body));
    };
    let ok = br#"{"error_response":{"code":"10000","msg":"Success"}}"#;
    for (status, body) in [
        (0, &b""[..]),
        (200, b""),
        (200, b"<html>"),
        (200, b"[]"),
        (200, b"{}"),
        (200, b"\xff"),
        (200, br#"{"sign":"x"}"#),
        (200, br#"{"error_response":{}}"#),
        (200, br#"{"error_response":{"code":10000}}"#),
        (200, br#"{"error_response":"10000"}"#),
        (200, br#"{"error_response":{"code":"40004"}}"#),
        (200, br#"{"error_response":{"code":"99999","sub_code":"ACQ.TRADE_NOT_EXIST"}}"#),
        (200, ok),
        (500, br#"{"error_response":{"code":"40004","sub_code":"ACQ.TRADE_HAS_SUCCESS"}}"#),
        (302, b""),
    ] {
        unknown(status, body);
    }
    unknown(200, &vec![b' '; MAX_REPLY_BYTES + 1]);
    for (code, sub_code) in [
        ("20000", "isp.unknow-error"),
        ("20000", "aop.ACQ.SYSTEM_ERROR"),
        ("40004", "ACQ.SYSTEM_ERROR"),
        ("40004", "aop.ACQ.SYSTEM_ERROR"),
        ("40004", "isp.unknow-error"),
        ("40004", ""),
        ("10003", ""),
    ] {
        let body = json!({"error_response": {"code": code, "sub_code": sub_code}}).to_string();
        unknown(200, body.as_bytes());
    }
    // An error that is signed, and not by Alipay.
    let forged = r#"{"alipay_trade_close_response":{"code":"40004","sub_code":"ACQ.TRADE_HAS_CLOSE"},"sign":"AAAA"}"#;
    let outcome = read_close(Reply { status: 200, body: forged.as_bytes() });
    assert!(matches!(outcome, CloseOutcome::Unknown(_)));
    let reply = signed_reply(CLOSE, r#"{"code":"10000"}"#);
    let reply = Reply { status: 200, body: reply.as_bytes() };
    assert!(matches!(now(app().read_close_order(&Broken, reply)), CloseOutcome::Unknown(_)));
}

#[test]
fn what_errors_mean() {
    let cases = [
        ("40004", "ACQ.TRADE_HAS_SUCCESS", PrepayOutcome::AlreadyPaid),
        ("40004", "aop.ACQ.TRADE_HAS_FINISHED", PrepayOutcome::AlreadyPaid),
        ("40004", "ACQ.TRADE_HAS_CLOSE", PrepayOutcome::Closed),
        ("40004", "ACQ.CONTEXT_INCONSISTENT", PrepayOutcome::ParametersChanged),
        ("40005", "isv.app-call-limited", PrepayOutcome::Busy),
        (
            "40002",
            "isv.invalid-signature",
            PrepayOutcome::Refused(refusal("isv.invalid-signature")),
        ),
        (
            "40004",
            "ACQ.INVALID_PARAMETER",
            PrepayOutcome::Refused(refusal("ACQ.INVALID_PARAMETER")),
        ),
    ];
    for (code, sub_code, outcome) in cases {
        assert_eq!(read_error(PRECREATE, code, sub_code, read_precreate), outcome, "{sub_code}");
    }
    let not_exist = "ACQ.TRADE_NOT_EXIST";
    assert_eq!(read_error(QUERY, "40004", not_exist, read_query), QueryOutcome::NotFound);
    let other = read_error(QUERY, "40002", "isv.invalid-signature", read_query);
    assert!(matches!(other, QueryOutcome::Unknown(_)));
    let cases = [
        ("ACQ.TRADE_NOT_EXIST", CloseOutcome::NotFound),
        ("ACQ.TRADE_HAS_CLOSE", CloseOutcome::Closed),
        ("ACQ.TRADE_HAS_SUCCESS", CloseOutcome::AlreadyPaid),
        ("ACQ.TRADE_HAS_FINISHED", CloseOutcome::AlreadyPaid),
    ];
    for (sub_code, outcome) in cases {
        assert_eq!(read_error(CLOSE, "40004", sub_code, read_close), outcome, "{sub_code}");
    }
    let other = read_error(CLOSE, "40004", "ACQ.TRADE_STATUS_ERROR", read_close);
    assert!(matches!(other, CloseOutcome::Unknown(_)));
    let cases = [
        ("ACQ.SELLER_BALANCE_NOT_ENOUGH", RefundOutcome::NotEnough),
        ("ACQ.TRADE_NOT_EXIST", RefundOutcome::NotFound),
        ("ACQ.TRADE_HAS_FINISHED", RefundOutcome::Refused(refusal("ACQ.TRADE_HAS_FINISHED"))),
    ];
    for (sub_code, outcome) in cases {
        assert_eq!(read_error(REFUND, "40004", sub_code, read_refund), outcome, "{sub_code}");
        let queried = read_error(REFUND_QUERY, "40004", sub_code, read_query_refund);
        assert_eq!(queried, outcome, "{sub_code}");
    }
    let limited = read_error(REFUND, "40005", "isv.app-call-limited", read_refund);
    assert!(matches!(limited, RefundOutcome::Unknown(_)));
    let missing = read_error(BILL, "40004", "isp.bill_not_exist", read_bill);
    assert_eq!(missing, BillOutcome::NotThere);
    let refused = read_error(BILL, "40004", "isv.invalid-arguments", read_bill);
    assert_eq!(refused, BillOutcome::Refused(refusal("isv.invalid-arguments")));
}

fn trade() -> Value {
    json!({
        "code": "10000", "msg": "Success", "out_trade_no": NUMBER,
        "trade_no": "2026013122001473030500123456", "trade_status": "TRADE_SUCCESS",
        "total_amount": "128.80", "buyer_pay_amount": "120.00", "send_pay_date": "2026-01-31 10:00:45",
        "buyer_user_id": "2088102116773037", "buyer_logon_id": "159****5620",
    })
}

fn paid() -> Transaction {
    Transaction {
        app_id: "2021000000000001".to_owned(),
        merchant_id: "2088102119685838".to_owned(),
        out_trade_no: NUMBER.to_owned(),
        transaction_id: "2026013122001473030500123456".to_owned(),
        total_fen: 12_880,
        payer_total_fen: Some(12_000),
        currency: CNY.to_owned(),
        paid_at_ms: Some(1_769_824_845_000),
        payer: Some("2088102116773037".to_owned()),
    }
}

#[test]
fn an_order_is_what_its_status_says() {
    let cases = [
        ("TRADE_SUCCESS", QueryOutcome::Paid(paid())),
        ("TRADE_FINISHED", QueryOutcome::Paid(paid())),
        ("TRADE_CLOSED", QueryOutcome::RefundedSince(paid())),
        ("WAIT_BUYER_PAY", QueryOutcome::NotPaid),
        ("SOMETHING_NEW", QueryOutcome::Pending),
        ("", QueryOutcome::Pending),
    ];
    for (status, outcome) in cases {
        let object = with(trade(), "trade_status", json!(status));
        assert_eq!(read_signed(QUERY, &object, read_query), outcome, "{status}");
    }
    let closed = with(trade(), "trade_status", json!("TRADE_CLOSED"));
    for date in [json!(""), json!(null)] {
        let object = with(closed.clone(), "send_pay_date", date);
        assert_eq!(read_signed(QUERY, &object, read_query), QueryOutcome::Closed);
    }
    let cases = [
        ("out_trade_no", json!("T20260131A2")),
        ("trade_status", json!(null)),
        ("trade_no", json!(null)),
        ("total_amount", json!(null)),
        ("total_amount", json!("128.805")),
        ("total_amount", json!("-128.80")),
        ("total_amount", json!(128.80)),
    ];
    for (name, value) in cases {
        let outcome = read_signed(QUERY, &with(trade(), name, value.clone()), read_query);
        assert!(matches!(outcome, QueryOutcome::Unknown(_)), "{name} {value}");
    }
    let foreign = with(trade(), "trans_currency", json!("HKD"));
    let QueryOutcome::Paid(foreign) = read_signed(QUERY, &foreign, read_query) else { panic!() };
    assert_eq!(foreign.currency, "HKD");
}

#[test]
fn what_becomes_of_an_order_that_is_closed_or_cancelled() {
    let closed = json!({"code": "10000", "msg": "Success", "out_trade_no": NUMBER});
    assert_eq!(read_signed(CLOSE, &closed, read_close), CloseOutcome::Closed);
    let cases = [
        (json!("close"), json!("N"), Some(CancelOutcome::Closed)),
        (json!("refund"), json!("N"), Some(CancelOutcome::Refunded)),
        (json!(null), json!("N"), Some(CancelOutcome::Closed)),
        (json!(null), json!(null), Some(CancelOutcome::Closed)),
        (json!("close"), json!("Y"), None),
        (json!("something_new"), json!("N"), None),
        (json!(7), json!("N"), None),
    ];
    for (action, retry_flag, expected) in cases {
        let object = json!({
            "code": "10000", "msg": "Success", "out_trade_no": NUMBER,
            "action": action, "retry_flag": retry_flag,
        });
        let outcome = read_signed(CANCEL, &object, read_cancel);
        match expected {
            Some(expected) => assert_eq!(outcome, expected, "{object}"),
            None => assert!(matches!(outcome, CancelOutcome::Unknown(_)), "{object}"),
        }
    }
    let other = json!({"code": "10000", "msg": "Success", "out_trade_no": "T20260131A2"});
    assert!(matches!(read_signed(CANCEL, &other, read_cancel), CancelOutcome::Unknown(_)));
}

fn refund() -> Refund {
    Refund {
        out_refund_no: "R20260131A1".to_owned(),
        refund_id: None,
        out_trade_no: NUMBER.to_owned(),
        refund_fen: 6_001,
        total_fen: None,
        succeeded_at_ms: None,
    }
}

#[test]
fn a_refund_is_done_when_money_moved() {
    let object = json!({
        "code": "10000", "msg": "Success", "out_trade_no": NUMBER,
        "trade_no": "2026013122001473030500123456", "fund_change": "Y", "refund_fee": "60.01",
    });
    let cases = [
        ("fund_change", json!("Y"), Some(RefundOutcome::Succeeded(refund()))),
        ("fund_change", json!("N"), Some(RefundOutcome::Processing(refund()))),
        ("fund_change", json!(null), Some(RefundOutcome::Processing(refund()))),
        ("refund_fee", json!("128.80"), Some(RefundOutcome::Succeeded(refund()))),
        ("refund_fee", json!("128.81"), None),
        ("refund_fee", json!("60.00"), None),
        ("refund_fee", json!(null), None),
        ("out_trade_no", json!("T20260131A2"), None),
        ("out_trade_no", json!(7), None),
    ];
    for (name, value, expected) in cases {
        let object = with(object.clone(), name, value.clone());
        let outcome = read_signed(REFUND, &object, read_refund);
        match expected {
            Some(expected) => assert_eq!(outcome, expected, "{name} {value}"),
            None => assert!(matches!(outcome, RefundOutcome::Unknown(_)), "{name} {value}"),
        }
    }
}

#[test]
fn a_queried_refund_is_what_its_status_says() {
    let object = json!({
        "code": "10000", "msg": "Success", "out_trade_no": NUMBER, "out_request_no": "R20260131A1",
        "refund_status": "REFUND_SUCCESS", "refund_amount": "60.01", "total_amount": "128.80",
        "gmt_refund_pay": "2026-01-31 11:00:00",
    });
    let found =
        Refund { total_fen: Some(12_880), succeeded_at_ms: Some(1_769_828_400_000), ..refund() };
    let cases = [
        ("msg", json!("Success"), Some(RefundOutcome::Succeeded(found.clone()))),
        ("refund_status", json!(""), Some(RefundOutcome::Processing(found.clone()))),
        ("refund_status", json!(null), Some(RefundOutcome::Processing(found.clone()))),
        ("refund_status", json!("SOMETHING_NEW"), Some(RefundOutcome::Processing(found))),
        ("refund_amount", json!("60.00"), None),
        ("refund_amount", json!("x"), None),
        ("refund_amount", json!(null), None),
        ("total_amount", json!("128.81"), None),
        ("total_amount", json!("x"), None),
        ("out_request_no", json!("R2"), None),
        ("out_trade_no", json!(null), None),
    ];
    for (name, value, expected) in cases {
        let object = with(object.clone(), name, value.clone());
        let outcome = read_signed(REFUND_QUERY, &object, read_query_refund);
        match expected {
            Some(expected) => assert_eq!(outcome, expected, "{name} {value}"),
            None => assert!(matches!(outcome, RefundOutcome::Unknown(_)), "{name} {value}"),
        }
    }
    let nothing = json!({"code": "10000", "msg": "Success"});
    let outcome = read_signed(REFUND_QUERY, &nothing, read_query_refund);
    assert_eq!(outcome, RefundOutcome::NotFound);
}

#[test]
fn a_bill_has_an_address() {
    let bill = |url: &str| {
        let object = json!({"code": "10000", "msg": "Success", "bill_download_url": url});
        read_signed(BILL, &object, read_bill)
    };
    let url = "https://dwbillcenter.alipay.com/downloadBillFile.resource?bizType=X&userId=X";
    assert_eq!(bill(url), BillOutcome::Ready(url.to_owned()));
    for url in ["", "ftp://x", "https://a b", &format!("https://{}", "x".repeat(5000))] {
        assert!(matches!(bill(url), BillOutcome::Unknown(_)), "{url}");
    }
}

mod notices {
    use super::*;
    use proptest::prelude::*;

    type Fields = BTreeMap<String, String>;

    /// The parameters of the notice that Alipay's own SDK accepts, without its signature.
    fn fields() -> Fields {
        let oracle = oracle();
        let body = oracle["notices"][0].as_str().unwrap().to_owned();
        let mut fields: Fields = form_urlencoded::parse(body.as_bytes()).into_owned().collect();
        fields.remove("sign");
        fields
    }

    fn with(name: &str, value: &str) -> Fields {
        let mut fields = fields();
        fields.insert(name.to_owned(), value.to_owned());
        fields
    }

    fn body(fields: &Fields) -> String {
        form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish()
    }

    /// Signs all but what is left out.
    fn signed(fields: &Fields, left_out: impl Fn(&str, &str) -> bool) -> Fields {
        let pairs: Vec<_> = fields
            .iter()
            .filter(|(name, value)| !left_out(name, value))
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        let mut signed = fields.clone();
        signed.insert("sign".to_owned(), vendor_sign(pairs.join("&").as_bytes()));
        signed
    }

    fn verify(app: &App, body: &str) -> Result<VerifiedNotice, NoticeError> {
        now(Notice { body: body.as_bytes() }.verify(app, &Host))
    }

    fn verify_signed(fields: &Fields) -> Result<VerifiedNotice, NoticeError> {
        verify(&app(), &body(&signed(fields, |name, _| name == "sign_type")))
    }

    fn paid() -> Transaction {
        Transaction { payer_total_fen: Some(12_880), ..super::paid() }
    }

    #[test]
    fn notices_that_alipays_own_sdk_accepts_are_accepted() {
        let oracle = oracle();
        for notice in oracle["notices"].as_array().unwrap() {
            let body = notice.as_str().unwrap();
            for app in [app(), certified_app()] {
                assert_eq!(verify(&app, body), Ok(VerifiedNotice::Paid(paid())));
            }
        }
    }

    #[test]
    fn every_way_to_sign_is_accepted() {
        for without_type in [true, false] {
            for without_empty in [true, false] {
                for without_certificate in [true, false] {
                    let fields = with("alipay_cert_sn", CERT_SN);
                    let signed = signed(&fields, |name, value| {
                        (without_type && name == "sign_type")
                            || (without_empty && value.is_empty())
                            || (without_certificate && name == "alipay_cert_sn")
                    });
                    for app in [app(), certified_app()] {
                        assert!(verify(&app, &body(&signed)).is_ok());
                    }
                }
            }
        }
        let fields = with("alipay_cert_sn", "another");
        let signed = signed(&fields, |name, _| name == "sign_type");
        assert!(verify(&certified_app(), &body(&signed)).is_err());
        let mut unknown = signed;
        unknown.insert("alipay_cert_sn".to_owned(), "unknown".to_owned());
        assert!(verify(&certified_app(), &body(&unknown)).is_err());
    }

    #[test]
    fn a_notice_with_any_parameter_changed_is_not_verified() {
        let good = signed(&fields(), |name, _| name == "sign_type");
        for (name, value) in &good {
            let mut changed = good.clone();
            changed.insert(name.clone(), format!("{value}0"));
            let mut missing = good.clone();
            missing.remove(name);
            let mut renamed = missing.clone();
            renamed.insert(format!("{name}_"), value.clone());
            for fields in [&changed, &missing, &renamed] {
                // What has no value may be signed or not, and says nothing.
                if fields != &changed && value.is_empty() {
                    continue;
                }
                let result = verify(&app(), &body(fields));
                assert!(matches!(result, Err(NoticeError::NotVerified(_))), "{name}: {result:?}");
            }
        }
        let twice = format!("{}&total_amount=0.01", body(&good));
        let long = format!("{}&x={}", body(&good), "x".repeat(MAX_REPLY_BYTES));
        let signtest = body(&good).replace("&sign=", "&sign=WECHATPAY%2FSIGNTEST%2F");
        for body in [twice, long, signtest, String::new(), "sign=".to_owned(), "\u{0}".to_owned()] {
            let result = verify(&app(), &body);
            assert!(matches!(result, Err(NoticeError::NotVerified(_))), "{result:?}");
        }
    }

    #[test]
    fn no_value_hides_another_parameter() {
        // The same signed text, cut up so that `refund_fee` is part of the value before it.
        let fields = with("refund_fee", "60.01");
        let good = signed(&fields, |name, _| name == "sign_type");
        assert!(matches!(verify(&app(), &body(&good)), Ok(VerifiedNotice::Refunded { .. })));
        let mut hidden = good;
        hidden.remove("refund_fee");
        let receipt = hidden["receipt_amount"].clone();
        hidden.insert("receipt_amount".to_owned(), format!("{receipt}&refund_fee=60.01"));
        let result = verify(&app(), &body(&hidden));
        assert_eq!(result, Err(NoticeError::NotVerified("a value holds another parameter")));
    }

    #[test]
    fn no_other_algorithm_or_encoding_is_taken() {
        for (name, value) in [("sign_type", "RSA"), ("sign_type", ""), ("charset", "gbk")] {
            let result = verify_signed(&with(name, value));
            assert!(matches!(result, Err(NoticeError::NotVerified(_))), "{name} {value}");
        }
        assert!(verify_signed(&with("charset", "UTF-8")).is_ok());
    }

    #[test]
    fn what_a_notice_says() {
        let refunded = |out_refund_no: Option<&str>| VerifiedNotice::Refunded {
            transaction: paid(),
            refunded_fen: 6_001,
            out_refund_no: out_refund_no.map(ToOwned::to_owned),
        };
        let other = |kind: &str| VerifiedNotice::Other { kind: kind.to_owned() };
        let closed = VerifiedNotice::Closed { out_trade_no: NUMBER.to_owned() };
        let cases: [(&[(&str, &str)], VerifiedNotice); 11] = [
            (&[], VerifiedNotice::Paid(paid())),
            (&[("trade_status", "TRADE_FINISHED")], VerifiedNotice::Paid(paid())),
            (&[("refund_fee", "0.00")], VerifiedNotice::Paid(paid())),
            (&[("trade_status", "TRADE_CLOSED")], closed.clone()),
            (&[("trade_status", "TRADE_CLOSED"), ("gmt_refund", "")], closed),
            (&[("refund_fee", "60.01")], refunded(None)),
            (&[("refund_fee", "60.01"), ("out_biz_no", "R1")], refunded(Some("R1"))),
            (
                &[("trade_status", "TRADE_CLOSED"), ("refund_fee", "60.01"), ("out_biz_no", "R1")],
                refunded(Some("R1")),
            ),
            (&[("trade_status", "WAIT_BUYER_PAY")], other("WAIT_BUYER_PAY")),
            (&[("trade_status", "SOMETHING_NEW")], other("SOMETHING_NEW")),
            (&[("notify_type", "dut_user_sign"), ("seller_id", "")], other("dut_user_sign")),
        ];
        for (changes, expected) in cases {
            let mut fields = fields();
            fields.extend(changes.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())));
            assert_eq!(verify_signed(&fields), Ok(expected), "{changes:?}");
        }
        let cases = [
            ("app_id", "2021000000000002", NoticeError::Mismatch(Mismatch::AppId)),
            ("seller_id", "2088102119685839", NoticeError::Mismatch(Mismatch::MerchantId)),
            ("seller_id", "", NoticeError::Mismatch(Mismatch::MerchantId)),
            ("total_amount", "", NoticeError::Unreadable("total_amount is missing")),
            ("total_amount", "128.8O", NoticeError::Unreadable("total_amount is malformed")),
            ("refund_fee", "-1", NoticeError::Unreadable("refund_fee is malformed")),
            ("trade_no", "", NoticeError::Unreadable("trade_no is missing or malformed")),
            ("out_trade_no", "", NoticeError::Unreadable("out_trade_no is missing or malformed")),
        ];
        for (name, value, error) in cases {
            assert_eq!(verify_signed(&with(name, value)), Err(error), "{name} {value}");
        }
        let mut unsaid = with("gmt_refund", "2026-01-31 11:00:00");
        unsaid.insert("trade_status".to_owned(), "TRADE_CLOSED".to_owned());
        let error = NoticeError::Unreadable("a refund without refund_fee");
        assert_eq!(verify_signed(&unsaid), Err(error));
        let body = body(&signed(&fields(), |_, _| false));
        let notice = Notice { body: body.as_bytes() };
        assert!(matches!(now(notice.verify(&app(), &Broken)), Err(NoticeError::Crypto(_))));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn nothing_unsigned_counts(pairs in proptest::collection::btree_map("[a-z_]{1,12}", ".{0,20}", 0..6)) {
            let mut fields = fields();
            fields.extend(pairs);
            let result = verify(&app(), &body(&fields));
            prop_assert!(matches!(result, Err(NoticeError::NotVerified(_))));
        }
    }
}

#[test]
fn debug_shows_no_key() {
    assert_eq!(
        format!("{:?}", certified_app()),
        format!(
            "App {{ gateway_url: \"https://openapi.alipay.com/gateway.do\", \
             app_id: \"2021000000000001\", seller_id: \"2088102119685838\", \
             verification: Certificates {{ app_cert_sn: {APP_CERT_SN:?}, \
             alipay_root_cert_sn: {ROOT_CERT_SN:?}, alipay: [\"another\", {CERT_SN:?}] }}, .. }}"
        )
    );
}
