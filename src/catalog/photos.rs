//! stub
/// Paths.
pub const UPLOAD_PATHS: &[&str] = &["api/v1/admin/photos", "api/v1/me/avatar"];
/// Bytes.
pub const MAX_PHOTO_BYTES: usize = 5 * 1024 * 1024;
/// Stub.
pub async fn collect_unused(_ctx: &crate::http::Ctx) -> crate::error::Answer<u32> {
    Ok(0)
}
/// Stub.
pub async fn store(
    _ctx: &crate::http::Ctx,
    _bytes: Vec<u8>,
) -> crate::error::Answer<crate::http::fields::Id> {
    Err(crate::error::Code::NotAPhoto.into())
}
