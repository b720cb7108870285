// Alipay's gateway: a QR code for the cashier's desk (precreate), and what follows it.
//
// States of an order: NEW -> WAIT_BUYER_PAY -> TRADE_SUCCESS -> TRADE_CLOSED (refunded in full), and
// NEW or WAIT_BUYER_PAY -> TRADE_CLOSED. NEW is the merchant's side only: for Alipay the trade exists once the
// customer has scanned the code, and before that even closing it fails.

import { randomBytes, randomInt } from 'node:crypto';

import { Gateway, readParameters, Refusal } from './alipay-gateway.mjs';
import { alipayBill } from './bills.mjs';
import { DAY_MS, date, dayStart, HOUR_MS, MINUTE_MS, parsePlainTime, plainTime } from './china-time.mjs';
import { refundable, refunded } from './ledger.mjs';

export const NAME = 'alipay';
/** How long a QR code, and a trade nobody named a deadline for, can be paid. */
export const QR_MS = 2 * HOUR_MS;
export const BILL_MS = 30_000;
const MAX_BILLS = 64;
const BILL_READY_MS = 9 * HOUR_MS;
const MAX_TOTAL = 10_000_000_000; // fen

/** The gaps between attempts: 8 attempts in about 25 hours. */
export const SCHEDULE = [
  4 * MINUTE_MS, 10 * MINUTE_MS, 10 * MINUTE_MS, HOUR_MS, 2 * HOUR_MS, 6 * HOUR_MS, 15 * HOUR_MS,
];

const PATH = '/gateway.do';
const BILL_PATH = '/downloadBillFile.resource';
const REFUND = 'alipay.trade.refund';

const METHODS = {
  'alipay.trade.precreate': precreate,
  'alipay.trade.query': query,
  'alipay.trade.close': close,
  'alipay.trade.cancel': cancel,
  [REFUND]: refund,
  'alipay.trade.fastpay.refund.query': queryRefund,
  'alipay.data.dataservice.bill.downloadurl.query': offerBill,
};

const business = (subCode, subMsg) => new Refusal(40004, subCode, subMsg);
const notExist = () => business('ACQ.TRADE_NOT_EXIST', '交易不存在');
const badParameter = (name) => business('ACQ.INVALID_PARAMETER', `参数无效：${name}`);

const FAULT_REFUSALS = {
  system_error: () => business('ACQ.SYSTEM_ERROR', '系统异常'),
  frequency_limit: () => new Refusal(40005, 'aop.app-call-limited', '应用调用次数超限'),
  not_enough: () => business('ACQ.SELLER_BALANCE_NOT_ENOUGH', '卖家余额不足'),
  refuse: ({ errcode = 'ACQ.ACCESS_FORBIDDEN' }) => business(errcode, '沙箱按要求拒绝'),
};

/** Kinds of forgeries that are signed as they should be; only what they say is wrong. */
const WRONG_CONTENTS = {
  wrong_amount: (fields) => ({ ...fields, total_amount: yuan(fen(fields.total_amount) + 1) }),
  wrong_merchant: (fields) => ({ ...fields, seller_id: '2088999999999999' }),
  wrong_app: (fields) => ({ ...fields, app_id: '2099999999999999', auth_app_id: '2099999999999999' }),
};
export const FORGERIES = [...Object.keys(WRONG_CONTENTS), 'bad_signature'];

/**
 * @param options appId, sellerId: the merchant; keys: `alipay` of keys.mjs; mode: `key` or `certificate`;
 *   ledger, notifier; `bills.early` makes a day's bill available at once; now: UTC ms
 */
