import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Ledger } from '../ledger.mjs';
import {
  alipayClient, closeOrder, exec, MCHID, newNumber, order, paidOrder, payment, place, realTime, refund, refundOf, SELLER_ID,
  startPay,
} from './payment-support.mjs';
import { start } from './support.mjs';

test('without payments there are no such calls', async (t) => {
  const sandbox = await start(t);
  assert.equal((await sandbox.fetch('/sandbox/payments')).status, 404);
  assert.equal((await sandbox.fetch('/v3/certificates')).status, 404);
  assert.equal((await sandbox.fetch('/wxa/sec/order/upload_shipping_info', { method: 'POST' })).status, 404);
});

test('an order is paid, or not, once', async (t) => {
  const sandbox = await startPay(t);
  const asked = order(sandbox);
  const { out_trade_no } = asked;
  assert.match(await sandbox.refused('/sandbox/pay', { out_trade_no }, 404), /no order/);
  await place(sandbox, asked);
  assert.deepEqual(await sandbox.post('/sandbox/pay-fail', { out_trade_no }), { state: 'NOTPAY' });
  const paid = await sandbox.post('/sandbox/pay', { out_trade_no, notify: 'never' });
  assert.match(paid.transaction_id, /^4200\d{24}$/);
  assert.equal(paid.state, 'SUCCESS');
  for (const path of ['/sandbox/pay', '/sandbox/pay-fail']) {
    const response = await sandbox.fetch(path, { method: 'POST', body: JSON.stringify({ out_trade_no }) });
    assert.equal(response.status, 409);
    assert.deepEqual(await response.json(), { error: 'the order is SUCCESS', state: 'SUCCESS' });
  }
});

test('a number at both vendors needs the vendor\'s name', async (t) => {
  const sandbox = await startPay(t, { clock: realTime });
  const out_trade_no = newNumber();
  await place(sandbox, order(sandbox, { out_trade_no }));
  await exec(alipayClient(sandbox), 'alipay.trade.precreate', { out_trade_no, total_amount: '1.00', subject: 'x' });
  assert.match(await sandbox.refused('/sandbox/pay', { out_trade_no }), /say which with provider/);
  assert.equal((await sandbox.post('/sandbox/pay', { out_trade_no, provider: 'alipay' })).state, 'TRADE_SUCCESS');
  assert.equal((await sandbox.post('/sandbox/pay', { out_trade_no, provider: 'wechat_pay', notify: 'never' })).state, 'SUCCESS');
  const { payments } = await sandbox.get(`/sandbox/payments?out_trade_no=${out_trade_no}`);
  assert.deepEqual(payments.map(({ provider, amount }) => [provider, amount]), [['wechat_pay', 10_000], ['alipay', 100]]);
  assert.deepEqual((await sandbox.get('/sandbox/money')).money, [
    { provider: 'wechat_pay', merchant: MCHID, payments: 1, paid: 10_000, refunds: 0, refunded: 0, refunding: 0 },
    { provider: 'alipay', merchant: SELLER_ID, payments: 1, paid: 100, refunds: 0, refunded: 0, refunding: 0 },
  ]);
});

