//! Lists by cursor: `limit`, `cursor`, `next_cursor`.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::error::{Answer, Code, Problem};

/// Items in a page when nothing else is asked for.
pub const DEFAULT_LIMIT: u32 = 20;
/// Most items in a page.
pub const MAX_LIMIT: u32 = 100;

/// One page of a list.
#[derive(Serialize, Deserialize, ToSchema)]
pub struct Page<T> {
    /// In the list's order.
    pub items: Vec<T>,
    /// Give it as `cursor` to get what follows; absent on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}

impl<T> Page<T> {
    /// A page of `items`, of which one more than `limit` were asked for. `key` is what a list is
    /// ordered by.
    pub fn of<K: Serialize>(mut items: Vec<T>, limit: u32, key: impl Fn(&T) -> K) -> Self {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let more = items.len() > limit;
        items.truncate(limit);
        let next_cursor = if more { items.last().map(|last| encode(&key(last))) } else { None };
        Self { items, next_cursor }
    }
}

fn encode(key: &impl Serialize) -> String {
    URL_SAFE_NO_PAD.encode(serde_json::to_vec(key).unwrap_or_default())
}

/// The key after which to go on.
///
/// # Errors
/// `invalid_cursor`.
pub fn decode<K: DeserializeOwned>(cursor: Option<&str>) -> Answer<Option<K>> {
    let Some(cursor) = cursor else { return Ok(None) };
    let invalid = || Problem::from(Code::InvalidCursor).at("cursor");
    let bytes = URL_SAFE_NO_PAD.decode(cursor).map_err(|_| invalid())?;
    serde_json::from_slice(&bytes).map(Some).map_err(|_| invalid())
}
