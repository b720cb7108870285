// WeChat Pay v3 for a merchant of its own: orders (JSAPI, Native), refunds, bills, platform certificates.
//
// States of an order: NOTPAY -> SUCCESS -> REFUND, NOTPAY -> CLOSED. The deadline of an order does not close
// it; it only keeps the customer from starting to pay.

import { createHash, randomBytes, randomInt, X509Certificate } from 'node:crypto';
import { gzipSync } from 'node:zlib';

import { fundFlowBill, tradeBill } from './bills.mjs';
import { DAY_MS, dayStart, HOUR_MS, MINUTE_MS, parseRfc3339, rfc3339, date } from './china-time.mjs';
import { json } from './http.mjs';
import { refundable } from './ledger.mjs';
import { forge, notice, Signer } from './wechat-pay-notices.mjs';
import {
  authenticate, boolean, enumeration, integer, list, Nonces, notifyUrl, object, optional, readBody, readQuery,
  Refusal, string,
} from './wechat-pay-request.mjs';

export const NAME = 'wechat_pay';
/** An order nobody paid is closed after this long. */
export const ORDER_MS = 7 * DAY_MS;
/** What an order call gives (prepay_id, code_url) starts a payment for this long. */
export const PREPAY_MS = 2 * HOUR_MS;
export const MAX_REFUNDS = 50;
export const REFUND_MS = 365 * DAY_MS;
/** How long the address of a bill is good, and how many are at a time. */
export const BILL_MS = 5 * MINUTE_MS;
const MAX_BILLS = 64;
/** Bills of a day are there from this time of the next day on, for this many days. */
const BILL_READY_MS = 10 * HOUR_MS;
const BILL_DAYS = 90;

const ORDER_PATH = '/v3/pay/transactions/out-trade-no/{out_trade_no}';
const REFUND_PATH = '/v3/refund/domestic/refunds';

const NUMBER = /^[0-9A-Za-z_\-|*]+$/;
const OPENID = /^[0-9A-Za-z_-]+$/;
const GOODS = list(object({
  merchant_goods_id: string(1, 32),
  wechatpay_goods_id: optional(string(1, 32)),
  goods_name: optional(string(1, 256)),
  quantity: integer(1),
  unit_price: integer(0),
}), 50);
const ORDER = {
  appid: string(1, 32),
  mchid: string(1, 32),
  description: string(1, 127),
  out_trade_no: string(6, 32, NUMBER),
  time_expire: optional(string(1, 64)),
  attach: optional(string(1, 128)),
  notify_url: notifyUrl(255),
  goods_tag: optional(string(1, 32)),
  support_fapiao: optional(boolean),
  amount: object({ total: integer(1), currency: optional(enumeration('CNY')) }),
  detail: optional(object({
    cost_price: optional(integer(0)),
    invoice_id: optional(string(1, 32)),
    goods_detail: optional(GOODS),
  })),
  scene_info: optional(object({
    payer_client_ip: string(1, 45),
    device_id: optional(string(1, 32)),
    store_info: optional(object({
      id: string(1, 32),
      name: optional(string(1, 256)),
      area_code: optional(string(1, 32)),
      address: optional(string(1, 512)),
    })),
  })),
  settle_info: optional(object({ profit_sharing: optional(boolean) })),
};
const JSAPI_ORDER = { ...ORDER, payer: object({ openid: string(1, 128, OPENID) }) };
const CLOSE = { mchid: string(1, 32) };
const REFUND = {
  transaction_id: optional(string(1, 32)),
  out_trade_no: optional(string(6, 32, NUMBER)),
  out_refund_no: string(1, 64, /^[0-9A-Za-z_\-|*@]+$/),
  reason: optional(string(1, 80)),
  notify_url: optional(notifyUrl(256)),
  funds_account: optional(enumeration('AVAILABLE')),
  amount: object({
    refund: integer(1),
    total: integer(1),
    currency: enumeration('CNY'),
    from: optional(list(object({ account: enumeration('AVAILABLE', 'UNAVAILABLE'), amount: integer(1) }), 2)),
  }),
  goods_detail: optional(list(object({
    merchant_goods_id: string(1, 32),
    wechatpay_goods_id: optional(string(1, 32)),
    goods_name: optional(string(1, 256)),
    unit_price: integer(0),
    refund_amount: integer(0),
    refund_quantity: integer(1),
  }), 50)),
};
const BILL_DATE = string(10, 10, /^\d{4}-\d{2}-\d{2}$/);
const TAR = optional(enumeration('GZIP'));
const TRADE_BILL = {
  bill_date: BILL_DATE, bill_type: optional(enumeration('ALL', 'SUCCESS', 'REFUND')), tar_type: TAR,
};
const FUND_BILL = {
  bill_date: BILL_DATE, account_type: optional(enumeration('BASIC', 'OPERATION', 'FEES', 'ALL')), tar_type: TAR,
};

