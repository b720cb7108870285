//! Where the bill of a day is: `alipay.data.dataservice.bill.downloadurl.query`. The file itself is
//! read in `bill_file`.

use serde::{Deserialize, Serialize};

use super::App;
use super::error::Failed;
use super::sign::Call;
use crate::crypto::Crypto;
use crate::http::{Reply, Request};
use crate::payment::{BuildError, Doubt, Refusal};

const METHOD: &str = "alipay.data.dataservice.bill.downloadurl.query";

/// The longest address, in bytes.
const MAX_URL_BYTES: usize = 4096;

/// Which bill.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BillKind {
    /// Payments and refunds (`trade`).
    Trades,
    /// All that moved in the account (`signcustomer`).
    Account,
}

/// What became of the question for a bill.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BillOutcome {
    /// Its address, good for half a minute.
    Ready(String),
    /// There is none: nothing happened that day, or it is not made yet.
    NotThere,
    /// Asking again will not help.
    Refused(Refusal),
    /// Ask again.
    Unknown(Doubt),
}

#[derive(Serialize)]
struct BillWire {
    bill_type: &'static str,
    bill_date: String,
}

#[derive(Deserialize)]
struct BillUrlWire {
    bill_download_url: String,
}

/// The file at an address that [`App::read_bill`] gave: it is signed by its address.
#[must_use]
pub fn download(url: String) -> Request {
    Request::get(url)
}

impl App {
    /// Asks where the bill of a day is.
    ///
    /// # Errors
    /// [`BuildError::Crypto`].
    pub async fn bill(
        &self,
        crypto: &impl Crypto,
        now_unix_seconds: i64,
        kind: BillKind,
        day: chrono::NaiveDate,
    ) -> Result<Request, BuildError> {
        let bill_type = match kind {
            BillKind::Trades => "trade",
            BillKind::Account => "signcustomer",
        };
        let content = BillWire { bill_type, bill_date: day.to_string() };
        self.call(crypto, now_unix_seconds, Call { method: METHOD, notify_url: None }, &content)
            .await
    }

    /// Reads the reply to [`bill`](Self::bill).
    pub async fn read_bill(&self, crypto: &impl Crypto, reply: Reply<'_>) -> BillOutcome {
        let object = match self.success(crypto, reply, METHOD).await {
            Ok(object) => object,
            Err(failed) if failed.names("isp.bill_not_exist") => return BillOutcome::NotThere,
            Err(failed) => {
                return failed
                    .into_refusal()
                    .map_or_else(BillOutcome::Unknown, BillOutcome::Refused);
            }
        };
        match serde_json::from_str(object) {
            Ok(BillUrlWire { bill_download_url: url }) if is_url(&url) => BillOutcome::Ready(url),
            _ => BillOutcome::Unknown(
                Failed::because(200, "bill_download_url is missing or malformed").into_doubt(),
            ),
        }
    }
}

fn is_url(text: &str) -> bool {
    text.len() <= MAX_URL_BYTES
        && (text.starts_with("https://") || text.starts_with("http://"))
        && text.bytes().all(|byte| byte.is_ascii_graphic())
}
