// The control calls about money: the customer pays, the vendor notifies, refunds end, an audit reads.

import { FORGERIES as ALIPAY_FORGERIES, NAME as ALIPAY } from './alipay.mjs';
import { KINDS as CHAOS_KINDS } from './chaos.mjs';
import { DAY_MS } from './china-time.mjs';
import {
  BadRequest, checkFields, flag, integer, listOf, number, oneOf, readFields, required, text,
} from './fields.mjs';
import { json } from './http.mjs';
import { NORMAL } from './notifier.mjs';
import { NAME as WECHAT_PAY } from './wechat-pay.mjs';
import { FORGERIES as WECHAT_PAY_FORGERIES } from './wechat-pay-notices.mjs';

const MAX_PAGE = 1_000;
const DEFAULT_PAGE = 100;
const MAX_COUNT = 10_000;
const MAX_REPLAYS = 100;
const MAX_DELAY_MS = 60_000;
const MAX_DAYS_AGO = 30;

const FORGERIES = { [WECHAT_PAY]: WECHAT_PAY_FORGERIES, [ALIPAY]: ALIPAY_FORGERIES };
const NUMBER = text(/^[0-9A-Za-z_\-|*@]{1,64}$/, 'a number of the merchant');
const PROVIDER = oneOf(Object.keys(FORGERIES));
const OF_ORDER = { out_trade_no: required(NUMBER), provider: PROVIDER };
const OF_REFUND = { out_refund_no: required(NUMBER), provider: PROVIDER };

const FIELDS = {
  pay: {
    ...OF_ORDER,
    late: flag,
    days_ago: integer(0, MAX_DAYS_AGO),
    notify: oneOf(['once', 'lost', 'twice', 'never']),
    openid: text(/^[A-Za-z0-9_-]{1,64}$/, '1 to 64 letters, digits, "_" or "-"'),
    payer_total: integer(0, 100_000_000),
  },
  payFail: OF_ORDER,
  payments: {
    out_trade_no: NUMBER,
    provider: PROVIDER,
    cursor: text(/^\d{1,15}$/, 'what next_cursor said'),
    limit: text(/^\d{1,4}$/, `a number from 1 to ${MAX_PAGE}`),
  },
  notifications: {
    lose: integer(0, MAX_COUNT),
    delay_ms: integer(0, MAX_DELAY_MS),
    repeat: integer(0, 100),
    reorder: integer(0, MAX_COUNT),
  },
  forge: { ...OF_ORDER, kind: required(oneOf([...new Set(Object.values(FORGERIES).flat())])) },
  replay: { ...OF_ORDER, times: integer(1, MAX_REPLAYS) },
  refundMode: { hold: required(flag), provider: PROVIDER },
  refundEnd: {
    ...OF_REFUND,
    status: required(oneOf(['SUCCESS', 'ABNORMAL', 'CLOSED'])),
    days_ago: integer(0, MAX_DAYS_AGO),
  },
  chaos: {
    seed: required(integer(0, 4_294_967_295)),
    probability: required(number(0, 1, 'a number from 0 to 1')),
    kinds: listOf(CHAOS_KINDS),
  },
  signingKey: { use: required(oneOf(['public_key', 'certificate'])) },
  bills: { early: required(flag) },
};

/** Thrown for a call that is understood but cannot be; becomes a reply with its own status. */
class Refused extends Error {
  constructor(status, body) {
    super(body.error);
    this.reply = json(body, status);
  }
}

/**
 * @param payments vendors: the providers by name; ledger, notifier, chaos, bills
 * @param route makes a guarded route of the control service
 */
