//! Sending what is due.

use chrono::Datelike as _;
use futures_util::StreamExt as _;
use serde::Deserialize;
use zhundian_domain::order::Status;
use zhundian_domain::reminder::{Appointment, Decision, Kind, Message, To, decide};
use zhundian_domain::time::wall_at;
use zhundian_domain::zone::Zone;
use zhundian_providers::phone::Phone;
use zhundian_providers::wechat::WechatError;
use zhundian_providers::wechat::subscribe::{SubscribeMessage, SubscribeOutcome};

use crate::d1::{DbError, Statement};
use crate::error::{Answer, Code, Problem};
use crate::http::context::now_ms;
use crate::http::fields::Id;
use crate::http::{Ctx, outbound};
use crate::member;
use crate::reminder::queries;
use crate::reminder::templates::{self, Field};

/// Messages read at once.
const ROWS: u32 = 100;
/// Messages under way at once, each with a connection of its own.
const AT_ONCE: usize = 4;
/// After so long nobody is at a message any more that was taken for sending.
const SENDING_MS: i64 = 5 * 60_000;
/// The first pause after which a message that nobody took is tried again; each is twice the one before.
const FIRST_PAUSE_MS: i64 = 60_000;
/// The longest of these pauses.
const MAX_PAUSE_MS: i64 = 3_600_000;

/// What a run has done.
#[derive(Default, Debug)]
pub struct Run {
    /// Gone out.
    pub sent: u32,
    /// Not told, with a reason.
    pub skipped: u32,
    /// To be looked at again.
    pub waiting: u32,
    /// Refused for good.
    pub failed: u32,
    /// Nobody knows.
    pub unknown: u32,
}

/// What became of one message.
enum Became {
    Sent,
    Skipped,
    Waiting,
    Failed,
    Unknown,
}

#[derive(Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "what is so and what is not, as the row has it")]
struct Row {
    id: Id,
    kind: Kind,
    recipient: String,
    order_id: Option<Id>,
    start_at: Option<i64>,
    due_at: i64,
    expires_at: i64,
    at_once: bool,
    attempts: i64,
    wechat_refused: bool,
    superseded: bool,
    holds: bool,
    appointment: Option<Standing>,
    says: Says,
    contact: Contact,
}

#[derive(Deserialize)]
struct Standing {
    status: Status,
    version: i64,
    line_version: i64,
    live: bool,
    begun: bool,
    start_at: i64,
    technician_id: Option<Id>,
}

#[derive(Deserialize)]
struct Says {
    time_zone: Zone,
    store: String,
    address: String,
    phone: String,
    sessions: i64,
    service: Option<String>,
    technician: Option<String>,
    customer: Option<String>,
}

#[derive(Deserialize)]
struct Contact {
    member_id: Option<Id>,
    openid: Option<String>,
    phone: Option<String>,
    consents: Vec<String>,
}

impl Row {
    fn technician(&self) -> Option<&str> {
        self.recipient.strip_prefix("technician:")
    }

    fn to(&self) -> To {
        if self.technician().is_some() { To::Technician } else { To::Customer }
    }

    fn decide(&self, ctx: &Ctx, now: i64) -> Decision {
        let message = Message {
            kind: self.kind,
            to: self.to(),
            start_at: self.start_at,
            due_at: self.due_at,
            expires_at: self.expires_at,
            at_once: self.at_once,
            superseded: self.superseded,
            holds: self.holds,
        };
        let appointment = self.appointment.as_ref().map(|standing| Appointment {
            status: standing.status,
            live: standing.live,
            begun: standing.begun,
            start_at: standing.start_at,
            own: self.technician().is_none_or(|id| {
                standing.technician_id.as_ref().is_some_and(|has| has.as_str() == id)
            }),
        });
        let quiet = ctx.config().quiet.map(|quiet| (quiet, self.says.time_zone));
        decide(&message, appointment.as_ref(), quiet, now)
    }

    /// What decided is looked at again when the message is taken.
    fn versions(&self) -> Option<(i64, i64)> {
        self.appointment.as_ref().map(|one| (one.version, one.line_version))
    }

