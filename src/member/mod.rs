//! stub
use crate::http::Routes;
/// Routes.
pub fn routes() -> Routes {
    Routes::new()
}
