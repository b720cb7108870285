// The baseline: what the platform alone costs. It makes the calls that each row cannot do
// without, in plain JavaScript, as cheaply as they can be written, and answers as many bytes as we do. It
// checks no rule, keeps no log line, and would be no booking system; bench/README.md says what is left
// out.
//
// Its database is a copy of ours, so that both read and write the same tables, rows and indexes.

import { DurableObject } from 'cloudflare:workers';

import { notice, pay, refund } from './payments.mjs';
import { call, DAY_MS, filler, json, newId, verify } from './shared.mjs';

const HOLD_MS = 5 * 60_000;
const PROJECTION_GRACE_MS = 30_000;

export default {
  fetch(request, env, ctx) {
    const url = new URL(request.url);
    if (url.pathname === '/availability') return availability(url.searchParams, env);
    if (url.pathname === '/bookings' && request.method === 'POST') return book(request, url.searchParams, env, ctx);
    if (url.pathname.startsWith('/pay/')) return pay(request, url, env);
    if (url.pathname === '/webhooks/wechat-pay') return notice(request, url, env, ctx);
    if (url.pathname.startsWith('/refunds/')) return refund(request, url, env, ctx);
    return new Response(null, { status: url.pathname === '/healthz' ? 200 : 404 });
  },
};

// Availability: one read of the rows that ours reads, and as many bytes.

async function availability(query, env) {
  const rows = await env.DB.prepare(
    `SELECT d.calendar, d.day, d.free FROM technician_store t
     JOIN calendar_day d ON d.store_id = t.store_id AND d.calendar = 'technician:' || t.technician_id
     WHERE t.store_id = ?1 AND d.day BETWEEN ?2 AND ?3`,
  ).bind(query.get('store_id'), Number(query.get('first_day')), Number(query.get('last_day'))).all();
  if (rows.results.length !== Number(query.get('rows'))) return new Response('other rows', { status: 500 });
  return json(200, filler(Number(query.get('bytes'))));
}

// Booking: the rate limiter, a batch of four reads, one call of the calendar object, a batch of seven
// statements; after the answer one more call and a batch of two.

async function book(request, query, env, ctx) {
  const member = await verify(request.headers.get('authorization'), env);
  if (!member) return new Response('token', { status: 401 });
  const limit = await env.LIMIT_BOOKING.limit({ key: member.sub });
  if (!limit.success) return new Response('limit', { status: 429 });
  const { store_id, service_id, technician_id, start_at } = await request.json();
  const actor = `member:${member.sub}`;
  const key = request.headers.get('idempotency-key');
  const calendar = `technician:${technician_id}`;
  const start = Date.parse(start_at);
  const day = Math.floor(start / DAY_MS);
  const now = Date.now();

  const db = env.DB;
  const [stored, offer, contact, active] = await db.batch([
    db.prepare('SELECT request_hash, status, response FROM idempotency WHERE actor = ?1 AND key = ?2').bind(actor, key),
    db.prepare(
      `SELECT s.duration_minutes, s.price_fen, s.name AS service, t.name AS technician, o.name AS store, o.hours,
        (SELECT group_concat(day || free, '') FROM calendar_day
          WHERE store_id = ?1 AND calendar = ?2 AND day BETWEEN ?3 AND ?4) AS free
       FROM service s, technician t, store o
       WHERE s.id = ?5 AND t.id = ?6 AND o.id = ?1`,
    ).bind(store_id, calendar, day - 2, day + 3, service_id, technician_id),
    db.prepare('SELECT nickname, phone FROM member WHERE id = ?1').bind(member.sub),
    db.prepare("SELECT 1 FROM member WHERE id = ?1 AND token_version = ?2 AND status = 'active'").bind(member.sub, member.ver),
  ]);
  if (stored.results.length > 0 || offer.results.length !== 1 || active.results.length !== 1) {
    return new Response('reads', { status: 500 });
  }
  const { duration_minutes, price_fen } = offer.results[0];
  const claim = {
    id: newId(), op: newId(), store_id, start, end: start + duration_minutes * 60_000, expires_at: now + HOLD_MS,
  };

  const held = await call(env, calendar, '/hold', claim);
  if (!held.held) return json(409, filler(Number(query.get('refused_bytes'))));

  const order = newId();
  const answer = filler(Number(query.get('bytes')));
  const outbox = newId();
  await db.batch([
    db.prepare(
      `INSERT INTO idempotency (actor, key, request_hash, status, response, created_at)
       VALUES (?1, ?2, ?3, 201, ?4, ?5)`,
    ).bind(actor, key, claim.op + claim.op, answer, now),
    db.prepare(
      `SELECT 1 FROM service s, store o, technician t, member m WHERE s.id = ?1 AND s.status = 'active'
        AND o.id = ?2 AND o.status = 'open' AND t.id = ?3 AND t.status = 'active'
        AND m.id = ?4 AND m.status = 'active'`,
    ).bind(service_id, store_id, technician_id, member.sub),
    db.prepare(
      `INSERT INTO orders (id, member_id, store_id, service_id, status, mode, payment, total_fen,
          due_fen, price_parts, change_notice_minutes, contact_name, contact_phone, note,
          technician_id, start_at, created_at, updated_at)
       VALUES (?1, ?2, ?3, ?4, 'confirmed', 'direct', 'at_store', ?5, 0, ?6, 60, ?7, ?8, '', ?9, ?10, ?11, ?11)`,
    ).bind(
      order, member.sub, store_id, service_id, price_fen, `[{"kind":"service","fen":${price_fen}}]`,
      contact.results[0].nickname, contact.results[0].phone, technician_id, start, now,
    ),
    db.prepare(
      `INSERT INTO order_line (id, order_id, kind, store_id, service_id, technician_id, claim_id,
          start_at, end_at, block_start, block_end, date, status, price_fen)
       VALUES (?1, ?2, 'appointment', ?3, ?4, ?5, ?1, ?6, ?7, ?6, ?7, ?8, 'live', ?9)`,
    ).bind(claim.id, order, store_id, service_id, technician_id, start, claim.end, start_at.slice(0, 10), price_fen),
    db.prepare(
      `INSERT INTO order_event (id, order_id, at, kind, actor_kind, actor_id, detail)
       VALUES (?1, ?2, ?3, 'booked', 'member', ?4, ?5)`,
    ).bind(newId(), order, now, member.sub, JSON.stringify({ start_at: start, technician_id })),
    db.prepare(
      `INSERT INTO outbox (id, topic, payload, due_at, created_at) VALUES (?1, 'confirm', ?2, ?3, ?4)`,
    ).bind(outbox, JSON.stringify({ topic: 'confirm', calendar, claim, day, order }), now + 20_000, now),
    db.prepare(
      `INSERT INTO calendar_day (store_id, day, calendar, free, version) VALUES (?1, ?2, ?3, ?4, ?5)
       ON CONFLICT (store_id, calendar, day) DO UPDATE SET free = excluded.free, version = excluded.version
       WHERE calendar_day.version < excluded.version`,
    ).bind(store_id, day, calendar, held.free, held.version),
  ]);
  // An order that was given up meanwhile keeps no time: a look whether it stands, and the row's end.
  const follow = () => db.batch([
    db.prepare(
      `INSERT INTO outbox (id, topic, payload, due_at, created_at) SELECT ?1, 'release', ?2, ?3, ?3
       WHERE NOT EXISTS (SELECT 1 FROM order_line WHERE claim_id = ?4 AND status = 'live')`,
    ).bind(newId(), JSON.stringify({ topic: 'release', calendar, claim_id: claim.id }), now, claim.id),
    db.prepare('DELETE FROM outbox WHERE id = ?1').bind(outbox),
  ]);
  ctx.waitUntil(call(env, calendar, '/confirm', claim).then(follow));
  return json(201, answer);
}

