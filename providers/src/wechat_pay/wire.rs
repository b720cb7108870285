//! The JSON of WeChat Pay. It takes no `null` and no characters of four bytes; what it sends may hold
//! either.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::sign::Unverified;
use crate::crypto::{AeadKey, Crypto};
use crate::payment::{CNY, MAX_FEN, Transaction, is_id};
use crate::time::rfc3339_ms;

const SEAL: &str = "AEAD_AES_256_GCM";

/// Reads JSON. Its error's own text may quote what was read, so it goes no further than here.
pub(super) fn read_json<T: DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    serde_json::from_slice(bytes).ok()
}

/// The fields stand in the order of the documents' example.
#[derive(Serialize)]
pub(super) struct OrderWire<'a> {
    pub appid: &'a str,
    pub mchid: &'a str,
    pub description: &'a str,
    pub out_trade_no: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time_expire: Option<String>,
    pub notify_url: &'a str,
    pub amount: OrderAmountWire,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payer: Option<PayerToWire<'a>>,
}

#[derive(Serialize)]
pub(super) struct OrderAmountWire {
    pub total: i64,
    pub currency: &'static str,
}

#[derive(Serialize)]
pub(super) struct PayerToWire<'a> {
    pub openid: &'a str,
}

#[derive(Deserialize)]
pub(super) struct PrepaidWire {
    pub prepay_id: Option<String>,
    pub code_url: Option<String>,
}

#[derive(Serialize)]
pub(super) struct CloseWire<'a> {
    pub mchid: &'a str,
}

#[derive(Serialize)]
pub(super) struct RefundOrderWire<'a> {
    pub out_trade_no: &'a str,
    pub out_refund_no: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub notify_url: Option<&'a str>,
    pub amount: RefundAmountToWire,
}

#[derive(Serialize)]
pub(super) struct RefundAmountToWire {
    pub refund: i64,
    pub total: i64,
    pub currency: &'static str,
}

/// An order as a query and a notice show it.
#[derive(Deserialize)]
pub(super) struct TransactionWire {
    pub appid: Option<String>,
    pub mchid: Option<String>,
    pub out_trade_no: Option<String>,
    pub trade_state: Option<String>,
    transaction_id: Option<String>,
    success_time: Option<String>,
    payer: Option<PayerWire>,
    amount: Option<AmountWire>,
}

#[derive(Deserialize)]
struct PayerWire {
    openid: Option<String>,
}

#[derive(Deserialize)]
struct AmountWire {
    total: Option<i64>,
    payer_total: Option<i64>,
    currency: Option<String>,
}

impl TransactionWire {
    /// The payment, of an order whose state says that there was one.
    pub fn into_transaction(self) -> Result<Transaction, &'static str> {
        let id = |text: Option<String>, reason| text.filter(|text| is_id(text)).ok_or(reason);
        let amount = self.amount.ok_or("amount is missing")?;
        Ok(Transaction {
            app_id: id(self.appid, "appid is missing or malformed")?,
            merchant_id: id(self.mchid, "mchid is missing or malformed")?,
            out_trade_no: id(self.out_trade_no, "out_trade_no is missing or malformed")?,
            transaction_id: id(self.transaction_id, "transaction_id is missing or malformed")?,
            total_fen: amount
                .total
                .filter(|fen| (0..=MAX_FEN).contains(fen))
                .ok_or("amount.total is missing or out of range")?,
            payer_total_fen: amount.payer_total,
            // Documented: renminbi when it is not said.
            currency: amount.currency.unwrap_or_else(|| CNY.to_owned()),
            paid_at_ms: self.success_time.as_deref().and_then(rfc3339_ms),
            payer: self.payer.and_then(|payer| payer.openid).filter(|openid| is_id(openid)),
        })
    }
}

/// A refund as a reply and a notice show it: a notice calls the status `refund_status`.
#[derive(Deserialize)]
pub(super) struct RefundWire {
    pub mchid: Option<String>,
    pub status: Option<String>,
    pub refund_status: Option<String>,
    pub out_refund_no: Option<String>,
    pub refund_id: Option<String>,
    pub out_trade_no: Option<String>,
    pub success_time: Option<String>,
    pub amount: Option<RefundAmountWire>,
}

#[derive(Deserialize)]
pub(super) struct RefundAmountWire {
    pub total: Option<i64>,
    pub refund: Option<i64>,
}

/// What is sealed with the APIv3 key: a notice's content, a certificate.
#[derive(Deserialize)]
pub(super) struct Sealed {
    algorithm: String,
    nonce: String,
    associated_data: Option<String>,
    ciphertext: String,
}

impl Sealed {
    pub async fn open(&self, crypto: &impl Crypto, key: &AeadKey) -> Result<Vec<u8>, Unverified> {
        let Self { algorithm, nonce, associated_data, ciphertext } = self;
        if algorithm != SEAL {
            return Err(Unverified::Because("the seal is of another algorithm"));
        }
        let nonce = nonce
            .as_bytes()
            .try_into()
            .map_err(|_length| Unverified::Because("the seal's nonce has not 12 bytes"))?;
        let sealed = STANDARD
            .decode(ciphertext)
            .map_err(|_not_base64| Unverified::Because("the ciphertext is not base64"))?;
        let aad = associated_data.as_deref().unwrap_or_default().as_bytes();
        match crypto.open(key, nonce, aad, &sealed).await {
            Ok(Some(opened)) => Ok(opened),
            Ok(None) => Err(Unverified::Because("the APIv3 key does not open the seal")),
            Err(error) => Err(Unverified::Crypto(error)),
        }
    }
}
