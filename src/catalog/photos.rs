//! stub
/// Paths.
pub const UPLOAD_PATHS: &[&str] = &["api/v1/admin/photos", "api/v1/me/avatar"];
/// Bytes.
pub const MAX_PHOTO_BYTES: usize = 5 * 1024 * 1024;
/// Stub.
pub async fn collect_unused(_ctx: &crate::http::Ctx) -> crate::error::Answer<u32> {
    Ok(0)
}
