//! The OpenAPI document.
//!
//! [`made`] makes it from the handlers and their types, on the machine that builds; `openapi.json` is
//! what it made, checked in, and the Worker serves that file. In the Worker nothing describes an
//! operation: the code for it was a tenth of the script. A test in [`made`] holds the file against
//! the handlers, and `UPDATE=1 cargo test -p zhundian openapi` writes it anew.

use serde::Serialize;
use utoipa::__dev::{SchemaReferences, Tags};
use utoipa::ToSchema;

#[cfg(not(target_arch = "wasm32"))]
pub mod made;

#[cfg(not(target_arch = "wasm32"))]
pub use made::Described;

/// `openapi.json`, without its white space (`build.rs`).
pub const JSON: &str = include_str!(concat!(env!("OUT_DIR"), "/openapi.json"));

/// What `#[utoipa::path]` says of a handler.
pub trait Operation: utoipa::Path + for<'a> Tags<'a> + SchemaReferences {}

impl<T: utoipa::Path + for<'a> Tags<'a> + SchemaReferences> Operation for T {}

/// What the document says of some routes: in the Worker, nothing.
#[cfg(target_arch = "wasm32")]
#[derive(Default)]
pub struct Described;

#[cfg(target_arch = "wasm32")]
impl Described {
    /// Nothing of an operation.
    #[must_use]
    pub fn of<O: Operation>() -> Self {
        Self
    }

    /// Nothing of who may call it.
    #[must_use]
    pub fn called_by(self, _: crate::http::routes::Audience) -> Self {
        self
    }

    /// Nothing of others.
    #[must_use]
    pub fn merge(self, _: Self) -> Self {
        self
    }
}

/// Which parts of the deployment answer.
#[derive(Serialize, ToSchema)]
pub struct Health {
    /// All of them.
    pub ok: bool,
    /// D1.
    pub database: bool,
    /// The calendar objects.
    pub calendars: bool,
}
