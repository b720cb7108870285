//! Routes, each with its audience.
//!
//! [`Routes`] is the only way to add a route, and it has no method that leaves the audience open (I8).
//! What is said here is enforced before the handler runs, and stands in the OpenAPI document as
//! `x-audience` and `x-permission`, from which a test calls every route under every role.

use axum::extract::{MatchedPath, Request};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use utoipa::openapi::extensions::Extensions;
use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::security::SecurityRequirement;
use utoipa::openapi::{ContentBuilder, OpenApi, Ref, RefOr, ResponseBuilder};
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouter};

use crate::auth::caller;
use crate::auth::permission::Permission;
use crate::error::Code;
use crate::http::Ctx;

/// Who may call a route.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Audience {
    /// Anybody.
    Public,
    /// A signed-in member.
    Member,
    /// Any signed-in member of staff.
    AnyStaff,
    /// A member of staff with a permission in at least one store; the handler checks which.
    Staff(Permission),
}

/// A slice's routes.
#[derive(Default)]
pub struct Routes(OpenApiRouter);

impl Routes {
    /// No routes yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a route that anybody may call.
    #[must_use]
    pub fn public(self, route: UtoipaMethodRouter) -> Self {
        self.add(Audience::Public, route)
    }

    /// Adds a route for signed-in members.
    #[must_use]
    pub fn member(self, route: UtoipaMethodRouter) -> Self {
        self.add(Audience::Member, route)
    }

    /// Adds a route for any member of staff, about themselves.
    #[must_use]
    pub fn any_staff(self, route: UtoipaMethodRouter) -> Self {
        self.add(Audience::AnyStaff, route)
    }

    /// Adds a route for staff with a permission.
    #[must_use]
    pub fn staff(self, permission: Permission, route: UtoipaMethodRouter) -> Self {
        self.add(Audience::Staff(permission), route)
    }

    /// Adds another slice's routes.
    #[must_use]
    pub fn merge(self, other: Self) -> Self {
        Self(self.0.merge(other.0))
    }

    fn add(self, audience: Audience, (schemas, mut paths, router): UtoipaMethodRouter) -> Self {
        for item in paths.paths.values_mut() {
            for operation in operations(item) {
                describe(operation, audience);
            }
        }
        let guarded = router.route_layer(from_fn(move |request: Request, next: Next| {
            guard(audience, request, next)
        }));
        Self(self.0.routes((schemas, paths, guarded)))
    }

    /// The router and its document.
    pub fn finish(self, document: OpenApi) -> (axum::Router, OpenApi) {
        let (router, mut paths) = self.0.split_for_parts();
        let mut document = document;
        document.merge(std::mem::take(&mut paths));
        (router, document)
    }
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    [&mut item.get, &mut item.put, &mut item.post, &mut item.delete, &mut item.patch]
        .into_iter()
        .filter_map(Option::as_mut)
}

fn describe(operation: &mut Operation, audience: Audience) {
    let (name, permission) = match audience {
        Audience::Public => ("public", None),
        Audience::Member => ("member", None),
        Audience::AnyStaff => ("staff", None),
        Audience::Staff(permission) => ("staff", Some(permission.as_str())),
    };
    let mut extensions = Extensions::builder().add("x-audience", name);
    if let Some(permission) = permission {
        extensions = extensions.add("x-permission", permission);
    }
    operation.extensions.get_or_insert_default().merge(extensions.build());
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

/// Checks the caller before anything of the request is read.
async fn guard(audience: Audience, mut request: Request, next: Next) -> Response {
    let Some(ctx) = request.extensions().get::<Ctx>().cloned() else {
        return crate::error::Problem::from(Code::Internal).into_response();
    };
    let route = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned());
    ctx.note(route.as_deref(), None);
    let allowed = match audience {
        Audience::Public => Ok(()),
        Audience::Member => caller::member(&ctx, request.headers()).map(|member| {
            ctx.note(None, Some("member"));
            request.extensions_mut().insert(member);
        }),
        Audience::AnyStaff | Audience::Staff(_) => {
            let needed = match audience {
                Audience::Staff(permission) => Some(permission),
                _ => None,
            };
            caller::staff(&ctx, request.headers(), needed).await.map(|staff| {
                ctx.note(None, Some("staff"));
                request.extensions_mut().insert(staff);
            })
        }
    };
    match allowed {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}
