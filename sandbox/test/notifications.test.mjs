import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { test } from 'node:test';

import { SCHEDULE as ALIPAY_SCHEDULE } from '../alipay.mjs';
import { Chaos, generator, KINDS } from '../chaos.mjs';
import { Notifier } from '../notifier.mjs';
import { SCHEDULE } from '../wechat-pay-notices.mjs';
import {
  alipayClient, APPID, exec, isSigned, KEYS, MCHID, newNumber, openNotice, order, paidOrder, payment, place, realTime,
  refund, refundOf, startPay, until, v3,
} from './payment-support.mjs';

const HOUR_MS = 3_600_000;
const RETRIES = { sleep: async () => {} }; // at once

const outcomes = async (sandbox, no) => (await payment(sandbox, no)).notifications.map(({ outcome }) => outcome);
const notified = (sandbox, { out_trade_no: no }, count = 1) =>
  until(async () => (await outcomes(sandbox, no)).length >= count && outcomes(sandbox, no), `${count} notifications`);
const contentsOf = ({ merchant }) => merchant.got.map((got) => openNotice(got).contents.out_trade_no);

test('the schedules are the vendors\'', () => {
  const sum = (gaps) => gaps.reduce((total, gap) => total + gap, 0);
  assert.equal(SCHEDULE.length, 15);
  assert.equal(sum(SCHEDULE), 24 * HOUR_MS + 4 * 60_000);
  assert.equal(ALIPAY_SCHEDULE.length, 7);
  assert.equal(sum(ALIPAY_SCHEDULE), 24 * HOUR_MS + 24 * 60_000);
});

test('WeChat Pay sends until it gets a 200 or 204, sealed and signed anew, on its schedule', async (t) => {
  for (const accepting of [200, 204]) {
    const slept = [];
    const sandbox = await startPay(t, { speed: 1_000, sleep: async (ms) => void slept.push(ms) });
    sandbox.merchant.answers = [500, 401, 302, 201, accepting].map((status) => ({ status, body: '' }));
    const paid = await paidOrder(sandbox, {}, {});
    assert.deepEqual(await notified(sandbox, paid, 5), ['refused', 'refused', 'refused', 'refused', 'accepted']);
    assert.deepEqual(slept, [15, 15, 30, 180]);
    const notices = sandbox.merchant.got.map((got) => openNotice(got));
    assert.equal(new Set(notices.map(({ id }) => id)).size, 1);
    assert.equal(new Set(notices.map(({ resource }) => resource.nonce)).size, 5);
    assert.equal(new Set(sandbox.merchant.got.map(({ headers }) => headers['wechatpay-nonce'])).size, 5);
    const { notifications } = await payment(sandbox, paid.out_trade_no);
    assert.deepEqual(notifications[0], {
      kind: 'TRANSACTION.SUCCESS', attempt: 1, at: sandbox.clock.now(), outcome: 'refused', status: 500,
    });
  }
});

test('WeChat Pay gives up after sixteen attempts, Alipay after eight', async (t) => {
  const sandbox = await startPay(t, RETRIES);
  sandbox.merchant.answers = [{ status: 500, body: '' }];
  const paid = await paidOrder(sandbox, {}, {});
  assert.equal((await notified(sandbox, paid, 16)).length, 16);

  const real = await startPay(t, { ...RETRIES, clock: realTime });
  real.merchant.answers = [{ status: 200, body: 'success\n' }]; // not exactly success
  const out_trade_no = newNumber();
  const asked = { out_trade_no, total_amount: '1.00', subject: 'x' };
  await exec(alipayClient(real), 'alipay.trade.precreate', asked, { notify_url: real.merchant.url });
  await real.post('/sandbox/pay', { out_trade_no });
  assert.equal((await notified(real, { out_trade_no }, 8)).length, 8);
  const ids = real.merchant.got.map(({ body }) => new URLSearchParams(body).get('notify_id'));
  assert.equal(new Set(ids).size, 1);
});

test('a merchant that is not there, or not on this machine', async (t) => {
  const sandbox = await startPay(t, RETRIES);
  const away = await paidOrder(sandbox, { notify_url: 'https://example.cn/webhooks/wechat-pay' }, {});
  await notified(sandbox, away);
  assert.equal((await payment(sandbox, away.out_trade_no)).notifications[0].error, 'not an http address on this machine');
  const refusing = await paidOrder(sandbox, { notify_url: 'http://127.0.0.1:1/' }, {});
  await notified(sandbox, refusing);
  assert.equal((await payment(sandbox, refusing.out_trade_no)).notifications[0].outcome, 'failed');
});

