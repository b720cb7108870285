//! Ways to pay, and who moves the money.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Who moves the money.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Provider {
    /// WeChat Pay.
    WechatPay,
    /// Alipay.
    Alipay,
    /// Banknotes and coins, over the counter.
    Cash,
    /// The store's own terminal.
    AtStore,
}

impl Provider {
    /// As rows, accounts and clients say it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::WechatPay => "wechat_pay",
            Self::Alipay => "alipay",
            Self::Cash => "cash",
            Self::AtStore => "at_store",
        }
    }

    /// Whether somebody at the counter moves it, and not a service that can be asked.
    #[must_use]
    pub const fn is_counter(self) -> bool {
        matches!(self, Self::Cash | Self::AtStore)
    }
}

/// How a customer pays online.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Channel {
    /// In the mini program, by `wx.requestPayment`.
    WechatJsapi,
    /// By a QR code that WeChat scans.
    WechatNative,
    /// By a QR code that Alipay scans.
    AlipayQr,
}

impl Channel {
    /// As rows say it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::WechatJsapi => "wechat_jsapi",
            Self::WechatNative => "wechat_native",
            Self::AlipayQr => "alipay_qr",
        }
    }

    /// Who moves the money.
    #[must_use]
    pub const fn provider(self) -> Provider {
        match self {
            Self::WechatJsapi | Self::WechatNative => Provider::WechatPay,
            Self::AlipayQr => Provider::Alipay,
        }
    }
}

/// How a customer pays at the counter.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CounterChannel {
    /// Banknotes and coins.
    Cash,
    /// The store's own terminal.
    AtStore,
}

impl CounterChannel {
    /// Who moves the money.
    #[must_use]
    pub const fn provider(self) -> Provider {
        match self {
            Self::Cash => Provider::Cash,
            Self::AtStore => Provider::AtStore,
        }
    }
}