    fn text(&self, field: &Field, start: &str) -> String {
        let says = &self.says;
        let known = |text: &Option<String>| text.clone().unwrap_or_default();
        match field {
            Field::Store => says.store.clone(),
            Field::Address => says.address.clone(),
            Field::Phone => says.phone.clone(),
            Field::Service => known(&says.service),
            Field::Technician => known(&says.technician),
            Field::Customer => known(&says.customer),
            Field::Start => start.to_owned(),
            Field::Sessions => says.sessions.to_string(),
            Field::Own(own) => own.clone(),
        }
    }

    /// The start on the store's clock: its date for WeChat, which asks for the year, or for SMS; empty when
    /// it speaks of none.
    fn start(&self, with_year: bool) -> String {
        let Some(wall) = self.start_at.and_then(|at| wall_at(self.says.time_zone, at)) else {
            return String::new();
        };
        let (date, minute) = (wall.date, wall.minute);
        let year = if with_year { format!("{}年", date.year()) } else { String::new() };
        let (month, day) = (date.month(), date.day());
        format!("{year}{month:02}月{day:02}日 {:02}:{:02}", minute / 60, minute % 60)
    }
}

/// Sends what is due, until nothing is or `until` (UTC milliseconds) has come.
///
/// # Errors
/// When the messages cannot be read.
pub async fn run(ctx: &Ctx, until: i64) -> Answer<Run> {
    let db = ctx.db()?;
    let now = now_ms();
    let interrupted = db.batch(vec![queries::give_up(now - SENDING_MS, now)]).await?;
    let mut run = Run::default();
    run.unknown += u32::try_from(interrupted.all::<bool>(0)?.len()).unwrap_or(u32::MAX);
    while now_ms() < until {
        let rows: Vec<Row> = db.read(vec![queries::due(now_ms(), ROWS)]).await?.all(0)?;
        if rows.is_empty() {
            break;
        }
        let mut became = futures_util::stream::iter(rows)
            .map(|row| async move { one(ctx, &row, until).await })
            .buffer_unordered(AT_ONCE);
        let mut moved = false;
        while let Some(became) = became.next().await {
            let Some(became) = became else { continue };
            moved = true;
            match became {
                Became::Sent => run.sent += 1,
                Became::Skipped => run.skipped += 1,
                Became::Waiting => run.waiting += 1,
                Became::Failed => run.failed += 1,
                Became::Unknown => run.unknown += 1,
            }
        }
        // Those that somebody has changed in between are there again at once; the next run sees them.
        if !moved {
            break;
        }
    }
    Ok(run)
}

/// One message; `None` when it is left as it was.
async fn one(ctx: &Ctx, row: &Row, until: i64) -> Option<Became> {
    if now_ms() >= until {
        return None;
    }
    match tell(ctx, row).await {
        Ok(became) => became,
        Err(problem) => {
            let cause = problem.cause().unwrap_or_else(|| problem.code().as_str());
            log(ctx, row, "reminder_failed", cause);
            None
        }
    }
}

fn log(ctx: &Ctx, row: &Row, event: &str, cause: &str) {
    worker::console_warn!(
        "{}",
        serde_json::json!({
            "event": event, "request_id": ctx.request_id, "reminder": row.id.as_str(),
            "kind": row.kind, "cause": cause,
        })
    );
}

async fn write(ctx: &Ctx, statements: Vec<Statement>) -> Answer<()> {
    ctx.db()?.batch(statements).await?;
    Ok(())
}

async fn tell(ctx: &Ctx, row: &Row) -> Answer<Option<Became>> {
    let now = now_ms();
    match row.decide(ctx, now) {
        Decision::Skip(reason) => skip(ctx, row, reason.as_str()).await,
        Decision::Wait(at) => {
            write(ctx, vec![queries::wait(&row.id, at, row.attempts)]).await?;
            Ok(Some(Became::Waiting))
        }
        Decision::Send => send(ctx, row).await,
    }
}

async fn skip(ctx: &Ctx, row: &Row, reason: &str) -> Answer<Option<Became>> {
    write(ctx, vec![queries::skip(&row.id, reason, now_ms())]).await?;
    Ok(Some(Became::Skipped))
}

