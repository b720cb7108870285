// What the rows of payments are measured with: orders written into D1 as rows, as past orders are, and
// the same payments at the sandbox, made and paid there, so that what follows an answer (the report to
// WeChat, the refund) meets what it would meet.

import { createSign, randomBytes } from 'node:crypto';

import { notice, Signer } from '../sandbox/wechat-pay-notices.mjs';
import { ensureKeys } from '../sandbox/keys.mjs';
import { rfc3339 } from '../sandbox/china-time.mjs';
import { close, idAt, open, QUIET } from './world.mjs';

export const TOTAL_FEN = 19_800;
export const DEPOSIT_FEN = 5_940;
/** WeChat Pay takes 50 refunds of a payment: so many of ours, and as many of the baseline's. */
const REFUNDS_A_PAYMENT = 8;
export const REFUND_FEN = 100;
/** What a side gets at most in one round is what it would do at this rate; then the round is over. */
const MOST_A_SECOND = { prepay: 400, notification: 600, refund: 300 };
const HOLD_MS = 2 * 3_600_000;
const PREPAY = '/v3/pay/transactions/jsapi';

export const isPaymentRow = (name) => Object.hasOwn(MOST_A_SECOND, name);

/** How many requests of a row a round has at most. */
export const mostARound = (name, { seconds }) => Math.ceil(MOST_A_SECOND[name] * seconds);

export class Payments {
  /** @param world the world, whose sandbox runs @param state where rows are written, before a Worker has it */
  constructor(world, state) {
    this.world = world;
    this.state = state;
    this.keys = ensureKeys(world.vars.SANDBOX_KEYS).wechatPay;
  }

  /** @param names the rows that will be measured @param bench {load, rounds, seconds} */
  async make(names, bench) {
    // One round more is the warm-up, and one request is sent to see how long an answer is.
    const count = (name) => (names.includes(name) ? mostARound(name, bench) * (bench.rounds + 1) + 1 : 0);
    const refunds = count('refund');
    const db = open(this.state);
    db.exec('BEGIN');
    this.insert = statements(db);
    const [unpaid, asked, paid] = [count('prepay'), count('notification'), Math.ceil(refunds / REFUNDS_A_PAYMENT)];
    // Later days than those that are booked: the confirm after a notice meets a calendar that gives the time.
    const places = this.world.places(this.world.quiet, QUIET.days, 4, QUIET.days);
    const enough = Math.ceil((unpaid + asked + paid) / places.length);
    if (enough > 1) throw new Error(`payments: ${unpaid + asked + paid} orders for ${places.length} places`);
    const order = (status) => (_, index) => this.order(status, index, places.pop());
    this.unpaid = Array.from({ length: unpaid }, order('pending_payment'));
    this.asked = Array.from({ length: asked }, order('pending_payment')).map((one) => this.payment(one));
    this.paid = Array.from({ length: paid }, order('confirmed')).map((one) => this.payment(one));
    await this.payAtSandbox(bench.load, [...this.asked, ...this.paid]);
    for (const one of this.paid) this.recordPaid(one);
    db.exec('COMMIT');
    close(db);
    return `${unpaid} orders to pay, ${asked} paid ones to tell of, ${paid} to refund`;
  }

  order(status, index, place) {
    const now = Date.now();
    const member = this.world.members[index % this.world.members.length];
    const one = { id: idAt(now), member, openid: member.openid, store: this.world.quiet.id };
    const start = Date.parse(place.start_at);
    const end = start + 30 * 60_000;
    this.insert.order.run(one.id, member.id, one.store, this.world.claimed, status, TOTAL_FEN, DEPOSIT_FEN,
      place.technician, start, now + HOLD_MS, now, now);
    const line = idAt(now);
    this.insert.line.run(line, one.id, one.store, this.world.claimed, place.technician, line, start, end, start, end,
      place.start_at.slice(0, 10), TOTAL_FEN);
    this.insert.event.run(idAt(now), one.id, now, 'booked', member.id);
    return { ...one, claim: { id: line, op: line, store_id: one.store, start, end, expires_at: now + HOLD_MS }, technician: place.technician };
  }