const STATE_TEXT = { SUCCESS: '支付成功', REFUND: '转入退款', NOTPAY: '订单未支付', CLOSED: '订单已关闭' };
const FAULT_REFUSALS = {
  system_error: () => new Refusal('SYSTEM_ERROR', '系统异常，请稍后重试'),
  frequency_limit: () => new Refusal('FREQUENCY_LIMITED', '频率限制，请降低请求频率后重试'),
  not_enough: () => new Refusal('NOT_ENOUGH', '基本账户余额不足，请充值后重新发起'),
  refuse: ({ errcode = 'RULELIMIT' }) => new Refusal(errcode, '沙箱按要求拒绝'),
};

/**
 * @param options appid, mchid: the merchant; keys: `wechatPay` of keys.mjs; ledger, notifier; `bills.early`
 *   makes a day's bill available at once; now: UTC ms
 */
export function createWechatPay({ appid, mchid, keys, ledger, notifier, bills, now }) {
  const merchantPublicKey = new X509Certificate(keys.merchantCertificate).publicKey;
  const pay = { appid, mchid, ledger, notifier, bills, now, keys: { ...keys, merchantPublicKey }, holdRefunds: false };
  pay.nonces = new Nonces(now);
  pay.signer = new Signer(keys, now);
  pay.closedUnknown = new Set(); // numbers closed before they were ordered
  pay.files = new Map(); // token -> {bytes, at}

  const route = (method, path, handle, signed = true) => ({
    method, path, handle: (request, fault) => answer(pay, request, fault, handle, signed),
  });
  return {
    name: NAME,
    merchant: mchid,
    routes: [
      route('POST', '/v3/pay/transactions/jsapi', (request) =>
        placeOrder(pay, 'JSAPI', readBody(request, JSAPI_ORDER))),
      route('POST', '/v3/pay/transactions/native', (request) =>
        placeOrder(pay, 'NATIVE', readBody(request, ORDER))),
      route('GET', ORDER_PATH, (request) => queryOrder(pay, request)),
      route('GET', '/v3/pay/transactions/id/{transaction_id}', (request) => queryOrder(pay, request)),
      route('POST', `${ORDER_PATH}/close`, (request) => closeOrder(pay, request)),
      route('POST', REFUND_PATH, (request) => refund(pay, readBody(request, REFUND))),
      route('GET', `${REFUND_PATH}/{out_refund_no}`, (request) => queryRefund(pay, request)),
      route('GET', '/v3/bill/tradebill', (request) => {
        const asked = readQuery(request, TRADE_BILL);
        return offerBill(pay, request, asked, tradeBill(pay, asked.bill_date, asked.bill_type));
      }),
      route('GET', '/v3/bill/fundflowbill', (request) => {
        const asked = readQuery(request, FUND_BILL);
        return offerBill(pay, request, asked, fundFlowBill(pay, asked.bill_date, asked.account_type));
      }),
      route('GET', '/v3/billdownload/file', (request) => downloadBill(pay, request), false),
      route('GET', '/v3/certificates', (request) => certificates(pay, request)),
    ],
    faultKinds: {
      system_error: undefined,
      frequency_limit: undefined,
      not_enough: REFUND_PATH,
      refuse: undefined,
      accepted: undefined,
      bad_signature: undefined,
      signtest: undefined,
    },
    isErrcode: (value) => typeof value === 'string' && /^[A-Z_]+$/.test(value),
    errcodeRule: 'an error code of WeChat Pay such as "RULELIMIT"',

    // --- The customer's side, and the vendor's own hand: what the control calls play ---
    signer: pay.signer,
    /** @returns a reason why the customer cannot pay now, or null */
    whyNotPayable: (order) => whyNotPayable(pay, order),
    pay: (order, how) => customerPays(pay, order, how),
    payFails: (order) => order.state,
    set holdRefunds(hold) { pay.holdRefunds = hold; },
    endRefund: (order, refund, status, at) => endRefund(pay, order, refund, status, at),
    refundEnds: ['SUCCESS', 'ABNORMAL', 'CLOSED'],
    forge: (order, kind) => forge(kind, { signer: pay.signer, now, order, payment: claimedPayment(pay, order) }),
  };
}