/// By WeChat when there is a consent, and by SMS otherwise.
async fn send(ctx: &Ctx, row: &Row) -> Answer<Option<Became>> {
    let templates = &ctx.config().templates;
    let phone = row.contact.phone.as_deref().and_then(|phone| Phone::parse(phone).ok());
    let sms = templates.sms(row.kind, row.to()).zip(phone);
    let wechat = templates
        .wechat(row.kind)
        .filter(|one| row.to() == To::Customer && !row.wechat_refused && consents(row, one));
    if let Some(template) = wechat {
        match by_wechat(ctx, row, template, sms.is_some()).await? {
            Tried::Ended(became) => return Ok(became),
            Tried::NotTaken => {}
        }
    }
    match sms {
        Some((template, phone)) => by_sms(ctx, row, template, &phone).await,
        None => skip(ctx, row, "unreachable").await,
    }
}

fn consents(row: &Row, template: &templates::Wechat) -> bool {
    row.contact.member_id.is_some()
        && row.contact.openid.is_some()
        && row.contact.consents.contains(&template.id)
}

enum Tried {
    /// That was it.
    Ended(Option<Became>),
    /// Certainly not sent; SMS is next.
    NotTaken,
}

/// Takes a message for sending. `false` when it is not to be had any more, or not as it was read.
async fn take(ctx: &Ctx, statements: Vec<Statement>) -> Answer<Taken> {
    match ctx.db()?.batch(statements).await {
        Ok(_) => Ok(Taken::Ours),
        Err(error) if error.is_constraint("reminder_pending") => Ok(Taken::Changed),
        Err(error) if error.is_constraint("message_consent_balance") => Ok(Taken::NoConsent),
        Err(DbError::Unavailable(cause)) => Err(Problem::unavailable(cause)),
        Err(error) => Err(error.into()),
    }
}

enum Taken {
    Ours,
    Changed,
    NoConsent,
}

async fn by_wechat(
    ctx: &Ctx,
    row: &Row,
    template: &templates::Wechat,
    has_sms: bool,
) -> Answer<Tried> {
    let (Some(member_id), Some(openid)) = (&row.contact.member_id, &row.contact.openid) else {
        return Ok(Tried::NotTaken);
    };
    let start = row.start(true);
    let words: Option<Vec<_>> = template
        .words
        .iter()
        .map(|(name, word, field)| Some((name.clone(), word.fit(&row.text(field, &start))?)))
        .collect();
    let order = row.order_id.as_ref().zip(ctx.config().wechat_order_page.as_ref());
    let page = order.map(|(id, page)| format!("{page}{id}"));
    let message = words.as_ref().map(|words| SubscribeMessage {
        openid,
        template_id: &template.id,
        page: page.as_deref(),
        words,
        published: ctx.config().production,
    });
    // Before the message is taken: without a token nothing can be sent.
    let token = match member::wechat::access_token(ctx, None).await {
        Ok(token) => token,
        Err(problem) => return not_now(ctx, row, has_sms, problem).await,
    };
    let request = message.and_then(|it| ctx.config().wechat.send_message(&token, &it));
    let Some(message) = message.filter(|_| request.is_some()) else {
        log(ctx, row, "reminder_not_said", "a keyword has nothing to say");
        return Ok(Tried::NotTaken);
    };
    let now = now_ms();
    let mut claim: Vec<_> = queries::claim(&row.id, row.versions(), "wechat", now).into();
    claim.extend(queries::use_consent(member_id, &template.id, now));
    match take(ctx, claim).await? {
        Taken::Ours => {}
        Taken::Changed => return Ok(Tried::Ended(None)),
        Taken::NoConsent => return Ok(Tried::NotTaken),
    }
    let mut outcome = post(ctx, &token, &message).await;
    if matches!(outcome, Ok(Err(WechatError::TokenExpired)))
        && let Ok(token) = member::wechat::access_token(ctx, Some(&token)).await
    {
        outcome = post(ctx, &token, &message).await;
    }
    let now = now_ms();
    let back = |reason: &str| {
        vec![
            queries::put_back(&row.id, row.due_at, true, reason),
            queries::give_consent_back(member_id, &template.id, now),
        ]
    };
    match outcome {
        Ok(Ok(SubscribeOutcome::Sent)) => {
            write(ctx, vec![queries::sent(&row.id, now)]).await?;
            Ok(Tried::Ended(Some(Became::Sent)))
        }
        Ok(Ok(SubscribeOutcome::NoConsent)) => {
            let statements = vec![
                queries::put_back(&row.id, row.due_at, true, "wechat_no_consent"),
                queries::void_consents(member_id, &template.id, now),
            ];
            write(ctx, statements).await?;
            Ok(Tried::NotTaken)
        }
        Ok(Ok(SubscribeOutcome::Refused { errcode })) => {
            let reason = format!("wechat_{errcode}");
            log(ctx, row, "reminder_refused", &reason);
            write(ctx, back(&reason)).await?;
            Ok(Tried::NotTaken)
        }
        // Not answered, or in words that nobody knows: it may have gone out.
        Err(cause) => unknown(ctx, row, &cause).await.map(Tried::Ended),
        Ok(Err(error @ WechatError::Unexpected { .. })) => {
            unknown(ctx, row, &error.to_string()).await.map(Tried::Ended)
        }
        Ok(Err(error)) => {
            log(ctx, row, "reminder_refused", &error.to_string());
            write(ctx, back("wechat_unavailable")).await?;
            Ok(Tried::NotTaken)
        }
    }
}

