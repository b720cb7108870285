import assert from 'node:assert/strict';
import { generateKeyPairSync, sign } from 'node:crypto';
import { test } from 'node:test';
import { inflateRawSync } from 'node:zlib';

import { plainTime } from '../china-time.mjs';
import {
  alipayClient, APP_ID, exec, KEYS, newNumber, payment, realTime, SELLER_ID, startPay, until,
} from './payment-support.mjs';

const MINUTE_MS = 60_000;
const HOUR_MS = 3_600_000;

const CERTIFICATES = {
  appCertContent: KEYS.alipay.appCertificate,
  alipayPublicCertContent: KEYS.alipay.alipayCertificate,
  alipayRootCertContent: KEYS.alipay.rootCertificate,
};

const trade = (changes = {}) => ({ out_trade_no: newNumber(), total_amount: '88.00', subject: '肩颈放松', ...changes });
const precreate = (sandbox, client, asked) =>
  exec(client, 'alipay.trade.precreate', asked, { notify_url: sandbox.merchant.url });
const pay = (sandbox, { out_trade_no }, how = { notify: 'never' }) => sandbox.post('/sandbox/pay', { out_trade_no, ...how });
const fails = (answer, code, subCode) => {
  assert.equal(answer.sub_code, subCode, JSON.stringify(answer));
  assert.equal(answer.code, code);
};

for (const mode of ['key', 'certificate']) {
  test(`the vendor's SDK precreates, queries and refunds, and verifies notifications, in ${mode} mode`, async (t) => {
    const sandbox = await startPay(t, { clock: realTime, mode });
    sandbox.merchant.answers = [{ status: 200, body: 'success' }];
    const client = alipayClient(sandbox, mode === 'key' ? {} : CERTIFICATES);
    const asked = trade();
    const made = await precreate(sandbox, client, asked);
    assert.deepEqual({ ...made, qr_code: '' }, { code: '10000', msg: 'Success', out_trade_no: asked.out_trade_no, qr_code: '' });
    assert.match(made.qr_code, /^https:\/\/qr\.alipay\.com\/bax[0-9a-f]{24}$/);
    const { out_trade_no } = asked;
    fails(await exec(client, 'alipay.trade.query', { out_trade_no }), '40004', 'ACQ.TRADE_NOT_EXIST');

    const { transaction_id, state } = await pay(sandbox, asked, {});
    assert.equal(state, 'TRADE_SUCCESS');
    const queried = await exec(client, 'alipay.trade.query', { trade_no: transaction_id });
    assert.equal(queried.trade_status, 'TRADE_SUCCESS');
    assert.equal(queried.total_amount, '88.00');
    assert.equal(queried.out_trade_no, out_trade_no);

    const refund = { out_trade_no, refund_amount: '30.5', out_request_no: 'R1' };
    const refunded = await exec(client, 'alipay.trade.refund', refund);
    assert.equal(refunded.fund_change, 'Y');
    assert.equal(refunded.refund_fee, '30.50');
    assert.equal((await exec(client, 'alipay.trade.refund', refund)).fund_change, 'N');
    const asking = { out_trade_no, out_request_no: 'R1' };
    assert.equal((await exec(client, 'alipay.trade.fastpay.refund.query', asking)).refund_status, 'REFUND_SUCCESS');

    const notices = await until(() => sandbox.merchant.got.length === 2 && sandbox.merchant.got);
    for (const { headers, body } of notices) {
      assert.match(headers['content-type'], /^application\/x-www-form-urlencoded/);
      const fields = Object.fromEntries(new URLSearchParams(body));
      assert.equal(client.checkNotifySignV2({ ...fields }), true);
      assert.equal(client.checkNotifySignV2({ ...fields, total_amount: '0.01' }), false);
      assert.equal(fields.app_id, APP_ID);
      assert.equal(fields.seller_id, SELLER_ID);
      assert.equal(fields.trade_no, transaction_id);
      assert.equal(fields.trade_status, 'TRADE_SUCCESS');
      assert.equal(fields.total_amount, '88.00');
      assert.equal(fields.alipay_cert_sn, mode === 'key' ? undefined : KEYS.alipay.alipayCertSn);
    }
    const refundFees = notices.map(({ body }) => new URLSearchParams(body).get('refund_fee'));
    assert.deepEqual(refundFees, [null, '30.50']);
    assert.deepEqual((await payment(sandbox, out_trade_no)).refunds.map((made) => made.amount), [3_050]);
  });
}