test('a merchant that does not answer in time has not accepted', async (t) => {
  const silent = createServer(() => {});
  await new Promise((resolve) => silent.listen(0, '127.0.0.1', resolve));
  t.after(() => silent.close());
  const notifier = new Notifier({ now: Date.now, sleep: async () => {}, speed: 1, chaos: new Chaos([]), answerMs: 20 });
  const url = `http://127.0.0.1:${silent.address().port}/`;
  assert.deepEqual(await notifier.sendOnce(url, { headers: {}, body: '{}' }), { error: 'timeout' });
});

test('the customer\'s payment may be told once, late, twice or never', async (t) => {
  const sandbox = await startPay(t, RETRIES);
  const lost = await paidOrder(sandbox, {}, { notify: 'lost' });
  assert.deepEqual(await notified(sandbox, lost, 2), ['lost', 'accepted']);
  const twice = await paidOrder(sandbox, {}, { notify: 'twice' });
  assert.deepEqual(await notified(sandbox, twice, 2), ['accepted', 'accepted']);
  const ids = sandbox.merchant.got.slice(-2).map((got) => openNotice(got).id);
  assert.notEqual(ids[0], ids[1]);
  const never = await paidOrder(sandbox, {}, { notify: 'never' });
  assert.deepEqual(await outcomes(sandbox, never.out_trade_no), []);
});

test('notifications are lost, repeated, delayed and reordered on demand', async (t) => {
  const slept = [];
  const sandbox = await startPay(t, { sleep: async (ms) => void slept.push(ms) });
  assert.deepEqual(await sandbox.post('/sandbox/notifications', { lose: 1 }), { lose: 1, delay_ms: 0, repeat: 0, reorder: 0, held: 0 });
  assert.deepEqual(await notified(sandbox, await paidOrder(sandbox, {}, {}), 2), ['lost', 'accepted']);

  await sandbox.post('/sandbox/notifications', { repeat: 2, delay_ms: 700 });
  assert.deepEqual(await notified(sandbox, await paidOrder(sandbox, {}, {}), 3), ['accepted', 'accepted', 'accepted']);
  assert.deepEqual(slept, [15_000, 700, 700, 700]);
  const reset = await (await sandbox.fetch('/sandbox/notifications', { method: 'DELETE' })).json();
  assert.deepEqual(reset, { lose: 0, delay_ms: 0, repeat: 0, reorder: 0, held: 0 });

  sandbox.merchant.got.length = 0;
  await sandbox.post('/sandbox/notifications', { reorder: 3 });
  const numbers = [];
  for (let i = 0; i < 3; i += 1) numbers.push((await paidOrder(sandbox, {}, {})).out_trade_no);
  numbers.push(await until(() => sandbox.merchant.got.length === 3 && 'all'));
  assert.deepEqual(contentsOf(sandbox), numbers.slice(0, 3).reverse());
  assert.equal((await sandbox.get('/sandbox/notifications')).reorder, 0);

  sandbox.merchant.got.length = 0;
  await sandbox.post('/sandbox/notifications', { reorder: 5 });
  await paidOrder(sandbox, {}, {});
  await until(async () => (await sandbox.get('/sandbox/notifications')).held === 1);
  assert.equal(sandbox.merchant.got.length, 0);
  await sandbox.post('/sandbox/notifications', { reorder: 0 });
  await until(() => sandbox.merchant.got.length === 1);
});