export function createAlipay({ appId, sellerId, keys, mode, ledger, notifier, bills, now }) {
  const gateway = new Gateway({ appId, keys, mode, now });
  const pay = { appId, sellerId, gateway, ledger, notifier, bills, now, holdRefunds: false, files: new Map() };
  return {
    name: NAME,
    merchant: sellerId,
    routes: [
      {
        method: 'POST',
        path: PATH,
        operation: (request) => readParameters(request)?.method,
        handle: (request, fault) => answer(pay, request, fault),
      },
      { method: 'GET', path: BILL_PATH, handle: (request) => downloadBill(pay, request) },
    ],
    operations: Object.keys(METHODS),
    faultKinds: {
      system_error: undefined,
      frequency_limit: undefined,
      not_enough: REFUND,
      refuse: undefined,
      accepted: undefined,
      bad_signature: undefined,
    },
    isErrcode: (value) => typeof value === 'string' && /^[A-Za-z]+\.[A-Za-z_.-]+$/.test(value),
    errcodeRule: 'a sub_code of Alipay such as "ACQ.TRADE_STATUS_ERROR"',

    // --- The customer's side, and the vendor's own hand: what the control calls play ---
    whyNotPayable: (order) => whyNotPayable(pay, order),
    pay: (order, how) => customerPays(pay, order, how),
    payFails: (order) => scan(pay, order).state,
    set holdRefunds(hold) { pay.holdRefunds = hold; },
    endRefund: (order, made, status, at) => endRefund(pay, order, made, status, at),
    refundEnds: ['SUCCESS', 'CLOSED'],
    forge: (order, kind) => {
      const fields = tradeFields(pay, claimedPaid(pay, order));
      return gateway.notification((WRONG_CONTENTS[kind] ?? ((same) => same))(fields), kind);
    },
  };
}

function answer(pay, request, fault) {
  const method = readParameters(request)?.method;
  let inner;
  try {
    const { parameters, content } = pay.gateway.check(request, Object.keys(METHODS));
    const refusal = FAULT_REFUSALS[fault?.kind];
    if (refusal) throw refusal(fault);
    inner = { code: '10000', msg: 'Success', ...METHODS[method](pay, content, { parameters, request }) };
    if (fault?.kind === 'accepted') inner = new Refusal(20000, 'aop.ACQ.SYSTEM_ERROR', '系统异常').body;
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    if (error.nameless) return pay.gateway.namelessAnswer(error.body);
    inner = error.body;
  }
  return pay.gateway.answer(method, inner, fault?.kind);
}

// --- Content ---

/** `12.34` -> 1234; NaN for anything that is not an amount. */
function fen(value) {
  const [, whole, part = ''] = /^(\d{1,9})(?:\.(\d{1,2}))?$/.exec(String(value)) ?? [];
  return whole === undefined ? NaN : Number(whole) * 100 + Number(part.padEnd(2, '0'));
}

const yuan = (amount) => (amount / 100).toFixed(2);

/** @param fields name -> max length, or a check; a name that ends with `!` must be there */
function checkContent(content, fields) {
  const rules = Object.fromEntries(Object.entries(fields).map(([name, rule]) => [name.replace('!', ''), rule]));
  for (const [name, value] of Object.entries(content)) {
    if (!Object.hasOwn(rules, name)) throw badParameter(`${name}（沙箱不认识）`);
    const rule = rules[name];
    const ok = typeof rule === 'function'
      ? rule(value)
      : typeof value === 'string' && value.length > 0 && [...value].length <= rule;
    if (!ok) throw badParameter(name);
  }
  for (const name of Object.keys(fields)) {
    if (name.endsWith('!') && !Object.hasOwn(content, name.slice(0, -1))) throw badParameter(name.slice(0, -1));
  }
}

const outTradeNo = (value) => typeof value === 'string' && /^[0-9A-Za-z_]{1,64}$/.test(value);
const amountOf = (value) => fen(value) >= 1 && fen(value) <= MAX_TOTAL;
const subject = (value) => typeof value === 'string' && /^[^/=&]+$/.test(value) && [...value].length <= 256;
const timeoutExpress = (value) => /^([1-9]\d{0,4}[mhd]|1c)$/.test(value);
const plain = (value) => typeof value === 'string' && !Number.isNaN(parsePlainTime(value));
const EITHER_NUMBER = { out_trade_no: outTradeNo, trade_no: 64 };

function findTrade(pay, content) {
  const { trade_no: tradeNo, out_trade_no: no } = content;
  if (tradeNo === undefined && no === undefined) throw badParameter('out_trade_no和trade_no不能同时为空');
  const order = tradeNo === undefined ? pay.ledger.find(NAME, no) : pay.ledger.findTransaction(NAME, tradeNo);
  return order && stateOf(pay, order) !== 'NEW' && order.transaction_id !== undefined ? order : undefined;
}

/** A trade nobody paid until its deadline is closed by Alipay. */
function stateOf(pay, order) {
  if (order.state === 'WAIT_BUYER_PAY' && pay.now() >= order.expires_at) order.state = 'TRADE_CLOSED';
  return order.state;
}

// --- Trades ---

