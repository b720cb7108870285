//! stub
use crate::error::Answer;
use crate::http::Ctx;
/// Stub.
pub async fn send_sms(
    _ctx: &Ctx,
    _template: &str,
    _phone: &zhundian_providers::phone::Phone,
    _params: &[&str],
) -> Answer<()> {
    Ok(())
}