test('payments are listed for an audit, one or page by page', async (t) => {
  const sandbox = await startPay(t);
  const at = sandbox.clock.now();
  const paid = await paidOrder(sandbox);
  const back = refundOf(sandbox, paid, 1_000, { notify_url: undefined });
  await refund(sandbox, back);
  const { refunds, ...rest } = await payment(sandbox, paid.out_trade_no);
  assert.deepEqual(rest, {
    provider: 'wechat_pay', merchant: MCHID, out_trade_no: paid.out_trade_no, trade_type: 'JSAPI', amount: 10_000, state: 'REFUND',
    transaction_id: paid.transaction_id, created_at: at, expires_at: at + 7 * 86_400_000, paid_at: at, notifications: [],
    shipping: null,
  });
  assert.deepEqual({ ...refunds[0], refund_id: '' }, {
    out_refund_no: back.out_refund_no, refund_id: '', amount: 1_000, status: 'SUCCESS', created_at: at, ended_at: at,
  });

  const numbers = [paid.out_trade_no];
  for (let i = 0; i < 4; i += 1) {
    const asked = order(sandbox);
    await place(sandbox, asked);
    numbers.push(asked.out_trade_no);
  }
  await closeOrder(sandbox, numbers[4]);
  const listed = [];
  let cursor = '0';
  while (cursor !== null) {
    const page = await sandbox.get(`/sandbox/payments?limit=2&cursor=${cursor}`);
    listed.push(...page.payments);
    cursor = page.next_cursor;
  }
  assert.deepEqual(listed.map((one) => one.out_trade_no), numbers);
  assert.deepEqual(listed.map((one) => one.state), ['REFUND', 'NOTPAY', 'NOTPAY', 'NOTPAY', 'CLOSED']);
  assert.deepEqual((await sandbox.get('/sandbox/payments?provider=alipay')).payments, []);
});

test('a payment and a refund may be of an earlier day, for the bill of which they are', async (t) => {
  const sandbox = await startPay(t);
  const [one, other] = [order(sandbox), order(sandbox)];
  for (const asked of [one, other]) await place(sandbox, asked);
  const at = sandbox.clock.now();
  await sandbox.post('/sandbox/refunds/mode', { hold: true });
  await sandbox.post('/sandbox/pay', { out_trade_no: one.out_trade_no, days_ago: 3 });
  await sandbox.post('/sandbox/pay', { out_trade_no: other.out_trade_no });
  const back = refundOf(sandbox, one, 1_000);
  await refund(sandbox, back);
  const end = { out_refund_no: back.out_refund_no, status: 'SUCCESS', days_ago: 2 };
  await sandbox.post('/sandbox/refunds/end', end);
  const { payments } = await sandbox.get('/sandbox/payments');
  assert.deepEqual(payments.map((paid) => paid.paid_at), [at - 3 * 86_400_000, at]);
  assert.equal(payments[0].refunds[0].ended_at, at - 2 * 86_400_000);
});

test('the ledger is bounded: the oldest orders go, their money is still counted', () => {
  const ledger = new Ledger(10);
  const add = (number, paid) => {
    const one = ledger.add({ provider: 'p', merchant: 'm', out_trade_no: number, total: 100, paid_at: paid ? 1 : undefined });
    ledger.name(one, `t${number}`);
    ledger.addRefund(one, { out_refund_no: `r${number}`, amount: 40, status: 'SUCCESS' });
  };
  for (let i = 0; i < 25; i += 1) add(i, i % 2 === 0);
  assert.equal(ledger.find('p', 14), undefined);
  assert.equal(ledger.findTransaction('p', 't14'), undefined);
  assert.equal(ledger.findRefund('p', 'r14'), undefined);
  assert.equal(ledger.find('p', 15).out_trade_no, 15);
  assert.deepEqual(ledger.money(), [
    { provider: 'p', merchant: 'm', payments: 13, paid: 1_300, refunds: 13, refunded: 520, refunding: 0 },
  ]);
  const { orders, next } = ledger.page(3, 4); // from before the oldest one kept
  assert.deepEqual(orders.map((one) => one.out_trade_no), [15, 16, 17, 18]);
  assert.deepEqual(ledger.page(next, 100).orders.map((one) => one.out_trade_no), [19, 20, 21, 22, 23, 24]);
  assert.equal(ledger.page(next, 100).next, null);
});