/// WeChat cannot be asked just now: by SMS if that goes, and otherwise later.
async fn not_now(ctx: &Ctx, row: &Row, has_sms: bool, problem: Problem) -> Answer<Tried> {
    log(ctx, row, "reminder_put_off", problem.cause().unwrap_or_else(|| problem.code().as_str()));
    if has_sms {
        return Ok(Tried::NotTaken);
    }
    let at = now_ms() + pause(row.attempts);
    write(ctx, vec![queries::wait(&row.id, at, row.attempts + 1)]).await?;
    Ok(Tried::Ended(Some(Became::Waiting)))
}

async fn post(
    ctx: &Ctx,
    token: &str,
    message: &SubscribeMessage<'_>,
) -> Result<Result<SubscribeOutcome, WechatError>, String> {
    let program = &ctx.config().wechat;
    let request = program.send_message(token, message).ok_or("a malformed message")?;
    let received = outbound::send(&request).await.map_err(|error| error.to_string())?;
    Ok(program.read_send_message(received.reply()))
}

async fn by_sms(
    ctx: &Ctx,
    row: &Row,
    template: &templates::Sms,
    phone: &Phone,
) -> Answer<Option<Became>> {
    let now = now_ms();
    match take(ctx, queries::claim(&row.id, row.versions(), "sms", now).into()).await? {
        Taken::Ours => {}
        Taken::Changed | Taken::NoConsent => return Ok(None),
    }
    let start = row.start(false);
    let texts: Vec<_> =
        template.fields.iter().map(|field| (field.name(), row.text(field, &start))).collect();
    let variables: Vec<_> = texts.iter().map(|(name, text)| (*name, text.as_str())).collect();
    let sent = outbound::sms(ctx, phone, &template.id, &variables).await;
    let now = now_ms();
    let Err(problem) = sent else {
        write(ctx, vec![queries::sent(&row.id, now)]).await?;
        return Ok(Some(Became::Sent));
    };
    let cause = problem.cause().unwrap_or_else(|| problem.code().as_str());
    match problem.code() {
        Code::SmsRefused => {
            log(ctx, row, "reminder_refused", cause);
            write(ctx, vec![queries::ended(&row.id, "failed", "sms_refused", now)]).await?;
            Ok(Some(Became::Failed))
        }
        Code::RateLimited | Code::Misconfigured => {
            log(ctx, row, "reminder_put_off", cause);
            let at = now + pause(row.attempts);
            write(ctx, vec![queries::put_back(&row.id, at, false, problem.code().as_str())])
                .await?;
            Ok(Some(Became::Waiting))
        }
        _ => unknown(ctx, row, cause).await,
    }
}

const fn pause(attempts: i64) -> i64 {
    let doublings = if attempts < 10 { attempts } else { 10 };
    let pause = FIRST_PAUSE_MS << doublings;
    if pause < MAX_PAUSE_MS { pause } else { MAX_PAUSE_MS }
}

/// Nobody knows whether it has gone out: it is not sent again.
async fn unknown(ctx: &Ctx, row: &Row, cause: &str) -> Answer<Option<Became>> {
    log(ctx, row, "reminder_unknown", cause);
    write(ctx, vec![queries::ended(&row.id, "unknown", "no_answer", now_ms())]).await?;
    Ok(Some(Became::Unknown))
}