  payment(order) {
    const now = Date.now();
    const payment = { ...order, payment: idAt(now) };
    this.insert.payment.run(payment.payment, order.id, order.store, DEPOSIT_FEN, '清静店 肩颈舒缓', order.openid,
      now + HOLD_MS - 60_000, now + HOLD_MS, now, now);
    return payment;
  }

  /** The rows that a notice and its confirm would have written. */
  recordPaid({ id, payment, transaction, paidAt }) {
    this.insert.paid.run(transaction, paidAt, paidAt, payment);
    for (const account of [`order:${id}`, 'provider:wechat_pay']) {
      this.insert.entry.run(account, `paid:${payment}`, DEPOSIT_FEN, paidAt);
    }
  }

  /** Each payment is asked for with the merchant's signature, and paid by its customer; nobody is told yet. */
  async payAtSandbox(load, payments) {
    if (payments.length === 0) return;
    const { sandbox, vars } = this.world;
    const all = async (list, requests) => {
      await load.define(list, requests);
      const done = await load.run({ port: sandbox.port, list, connections: 4, seconds: 240, want: 200 });
      if (done.statuses[200] !== requests.length) {
        throw new Error(`${list}: ${JSON.stringify(done.statuses)} ${done.others.join('\n')}`);
      }
    };
    // A signature is good for five minutes.
    const CHUNK = 5_000;
    for (let from = 0; from < payments.length; from += CHUNK) {
      await all('prepaid', payments.slice(from, from + CHUNK).map((one) => this.signed(PREPAY, {
        appid: vars.WECHAT_APPID, mchid: vars.WECHAT_PAY_MCHID, description: '清静店 肩颈舒缓',
        out_trade_no: one.payment, notify_url: 'https://example.com/webhooks/wechat-pay',
        amount: { total: DEPOSIT_FEN, currency: 'CNY' }, payer: { openid: one.openid },
      })));
    }
    await all('paid', payments.map((one) => ({
      method: 'POST', path: '/sandbox/pay', body: JSON.stringify({ out_trade_no: one.payment, notify: 'never' }),
    })));
    const byNumber = new Map(payments.map((one) => [one.payment, one]));
    for (let cursor = '0'; cursor !== null; ) {
      const page = await (await fetch(`${sandbox.url}/sandbox/payments?limit=1000&cursor=${cursor}`)).json();
      for (const { out_trade_no: no, transaction_id: transaction, paid_at: paidAt } of page.payments) {
        const known = byNumber.get(no);
        if (known) Object.assign(known, { transaction, paidAt });
      }
      cursor = page.next_cursor;
    }
  }

  /** A request as a merchant of WeChat Pay signs it. */
  signed(path, contents) {
    const body = JSON.stringify(contents);
    const [timestamp, nonce] = [Math.floor(Date.now() / 1000), randomBytes(16).toString('hex')];
    const signature = createSign('RSA-SHA256').update(`POST\n${path}\n${timestamp}\n${nonce}\n${body}\n`)
      .sign(this.keys.merchantPrivateKey, 'base64');
    return {
      method: 'POST', path, body,
      headers: {
        accept: 'application/json', 'user-agent': 'bench',
        authorization: `WECHATPAY2-SHA256-RSA2048 mchid="${this.world.vars.WECHAT_PAY_MCHID}",nonce_str="${nonce}",`
          + `signature="${signature}",timestamp="${timestamp}",serial_no="${this.keys.merchantSerial}"`,
      },
    };
  }