// The calendar object: a check, a claim and an outbox row in one synchronous stretch, one alarm.

export class BareCalendar extends DurableObject {
  constructor(ctx, env) {
    super(ctx, env);
    this.sql = ctx.storage.sql;
    this.alarmAt = 0;
    this.sql.exec(`CREATE TABLE IF NOT EXISTS claim (
        id TEXT PRIMARY KEY NOT NULL, op TEXT NOT NULL, store_id TEXT NOT NULL,
        block_start INTEGER NOT NULL, block_end INTEGER NOT NULL, state TEXT NOT NULL, expires_at INTEGER
      ) STRICT, WITHOUT ROWID;
      CREATE INDEX IF NOT EXISTS claim_start ON claim (block_start);
      CREATE TABLE IF NOT EXISTS outbox (
        store_id TEXT NOT NULL, day INTEGER NOT NULL, due_at INTEGER NOT NULL, PRIMARY KEY (store_id, day)
      ) STRICT, WITHOUT ROWID;`);
  }

  async fetch(request) {
    const claim = await request.json();
    const day = Math.floor(claim.start / DAY_MS);
    if (request.url.endsWith('/confirm')) {
      this.sql.exec("UPDATE claim SET state = 'confirmed', expires_at = NULL WHERE id = ?", claim.id);
      this.sql.exec('DELETE FROM outbox WHERE store_id = ? AND day = ?', claim.store_id, day);
      return Response.json({ outcome: 'confirmed', days: [] });
    }
    const now = Date.now();
    const taken = this.sql.exec(
      'SELECT 1 FROM claim WHERE block_start > ? AND block_start < ? AND block_end > ? LIMIT 1',
      claim.start - DAY_MS, claim.end, claim.start,
    ).toArray().length > 0;
    const answer = { held: !taken, claim, day, free: 'f'.repeat(72), version: now };
    if (taken) return Response.json(answer);
    this.sql.exec(
      "INSERT INTO claim (id, op, store_id, block_start, block_end, state, expires_at) VALUES (?, ?, ?, ?, ?, 'held', ?)",
      claim.id, claim.op, claim.store_id, claim.start, claim.end, claim.expires_at,
    );
    this.sql.exec(
      'INSERT INTO outbox (store_id, day, due_at) VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET due_at = excluded.due_at',
      claim.store_id, day, now + PROJECTION_GRACE_MS,
    );
    if (this.alarmAt <= now) {
      this.alarmAt = now + PROJECTION_GRACE_MS;
      this.ctx.storage.setAlarm(this.alarmAt);
    }
    return Response.json(answer);
  }

  alarm() {
    this.sql.exec("DELETE FROM claim WHERE state = 'held' AND expires_at <= ?", Date.now());
  }
}
