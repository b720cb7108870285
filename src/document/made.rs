//! The OpenAPI document as the handlers and their types say it: the operations, and the frame, which is
//! what it says of the API as a whole. Not in the Worker.

use std::fmt::Write as _;

use utoipa::openapi::extensions::Extensions;
use utoipa::openapi::path::{self, PathItem};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{ContentBuilder, Ref, RefOr, ResponseBuilder, Schema};
use utoipa::{Modify, OpenApi, ToSchema};

use crate::document::Operation;
use crate::error::Code;
use crate::http::routes::Audience;

/// What the document says of some routes, with each schema that an operation refers to: of two with one
/// name the document keeps one.
#[derive(Default)]
pub struct Described(utoipa::openapi::OpenApi, Vec<(String, RefOr<Schema>)>);

impl Described {
    /// A handler's operation, with the schemas that it refers to.
    #[must_use]
    pub fn of<O: Operation>() -> Self {
        let mut operation = O::operation();
        let tags = O::tags();
        operation.tags.get_or_insert_default().extend(tags.into_iter().map(str::to_owned));
        let mut schemas = Vec::new();
        O::schemas(&mut schemas);
        let mut document = utoipa::openapi::OpenApi::default();
        document.paths.add_path_operation(O::path(), O::methods(), operation);
        document.components.get_or_insert_default().schemas.extend(schemas.clone());
        Self(document, schemas)
    }

    /// The same, with who may call it.
    #[must_use]
    pub fn called_by(mut self, audience: Audience) -> Self {
        for operation in self.0.paths.paths.values_mut().flat_map(operations) {
            describe(operation, audience);
        }
        self
    }

    /// The same and others.
    #[must_use]
    pub fn merge(mut self, other: Self) -> Self {
        self.0.merge(other.0);
        self.1.extend(other.1);
        self
    }

    /// Names that different schemas have.
    #[cfg(test)]
    fn twice(&self) -> Vec<String> {
        let mut known = std::collections::BTreeMap::new();
        let frame = Document::openapi().components.unwrap_or_default().schemas;
        let all = frame.iter().chain(self.1.iter().map(|(name, schema)| (name, schema)));
        let mut twice: Vec<_> = all
            .filter(|(name, schema)| *known.entry(*name).or_insert(*schema) != *schema)
            .map(|(name, _)| name.clone())
            .collect();
        twice.sort_unstable();
        twice.dedup();
        twice
    }

    /// The whole document, as the file has it.
    ///
    /// # Errors
    /// None that is known of: there is nothing in it that JSON has not.
    pub fn document(self) -> serde_json::Result<String> {
        let mut document = Document::openapi();
        document.merge(self.0);
        Ok(document.to_pretty_json()? + "\n")
    }
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut path::Operation> {
    [&mut item.get, &mut item.put, &mut item.post, &mut item.delete, &mut item.patch]
        .into_iter()
        .filter_map(Option::as_mut)
}

fn describe(operation: &mut path::Operation, audience: Audience) {
    let (name, permission) = match audience {
        Audience::Public => ("public", None),
        Audience::Member => ("member", None),
        Audience::AnyStaff => ("staff", None),
        Audience::Staff(permission) => ("staff", Some(permission.as_str())),
    };
    let said = [("x-audience", Some(name)), ("x-permission", permission)];
    let said = said.into_iter().filter_map(|(key, value)| Some((key, value?)));
    // A map that is in another order each time, and the file must not be.
    operation.extensions = std::iter::repeat_with(|| said.clone().collect::<Extensions>())
        .find(|extensions| extensions.keys().is_sorted());
    if audience == Audience::Public {
        operation.security = Some(Vec::new());
    } else {
        operation.security = Some(vec![SecurityRequirement::new(name, Vec::<String>::new())]);
    }
    // Every operation may answer a problem; which codes there are stands in the document's preface.
    let problem = ResponseBuilder::new()
        .description("A problem (RFC 9457); `code` says which.")
        .content(
            "application/problem+json",
            ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build(),
        )
        .build();
    operation.responses.responses.insert("default".into(), RefOr::T(problem));
}

/// A problem (RFC 9457). More members may follow, by code: `alternatives`, `current`, `appointments`.
#[derive(ToSchema)]
#[expect(dead_code, reason = "a schema; problems are written by error.rs")]
struct Problem {
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
struct FieldFault {
    /// A JSON path, a query parameter or a header.
    field: String,
    /// As of the problem.
    code: String,
    /// As of the problem.
    message: String,
}

/// The document without operations.
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
struct Document;

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

#[cfg(test)]
mod tests {
    use std::fs;

    use serde_json::Value;

    const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/openapi.json");

    #[test]
    fn openapi_json_is_what_the_handlers_say() {
        let (_, described) = crate::app::routes().finish();
        let made = described.document().unwrap();
        if std::env::var("UPDATE").is_ok_and(|update| update == "1") {
            fs::write(FILE, &made).unwrap();
        }
        let kept = fs::read_to_string(FILE).unwrap_or_default();
        let (kept, made) = (kept.lines().collect::<Vec<_>>(), made.lines().collect::<Vec<_>>());
        let Some(at) = (0..kept.len().max(made.len())).find(|&at| kept.get(at) != made.get(at))
        else {
            return;
        };
        panic!(
            "openapi.json is not what the handlers say:\n{FILE}:{}\n  it has      {:?}\n  they say    {:?}\n\
             `UPDATE=1 cargo test -p zhundian openapi` writes it anew; then look at its diff",
            at + 1,
            kept.get(at).unwrap_or(&"no such line"),
            made.get(at).unwrap_or(&"no such line"),
        );
    }

    #[test]
    fn no_two_schemas_have_one_name() {
        let (_, described) = crate::app::routes().finish();
        assert_eq!(
            described.twice(),
            Vec::<String>::new(),
            "`#[schema(as = …)]` gives one another"
        );
    }

    #[test]
    fn openapi_json_loses_only_white_space() {
        let read = |text: &str| serde_json::from_str::<Value>(text).unwrap();
        assert_eq!(read(crate::document::JSON), read(include_str!("../../openapi.json")));
        assert!(!crate::document::JSON.contains('\n'));
    }
}