function precreate(pay, content, { parameters }) {
  checkContent(content, {
    'out_trade_no!': outTradeNo, 'total_amount!': amountOf, 'subject!': subject,
    product_code: (value) => value === 'FACE_TO_FACE_PAYMENT',
    body: 128, store_id: 32, operator_id: 28, terminal_id: 32, seller_id: (value) => value === pay.sellerId,
    timeout_express: timeoutExpress, time_expire: plain, qr_code_timeout_express: timeoutExpress,
    passback_params: 512, goods_detail: Array.isArray,
  });
  const url = parameters.notify_url;
  if (url !== undefined && !isNotifyUrl(url)) throw badParameter('notify_url');

  const fingerprint = JSON.stringify([fen(content.total_amount), content.subject, content.body]);
  let order = pay.ledger.find(NAME, content.out_trade_no);
  if (order === undefined) {
    order = pay.ledger.add({
      provider: NAME,
      merchant: pay.sellerId,
      out_trade_no: content.out_trade_no,
      trade_type: 'FACE_TO_FACE_PAYMENT',
      total: fen(content.total_amount),
      state: 'NEW',
      transaction_id: undefined,
      created_at: pay.now(),
      expires_at: deadline(pay, content),
      paid_at: undefined,
      fingerprint,
      subject: content.subject,
      passback_params: content.passback_params,
      notify_url: url,
    });
  } else {
    const state = stateOf(pay, order);
    if (order.paid_at !== undefined) throw business('ACQ.TRADE_HAS_SUCCESS', '交易已被支付');
    if (state === 'TRADE_CLOSED') throw business('ACQ.TRADE_HAS_CLOSE', '交易已经关闭');
    if (order.fingerprint !== fingerprint) throw business('ACQ.CONTEXT_INCONSISTENT', '交易信息被篡改');
  }
  order.prepaid_at = pay.now();
  const code = `https://qr.alipay.com/bax${randomBytes(12).toString('hex')}`;
  return { out_trade_no: order.out_trade_no, qr_code: code };
}

function deadline(pay, { time_expire: expire, timeout_express: express }) {
  if (expire !== undefined) return parsePlainTime(expire);
  if (express === undefined) return pay.now() + 15 * DAY_MS;
  if (express === '1c') return dayStart(date(pay.now())) + DAY_MS;
  return pay.now() + Number(express.slice(0, -1)) * { m: MINUTE_MS, h: HOUR_MS, d: DAY_MS }[express.at(-1)];
}