export function paymentRoutes(payments, route) {
  const { ledger, notifier, chaos, bills, vendors } = payments;
  const call = (method, path, handle) => route(method, `/sandbox${path}`, refusable(handle));
  const vendorsOf = (provider) => (provider ? [vendors[provider]] : Object.values(vendors));
  return [
    call('POST', '/pay', ({ body }) => pay(payments, readFields(body, FIELDS.pay))),
    call('POST', '/pay-fail', ({ body }) => payFail(payments, readFields(body, FIELDS.payFail))),
    call('GET', '/payments', ({ query }) => list(ledger, checkFields(Object.fromEntries(query), FIELDS.payments))),
    call('GET', '/money', () => json({ money: ledger.money() })),
    call('GET', '/notifications', () => json(notifier.describe())),
    call('POST', '/notifications', ({ body }) => json(notifier.setMode(readFields(body, FIELDS.notifications)))),
    call('DELETE', '/notifications', () => json(notifier.setMode(NORMAL))),
    call('POST', '/forge', ({ body }) => forge(payments, readFields(body, FIELDS.forge))),
    call('POST', '/replay', ({ body }) => replay(payments, readFields(body, FIELDS.replay))),
    call('POST', '/refunds/mode', ({ body }) => {
      const { hold, provider } = readFields(body, FIELDS.refundMode);
      for (const vendor of vendorsOf(provider)) vendor.holdRefunds = hold;
      return json({ hold });
    }),
    call('POST', '/refunds/end', ({ body }) => endRefund(payments, readFields(body, FIELDS.refundEnd))),
    call('GET', '/chaos', () => json({ chaos: chaos.describe() })),
    call('POST', '/chaos', ({ body }) => {
      chaos.start(readFields(body, FIELDS.chaos));
      console.log(`sandbox: chaos ${JSON.stringify(chaos.describe())}`);
      return json({ chaos: chaos.describe() });
    }),
    call('DELETE', '/chaos', () => {
      chaos.stop();
      return json({ chaos: null });
    }),
    call('POST', '/wechat-pay/signing-key', ({ body }) => {
      vendors[WECHAT_PAY].signer.use = readFields(body, FIELDS.signingKey).use;
      return json({ use: vendors[WECHAT_PAY].signer.use });
    }),
    call('POST', '/bills', ({ body }) => {
      bills.early = readFields(body, FIELDS.bills).early;
      return json({ early: bills.early });
    }),
  ];
}

function refusable(handle) {
  const reply = (error) => {
    if (error instanceof Refused) return error.reply;
    throw error;
  };
  return (request) => {
    try {
      const answer = handle(request);
      return answer instanceof Promise ? answer.catch(reply) : answer;
    } catch (error) {
      return reply(error);
    }
  };
}

/** The order of that number; where both vendors have one, `provider` must say which. */
function findOrder({ ledger, vendors }, { out_trade_no: no, provider }) {
  const names = provider ? [provider] : Object.keys(vendors);
  const found = names.map((name) => ledger.find(name, no)).filter(Boolean);
  if (found.length === 0) throw new Refused(404, { error: `no order ${no}` });
  if (found.length > 1) throw new BadRequest(`${no} is at ${names.join(' and ')}; say which with provider`);
  return { order: found[0], vendor: vendors[found[0].provider] };
}

function checkPayable(vendor, order, late) {
  const why = vendor.whyNotPayable(order);
  const open = ['NOTPAY', 'NEW', 'WAIT_BUYER_PAY'].includes(order.state);
  if (why !== null && !(late && open)) throw new Refused(409, { error: why, state: order.state });
}

function pay(payments, { late = false, notify = 'once', days_ago: days = 0, openid, payer_total: payerTotal, ...which }) {
  const { order, vendor } = findOrder(payments, which);
  checkPayable(vendor, order, late);
  if (openid !== undefined && order.trade_type !== 'NATIVE') {
    throw new BadRequest('openid goes with a Native order only');
  }
  if (payerTotal > order.total) throw new BadRequest('payer_total must not be over the amount of the order');
  const at = payments.now() - days * DAY_MS;
  vendor.pay(order, { at, notify, openid, payer_total: payerTotal });
  return json({ transaction_id: order.transaction_id, state: order.state });
}