function answer(pay, request, fault, handle, signed) {
  let reply;
  try {
    authenticate(pay, request);
    const refusal = FAULT_REFUSALS[fault?.kind];
    if (refusal) throw refusal(fault);
    reply = handle(request);
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    reply = error.reply;
  }
  const done = reply.status < 300;
  if (done && fault?.kind === 'accepted') {
    reply = json({ code: 'ACCEPTED', message: '请求已受理，结果未知，请查询' }, 202);
  }
  const requestId = `${randomBytes(8).toString('hex').toUpperCase()}-${done ? 0 : 268_435_456}`;
  const headers = { ...reply.headers, 'request-id': requestId };
  if (done && signed) Object.assign(headers, pay.signer.headers(reply.body.toString(), fault?.kind));
  return { ...reply, headers };
}

function checkMerchant(pay, given) {
  if (given !== pay.mchid) throw new Refusal('APPID_MCHID_NOT_MATCH', 'mchid与Authorization中的商户号不一致');
}

// --- Orders ---

function placeOrder(pay, tradeType, asked) {
  checkMerchant(pay, asked.mchid);
  if (asked.appid !== pay.appid) throw new Refusal('APPID_MCHID_NOT_MATCH', 'appid和mchid不匹配，请检查后再试');
  if (asked.time_expire !== undefined && Number.isNaN(parseRfc3339(asked.time_expire))) {
    throw new Refusal('PARAM_ERROR', '输入源“/body/time_expire”不是RFC3339格式', {
      field: '/time_expire', value: asked.time_expire, issue: '不是RFC3339格式', location: 'body',
    });
  }
  const reentry = () => new Refusal('INVALID_REQUEST', '请求重入时，参数与首次请求时不一致');
  if (pay.closedUnknown.has(asked.out_trade_no)) throw reentry();

  let order = pay.ledger.find(NAME, asked.out_trade_no);
  if (order === undefined) {
    order = pay.ledger.add(newOrder(pay, tradeType, asked));
  } else {
    const state = stateOf(pay, order);
    if (state === 'CLOSED') throw new Refusal('ORDERCLOSED', '该订单已关闭，请重新下单');
    if (state !== 'NOTPAY') throw new Refusal('ORDERPAID', '该订单已支付');
    if (order.trade_type !== tradeType) throw new Refusal('OUT_TRADE_NO_USED', '商户订单号重复');
    if (order.fingerprint !== fingerprint(asked)) throw reentry();
  }
  order.prepaid_at = pay.now();
  return json(tradeType === 'JSAPI'
    ? { prepay_id: `wx${stamp(pay)}${randomBytes(9).toString('hex')}0000` }
    : { code_url: `weixin://wxpay/bizpayurl/up?pr=${randomBytes(6).toString('base64url')}&groupid=00` });
}