/** A gateway call signed with node:crypto alone, all parameters in the address but biz_content. */
async function call(sandbox, changes = {}, { key = KEYS.alipay.appPrivateKey, spoil = () => {}, inBody = ['biz_content'] } = {}) {
  const parameters = {
    app_id: APP_ID,
    method: 'alipay.trade.query',
    format: 'JSON',
    charset: 'utf-8',
    sign_type: 'RSA2',
    timestamp: plainTime(sandbox.clock.now()),
    version: '1.0',
    biz_content: '{"out_trade_no":"T1"}',
    ...changes,
  };
  for (const [name, value] of Object.entries(parameters)) if (value === undefined) delete parameters[name];
  const content = Object.keys(parameters).sort().map((name) => `${name}=${parameters[name]}`).join('&');
  parameters.sign = sign('sha256', Buffer.from(content), key).toString('base64');
  spoil(parameters);
  const [address, form] = [new URLSearchParams(), new URLSearchParams()];
  for (const [name, value] of Object.entries(parameters)) (inBody.includes(name) ? form : address).set(name, value);
  const response = await sandbox.fetch(`/gateway.do?${address}`, { method: 'POST', body: form });
  assert.equal(response.status, 200);
  const text = await response.text();
  const [[, answer]] = Object.entries(JSON.parse(text));
  return { answer, text };
}

