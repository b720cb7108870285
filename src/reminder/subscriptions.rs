//! A member's consents to subscribe messages: what `wx.requestSubscribeMessage` has answered.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use zhundian_domain::reminder::Kind;

use crate::auth::caller::{Member, TokenMember};
use crate::d1::Statement;
use crate::error::{Answer, Code, Problem};
use crate::http::extract::Body;
use crate::http::fields::{List, Text};
use crate::http::limits::{self, Limiter};
use crate::http::{Ctx, Json};
use crate::reminder::queries;

/// What the member has answered to a template.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// One message may be sent.
    Accept,
    /// As `accept`, with a sound.
    #[serde(rename = "acceptWithAudio")]
    AcceptWithAudio,
    /// None may.
    Reject,
    /// WeChat does not let the template be used.
    Ban,
    /// WeChat has not asked, because another template has the same title.
    Filter,
}

/// One template of a prompt with its answer.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Answered {
    /// As WeChat calls it.
    template_id: Text<1, 64>,
    /// What the prompt has given for it.
    result: Reply,
}

type Results = List<Answered, 3>;

/// What `wx.requestSubscribeMessage` has given.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Answers {
    /// Its templates; WeChat lets a prompt have 3 at most.
    results: Results,
}

/// A template that the mini program may ask consent for.
#[derive(Serialize, ToSchema)]
pub struct Asked {
    /// As WeChat calls it.
    template_id: String,
    /// What it tells: `booked`, `changed`, `cancelled`, `before`, `no_show`, `lost`, `waitlist_offer`, `plan`.
    kinds: Vec<String>,
    /// Messages that may still be sent by it.
    balance: i64,
}

/// The templates, with a member's consents.
#[derive(Serialize, ToSchema)]
pub struct Subscriptions {
    /// What there is to ask for.
    templates: Vec<Asked>,
}

/// What I may be told by WeChat
#[utoipa::path(
    get, path = "/api/v1/me/subscriptions", tag = "member", operation_id = "my_subscriptions",
    responses((status = 200, description = "The templates to ask consent for", body = Subscriptions)),
)]
pub(crate) async fn read(ctx: Ctx, member: TokenMember) -> Answer<Json<Subscriptions>> {
    let rows = ctx.db()?.read(vec![member.check(), queries::consents(&member.id)]).await?;
    member.checked(&rows, 0)?;
    Ok(Json(subscriptions(&ctx, &rows.one(1)?)))
}

/// Let me be told by WeChat
///
/// Each `accept` is good for one message. What was answered to a template twice counts twice, so a client
/// sends each answer once; WeChat itself sends no more than it was allowed.
#[utoipa::path(
    post, path = "/api/v1/me/subscriptions", tag = "member", operation_id = "subscribe",
    request_body = Answers,
    responses((status = 200, description = "The templates as they are now", body = Subscriptions)),
)]
pub(crate) async fn add(
    ctx: Ctx,
    member: Member,
    Body(Answers { results }): Body<Answers>,
) -> Answer<Json<Subscriptions>> {
    limits::count(&ctx, Limiter::Booking, &format!("subscribe:{}", member.id)).await?;
    let known = ctx.config().templates.all_wechat();
    let mut accepted: Vec<&str> = Vec::new();
    for (at, one) in results.0.iter().enumerate() {
        let id = one.template_id.as_str();
        if !known.iter().any(|template| template.id == id) {
            let field = format!("results[{at}].template_id");
            return Err(Problem::from(Code::UnknownTemplate).at(field));
        }
        if results.0.iter().take(at).any(|before| before.template_id.as_str() == id) {
            return Err(Problem::from(Code::DuplicateItem).at("results"));
        }
        if matches!(one.result, Reply::Accept | Reply::AcceptWithAudio) {
            accepted.push(id);
        }
    }
    let accepted = serde_json::to_string(&accepted).map_err(Problem::internal)?;
    let statements: Vec<Statement> =
        vec![queries::add_consents(&member.id, &accepted, ctx.now), queries::consents(&member.id)];
    let rows = ctx.db()?.batch(statements).await?;
    Ok(Json(subscriptions(&ctx, &rows.one(1)?)))
}

fn subscriptions(ctx: &Ctx, left: &BTreeMap<String, i64>) -> Subscriptions {
    let mut templates: Vec<Asked> = Vec::new();
    for one in ctx.config().templates.all_wechat() {
        let kind = Kind::as_str(one.kind).to_owned();
        match templates.iter_mut().find(|known| known.template_id == one.id) {
            Some(known) => known.kinds.push(kind),
            None => templates.push(Asked {
                template_id: one.id.clone(),
                kinds: vec![kind],
                balance: left.get(&one.id).copied().unwrap_or(0),
            }),
        }
    }
    Subscriptions { templates }
}