function newOrder(pay, tradeType, asked) {
  const now = pay.now();
  // The deadline is set by the first call alone, and is never nearer than a minute.
  const expires = asked.time_expire === undefined
    ? now + ORDER_MS
    : Math.max(parseRfc3339(asked.time_expire), now + MINUTE_MS);
  return {
    provider: NAME,
    merchant: pay.mchid,
    out_trade_no: asked.out_trade_no,
    trade_type: tradeType,
    total: asked.amount.total,
    state: 'NOTPAY',
    transaction_id: undefined,
    created_at: now,
    expires_at: expires,
    paid_at: undefined,
    fingerprint: fingerprint(asked),
    description: asked.description,
    attach: asked.attach,
    notify_url: asked.notify_url,
    openid: asked.payer?.openid,
  };
}

/** The parameters an order call may not change, as a digest: bodies of many orders would fill the memory. */
function fingerprint({ time_expire: _, ...asked }) {
  const sorted = (value) => (value !== null && typeof value === 'object'
    ? Object.keys(value).sort().map((name) => [name, sorted(value[name])])
    : value);
  return createHash('sha256').update(JSON.stringify(sorted(asked))).digest('base64');
}

/** An order nobody paid is closed by the vendor in the end. */
function stateOf(pay, order) {
  if (order.state === 'NOTPAY' && pay.now() >= order.created_at + ORDER_MS) order.state = 'CLOSED';
  return order.state;
}

function findOrder(pay, { out_trade_no: outTradeNo, transaction_id: transactionId }) {
  return outTradeNo === undefined
    ? pay.ledger.findTransaction(NAME, transactionId)
    : pay.ledger.find(NAME, outTradeNo);
}

function queryOrder(pay, request) {
  checkMerchant(pay, readQuery(request, CLOSE).mchid);
  const order = findOrder(pay, request.params);
  if (order === undefined) throw new Refusal('ORDER_NOT_EXIST', '订单不存在');
  stateOf(pay, order);
  return json(paymentOf(pay, order));
}

/** What the vendor says about an order, in answers and notifications alike. */
function paymentOf(pay, order) {
  const paid = order.paid_at !== undefined;
  return {
    amount: {
      currency: 'CNY',
      payer_currency: 'CNY',
      ...(paid && { payer_total: order.payer_total }),
      total: order.total,
    },
    appid: pay.appid,
    attach: order.attach ?? '',
    ...(paid && { bank_type: 'OTHERS' }),
    mchid: pay.mchid,
    out_trade_no: order.out_trade_no,
    ...(paid && { payer: { openid: order.payer_openid } }),
    promotion_detail: [],
    ...(paid && { success_time: rfc3339(order.paid_at) }),
    trade_state: order.state,
    trade_state_desc: STATE_TEXT[order.state],
    ...(paid && { trade_type: order.trade_type, transaction_id: order.transaction_id }),
  };
}

/** What a forger claims: that the order is paid, whether it is or not. */
function claimedPayment(pay, order) {
  const claim = {
    transaction_id: transactionId(pay),
    paid_at: pay.now(),
    payer_openid: order.openid ?? 'oForger',
    payer_total: order.total,
  };
  const paid = order.paid_at === undefined ? { ...order, ...claim } : order;
  return paymentOf(pay, { ...paid, state: 'SUCCESS' });
}

function closeOrder(pay, request) {
  checkMerchant(pay, readBody(request, CLOSE).mchid);
  const { out_trade_no: outTradeNo } = request.params;
  const order = pay.ledger.find(NAME, outTradeNo);
  if (order === undefined) {
    // Merchants report that closing a number never ordered succeeds, and spoils the number.
    pay.closedUnknown.add(outTradeNo);
    if (pay.closedUnknown.size > 10_000) pay.closedUnknown.delete(pay.closedUnknown.values().next().value);
  } else if (stateOf(pay, order) === 'NOTPAY') {
    order.state = 'CLOSED';
  } else if (order.state !== 'CLOSED') {
    throw new Refusal('ORDERPAID', '该订单已支付，不能关闭');
  }
  return { status: 204, headers: {}, body: '' };
}

