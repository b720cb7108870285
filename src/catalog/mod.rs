//! stub
use crate::http::Routes;
pub mod photos;
pub mod windows;
/// Routes.
pub fn routes() -> Routes {
    Routes::new()
}

/// Stub.
pub const ELIGIBLE: &str = "(CASE WHEN EXISTS (SELECT 1 FROM service_technician st WHERE st.service_id = s.id)
    THEN EXISTS (SELECT 1 FROM service_technician st WHERE st.service_id = s.id AND st.technician_id = t.id)
    ELSE NOT EXISTS (SELECT 1 FROM service_skill ss WHERE ss.service_id = s.id AND NOT EXISTS
        (SELECT 1 FROM technician_skill k WHERE k.technician_id = t.id AND k.skill = ss.skill)) END)";
