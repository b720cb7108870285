// The baseline of payments: the signatures, the calls and the statements that a payment cannot do
// without. WebCrypto does what ours lets it do; nothing that is read is compared with anything.

import { call, DAY_MS, encoder, filler, json, newId, verify } from './shared.mjs';

const PREPAY = '/v3/pay/transactions/jsapi';
const REFUNDS = '/v3/refund/domestic/refunds';
const DESCRIPTION = '清静店 肩颈舒缓';
const RSA = { name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-256' };

// Pay: the rate limiter, a signed call and the signature of its reply, the signature of the parameters,
// one batch.

export async function pay(request, url, env) {
  const member = await verify(request.headers.get('authorization'), env);
  if (!member) return new Response('token', { status: 401 });
  const limit = await env.LIMIT_BOOKING.limit({ key: member.sub });
  if (!limit.success) return new Response('limit', { status: 429 });
  const order = url.pathname.slice('/pay/'.length);
  const { openid, store } = await request.json();
  const [now, payment] = [Date.now(), newId()];
  const { prepay_id: prepayId } = await ask(env, PREPAY, {
    appid: env.WECHAT_APPID, mchid: env.WECHAT_PAY_MCHID, description: DESCRIPTION, out_trade_no: payment,
    notify_url: `${env.PUBLIC_URL}/webhooks/wechat-pay`, amount: { total: 5_940, currency: 'CNY' }, payer: { openid },
  });
  const paySign = await sign(env, `${env.WECHAT_APPID}\n${Math.floor(now / 1000)}\n${newId()}\nprepay_id=${prepayId}\n`);
  const actor = `member:${member.sub}`;
  const key = request.headers.get('idempotency-key');
  const answer = filler(Number(url.searchParams.get('bytes')));
  const db = env.DB;
  await db.batch([
    db.prepare('SELECT request_hash, status, response FROM idempotency WHERE actor = ?1 AND key = ?2').bind(actor, key),
    db.prepare(
      `SELECT o.status, o.due_fen, o.hold_expires_at, m.openid, s.name AS store, v.name AS service, s.time_zone
       FROM orders o JOIN member m ON m.id = o.member_id JOIN store s ON s.id = o.store_id
       JOIN service v ON v.id = o.service_id WHERE o.id = ?1`,
    ).bind(order),
    db.prepare("SELECT 1 FROM member WHERE id = ?1 AND token_version = ?2 AND status = 'active'").bind(member.sub, member.ver),
    db.prepare("SELECT 1 FROM orders WHERE id = ?1 AND status = 'pending_payment'").bind(order),
    db.prepare(
      `INSERT INTO payment (id, order_id, store_id, provider, channel, amount_fen, status, description, payer,
          expires_at, check_at, created_at, updated_at)
       VALUES (?1, ?2, ?3, 'wechat_pay', 'wechat_jsapi', 5940, 'pending', ?4, ?5, ?6, ?6, ?7, ?7)`,
    ).bind(payment, order, store, DESCRIPTION, openid, now + 900_000, now),
    keep(db, actor, key, 200, answer, paySign, now),
  ]);
  return json(200, answer);
}

const keep = (db, actor, key, status, answer, hash, now) =>
  db.prepare(
    `INSERT INTO idempotency (actor, key, request_hash, status, response, created_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6)`,
  ).bind(actor, key, hash.slice(0, 64), status, answer, now);

// A notice: its signature, its seal, one read, one batch. After the answer a call of the calendar object
// that takes the time and a batch; the report to WeChat and a batch.

export async function notice(request, url, env, ctx) {
  const body = await request.text();
  const header = (name) => request.headers.get(`wechatpay-${name}`);
  if (!(await signed(env, header('timestamp'), header('nonce'), body, header('signature')))) {
    return new Response('signature', { status: 401 });
  }
  const { event_type: type, resource } = JSON.parse(body);
  const said = JSON.parse(await unseal(env, resource));
  if (type.startsWith('REFUND.')) return refunded(said, env);
  const { order, claim, technician, openid, payment } = JSON.parse(request.headers.get('x-bench'));
  const { total } = said.amount;
  const now = Date.now();
  const db = env.DB;
  const { results } = await db.prepare(
    `SELECT p.status, p.amount_fen, o.status AS order_status, o.version, o.hold_expires_at, o.start_at,
        EXISTS (SELECT 1 FROM payment x WHERE x.order_id = p.order_id AND x.id <> p.id) AS another, l.*
     FROM payment p JOIN orders o ON o.id = p.order_id JOIN order_line l ON l.order_id = o.id WHERE p.id = ?1`,
  ).bind(said.out_trade_no).all();
  if (results.length !== 1) return new Response('payment', { status: 422 });
  // The same notice is sent to this Worker once with and once without what follows.
  const [op, confirm, shipping] = [`paid:${newId()}`, newId(), newId()];
  await db.batch([
    db.prepare(
      `SELECT EXISTS (SELECT 1 FROM payment WHERE id = ?1 AND status = 'pending')
        AND EXISTS (SELECT 1 FROM orders WHERE id = ?2 AND version = ?3) AS known`,
    ).bind(said.out_trade_no, order, results[0].version),
    db.prepare(
      `UPDATE payment SET status = 'paid', transaction_id = ?2, paid_at = ?3, payer = coalesce(payer, ?4), updated_at = ?3
       WHERE id = ?1`,
    ).bind(said.out_trade_no, said.transaction_id, now, openid),
    post(db, `order:${order}`, op, total, now),
    post(db, 'provider:wechat_pay', op, total, now),
    orderIs(db, order, 'paid', now),
    event(db, order, 'paid', 'system', null, { payment_id: payment, amount_fen: total }, now),
    outbox(db, confirm, { topic: 'confirm', calendar: `technician:${technician}`, claim, order_id: order, paid: true }, now),
    outbox(db, shipping, { topic: 'upload_shipping', payment_id: payment }, now),
  ]);
  if (url.searchParams.get('after') !== 'nothing') {
    ctx.waitUntil(follow(env, order, claim, technician, confirm).then(() => report(env, payment, openid, shipping)));
  }
  return new Response(null, { status: 204 });
}

async function follow(env, order, claim, technician, confirm) {
  const db = env.DB;
  const calendar = `technician:${technician}`;
  const held = await call(env, calendar, '/hold', claim);
  const now = Date.now();
  await db.batch([
    db.prepare(
      `INSERT INTO calendar_day (store_id, day, calendar, free, version) VALUES (?1, ?2, ?3, ?4, ?5)
       ON CONFLICT (store_id, calendar, day) DO UPDATE SET free = excluded.free, version = excluded.version
       WHERE calendar_day.version < excluded.version`,
    ).bind(claim.store_id, Math.floor(claim.start / DAY_MS), calendar, held.free, held.version),
    event(db, order, 'confirmed', 'system', null, {}, now),
    orderIs(db, order, 'confirmed', now),
    delivered(db, confirm),
  ]);
}

let accessToken;

async function report(env, payment, openid, shipping) {
  accessToken ??= await fetch(`${env.WECHAT_BASE_URL}/cgi-bin/stable_token`, {
    method: 'POST', body: JSON.stringify({ grant_type: 'client_credential', appid: env.WECHAT_APPID, secret: env.WECHAT_SECRET }),
  }).then((answer) => answer.json());
  const answer = await fetch(
    `${env.WECHAT_BASE_URL}/wxa/sec/order/upload_shipping_info?access_token=${accessToken.access_token}`,
    {
      method: 'POST',
      body: JSON.stringify({
        order_key: { order_number_type: 1, mchid: env.WECHAT_PAY_MCHID, out_trade_no: payment },
        logistics_type: 4, delivery_mode: 1, shipping_list: [{ item_desc: DESCRIPTION }],
        upload_time: beijing(), payer: { openid },
      }),
    },
  );
  await answer.json();
  await env.DB.batch([delivered(env.DB, shipping)]);
}

const beijing = () => new Date(Date.now() + 8 * 3_600_000).toISOString().replace(/\.\d+Z$/, '+08:00');

// A refund by staff: one HMAC, one batch. After the answer a signed call with the signature of its reply,
// and a batch; then the vendor's notice, with one read and one batch.

export async function refund(request, url, env, ctx) {
  const staff = await verify(request.headers.get('authorization'), env);
  if (!staff) return new Response('token', { status: 401 });
  const order = url.pathname.slice('/refunds/'.length);
  const { amount_fen: fen, reason, payment, total_fen: total } = await request.json();
  const actor = `staff:${staff.sub}`;
  const answer = filler(Number(url.searchParams.get('bytes')));
  const [now, id, tell] = [Date.now(), newId(), newId()];
  const db = env.DB;
  await db.batch([
    keep(db, actor, request.headers.get('idempotency-key'), 201, answer, id + id, now),
    post(db, `order:${order}`, `refund:${id}`, -fen, now),
    db.prepare(
      `INSERT INTO refund (id, payment_id, order_id, store_id, amount_fen, status, cause, reason, requested_by, check_at,
          created_at, updated_at)
       SELECT ?1, ?2, ?3, store_id, ?4, 'requested', 'staff', ?5, ?6, ?7, ?7, ?7 FROM orders WHERE id = ?3`,
    ).bind(id, payment, order, fen, reason, staff.sub, now),
    event(db, order, 'refund_requested', 'staff', staff.sub, { amount_fen: fen, reason }, now),
    db.prepare(
      `INSERT INTO audit_entry (id, at, staff_id, action, subject, detail) VALUES (?1, ?2, ?3, 'refund', ?4, ?5)`,
    ).bind(newId(), now, staff.sub, order, JSON.stringify({ amount_fen: fen, reason })),
    outbox(db, tell, { topic: 'refund', refund_id: id }, now),
  ]);
  ctx.waitUntil((async () => {
    const made = await ask(env, REFUNDS, {
      out_trade_no: payment, out_refund_no: id, reason, notify_url: `${env.PUBLIC_URL}/webhooks/wechat-pay`,
      amount: { refund: fen, total, currency: 'CNY' },
    });
    await db.batch([refundIs(db, id, 'processing', made.refund_id, Date.now()), delivered(db, tell)]);
  })());
  return json(201, answer);
}

async function refunded(said, env) {
  const db = env.DB;
  const { results } = await db.prepare(
    'SELECT r.*, p.provider FROM refund r JOIN payment p ON p.id = r.payment_id WHERE r.id = ?1',
  ).bind(said.out_refund_no).all();
  const [{ id, order_id: order, amount_fen: fen }] = results;
  const now = Date.now();
  await db.batch([
    db.prepare('SELECT 1 FROM refund WHERE id = ?1 AND status = ?2').bind(id, 'processing'),
    refundIs(db, id, 'succeeded', said.refund_id, now),
    post(db, 'provider:wechat_pay', `refund-paid:${id}`, -fen, now),
    event(db, order, 'refunded', 'system', null, { refund_id: id, amount_fen: fen }, now),
  ]);
  return new Response(null, { status: 204 });
}

// Statements.

const post = (db, account, op, fen, now) =>
  db.prepare('INSERT INTO ledger_entry (account_id, op_id, delta_fen, at) VALUES (?1, ?2, ?3, ?4)').bind(account, op, fen, now);
const orderIs = (db, order, status, now) =>
  db.prepare('UPDATE orders SET status = ?2, version = version + 1, updated_at = ?3 WHERE id = ?1').bind(order, status, now);
const event = (db, order, kind, actorKind, actor, detail, now) =>
  db.prepare(
    'INSERT INTO order_event (id, order_id, at, kind, actor_kind, actor_id, detail) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)',
  ).bind(newId(), order, now, kind, actorKind, actor, JSON.stringify(detail));
const outbox = (db, id, payload, now) =>
  db.prepare('INSERT INTO outbox (id, topic, payload, due_at, created_at) VALUES (?1, ?2, ?3, ?4, ?5)')
    .bind(id, payload.topic, JSON.stringify(payload), now + 20_000, now);
const delivered = (db, id) => db.prepare('DELETE FROM outbox WHERE id = ?1').bind(id);
const refundIs = (db, id, status, number, now) =>
  db.prepare(
    'UPDATE refund SET status = ?2, provider_refund_id = ?3, check_at = ?4 + 60000, checks = checks + 1, updated_at = ?4 WHERE id = ?1',
  ).bind(id, status, number, now);

// WeChat Pay's signatures and seals.

const bytes = (text) => Uint8Array.fromBase64(text);
const keys = new Map();

async function key(name, make) {
  if (!keys.has(name)) keys.set(name, await make());
  return keys.get(name);
}

async function sign(env, message) {
  const mine = await key('mine', () =>
    crypto.subtle.importKey('pkcs8', bytes(env.WECHAT_PAY_PRIVATE_KEY), RSA, false, ['sign']));
  return new Uint8Array(await crypto.subtle.sign(RSA.name, mine, encoder.encode(message))).toBase64();
}

async function signed(env, timestamp, nonce, body, signature) {
  const theirs = await key('theirs', () =>
    crypto.subtle.importKey('spki', bytes(env.WECHAT_PAY_KEYS.split(':')[1]), RSA, false, ['verify']));
  return crypto.subtle.verify(RSA.name, theirs, bytes(signature), encoder.encode(`${timestamp}\n${nonce}\n${body}\n`));
}

async function unseal(env, { nonce, associated_data: about, ciphertext }) {
  const secret = await key('secret', () =>
    crypto.subtle.importKey('raw', encoder.encode(env.WECHAT_PAY_API_V3_KEY), 'AES-GCM', false, ['decrypt']));
  const how = { name: 'AES-GCM', iv: encoder.encode(nonce), additionalData: encoder.encode(about) };
  return new TextDecoder().decode(await crypto.subtle.decrypt(how, secret, bytes(ciphertext)));
}

/** A signed call, and its reply, whose signature must be good. */
async function ask(env, path, contents) {
  const body = JSON.stringify(contents);
  const [timestamp, nonce] = [Math.floor(Date.now() / 1000), newId()];
  const signature = await sign(env, `POST\n${path}\n${timestamp}\n${nonce}\n${body}\n`);
  const answer = await fetch(env.WECHAT_PAY_BASE_URL + path, {
    method: 'POST',
    headers: {
      accept: 'application/json', 'content-type': 'application/json', 'user-agent': 'baseline',
      authorization: `WECHATPAY2-SHA256-RSA2048 mchid="${env.WECHAT_PAY_MCHID}",nonce_str="${nonce}",`
        + `signature="${signature}",timestamp="${timestamp}",serial_no="${env.WECHAT_PAY_SERIAL}"`,
    },
    body,
  });
  const text = await answer.text();
  const header = (name) => answer.headers.get(`wechatpay-${name}`);
  if (!answer.ok || !(await signed(env, header('timestamp'), header('nonce'), text, header('signature')))) {
    throw new Error(`${path}: ${answer.status} ${text}`);
  }
  return JSON.parse(text);
}
