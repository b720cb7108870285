//! Zhundian (准点): booking for stores and at-home services, on Cloudflare Workers.
//!
//! This crate is the Worker: what needs bindings, D1 and HTTP. The rules are in `zhundian_domain`, the
//! calendar object is in `zhundian_durable_objects`, the protocols of WeChat and SMS in
//! `zhundian_providers`. README.md walks one booking through all of them.

pub mod app;
pub mod auth;
pub mod booking;
pub mod calendars;
pub mod catalog;
pub mod config;
pub mod d1;
pub mod document;
pub mod error;
pub mod express;
pub mod extras;
pub mod http;
pub mod jobs;
pub mod member;
pub mod operations;
pub mod order;
pub mod outbox;
pub mod payment;
pub mod plan;
pub mod reminder;
pub mod session;
pub mod staff;
pub mod visit;
pub mod waitlist;

pub use zhundian_durable_objects::Calendar;

use worker::{Context, Env, Request, Result, ScheduleContext, ScheduledEvent, event};

#[event(fetch)]
async fn fetch(request: Request, env: Env, context: Context) -> Result<web_sys::Response> {
    app::fetch(request, env, context).await
}

#[event(scheduled)]
async fn scheduled(event: ScheduledEvent, env: Env, _context: ScheduleContext) {
    jobs::run(env, &event.cron()).await;
}
