//! Routes, each with its audience.
//!
//! [`Routes`] is the only way to add a route, and it has no method that leaves the audience open (I8).
//! What is said here is enforced before the handler runs, and stands in the OpenAPI document as
//! `x-audience` and `x-permission`, from which a test calls every route under every role.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use axum::extract::{MatchedPath, Request};
use axum::handler::Handler;
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodFilter, MethodRouter};
use utoipa::openapi::HttpMethod;

use crate::auth::caller;
use crate::auth::permission::Permission;
use crate::document::{Described, Operation};
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

/// `routes!(handler)`, `routes!(module::handler, …)`: handlers as [`Routes`] takes them, with the path
/// and method that `#[utoipa::path]` says of each.
#[macro_export]
macro_rules! routes {
    (@route $handler:ident) => {
        paste::paste! {
            $crate::http::routes::Route::new::<[<__path_ $handler>], _, _>($handler)
        }
    };
    (@route $module:ident :: $handler:ident) => {
        paste::paste! {
            $crate::http::routes::Route::new::<$module::[<__path_ $handler>], _, _>($module::$handler)
        }
    };
    ($($name:ident $(:: $handler:ident)?),+ $(,)?) => {
        vec![$($crate::routes!(@route $name $(:: $handler)?)),+]
    };
}

/// A handler that has no audience yet. Only [`Routes`] can have it called.
pub struct Route {
    path: String,
    methods: Vec<HttpMethod>,
    handler: Erased,
    described: Described,
}

/// Handlers lose their types before axum sees them: what it makes of a type, it makes once.
type Erased = Arc<dyn Fn(Request) -> Answering + Send + Sync>;
type Answering = Pin<Box<dyn Future<Output = Response> + Send>>;

impl Route {
    /// A handler with its operation; [`routes!`] finds it.
    #[must_use]
    pub fn new<O, H, T>(handler: H) -> Self
    where
        O: Operation,
        H: Handler<T, (), Future = Answering>,
    {
        Self {
            path: O::path(),
            methods: O::methods(),
            handler: Arc::new(move |request| handler.clone().call(request, ())),
            described: Described::of::<O>(),
        }
    }
}

fn filter(method: &HttpMethod) -> MethodFilter {
    match method {
        HttpMethod::Get => MethodFilter::GET,
        HttpMethod::Put => MethodFilter::PUT,
        HttpMethod::Post => MethodFilter::POST,
        HttpMethod::Head => MethodFilter::HEAD,
        HttpMethod::Patch => MethodFilter::PATCH,
        HttpMethod::Trace => MethodFilter::TRACE,
        HttpMethod::Delete => MethodFilter::DELETE,
        HttpMethod::Options => MethodFilter::OPTIONS,
    }
}

/// A slice's routes.
#[derive(Default)]
pub struct Routes {
    router: axum::Router,
    described: Described,
}

impl Routes {
    /// No routes yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds routes that anybody may call.
    #[must_use]
    pub fn public(self, routes: Vec<Route>) -> Self {
        self.add(Audience::Public, routes)
    }

    /// Adds routes for signed-in members.
    #[must_use]
    pub fn member(self, routes: Vec<Route>) -> Self {
        self.add(Audience::Member, routes)
    }

    /// Adds routes for any member of staff, about themselves.
    #[must_use]
    pub fn any_staff(self, routes: Vec<Route>) -> Self {
        self.add(Audience::AnyStaff, routes)
    }

    /// Adds routes for staff with a permission.
    #[must_use]
    pub fn staff(self, permission: Permission, routes: Vec<Route>) -> Self {
        self.add(Audience::Staff(permission), routes)
    }

    /// Adds another slice's routes.
    #[must_use]
    pub fn merge(self, other: Self) -> Self {
        Self {
            router: self.router.merge(other.router),
            described: self.described.merge(other.described),
        }
    }

    fn add(self, audience: Audience, routes: Vec<Route>) -> Self {
        routes.into_iter().fold(self, |all, Route { path, methods, handler, described }| {
            let guarded = move |request| guard(audience, handler, request);
            let methods = methods.iter().fold(MethodRouter::new(), |methods, method| {
                methods.on(filter(method), guarded.clone())
            });
            Self {
                router: all.router.route(&path, methods),
                described: all.described.merge(described.called_by(audience)),
            }
        })
    }

    /// The router, and what the document says of it.
    pub fn finish(self) -> (axum::Router, Described) {
        (self.router, self.described)
    }
}

/// Checks the caller before anything of the request is read.
async fn guard(audience: Audience, handler: Erased, mut request: Request) -> Response {
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
        Ok(()) => handler(request).await,
        Err(problem) => problem.into_response(),
    }
}