  /** The pay call of a prepared order, ours or the baseline's. */
  prepay({ id, member, openid }, base) {
    return {
      method: 'POST',
      path: base === undefined ? `/api/v1/orders/${id}/pay` : `/pay/${id}${base}`,
      headers: { authorization: `Bearer ${member.token}`, 'idempotency-key': newKey() },
      body: JSON.stringify({ channel: 'wechat_jsapi', ...(base !== undefined && { openid, store: this.world.quiet.id }) }),
    };
  }

  /** The notices of all payments that nobody was told of, sealed and signed as WeChat Pay does; good for five minutes. */
  notices() {
    const now = Date.now;
    const signer = new Signer(this.keys, now);
    const { WECHAT_APPID: appid, WECHAT_PAY_MCHID: mchid } = this.world.vars;
    return this.asked.map(({ payment, transaction, paidAt, openid }) => {
      const contents = {
        amount: { currency: 'CNY', payer_currency: 'CNY', payer_total: DEPOSIT_FEN, total: DEPOSIT_FEN },
        appid, attach: '', bank_type: 'OTHERS', mchid, out_trade_no: payment, payer: { openid }, promotion_detail: [],
        success_time: rfc3339(paidAt), trade_state: 'SUCCESS', trade_state_desc: '支付成功', trade_type: 'JSAPI',
        transaction_id: transaction,
      };
      const { headers, body } = notice({ signer, now, eventType: 'TRANSACTION.SUCCESS', contents }).build('ordinary');
      delete headers['content-type']; // the load generator says it
      return { method: 'POST', path: '/webhooks/wechat-pay', headers, body };
    });
  }

  /** Refunds by staff, each order's far apart in the list. */
  refunds(base) {
    return Array.from({ length: this.paid.length * REFUNDS_A_PAYMENT }, (_, index) => {
      const { id, payment } = this.paid[index % this.paid.length];
      return {
        method: 'POST',
        path: base === undefined ? `/api/v1/staff/orders/${id}/refunds` : `/refunds/${id}${base}`,
        headers: { authorization: `Bearer ${this.world.owner.token}`, 'idempotency-key': newKey() },
        body: JSON.stringify({
          amount_fen: REFUND_FEN, reason: '服务不满意', ...(base !== undefined && { payment, total_fen: DEPOSIT_FEN }),
        }),
      };
    });
  }
}

const newKey = () => `bench-${randomBytes(9).toString('hex')}`;

function statements(db) {
  const prepare = (sql) => db.prepare(sql);
  return {
    order: prepare(`INSERT INTO orders (id, member_id, store_id, service_id, status, mode, payment, total_fen, due_fen,
        price_parts, change_notice_minutes, contact_name, contact_phone, technician_id, start_at, hold_expires_at,
        created_at, updated_at)
      VALUES (?, ?, ?, ?, ?, 'direct', 'online', ?, ?, '[{"kind":"service","fen":19800}]', 60, '顾客', '13900000000',
        ?, ?, ?, ?, ?)`),
    line: prepare(`INSERT INTO order_line (id, order_id, kind, store_id, service_id, technician_id, claim_id, start_at,
        end_at, block_start, block_end, date, status, price_fen)
      VALUES (?, ?, 'appointment', ?, ?, ?, ?, ?, ?, ?, ?, ?, 'live', ?)`),
    event: prepare(`INSERT INTO order_event (id, order_id, at, kind, actor_kind, actor_id) VALUES (?, ?, ?, ?, 'member', ?)`),
    payment: prepare(`INSERT INTO payment (id, order_id, store_id, provider, channel, amount_fen, status, description, payer,
        expires_at, check_at, created_at, updated_at)
      VALUES (?, ?, ?, 'wechat_pay', 'wechat_jsapi', ?, 'pending', ?, ?, ?, ?, ?, ?)`),
    paid: prepare(`UPDATE payment SET status = 'paid', transaction_id = ?, paid_at = ?, updated_at = ? WHERE id = ?`),
    entry: prepare('INSERT INTO ledger_entry (account_id, op_id, delta_fen, at) VALUES (?, ?, ?, ?)'),
  };
}
