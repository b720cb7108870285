//! stub
/// Runs.
pub async fn run(_env: worker::Env, _cron: &str) {}