function payFail(payments, which) {
  const { order, vendor } = findOrder(payments, which);
  checkPayable(vendor, order, false);
  return json({ state: vendor.payFails(order) });
}

function list(ledger, { out_trade_no: no, provider, cursor = '0', limit = String(DEFAULT_PAGE) }) {
  if (no !== undefined) {
    const names = provider ? [provider] : [WECHAT_PAY, ALIPAY];
    const found = names.map((name) => ledger.find(name, no)).filter(Boolean);
    return json({ payments: found.map(describe), next_cursor: null });
  }
  const size = Number(limit);
  if (size < 1 || size > MAX_PAGE) throw new BadRequest(`limit must be ${FIELDS.payments.limit.rule}`);
  const { orders, next } = ledger.page(Number(cursor), size);
  const wanted = orders.filter((order) => provider === undefined || order.provider === provider);
  return json({ payments: wanted.map(describe), next_cursor: next === null ? null : String(next) });
}

/** Instants in UTC milliseconds, money in fen. */
function describe(order) {
  return {
    provider: order.provider,
    merchant: order.merchant,
    out_trade_no: order.out_trade_no,
    trade_type: order.trade_type,
    amount: order.total,
    state: order.state,
    transaction_id: order.transaction_id ?? null,
    created_at: order.created_at,
    expires_at: order.expires_at,
    paid_at: order.paid_at ?? null,
    refunds: order.refunds.map(({ out_refund_no, refund_id, amount, status, created_at, ended_at }) => ({
      out_refund_no, refund_id: refund_id ?? null, amount, status, created_at, ended_at: ended_at ?? null,
    })),
    notifications: order.notifications,
    shipping: order.shipping ?? null,
  };
}

async function forge(payments, { kind, ...which }) {
  const { order, vendor } = findOrder(payments, which);
  const kinds = FORGERIES[order.provider];
  if (!kinds.includes(kind)) throw new BadRequest(`kind must be one of: ${kinds.join(', ')} (for ${order.provider})`);
  if (order.notify_url === undefined) throw new Refused(409, { error: 'the order has no notify_url' });
  const answer = await payments.notifier.sendOnce(order.notify_url, vendor.forge(order, kind));
  return json(answered(answer));
}

async function replay(payments, { times = 1, ...which }) {
  const { order } = findOrder(payments, which);
  const last = payments.notifier.lastSent(order);
  if (!last) throw new Refused(409, { error: 'nothing was sent about this order yet' });
  const answers = [];
  for (let time = 0; time < times; time += 1) answers.push(answered(await payments.notifier.sendOnce(last.url, last)));
  return json({ answers });
}

const answered = ({ status = null, body = null, error = null }) => ({ status, body, error });

function endRefund({ ledger, vendors, now }, { out_refund_no: no, provider, status, days_ago: days = 0 }) {
  const names = provider ? [provider] : Object.keys(vendors);
  const found = names.map((name) => [name, ledger.findRefund(name, no)]).filter(([, one]) => one);
  if (found.length === 0) throw new Refused(404, { error: `no refund ${no}` });
  if (found.length > 1) throw new BadRequest(`${no} is at ${names.join(' and ')}; say which with provider`);
  const [[name, { order, refund }]] = found;
  const { refundEnds } = vendors[name];
  if (!refundEnds.includes(status)) {
    throw new BadRequest(`status must be one of: ${refundEnds.join(', ')} (for ${name})`);
  }
  // The merchant or the vendor's staff sort an abnormal refund out in the end; the other ends are final.
  if (refund.status !== 'PROCESSING' && refund.status !== 'ABNORMAL') {
    throw new Refused(409, { error: `the refund is ${refund.status}`, status: refund.status });
  }
  vendors[name].endRefund(order, refund, status, now() - days * DAY_MS);
  return json({ out_refund_no: no, status: refund.status, state: order.state });
}