test('refunds are held until they end, and tell how', async (t) => {
  const sandbox = await startPay(t);
  const paid = await paidOrder(sandbox);
  assert.deepEqual(await sandbox.post('/sandbox/refunds/mode', { hold: true }), { hold: true });
  const asked = [1_000, 2_000, 3_000].map((amount) => refundOf(sandbox, paid, amount));
  for (const one of asked) assert.equal((await refund(sandbox, one)).body.status, 'PROCESSING');
  const end = (one, status) => sandbox.post('/sandbox/refunds/end', { out_refund_no: one.out_refund_no, status });
  const statusOf = async (one) => (await v3(sandbox, 'GET', `/v3/refund/domestic/refunds/${one.out_refund_no}`)).body.status;
  assert.equal(await statusOf(asked[0]), 'PROCESSING');
  for (const [index, status] of ['SUCCESS', 'ABNORMAL', 'CLOSED'].entries()) {
    assert.deepEqual(await end(asked[index], status), { out_refund_no: asked[index].out_refund_no, status, state: 'REFUND' });
    assert.equal(await statusOf(asked[index]), status);
    const got = await until(() => sandbox.merchant.got[index]);
    const { event_type, contents } = openNotice(got);
    assert.equal(event_type, `REFUND.${status}`);
    assert.deepEqual([contents.refund_status, contents.success_time !== undefined], [status, status === 'SUCCESS']);
  }
  const closed = { out_refund_no: asked[0].out_refund_no, status: 'CLOSED' };
  assert.match(await sandbox.refused('/sandbox/refunds/end', closed, 409), /the refund is SUCCESS/);
  await end(asked[1], 'SUCCESS'); // sorted out by hand
  // The closed one gave its money back to the order: 10,000 less 3,000 is left.
  await sandbox.post('/sandbox/refunds/mode', { hold: false });
  assert.equal((await refund(sandbox, refundOf(sandbox, paid, 7_000))).status, 200);
  assert.deepEqual(await sandbox.get('/sandbox/money'), {
    money: [{ provider: 'wechat_pay', merchant: MCHID, payments: 1, paid: 10_000, refunds: 3, refunded: 10_000, refunding: 0 }],
  });
});

test('forged notifications say what never was; where only the contents are wrong they are signed', async (t) => {
  const sandbox = await startPay(t);
  const asked = order(sandbox);
  await place(sandbox, asked);
  const { out_trade_no } = asked;
  const claims = { amount: 10_000, currency: 'CNY', mchid: MCHID, appid: APPID };
  sandbox.merchant.answers = [{ status: 400, body: 'no' }];
  for (const [kind, signed, wrong] of [
    ['wrong_amount', true, { amount: 10_001 }],
    ['wrong_merchant', true, { mchid: '1999999999' }],
    ['wrong_app', true, { appid: 'wxsomebodyelse0001' }],
    ['other_currency', true, { currency: 'USD' }],
    ['bad_signature', false, {}],
    ['signtest', false, {}],
    ['unknown_serial', false, {}],
    ['stale', true, {}],
  ]) {
    const answer = await sandbox.post('/sandbox/forge', { out_trade_no, kind });
    assert.deepEqual(answer, { status: 400, body: 'no', error: null });
    const got = sandbox.merchant.got.at(-1);
    assert.equal(isSigned({ headers: got.headers, text: got.body }), signed, kind);
    if (!signed) continue;
    const { contents } = openNotice(got);
    const said = {
      amount: contents.amount.total, currency: contents.amount.currency, mchid: contents.mchid, appid: contents.appid,
    };
    assert.deepEqual(said, { ...claims, ...wrong }, kind);
    assert.equal(contents.trade_state, 'SUCCESS');
    assert.equal(contents.out_trade_no, out_trade_no);
    const age = Math.floor(sandbox.clock.now() / 1000) - Number(got.headers['wechatpay-timestamp']);
    assert.equal(age, kind === 'stale' ? 600 : 0);
  }
  const [signtest] = sandbox.merchant.got.filter(({ headers }) => headers['wechatpay-signature'].startsWith('WECHATPAY/SIGNTEST/'));
  assert.equal(signtest.headers['wechatpay-serial'], KEYS.wechatPay.publicKeyId);
  assert.equal((await payment(sandbox, out_trade_no)).state, 'NOTPAY');
  assert.deepEqual(await outcomes(sandbox, out_trade_no), []);
});

test('forged notifications of Alipay', async (t) => {
  const sandbox = await startPay(t, { clock: realTime });
  const client = alipayClient(sandbox);
  const out_trade_no = newNumber();
  const asked = { out_trade_no, total_amount: '1.00', subject: 'x' };
  await exec(client, 'alipay.trade.precreate', asked, { notify_url: sandbox.merchant.url });
  for (const [kind, signed, wrong] of [
    ['wrong_amount', true, { total_amount: '1.01' }],
    ['wrong_merchant', true, { seller_id: '2088999999999999' }],
    ['wrong_app', true, { app_id: '2099999999999999' }],
    ['bad_signature', false, {}],
  ]) {
    assert.equal((await sandbox.post('/sandbox/forge', { out_trade_no, kind })).status, 200);
    const fields = Object.fromEntries(new URLSearchParams(sandbox.merchant.got.at(-1).body));
    assert.equal(client.checkNotifySignV2({ ...fields }), signed, kind);
    assert.equal(fields.trade_status, 'TRADE_SUCCESS');
    for (const [name, value] of Object.entries(wrong)) assert.equal(fields[name], value);
  }
  assert.match(await sandbox.refused('/sandbox/forge', { out_trade_no, kind: 'signtest' }), /kind must be one of: wrong_amount/);
  assert.equal((await payment(sandbox, out_trade_no)).state, 'NEW');
});

