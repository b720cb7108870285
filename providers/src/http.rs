//! What crosses the border of this crate: a [`Request`] to be sent as it is, and a [`Reply`], or a
//! [`SignedReply`] where the signature stands in the headers, to be read.

use std::fmt::{self, Write as _};

/// The longest reply or notice body that is read, in bytes. Those read here are under 16 KiB; a longer
/// one is not from the service we asked. Whoever receives the body stops there too. The file of a
/// bill has a limit of its own ([`MAX_BILL_BYTES`](crate::wechat_pay::MAX_BILL_BYTES)).
pub const MAX_REPLY_BYTES: usize = 64 * 1024;

/// The `User-Agent` of every request. Workers send none by themselves, and WeChat's payment
/// service refuses requests without one.
pub const USER_AGENT: &str = concat!("zhundian/", env!("CARGO_PKG_VERSION"));

/// The methods the services use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// `GET`
    Get,
    /// `POST`
    Post,
}

impl Method {
    /// The method's name on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
        }
    }
}

/// A request to send exactly as it is: its bytes may be signed. `Host` and `Content-Length` are
/// the sender's to add, from the address and the body.
///
/// Its address, headers and body may hold secrets, so `Debug` shows the method, the endpoint, the
/// headers' names and the body's length.
#[derive(Clone, PartialEq, Eq)]
pub struct Request {
    /// The method.
    pub method: Method,
    /// The absolute address, already percent-encoded.
    pub url: String,
    /// Header names and values. No name occurs twice.
    pub headers: Vec<(&'static str, String)>,
    /// The body's bytes; empty for a GET.
    pub body: Vec<u8>,
}

impl Request {
    /// The address without its query, which may hold secrets: the part that belongs in a log.
    #[must_use]
    pub fn endpoint(&self) -> &str {
        self.url.split_once('?').map_or(&self.url, |(endpoint, _)| endpoint)
    }

    pub(crate) fn get(url: String) -> Self {
        Self { method: Method::Get, url, headers: common_headers(), body: Vec::new() }
    }

    pub(crate) fn post(url: String, content_type: &str, body: Vec<u8>) -> Self {
        let mut headers = common_headers();
        headers.push(("Content-Type", content_type.to_owned()));
        Self { method: Method::Post, url, headers, body }
    }
}

fn common_headers() -> Vec<(&'static str, String)> {
    vec![("Accept", "application/json".to_owned()), ("User-Agent", USER_AGENT.to_owned())]
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.headers.iter().map(|(name, _)| *name).collect();
        f.debug_struct("Request")
            .field("method", &self.method)
            .field("endpoint", &self.endpoint())
            .field("headers", &names)
            .field("body_bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}

/// What came back. `Debug` shows the status and the body's length: bodies hold session keys,
/// tokens and phone numbers.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Reply<'a> {
    /// The HTTP status.
    pub status: u16,
    /// The body's raw bytes, decompressed, at most [`MAX_REPLY_BYTES`] of them to be accepted.
    pub body: &'a [u8],
}

impl fmt::Debug for Reply<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reply")
            .field("status", &self.status)
            .field("body_bytes", &self.body.len())
            .finish()
    }
}

/// The headers that came with a message, as names and values.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Headers<'a>(pub &'a [(String, String)]);

impl<'a> Headers<'a> {
    /// The value of a header, by its name in any case. A header that is there twice counts as not
    /// there: two readers could each believe another one.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&'a str> {
        let mut values = self.0.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name));
        match (values.next(), values.next()) {
            (Some((_, value)), None) => Some(value),
            _ => None,
        }
    }
}

impl fmt::Debug for Headers<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(name, _)| name)).finish()
    }
}

/// What came back from a service that signs its replies in their headers. `Debug` shows the status,
/// the headers' names and the body's length.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SignedReply<'a> {
    /// The HTTP status.
    pub status: u16,
    /// All headers of the reply.
    pub headers: Headers<'a>,
    /// The body's raw bytes, decompressed, otherwise untouched; at most [`MAX_REPLY_BYTES`].
    pub body: &'a [u8],
}

impl fmt::Debug for SignedReply<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignedReply")
            .field("status", &self.status)
            .field("headers", &self.headers)
            .field("body_bytes", &self.body.len())
            .finish()
    }
}

/// Writes a query (`a=1&b=2`) whose values are percent-encoded (RFC 3986, section 2.3: all but
/// the unreserved characters). The keys are ours and need no encoding.
pub(crate) fn query(pairs: &[(&str, &str)]) -> String {
    let mut text = String::new();
    for (key, value) in pairs {
        if !text.is_empty() {
            text.push('&');
        }
        text.push_str(key);
        text.push('=');
        for byte in value.bytes() {
            if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
                text.push(char::from(byte));
            } else {
                // Writing to a String cannot fail.
                let _ = write!(text, "%{byte:02X}");
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_cannot_leave_its_place_in_the_query() {
        let cases = [
            ("", "k="),
            ("081abcXYZ-._~", "k=081abcXYZ-._~"),
            ("a&secret=x", "k=a%26secret%3Dx"),
            ("a#b?c/d+e f%", "k=a%23b%3Fc%2Fd%2Be%20f%25"),
            ("准\r\n", "k=%E5%87%86%0D%0A"),
        ];
        for (value, expected) in cases {
            assert_eq!(query(&[("k", value)]), expected);
        }
        assert_eq!(query(&[("a", "1"), ("b", "2")]), "a=1&b=2");
    }

    #[test]
    fn debug_shows_neither_query_nor_header_values_nor_body() {
        let request = Request::post(
            "https://example.com/path?secret=hush".to_owned(),
            "application/hush",
            b"hush".to_vec(),
        );
        assert_eq!(
            format!("{request:?}"),
            "Request { method: Post, endpoint: \"https://example.com/path\", \
             headers: [\"Accept\", \"User-Agent\", \"Content-Type\"], body_bytes: 4, .. }"
        );
        let reply = Reply { status: 200, body: b"hush" };
        assert_eq!(format!("{reply:?}"), "Reply { status: 200, body_bytes: 4 }");
    }

    #[test]
    fn a_header_is_found_in_any_case_and_only_once() {
        let headers = [("Request-ID", "1"), ("x-twice", "hush"), ("X-Twice", "hush")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()));
        let headers = Headers(&headers);
        for (name, value) in [
            ("Request-ID", Some("1")),
            ("request-id", Some("1")),
            ("x-twice", None),
            ("x-none", None),
            ("", None),
        ] {
            assert_eq!(headers.get(name), value, "{name}");
        }
        let reply = SignedReply { status: 200, headers, body: b"hush" };
        assert_eq!(
            format!("{reply:?}"),
            "SignedReply { status: 200, headers: [\"Request-ID\", \"x-twice\", \"X-Twice\"], \
             body_bytes: 4 }"
        );
    }
}
