//! The OpenAPI document's frame: what it says of the API as a whole.

use std::fmt::Write as _;

use serde::Serialize;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{Modify, OpenApi, ToSchema};

use crate::error::Code;

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

/// A problem (RFC 9457). More members may follow, by code: `alternatives`, `current`, `appointments`.
#[derive(ToSchema)]
#[expect(dead_code, reason = "a schema; problems are written by error.rs")]
pub struct Problem {
    /// Always `about:blank`.
    r#type: String,
    /// A message for a person, in Chinese or English by `Accept-Language`.
    title: String,
    /// The HTTP status.
    status: u16,
    /// Stable; clients branch on it.
    code: String,
    /// For finding the request in the logs.
    request_id: String,
    /// What is wrong with which field.
    fields: Option<Vec<FieldFault>>,
}

/// What is wrong with a field.
#[derive(ToSchema)]
#[expect(dead_code, reason = "a schema; problems are written by error.rs")]
pub struct FieldFault {
    /// A JSON path, a query parameter or a header.
    field: String,
    /// As of the problem.
    code: String,
    /// As of the problem.
    message: String,
}

/// The document.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Zhundian (准点)",
        version = env!("CARGO_PKG_VERSION"),
        description = "Booking for stores and at-home services.",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
    ),
    components(schemas(Problem, FieldFault)),
    modifiers(&Frame),
)]
pub struct Document;

struct Frame;

impl Modify for Frame {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let components = document.components.get_or_insert_default();
        for audience in ["member", "staff"] {
            let scheme = HttpBuilder::new()
                .scheme(HttpAuthScheme::Bearer)
                .bearer_format("JWT")
                .description(Some(format!("A {audience}'s token.")))
                .build();
            components.security_schemes.insert(audience.to_owned(), SecurityScheme::Http(scheme));
        }
        let mut text = document.info.description.clone().unwrap_or_default();
        text.push_str(
            "\n\nMoney is integer fen, instants are RFC 3339 with an offset, ids are 32 hexadecimal \
             digits. Every POST that takes time requires `Idempotency-Key`: the same key with the same \
             request gets the same answer.\n\n| code | status | meaning |\n|---|---|---|\n",
        );
        for code in Code::ALL {
            let (name, status) = (code.as_str(), code.status().as_u16());
            let _ = writeln!(text, "| `{name}` | {status} | {} |", code.message(true));
        }
        document.info.description = Some(text);
    }
}
