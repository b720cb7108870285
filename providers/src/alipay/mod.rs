//! Alipay, gateway version 1 (`https://openapi.alipay.com/gateway.do`), signature type RSA2: an order
//! shown as a QR code, its refunds, its notices, and where a day's bill is.
//!
//! Source: Alipay Open Platform documentation of the methods named below, and its official SDK for
//! Node where the documents are silent. Requests and replies are both signed; what is signed is in
//! `sign`. A success counts only when its signature verifies over the raw text of the reply's object.
//! An error may come unsigned, and is no proof (see [`payment`](crate::payment)).
//!
//! | file | what |
//! |---|---|
//! | `sign` | signatures of requests, replies and notices |
//! | `trade` | make, query, close and cancel an order |
//! | `refund` | refund, and query a refund |
//! | `bill`, `bill_file` | where the bill of a day is, and what it says |
//! | `notice` | notices |
//! | `error` | what goes wrong, in one table |
//!
//! Start at [`App`], and at [`Notice`] for what Alipay sends.

mod bill;
mod bill_file;
mod error;
mod notice;
mod refund;
mod sign;
#[cfg(test)]
mod tests;
mod trade;

use std::fmt;

use crate::crypto::{PrivateKey, PublicKey};

pub use bill::{BillKind, BillOutcome, download as download_bill};
pub use bill_file::{
    BadBill, BillRow, MAX_BILL_BYTES, Packed, rows as bill_rows, unzip as unzip_bill,
};
pub use notice::Notice;
pub use trade::CancelOutcome;

/// An app at Alipay and the merchant it collects for. `Debug` shows no key.
#[derive(Clone)]
pub struct App {
    /// `https://openapi.alipay.com/gateway.do`, or a relay or stand-in for it; without a query.
    pub gateway_url: String,
    /// The app's number.
    pub app_id: String,
    /// The number of the merchant who is paid (`2088…`).
    pub seller_id: String,
    /// The app's key.
    pub private_key: PrivateKey,
    /// How the app and Alipay know each other.
    pub verification: Verification,
}

/// How the app was set up at Alipay: with plain keys or with certificates.
#[derive(Clone)]
pub enum Verification {
    /// Alipay's public key, as its console shows it.
    Key(PublicKey),
    /// Certificates, known by their SNs: the MD5 of issuer and serial number, which Alipay's SDKs and
    /// tools print. They are configuration and not computed here.
    Certificates {
        /// The SN of `appCertPublicKey_….crt`.
        app_cert_sn: String,
        /// The SN of `alipayRootCert.crt`: several, joined by `_`.
        alipay_root_cert_sn: String,
        /// Alipay's certificates, by their SNs: the present one and, in the weeks of a renewal, the
        /// next.
        alipay: Vec<(String, PublicKey)>,
    },
}

impl fmt::Debug for App {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("App")
            .field("gateway_url", &self.gateway_url)
            .field("app_id", &self.app_id)
            .field("seller_id", &self.seller_id)
            .field("verification", &self.verification)
            .finish_non_exhaustive()
    }
}

/// Shows the SNs, which are public.
impl fmt::Debug for Verification {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(_) => f.write_str("Key"),
            Self::Certificates { app_cert_sn, alipay_root_cert_sn, alipay } => f
                .debug_struct("Certificates")
                .field("app_cert_sn", app_cert_sn)
                .field("alipay_root_cert_sn", alipay_root_cert_sn)
                .field("alipay", &alipay.iter().map(|(sn, _)| sn).collect::<Vec<_>>())
                .finish(),
        }
    }
}