function whyNotPayable(pay, order) {
  if (stateOf(pay, order) !== 'NOTPAY') return `the order is ${order.state}`;
  if (pay.now() >= order.expires_at) return 'its time_expire has passed';
  if (pay.now() >= order.prepaid_at + PREPAY_MS) return 'its prepay_id or code_url is older than two hours';
  return null;
}

function customerPays(pay, order, { at, notify, openid, payer_total: payerTotal = order.total }) {
  pay.ledger.name(order, transactionId(pay));
  Object.assign(order, {
    state: 'SUCCESS',
    paid_at: at,
    payer_total: payerTotal,
    payer_openid: order.openid ?? openid ?? `o${randomBytes(20).toString('base64url').slice(0, 27)}`,
  });
  const contents = paymentOf(pay, order);
  pay.notifier.send(
    () => notice({ ...pay, order, url: order.notify_url, eventType: 'TRANSACTION.SUCCESS', contents }),
    notify,
  );
}

const stamp = ({ now }) => rfc3339(now()).slice(0, 19).replace(/\D/g, '');
const digits = (count) => Array.from({ length: count }, () => randomInt(10)).join('');
const transactionId = (pay) => `4200${digits(6)}${stamp(pay).slice(0, 8)}${digits(10)}`;

// --- Refunds ---

function refund(pay, asked) {
  const { out_refund_no: outRefundNo, amount } = asked;
  if (asked.transaction_id === undefined && asked.out_trade_no === undefined) {
    throw new Refusal('PARAM_ERROR', '微信支付订单号和商户订单号必须传一个');
  }
  const order = findOrder(pay, asked);
  if (order === undefined) throw new Refusal('RESOURCE_NOT_EXISTS', '订单不存在');
  if (asked.transaction_id !== undefined && asked.transaction_id !== order.transaction_id) {
    throw new Refusal('INVALID_REQUEST', '微信支付订单号和商户订单号不是同一笔订单');
  }
  const changed = () => new Refusal('INVALID_REQUEST', '订单金额或退款金额与之前请求不一致，请核实后再试');
  const known = pay.ledger.findRefund(NAME, outRefundNo);
  if (known) {
    if (known.order !== order || known.refund.amount !== amount.refund || amount.total !== order.total) throw changed();
    return json(refundOf(order, known.refund));
  }
  if (order.paid_at === undefined) throw new Refusal('INVALID_REQUEST', '订单未支付，不能退款');
  if (amount.total !== order.total) throw changed();
  if (amount.refund > refundable(order)) throw new Refusal('INVALID_REQUEST', '申请退款金额大于订单剩余可退金额');
  if (order.refunds.length >= MAX_REFUNDS) throw new Refusal('INVALID_REQUEST', `一笔订单最多退款${MAX_REFUNDS}次`);
  if (pay.now() > order.paid_at + REFUND_MS) throw new Refusal('INVALID_REQUEST', '订单支付已超过一年，不能退款');

  const made = pay.ledger.addRefund(order, {
    out_refund_no: outRefundNo,
    refund_id: `5030${digits(7)}${stamp(pay).slice(0, 8)}${digits(10)}`,
    amount: amount.refund,
    status: 'PROCESSING',
    created_at: pay.now(),
    ended_at: undefined,
    reason: asked.reason,
    notify_url: asked.notify_url,
  });
  order.state = 'REFUND';
  const reply = json(refundOf(order, made)); // says PROCESSING, as the vendor does even when it is quick
  if (!pay.holdRefunds) endRefund(pay, order, made, 'SUCCESS');
  return reply;
}

