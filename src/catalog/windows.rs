//! stub
/// Stub.
pub async fn sync(
    _ctx: &crate::http::Ctx,
    _id: &crate::http::fields::Id,
) -> crate::error::Answer<()> {
    Ok(())
}
