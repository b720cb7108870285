//! stub
use crate::http::Routes;
pub mod photos;
/// Routes.
pub fn routes() -> Routes {
    Routes::new()
}