function endRefund(pay, order, made, status, at = pay.now()) {
  made.status = status;
  made.ended_at = at;
  if (made.notify_url === undefined) return;
  const contents = {
    mchid: pay.mchid,
    out_trade_no: order.out_trade_no,
    transaction_id: order.transaction_id,
    out_refund_no: made.out_refund_no,
    refund_id: made.refund_id,
    refund_status: status,
    ...(status === 'SUCCESS' && { success_time: rfc3339(made.ended_at) }),
    amount: { total: order.total, refund: made.amount, ...payerShare(order, made) },
    user_received_account: '支付用户零钱',
  };
  pay.notifier.send(() => notice({ ...pay, order, url: made.notify_url, eventType: `REFUND.${status}`, contents }));
}

/** The customer gets back the share of what they paid themselves. */
function payerShare(order, made) {
  const payerRefund = Math.floor((made.amount * order.payer_total) / order.total);
  return { payer_total: order.payer_total, payer_refund: payerRefund };
}

function queryRefund(pay, { params }) {
  const known = pay.ledger.findRefund(NAME, params.out_refund_no);
  if (!known) throw new Refusal('RESOURCE_NOT_EXISTS', '退款单不存在');
  return json(refundOf(known.order, known.refund));
}

function refundOf(order, made) {
  const { payer_total: payerTotal, payer_refund: payerRefund } = payerShare(order, made);
  return {
    amount: {
      currency: 'CNY',
      discount_refund: made.amount - payerRefund,
      from: [],
      payer_refund: payerRefund,
      payer_total: payerTotal,
      refund: made.amount,
      settlement_refund: made.amount,
      settlement_total: order.total,
      total: order.total,
    },
    channel: 'ORIGINAL',
    create_time: rfc3339(made.created_at),
    funds_account: 'AVAILABLE',
    out_refund_no: made.out_refund_no,
    out_trade_no: order.out_trade_no,
    promotion_detail: [],
    refund_id: made.refund_id,
    status: made.status,
    ...(made.status === 'SUCCESS' && { success_time: rfc3339(made.ended_at) }),
    transaction_id: order.transaction_id,
    user_received_account: '支付用户零钱',
  };
}

// --- Bills and certificates ---

function offerBill(pay, request, { bill_date: billDate, tar_type: tar }, text) {
  const start = dayStart(billDate);
  const now = pay.now();
  if (Number.isNaN(start)) throw new Refusal('PARAM_ERROR', '账单日期不合法');
  if (now - start > BILL_DAYS * DAY_MS) throw new Refusal('INVALID_REQUEST', '账单日期已过期，仅支持三个月内的账单');
  const ready = pay.bills.early ? billDate <= date(now) : now >= start + DAY_MS + BILL_READY_MS;
  if (!ready) throw new Refusal('INVALID_REQUEST', '账单正在生成中，请稍后再试');
  if (text === null) throw new Refusal('NO_STATEMENT_EXIST', '账单文件不存在');

  const token = randomBytes(32).toString('base64url');
  pay.files.set(token, { bytes: tar ? gzipSync(text) : Buffer.from(text), at: now });
  if (pay.files.size > MAX_BILLS) pay.files.delete(pay.files.keys().next().value);
  return json({
    hash_type: 'SHA1',
    hash_value: createHash('sha1').update(text).digest('hex'), // of the file before it is packed
    download_url: `http://${request.headers.host}/v3/billdownload/file?token=${token}`,
  });
}

function downloadBill(pay, request) {
  const file = pay.files.get(readQuery(request, { token: string(1, 128) }).token);
  if (!file || pay.now() - file.at > BILL_MS) throw new Refusal('INVALID_REQUEST', '下载地址无效或已过期');
  return { status: 200, headers: { 'content-type': 'text/plain' }, body: file.bytes };
}

function certificates({ keys, signer }, request) {
  readQuery(request, { algorithm_type: optional(enumeration('RSA', 'ALL')) });
  const { validFromDate, validToDate } = new X509Certificate(keys.platformCertificate);
  return json({
    data: [{
      serial_no: keys.platformSerial,
      effective_time: rfc3339(validFromDate.getTime()),
      expire_time: rfc3339(validToDate.getTime()),
      encrypt_certificate: signer.seal(keys.platformCertificate, 'certificate'),
    }],
  });
}