test('control calls about money refuse unknown fields, wrong types and what is missing', async (t) => {
  const sandbox = await startPay(t);
  const known = (await paidOrder(sandbox)).out_trade_no;
  await place(sandbox, order(sandbox, { out_trade_no: 'unpaid-order' }));
  for (const [path, body, message] of [
    ['/pay', {}, /out_trade_no is missing/],
    ['/pay', { out_trade_no: known, notfy: 'once' }, /unknown field "notfy"/],
    ['/pay', { out_trade_no: known, notify: 'thrice' }, /notify must be one of: once, lost, twice, never/],
    ['/pay', { out_trade_no: known, late: 'yes' }, /late must be true or false/],
    ['/pay', { out_trade_no: known, provider: 'bank' }, /provider must be one of: wechat_pay, alipay/],
    ['/pay', { out_trade_no: 42 }, /out_trade_no must be/],
    ['/pay', { out_trade_no: 'unpaid-order', openid: 'oBen' }, /openid goes with a Native order only/],
    ['/pay-fail', { out_trade_no: known, late: true }, /unknown field "late"/],
    ['/notifications', { lose: -1 }, /lose must be an integer from 0/],
    ['/notifications', { delay_ms: 60_001 }, /delay_ms must be/],
    ['/forge', { out_trade_no: known }, /kind is missing/],
    ['/forge', { out_trade_no: known, kind: 'better' }, /kind must be one of: wrong_amount/],
    ['/replay', { out_trade_no: known, times: 0 }, /times must be an integer from 1/],
    ['/refunds/mode', {}, /hold is missing/],
    ['/refunds/end', { out_refund_no: 'R1', status: 'DONE' }, /status must be one of/],
    ['/chaos', { probability: 0.1 }, /seed is missing/],
    ['/chaos', { seed: 1, probability: 2 }, /probability must be/],
    ['/chaos', { seed: 1, probability: 0.1, kinds: ['rain'] }, /kinds must be a list of: error500/],
    ['/wechat-pay/signing-key', { use: 'both' }, /use must be one of: public_key, certificate/],
    ['/bills', {}, /early is missing/],
    ['/faults', { provider: 'wechat_pay', kind: 'not_enough', path: '/v3/certificates' }, /path must be one of: \/v3\/refund/],
    ['/faults', { provider: 'wechat_pay', kind: 'refuse', errcode: 42 }, /errcode must be an error code of WeChat Pay/],
    ['/faults', { provider: 'alipay', kind: 'refuse', errcode: 'RULELIMIT' }, /errcode must be a sub_code of Alipay/],
    ['/faults', { provider: 'alipay', kind: 'signtest' }, /kind must be one of/],
  ]) {
    assert.match(await sandbox.refused(`/sandbox${path}`, body), message);
  }
  assert.match(await sandbox.refused('/sandbox/refunds/end', { out_refund_no: 'R1', status: 'CLOSED' }, 404), /no refund R1/);
  for (const query of ['limit=0', 'limit=1001', 'limit=x', 'cursor=-1', 'state=paid']) {
    assert.equal((await sandbox.fetch(`/sandbox/payments?${query}`)).status, 400, query);
  }
  await place(sandbox, order(sandbox, { out_trade_no: 'cheap-order', amount: { total: 5 } }));
  assert.match(await sandbox.refused('/sandbox/pay', { out_trade_no: 'cheap-order', payer_total: 6 }), /payer_total/);
});

test('a path parameter is one segment, decoded, and wrong methods are told apart', async (t) => {
  const sandbox = await startPay(t);
  const path = '/v3/pay/transactions/out-trade-no';
  assert.equal((await sandbox.fetch(`${path}/a/b`)).status, 404);
  assert.equal((await sandbox.fetch(`${path}/`)).status, 404);
  assert.equal((await sandbox.fetch(`${path}/%FF`)).status, 404);
  assert.equal((await sandbox.fetch(`${path}/T1`)).status, 401);
  const wrong = await sandbox.fetch(`${path}/T1`, { method: 'DELETE' });
  assert.equal(wrong.status, 405);
  assert.equal(wrong.headers.get('allow'), 'GET');
});