test('a replay is the last genuine notification, byte for byte', async (t) => {
  const sandbox = await startPay(t);
  const paid = await paidOrder(sandbox, {}, {});
  await notified(sandbox, paid);
  sandbox.merchant.answers = [{ status: 200, body: '' }, { status: 409, body: 'seen' }];
  const { answers } = await sandbox.post('/sandbox/replay', { out_trade_no: paid.out_trade_no, times: 2 });
  assert.deepEqual(answers.map(({ status }) => status), [200, 409]);
  const [first, ...again] = sandbox.merchant.got;
  for (const one of again) {
    assert.equal(one.body, first.body);
    assert.equal(one.headers['wechatpay-signature'], first.headers['wechatpay-signature']);
  }
  const silent = await paidOrder(sandbox);
  assert.match(await sandbox.refused('/sandbox/replay', { out_trade_no: silent.out_trade_no }, 409), /nothing was sent/);
});

test('chaos is the same for the same seed, and strikes payment vendors only', () => {
  const play = (seed, kinds) => {
    const chaos = new Chaos(['wechat_pay']);
    chaos.start({ seed, probability: 0.5, ...(kinds && { kinds }) });
    return Array.from({ length: 200 }, () => [chaos.call('sms'), chaos.call('wechat_pay'), chaos.notification()]);
  };
  assert.deepEqual(play(7), play(7));
  assert.notDeepEqual(play(7), play(8));
  assert.ok(play(7).every(([sms]) => sms === undefined));
  const struck = play(7).filter(([, call]) => call !== undefined).length;
  assert.ok(struck > 70 && struck < 130, String(struck));
  assert.ok(play(7, ['lose']).every(([, call, notification]) => !call && (notification?.kind ?? 'lose') === 'lose'));
  // What calls meet does not depend on how many notifications there were.
  const calls = new Chaos(['wechat_pay']);
  calls.start({ seed: 7, probability: 0.5 });
  assert.deepEqual(Array.from({ length: 200 }, () => calls.call('wechat_pay')), play(7).map(([, call]) => call));
  const next = generator(1);
  const numbers = Array.from({ length: 10_000 }, next);
  assert.ok(numbers.every((number) => number >= 0 && number < 1));
  assert.ok(Math.abs(numbers.reduce((total, number) => total + number) / 10_000 - 0.5) < 0.02);
});

test('under chaos the money is where the orders say', async (t) => {
  const sandbox = await startPay(t, RETRIES);
  t.mock.method(console, 'log', () => {});
  const { chaos } = await sandbox.post('/sandbox/chaos', { seed: 42, probability: 0.3 });
  assert.deepEqual(chaos, { seed: 42, probability: 0.3, kinds: KINDS });
  const retried = async (act) => {
    for (let left = 50; left > 0; left -= 1) {
      const answer = await act().catch(() => null);
      if (answer?.status === 200) return;
    }
    throw new Error('never answered');
  };
  for (let i = 0; i < 10; i += 1) {
    const asked = order(sandbox);
    await retried(() => place(sandbox, asked));
    await sandbox.post('/sandbox/pay', { out_trade_no: asked.out_trade_no });
    const back = refundOf(sandbox, asked, 1_000);
    await retried(() => refund(sandbox, back));
    await until(async () => (await outcomes(sandbox, asked.out_trade_no)).filter((one) => one === 'accepted').length >= 2);
  }
  const stopped = await sandbox.fetch('/sandbox/chaos', { method: 'DELETE' });
  assert.deepEqual(await stopped.json(), { chaos: null });
  const { money } = await sandbox.get('/sandbox/money');
  assert.deepEqual([money[0].paid, money[0].refunded, money[0].refunds], [100_000, 10_000, 10]);
});