test('common parameters that are missing or wrong are refused', async (t) => {
  const sandbox = await startPay(t);
  const now = sandbox.clock.now();
  fails((await call(sandbox)).answer, '40004', 'ACQ.TRADE_NOT_EXIST');
  for (const [changes, code, subCode] of [
    [{ app_id: undefined }, '40001', 'isv.missing-app-id'],
    [{ app_id: '1' }, '40002', 'isv.invalid-app-id'],
    [{ method: undefined }, '40001', 'isv.missing-method'],
    [{ method: 'alipay.trade.pay' }, '40002', 'isv.invalid-method'],
    [{ method: 'toString' }, '40002', 'isv.invalid-method'],
    [{ version: '2.0' }, '40002', 'isv.invalid-version'],
    [{ format: 'XML' }, '40002', 'isv.invalid-format'],
    [{ charset: undefined }, '40001', 'isv.missing-charset'],
    [{ charset: 'gbk' }, '40002', 'isv.invalid-charset'],
    [{ sign_type: undefined }, '40001', 'isv.missing-signature-type'],
    [{ sign_type: 'RSA' }, '40002', 'isv.invalid-signature-type'],
    [{ timestamp: undefined }, '40001', 'isv.missing-timestamp'],
    [{ timestamp: '2026-03-01T12:00:00' }, '40002', 'isv.invalid-timestamp'],
    [{ timestamp: '2026-02-30 12:00:00' }, '40002', 'isv.invalid-timestamp'],
    [{ timestamp: plainTime(now - 8 * HOUR_MS) }, '40002', 'isv.invalid-timestamp'],
    [{ timestamp: plainTime(now + 11 * MINUTE_MS) }, '40002', 'isv.invalid-timestamp'],
    [{ biz_content: undefined }, '40001', 'isv.missing-biz-content'],
    [{ biz_content: 'x' }, '40004', 'ACQ.INVALID_PARAMETER'],
    [{ app_cert_sn: KEYS.alipay.appCertSn }, '40002', 'isv.invalid-app-cert-sn'],
  ]) {
    const { answer, text } = await call(sandbox, changes);
    fails(answer, code, subCode);
    const nameless = /-(app-id|method)$/.test(subCode);
    assert.match(text, nameless ? /^\{"error_response":\{[^}]*\}\}$/ : /^\{"alipay_trade_query_response":.*,"sign":"/);
  }
});

test('a signature that does not fit is refused, wherever the parameters are', async (t) => {
  const sandbox = await startPay(t);
  const wrong = async (changes, how) => fails((await call(sandbox, changes, how)).answer, '40002', 'isv.invalid-signature');
  await wrong({}, { key: generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey });
  await wrong({}, { spoil: (parameters) => { parameters.biz_content = '{"out_trade_no":"T2"}'; } });
  await wrong({}, { spoil: (parameters) => { parameters.sign = 'AAAA'; } });
  await wrong({}, { spoil: (parameters) => { parameters.notify_url = 'https://example.cn/'; } });
  const { answer } = await call(sandbox, {}, { spoil: (parameters) => { delete parameters.sign; } });
  fails(answer, '40001', 'isv.missing-signature');

  const chinese = { method: 'alipay.trade.precreate', biz_content: JSON.stringify(trade()) };
  const inBody = ['biz_content', 'app_id', 'method', 'sign', 'timestamp', 'version', 'sign_type', 'format'];
  assert.equal((await call(sandbox, chinese, { inBody })).answer.code, '10000');
  await wrong(chinese, { inBody: [...inBody, 'charset'] }); // would be read in GBK
  const twice = await sandbox.fetch('/gateway.do?app_id=1&app_id=2', { method: 'POST' });
  assert.equal((await twice.json()).error_response.sub_code, 'isv.invalid-parameter');
});

test('the slashes of an answer are escaped, and it is signed as it stands', async (t) => {
  const sandbox = await startPay(t);
  const { text } = await call(sandbox, { method: 'alipay.trade.precreate', biz_content: JSON.stringify(trade()) });
  assert.match(text, /^\{"alipay_trade_precreate_response":\{"code":"10000",.*https:\\\/\\\/qr\.alipay\.com\\\/bax.*\},"sign":"/);
});

test('certificate mode wants the serial numbers, and says its own', async (t) => {
  const sandbox = await startPay(t, { mode: 'certificate' });
  const { appCertSn, rootCertSn, alipayCertSn } = KEYS.alipay;
  fails((await call(sandbox)).answer, '40001', 'isv.missing-app-cert-sn');
  fails((await call(sandbox, { app_cert_sn: appCertSn })).answer, '40001', 'isv.missing-alipay-root-cert-sn');
  const wrong = { app_cert_sn: alipayCertSn, alipay_root_cert_sn: rootCertSn };
  fails((await call(sandbox, wrong)).answer, '40002', 'isv.invalid-app-cert-sn');
  const { text } = await call(sandbox, { app_cert_sn: appCertSn, alipay_root_cert_sn: rootCertSn });
  assert.match(text, new RegExp(`\\},"alipay_cert_sn":"${alipayCertSn}","sign":"`));
});

test('precreate refuses wrong content, and changes under the same number', async (t) => {
  const sandbox = await startPay(t, { clock: realTime });
  const client = alipayClient(sandbox);
  for (const changes of [
    { out_trade_no: undefined }, { out_trade_no: 'a-b' }, { out_trade_no: 'x'.repeat(65) }, { total_amount: '0.00' },
    { total_amount: '1.234' }, { total_amount: '-1' }, { subject: 'a/b' }, { subject: '' }, { unknown_field: 'x' },
    { seller_id: '2088' }, { timeout_express: '0m' }, { product_code: 'JSAPI_PAY' }, { time_expire: '2026-02-30 00:00:00' },
  ]) {
    fails(await precreate(sandbox, client, trade(changes)), '40004', 'ACQ.INVALID_PARAMETER');
  }
  const plain = await exec(client, 'alipay.trade.precreate', trade(), { notify_url: 'http://example.cn/' });
  fails(plain, '40004', 'ACQ.INVALID_PARAMETER');

  const asked = trade();
  const first = await precreate(sandbox, client, asked);
  assert.notEqual((await precreate(sandbox, client, asked)).qr_code, first.qr_code);
  const changed = { ...asked, total_amount: '88.01' };
  fails(await precreate(sandbox, client, changed), '40004', 'ACQ.CONTEXT_INCONSISTENT');
  await pay(sandbox, asked);
  fails(await precreate(sandbox, client, asked), '40004', 'ACQ.TRADE_HAS_SUCCESS');
  const other = trade();
  await precreate(sandbox, client, other);
  await exec(client, 'alipay.trade.cancel', { out_trade_no: other.out_trade_no });
  fails(await precreate(sandbox, client, other), '40004', 'ACQ.TRADE_HAS_CLOSE');
});

test('a trade exists once its code is scanned; until then closing fails and paying works', async (t) => {
  const sandbox = await startPay(t, { clock: realTime });
  const client = alipayClient(sandbox);
  const asked = trade();
  const { out_trade_no } = asked;
  await precreate(sandbox, client, asked);
  fails(await exec(client, 'alipay.trade.close', { out_trade_no }), '40004', 'ACQ.TRADE_NOT_EXIST');
  assert.deepEqual(await sandbox.post('/sandbox/pay-fail', { out_trade_no }), { state: 'WAIT_BUYER_PAY' });
  const waiting = await exec(client, 'alipay.trade.query', { out_trade_no });
  assert.equal(waiting.trade_status, 'WAIT_BUYER_PAY');
  assert.equal(waiting.send_pay_date, undefined);
  const closed = await exec(client, 'alipay.trade.close', { out_trade_no });
  assert.equal(closed.trade_no, waiting.trade_no);
  fails(await exec(client, 'alipay.trade.close', { out_trade_no }), '40004', 'ACQ.TRADE_STATUS_ERROR');
  assert.match(await sandbox.refused('/sandbox/pay', { out_trade_no, late: true }, 409), /the order is TRADE_CLOSED/);
});

test('cancel undoes whatever there is', async (t) => {
  const sandbox = await startPay(t, { clock: realTime });
  const client = alipayClient(sandbox);
  const cancel = async ({ out_trade_no }) => {
    const { action, retry_flag, code } = await exec(client, 'alipay.trade.cancel', { out_trade_no });
    return [code, action, retry_flag];
  };
  const [fresh, scanned, paid] = [trade(), trade(), trade()];
  for (const asked of [fresh, scanned, paid]) await precreate(sandbox, client, asked);
  await sandbox.post('/sandbox/pay-fail', { out_trade_no: scanned.out_trade_no });
  await pay(sandbox, paid);
  assert.deepEqual(await cancel({ out_trade_no: 'T0' }), ['10000', undefined, 'N']);
  assert.deepEqual(await cancel(fresh), ['10000', undefined, 'N']);
  assert.deepEqual(await cancel(scanned), ['10000', 'close', 'N']);
  assert.deepEqual(await cancel(paid), ['10000', 'refund', 'N']);
  assert.deepEqual(await cancel(paid), ['10000', 'refund', 'N']);
  assert.equal((await payment(sandbox, paid.out_trade_no)).refunds.length, 1);
  assert.match(await sandbox.refused('/sandbox/pay', { out_trade_no: fresh.out_trade_no }, 409), /TRADE_CLOSED/);
});

test('a deadline closes a trade that was scanned', async (t) => {
  const sandbox = await startPay(t);
  const send = async (method, content) => (await call(sandbox, { method, biz_content: JSON.stringify(content) })).answer;
  const asked = trade({ timeout_express: '5m' });
  const { out_trade_no } = asked;
  await send('alipay.trade.precreate', asked);
  await sandbox.post('/sandbox/pay-fail', { out_trade_no });
  sandbox.clock.pass(5 * MINUTE_MS - 1);
  assert.equal((await send('alipay.trade.query', { out_trade_no })).trade_status, 'WAIT_BUYER_PAY');
  sandbox.clock.pass(1);
  assert.equal((await send('alipay.trade.query', { out_trade_no })).trade_status, 'TRADE_CLOSED');
  const old = trade();
  await send('alipay.trade.precreate', old);
  sandbox.clock.pass(2 * HOUR_MS);
  assert.match(await sandbox.refused('/sandbox/pay', { out_trade_no: old.out_trade_no }, 409), /QR code is older/);
});

test('refunds: in parts under numbers of their own, never over what is left', async (t) => {
  const sandbox = await startPay(t, { clock: realTime });
  const client = alipayClient(sandbox);
  const asked = trade();
  const { out_trade_no } = asked;
  const refund = (refund_amount, out_request_no, more) =>
    exec(client, 'alipay.trade.refund', { out_trade_no, refund_amount, ...(out_request_no && { out_request_no }), ...more });
  fails(await refund('1.00', 'R1'), '40004', 'ACQ.TRADE_NOT_EXIST');
  await precreate(sandbox, client, asked);
  fails(await refund('1.00', 'R1'), '40004', 'ACQ.TRADE_NOT_EXIST');
  await sandbox.post('/sandbox/pay-fail', { out_trade_no });
  fails(await refund('1.00', 'R1'), '40004', 'ACQ.TRADE_STATUS_ERROR');
  await pay(sandbox, asked);
  fails(await refund('1.00'), '40004', 'ACQ.INVALID_PARAMETER');
  fails(await refund('88.01', 'R1'), '40004', 'ACQ.REFUND_AMT_NOT_EQUAL_TOTAL');
  assert.equal((await refund('8.00', 'R1')).fund_change, 'Y');
  fails(await refund('9.00', 'R1'), '40004', 'ACQ.DISCORDANT_REPEAT_REQUEST');
  fails(await refund('80.01', 'R2'), '40004', 'ACQ.REFUND_AMT_NOT_EQUAL_TOTAL');

  await sandbox.post('/sandbox/refunds/mode', { hold: true });
  assert.equal((await refund('80.00', 'R2')).fund_change, 'N');
  const asking = { out_trade_no, out_request_no: 'R2' };
  assert.equal((await exec(client, 'alipay.trade.fastpay.refund.query', asking)).refund_status, undefined);
  assert.match(await sandbox.refused('/sandbox/refunds/end', { out_refund_no: 'R2', status: 'ABNORMAL' }), /SUCCESS, CLOSED/);
  const ended = await sandbox.post('/sandbox/refunds/end', { out_refund_no: 'R2', status: 'SUCCESS' });
  assert.deepEqual(ended, { out_refund_no: 'R2', status: 'SUCCESS', state: 'TRADE_CLOSED' });
  assert.equal((await exec(client, 'alipay.trade.fastpay.refund.query', asking)).refund_amount, '80.00');
  const again = await refund('80.00', 'R2');
  assert.deepEqual([again.fund_change, again.refund_fee], ['N', '88.00']);
  fails(await refund('0.01', 'R3'), '40004', 'ACQ.TRADE_STATUS_ERROR');
});

test('faults: by operation; the vendor\'s errors change nothing, 20000 tells nothing', async (t) => {
  const sandbox = await startPay(t, { clock: realTime });
  const client = alipayClient(sandbox);
  const fault = (kind, more = {}) => sandbox.post('/sandbox/faults', { provider: 'alipay', kind, ...more });
  const asked = trade();
  for (const [kind, code, subCode, more] of [
    ['system_error', '40004', 'ACQ.SYSTEM_ERROR'], ['frequency_limit', '40005', 'aop.app-call-limited'],
    ['refuse', '40004', 'ACQ.EXIST_FORBIDDEN_WORD', { errcode: 'ACQ.EXIST_FORBIDDEN_WORD' }],
  ]) {
    await fault(kind, more);
    fails(await precreate(sandbox, client, asked), code, subCode);
  }
  assert.equal(await payment(sandbox, asked.out_trade_no), undefined);
  await fault('bad_signature');
  await assert.rejects(precreate(sandbox, client, asked), /验签失败/);
  await pay(sandbox, asked);
  const refund = { out_trade_no: asked.out_trade_no, refund_amount: '88.00' };
  await fault('not_enough');
  await fault('drop', { operation: 'alipay.trade.refund', after: true, times: 2 }); // the SDK tries twice
  assert.equal((await exec(client, 'alipay.trade.query', { out_trade_no: asked.out_trade_no })).code, '10000');
  fails(await exec(client, 'alipay.trade.refund', refund), '40004', 'ACQ.SELLER_BALANCE_NOT_ENOUGH');
  await assert.rejects(exec(client, 'alipay.trade.refund', refund), /HttpClient Request error/);
  assert.equal((await payment(sandbox, asked.out_trade_no)).refunds[0].amount, 8_800);
  const other = trade();
  await fault('accepted');
  fails(await precreate(sandbox, client, other), '20000', 'aop.ACQ.SYSTEM_ERROR');
  assert.equal((await payment(sandbox, other.out_trade_no)).state, 'NEW');
  for (const [provider, message] of [['alipay', /operation must be one of/], ['wechat_pay', /operation must be left out/]]) {
    assert.match(await sandbox.refused('/sandbox/faults', { provider, kind: 'drop', operation: 'x' }), message);
  }
});

test('the bill of a day is a zip of two files in GBK', async (t) => {
  const sandbox = await startPay(t);
  const send = async (method, content) => (await call(sandbox, { method, biz_content: JSON.stringify(content) })).answer;
  const bill = (bill_date, bill_type = 'trade') =>
    send('alipay.data.dataservice.bill.downloadurl.query', { bill_type, bill_date });
  const asked = trade();
  await send('alipay.trade.precreate', asked);
  const { transaction_id } = await pay(sandbox, asked);
  sandbox.clock.pass(1_000);
  await send('alipay.trade.refund', { out_trade_no: asked.out_trade_no, refund_amount: '8.00', out_request_no: 'R1' });
  fails(await bill('2026-03-01'), '40004', 'isp.bill_not_exist');
  sandbox.clock.pass(21 * HOUR_MS);
  fails(await bill('2026-02-28'), '40004', 'isp.bill_not_exist');
  fails(await bill('2026-03-01', 'none'), '40004', 'ACQ.INVALID_PARAMETER');
  fails(await bill('2026-02-30'), '40004', 'ACQ.INVALID_PARAMETER');
  const { bill_download_url: url } = await bill('2026-03-01');
  const response = await fetch(url);
  const bytes = Buffer.from(await response.arrayBuffer());
  const files = unzip(bytes);
  assert.deepEqual(Object.keys(files), [
    `${SELLER_ID}0156_20260301_业务明细.csv`, `${SELLER_ID}0156_20260301_业务明细(汇总).csv`,
  ]);
  const lines = Object.values(files)[0].split('\r\n');
  assert.equal(lines[1], `#账号：[${SELLER_ID}]`);
  assert.equal(lines[2], '#起始日期：[2026年03月01日 00:00:00]   终止日期：[2026年03月02日 00:00:00]');
  const [columns, ...rows] = lines.slice(4, 7).map((line) => line.split(',').map((cell) => cell.trim()));
  assert.equal(columns.length, 25);
  assert.deepEqual(rows.map((row) => [row.length, row[0], row[2], row[3], row[12], row[21]]), [
    [25, transaction_id, '交易', '肩颈放松', '88.00', ''],
    [25, transaction_id, '退款', '肩颈放松', '-8.00', 'R1'],
  ]);
  assert.match(lines[8], /^#交易合计：1笔，商家实收共88\.00元/);
  sandbox.clock.pass(30_001);
  assert.equal((await fetch(url)).status, 403);
});

/** Reads a zip through its directory, as unzip does. */
function unzip(bytes) {
  const decode = (part) => new TextDecoder('gbk').decode(part);
  const end = bytes.lastIndexOf(Buffer.from('PK\x05\x06', 'latin1'));
  const files = {};
  let at = bytes.readUInt32LE(end + 16);
  for (let left = bytes.readUInt16LE(end + 10); left > 0; left -= 1) {
    const [size, nameLength, offset] = [bytes.readUInt32LE(at + 20), bytes.readUInt16LE(at + 28), bytes.readUInt32LE(at + 42)];
    const name = decode(bytes.subarray(at + 46, at + 46 + nameLength));
    const start = offset + 30 + bytes.readUInt16LE(offset + 26) + bytes.readUInt16LE(offset + 28);
    const content = bytes.subarray(start, start + size);
    files[name] = decode(bytes.readUInt16LE(at + 10) === 0 ? content : inflateRawSync(content));
    at += 46 + nameLength + bytes.readUInt16LE(at + 30) + bytes.readUInt16LE(at + 32);
  }
  return files;
}