function isNotifyUrl(text) {
  if (!/^https?:\/\/[^\s#]{1,256}$/.test(text) || !URL.canParse(text)) return false;
  const { protocol, hostname } = new URL(text);
  return protocol === 'https:' || hostname === '127.0.0.1';
}

function query(pay, content) {
  checkContent(content, { ...EITHER_NUMBER, query_options: Array.isArray });
  const order = findTrade(pay, content);
  if (!order) throw notExist();
  return {
    ...numbers(order),
    buyer_logon_id: order.buyer_logon_id,
    buyer_user_id: order.buyer_id,
    total_amount: yuan(order.total),
    trade_status: order.state,
    ...(order.paid_at !== undefined && {
      buyer_pay_amount: yuan(order.payer_total),
      invoice_amount: yuan(order.payer_total),
      point_amount: '0.00',
      receipt_amount: yuan(order.total),
      send_pay_date: plainTime(order.paid_at),
      fund_bill_list: [{ amount: yuan(order.total), fund_channel: 'ALIPAYACCOUNT' }],
    }),
  };
}

const numbers = (order) => ({ out_trade_no: order.out_trade_no, trade_no: order.transaction_id });

function close(pay, content) {
  checkContent(content, { ...EITHER_NUMBER, operator_id: 28 });
  const order = findTrade(pay, content);
  if (!order) throw notExist();
  if (order.state !== 'WAIT_BUYER_PAY') throw business('ACQ.TRADE_STATUS_ERROR', '交易状态不合法');
  order.state = 'TRADE_CLOSED';
  return numbers(order);
}

/** Undoes whatever there is, and makes the number useless. */
function cancel(pay, content) {
  checkContent(content, EITHER_NUMBER);
  const order = findTrade(pay, content) ?? pay.ledger.find(NAME, content.out_trade_no);
  if (!order) return { out_trade_no: content.out_trade_no, retry_flag: 'N' };
  if (order.transaction_id === undefined) {
    order.state = 'TRADE_CLOSED';
    return { out_trade_no: order.out_trade_no, retry_flag: 'N' };
  }
  if (order.paid_at === undefined) {
    order.state = 'TRADE_CLOSED';
    return { ...numbers(order), retry_flag: 'N', action: 'close' };
  }
  if (order.refunds.length > 0 && order.state !== 'TRADE_CLOSED') {
    throw business('ACQ.REASON_TRADE_REFUND_FEE_ERR', '退款金额无效');
  }
  if (order.state !== 'TRADE_CLOSED') {
    const made = addRefund(pay, order, order.out_trade_no, order.total, '撤销');
    endRefund(pay, order, made, 'SUCCESS');
  }
  return { ...numbers(order), retry_flag: 'N', action: 'refund' };
}

function whyNotPayable(pay, order) {
  const state = stateOf(pay, order);
  if (state !== 'NEW' && state !== 'WAIT_BUYER_PAY') return `the order is ${state}`;
  if (pay.now() >= order.expires_at) return 'its deadline has passed';
  if (pay.now() >= order.prepaid_at + QR_MS) return 'its QR code is older than two hours';
  return null;
}

/** The customer scans the code: from now on the trade exists. */
function scan(pay, order) {
  if (order.state !== 'NEW') return order;
  pay.ledger.name(order, `${date(pay.now()).replaceAll('-', '')}22001${digits(15)}`);
  return Object.assign(order, { state: 'WAIT_BUYER_PAY', ...buyer() });
}

const buyer = () => ({ buyer_id: `2088${digits(12)}`, buyer_logon_id: `138****${digits(4)}` });
const digits = (count) => Array.from({ length: count }, () => randomInt(10)).join('');

function customerPays(pay, order, { at, notify, payer_total: payerTotal = order.total }) {
  scan(pay, order);
  Object.assign(order, { state: 'TRADE_SUCCESS', paid_at: at, payer_total: payerTotal });
  notifyAbout(pay, order, 'TRADE_SUCCESS', tradeFields(pay, order), notify);
}

// --- Refunds ---

function refund(pay, content) {
  checkContent(content, {
    ...EITHER_NUMBER, 'refund_amount!': amountOf, out_request_no: 64, refund_reason: 256, operator_id: 30,
    store_id: 32, query_options: Array.isArray,
  });
  const order = findTrade(pay, content);
  if (!order) throw notExist();
  const amount = fen(content.refund_amount);
  if (content.out_request_no === undefined && amount < order.total) throw badParameter('部分退款必须传out_request_no');
  const requestNo = content.out_request_no ?? order.out_trade_no;
  const again = order.refunds.find((made) => made.out_refund_no === requestNo && made.status !== 'CLOSED');
  if (again) {
    if (again.amount !== amount) throw business('ACQ.DISCORDANT_REPEAT_REQUEST', '不一致的请求');
    return refundAnswer(order, 'N');
  }
  if (order.state !== 'TRADE_SUCCESS') throw business('ACQ.TRADE_STATUS_ERROR', '交易状态不合法');
  if (amount > refundable(order)) throw business('ACQ.REFUND_AMT_NOT_EQUAL_TOTAL', '退款金额超限');
  const made = addRefund(pay, order, requestNo, amount, content.refund_reason);
  if (pay.holdRefunds) return refundAnswer(order, 'N');
  endRefund(pay, order, made, 'SUCCESS');
  return refundAnswer(order, 'Y');
}

function addRefund(pay, order, requestNo, amount, reason) {
  return pay.ledger.addRefund(order, {
    out_refund_no: requestNo,
    refund_id: undefined,
    amount,
    status: 'PROCESSING',
    created_at: pay.now(),
    ended_at: undefined,
    reason,
  });
}

/** fund_change says whether this very call moved money; refund_fee is what went back so far. */
const refundAnswer = (order, fundChange) => ({
  ...numbers(order),
  buyer_logon_id: order.buyer_logon_id,
  buyer_user_id: order.buyer_id,
  fund_change: fundChange,
  refund_fee: yuan(refunded(order)),
  send_back_fee: yuan(refunded(order)),
});

function endRefund(pay, order, made, status, at = pay.now()) {
  made.status = status;
  made.ended_at = at;
  if (status !== 'SUCCESS') return;
  if (refunded(order) === order.total) order.state = 'TRADE_CLOSED';
  const fields = {
    ...tradeFields(pay, order),
    out_biz_no: made.out_refund_no,
    refund_fee: yuan(refunded(order)),
    gmt_refund: `${plainTime(made.ended_at)}.000`,
  };
  notifyAbout(pay, order, 'REFUND', fields);
}

function queryRefund(pay, content) {
  checkContent(content, { ...EITHER_NUMBER, 'out_request_no!': 64, query_options: Array.isArray });
  const order = findTrade(pay, content);
  if (!order) throw notExist();
  // A refund unknown or not done yet looks the same: success, and nothing about a refund.
  const done = order.refunds.filter(({ status }) => status === 'SUCCESS');
  const made = done.find(({ out_refund_no: no }) => no === content.out_request_no);
  return {
    ...numbers(order),
    out_request_no: content.out_request_no,
    ...(made && { refund_amount: yuan(made.amount), refund_status: 'REFUND_SUCCESS', total_amount: yuan(order.total) }),
  };
}

// --- Notifications ---

function notifyAbout(pay, order, kind, fields, how) {
  if (order.notify_url === undefined) return;
  const make = () => {
    const id = notifyId(pay); // the same for every attempt
    return {
      order,
      kind,
      url: order.notify_url,
      schedule: SCHEDULE,
      build: () => pay.gateway.notification({ ...fields, notify_id: id, notify_time: plainTime(pay.now()) }),
      accepted: ({ status, body }) => status === 200 && body === 'success',
    };
  };
  pay.notifier.send(make, how);
}

const notifyId = ({ now }) => `${date(now()).replaceAll('-', '')}00222${digits(21)}`;

function tradeFields(pay, order) {
  return {
    notify_time: plainTime(pay.now()),
    notify_type: 'trade_status_sync',
    notify_id: notifyId(pay),
    app_id: pay.appId,
    auth_app_id: pay.appId,
    ...numbers(order),
    buyer_id: order.buyer_id,
    buyer_logon_id: order.buyer_logon_id,
    seller_id: pay.sellerId,
    seller_email: 'shop***@sandbox.invalid',
    trade_status: order.state,
    total_amount: yuan(order.total),
    receipt_amount: yuan(order.total),
    invoice_amount: yuan(order.payer_total),
    buyer_pay_amount: yuan(order.payer_total),
    point_amount: '0.00',
    subject: order.subject,
    gmt_create: plainTime(order.created_at),
    gmt_payment: plainTime(order.paid_at),
    fund_bill_list: JSON.stringify([{ amount: yuan(order.total), fundChannel: 'ALIPAYACCOUNT' }]),
    ...(order.passback_params !== undefined && { passback_params: order.passback_params }),
  };
}

/** What a forger claims: that the order is paid, whether it is or not. */
function claimedPaid(pay, order) {
  const tradeNo = `${date(pay.now()).replaceAll('-', '')}22001${digits(15)}`;
  const claim = { ...buyer(), transaction_id: tradeNo, paid_at: pay.now(), payer_total: order.total };
  return { ...(order.paid_at === undefined ? { ...order, ...claim } : order), state: 'TRADE_SUCCESS' };
}

// --- Bills ---

function offerBill(pay, content, { request }) {
  checkContent(content, {
    'bill_type!': (value) => value === 'trade' || value === 'signcustomer',
    'bill_date!': (value) => !Number.isNaN(dayStart(value)),
  });
  const start = dayStart(content.bill_date);
  const ready = pay.bills.early ? start <= pay.now() : pay.now() >= start + DAY_MS + BILL_READY_MS;
  const bytes = ready && content.bill_type === 'trade' ? alipayBill(pay, content.bill_date) : null;
  if (bytes === null) throw business('isp.bill_not_exist', '账单不存在');
  const token = randomBytes(32).toString('hex');
  pay.files.set(token, { bytes, at: pay.now() });
  if (pay.files.size > MAX_BILLS) pay.files.delete(pay.files.keys().next().value);
  const name = `${pay.sellerId}0156_${content.bill_date.replaceAll('-', '')}.csv.zip`;
  const address = new URLSearchParams({ bizType: 'trade', fileType: 'csv.zip', downloadFileName: name, fileId: token });
  return { bill_download_url: `http://${request.headers.host}${BILL_PATH}?${address}` };
}

/** No signature here: who has the address has the bill. */
function downloadBill(pay, { query: asked }) {
  const file = pay.files.get(asked.get('fileId'));
  if (!file || pay.now() - file.at > BILL_MS) {
    return { status: 403, headers: { 'content-type': 'text/html' }, body: '<html>下载链接已失效</html>' };
  }
  return { status: 200, headers: { 'content-type': 'application/zip' }, body: file.bytes };
}
