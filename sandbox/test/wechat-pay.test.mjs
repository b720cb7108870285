import assert from 'node:assert/strict';
import { createHash, generateKeyPairSync, X509Certificate } from 'node:crypto';
import { test } from 'node:test';
import { gunzipSync } from 'node:zlib';

import { Formatter, Wechatpay } from 'wechatpay-axios-plugin';

import { rfc3339 } from '../china-time.mjs';
import {
  APPID, closeOrder, isSigned, KEYS, MCHID, newNumber, openNotice, OPENID, order, paidOrder, payment, place,
  queryOrder, realTime, refund, refundOf, startPay, unseal, until, v3, v3Headers,
} from './payment-support.mjs';

const MINUTE_MS = 60_000;
const HOUR_MS = 3_600_000;
const DAY_MS = 86_400_000;

const refused = (answer, status, code, message = /./) => {
  assert.equal(answer.body?.code, code, answer.text);
  assert.equal(answer.status, status);
  assert.match(answer.body.message, message);
  assert.equal(answer.headers['wechatpay-signature'], undefined);
};

test('the vendor\'s SDK orders, queries, closes and refunds, with either key', async (t) => {
  const sandbox = await startPay(t, { clock: realTime });
  const { merchantSerial, merchantPrivateKey, publicKeyId, publicKey, platformSerial, platformCertificate } = KEYS.wechatPay;
  const client = new Wechatpay({
    mchid: MCHID,
    serial: merchantSerial,
    privateKey: merchantPrivateKey,
    certs: { [publicKeyId]: publicKey, [platformSerial]: platformCertificate },
    baseURL: sandbox.base,
  });
  for (const use of ['public_key', 'certificate']) {
    assert.deepEqual(await sandbox.post('/sandbox/wechat-pay/signing-key', { use }), { use });
    const asked = order(sandbox, { out_trade_no: `${newNumber()}_-|*` });
    const { data: placed, headers } = await client.v3.pay.transactions.jsapi.post(asked);
    assert.match(placed.prepay_id, /^wx\d{14}[0-9a-f]{18}0000$/);
    assert.equal(headers['wechatpay-serial'], use === 'public_key' ? publicKeyId : platformSerial);
    await sandbox.post('/sandbox/pay', { out_trade_no: asked.out_trade_no, notify: 'never' });

    const out_trade_no = encodeURIComponent(asked.out_trade_no);
    const { data: queried } = await client.v3.pay.transactions.outTradeNo.$out_trade_no$
      .get({ out_trade_no, params: { mchid: MCHID } });
    assert.equal(queried.trade_state, 'SUCCESS');
    assert.equal(queried.out_trade_no, asked.out_trade_no);
    const { data: refunded } = await client.v3.refund.domestic.refunds.post(refundOf(sandbox, asked, 1));
    assert.equal(refunded.status, 'PROCESSING');

    const other = order(sandbox, { payer: undefined });
    const { data: native } = await client.v3.pay.transactions.native.post(other);
    assert.match(native.code_url, /^weixin:\/\/wxpay\/bizpayurl\/up\?pr=[\w-]+&groupid=00$/);
    const closed = await client.v3.pay.transactions.outTradeNo.$out_trade_no$.close
      .post({ mchid: MCHID }, { out_trade_no: other.out_trade_no });
    assert.equal(closed.status, 204);
    const { data: certificates } = await client.v3.certificates.get();
    assert.equal(unseal(certificates.data[0].encrypt_certificate), platformCertificate);
    assert.equal(new X509Certificate(platformCertificate).serialNumber, certificates.data[0].serial_no);
  }
});

test('an order before and after it is paid', async (t) => {
  const sandbox = await startPay(t);
  const asked = order(sandbox, { attach: 'booking 7', time_expire: rfc3339(sandbox.clock.now() + 15 * MINUTE_MS) });
  assert.equal((await place(sandbox, asked)).status, 200);
  assert.deepEqual((await queryOrder(sandbox, asked.out_trade_no)).body, {
    amount: { currency: 'CNY', payer_currency: 'CNY', total: 10_000 },
    appid: APPID,
    attach: 'booking 7',
    mchid: MCHID,
    out_trade_no: asked.out_trade_no,
    promotion_detail: [],
    trade_state: 'NOTPAY',
    trade_state_desc: '订单未支付',
  });
  const paid = await sandbox.post('/sandbox/pay', { out_trade_no: asked.out_trade_no, payer_total: 9_000 });
  assert.equal(paid.state, 'SUCCESS');
  const said = {
    amount: { currency: 'CNY', payer_currency: 'CNY', payer_total: 9_000, total: 10_000 },
    appid: APPID,
    attach: 'booking 7',
    bank_type: 'OTHERS',
    mchid: MCHID,
    out_trade_no: asked.out_trade_no,
    payer: { openid: OPENID },
    promotion_detail: [],
    success_time: '2026-03-01T12:00:00+08:00',
    trade_state: 'SUCCESS',
    trade_state_desc: '支付成功',
    trade_type: 'JSAPI',
    transaction_id: paid.transaction_id,
  };
  assert.deepEqual((await queryOrder(sandbox, asked.out_trade_no)).body, said);
  const byId = await v3(sandbox, 'GET', `/v3/pay/transactions/id/${paid.transaction_id}?mchid=${MCHID}`);
  assert.deepEqual(byId.body, said);

  const [notice] = await until(() => sandbox.merchant.got.length > 0 && sandbox.merchant.got);
  const { id, create_time, resource, contents, ...envelope } = openNotice(notice);
  assert.match(id, /^[0-9a-f-]{36}$/);
  assert.equal(create_time, '2026-03-01T12:00:00+08:00');
  assert.deepEqual(envelope, { resource_type: 'encrypt-resource', event_type: 'TRANSACTION.SUCCESS', summary: '支付成功' });
  assert.equal(resource.nonce.length, 12);
  assert.deepEqual(contents, said);
});

test('requests without User-Agent or Accept are refused in the vendor\'s words', async (t) => {
  const sandbox = await startPay(t);
  for (const name of ['user-agent', 'accept']) {
    const answer = await place(sandbox, order(sandbox), { headers: { [name]: '' } });
    refused(answer, 400, 'INVALID_REQUEST', /^Http头缺少Accept或User-Agent$/);
  }
  const answer = await place(sandbox, order(sandbox), { headers: { 'content-type': 'text/plain' } });
  refused(answer, 400, 'INVALID_REQUEST', /Content-Type/);
});

test('a signature that does not fit the request as it arrived is refused', async (t) => {
  const sandbox = await startPay(t);
  const body = JSON.stringify(order(sandbox));
  const target = '/v3/pay/transactions/jsapi';
  const other = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey;
  const whole = v3Headers(sandbox, 'POST', target, body).authorization;
  for (const changes of [
    { signedBody: `${body} ` },
    { key: other },
    { headers: { authorization: v3Headers(sandbox, 'GET', target, body).authorization } },
    { headers: { authorization: v3Headers(sandbox, 'POST', `${target}?a=b`, body).authorization } },
    { headers: { authorization: whole.replace(/(signature="[^"]{10})[^"]*/, '$1') } },
  ]) {
    const answer = await place(sandbox, body, changes);
    refused(answer, 401, 'SIGN_ERROR', /^错误的签名，验签失败$/);
    assert.equal(answer.body.detail.sign_information.url, target);
  }
  for (const authorization of [
    '', 'Bearer x', whole.replace('2048', '4096'), whole.replace(',timestamp', ', timestamp'),
    whole.replace('mchid=', 'mch_id='), whole.replace(/serial_no="[^"]*"/, 'mchid="1"'), whole.replace(/,serial_no.*/, ''),
    `${whole},mchid="${MCHID}"`, whole.replace(/nonce_str="[^"]*"/, 'nonce_str="a b"'),
  ]) {
    refused(await place(sandbox, body, { headers: { authorization } }), 401, 'SIGN_ERROR');
  }
  refused(await place(sandbox, body, { serial: KEYS.wechatPay.platformSerial }), 401, 'SIGN_ERROR', /证书序列号有误/);
  refused(await place(sandbox, body, { mchid: '1900000110' }), 400, 'MCH_NOT_EXISTS');
  refused(await place(sandbox, body, { headers: { 'wechatpay-serial': 'PUB_KEY_ID_1' } }), 400, 'INVALID_REQUEST');
  assert.equal((await place(sandbox, body, { headers: { 'wechatpay-serial': KEYS.wechatPay.publicKeyId } })).status, 200);
});

test('a clock more than five minutes off, and a nonce used before, are refused', async (t) => {
  const sandbox = await startPay(t);
  const seconds = Math.floor(sandbox.clock.now() / 1000);
  for (const [skew, ok] of [[299, true], [-299, true], [301, false], [-301, false]]) {
    const answer = await place(sandbox, order(sandbox), { timestamp: seconds + skew });
    if (ok) assert.equal(answer.status, 200);
    else refused(answer, 401, 'SIGN_ERROR', /不得超过5分钟/);
  }
  const nonce = 'a'.repeat(32);
  assert.equal((await place(sandbox, order(sandbox), { nonce })).status, 200);
  refused(await place(sandbox, order(sandbox), { nonce }), 401, 'SIGN_ERROR', /nonce_str已被使用/);
  sandbox.clock.pass(11 * MINUTE_MS);
  assert.equal((await place(sandbox, order(sandbox), { nonce })).status, 200);
});

test('null, characters of four bytes, unknown, missing and wrong fields are refused', async (t) => {
  const sandbox = await startPay(t);
  const wrong = (changes) => place(sandbox, order(sandbox, changes));
  for (const [changes, field] of [
    [{ attach: null }, '/attach'],
    [{ scene_info: { payer_client_ip: '127.0.0.1', store_info: null } }, '/scene_info/store_info'],
    [{ description: '肩颈😀' }, '/description'],
    [{ out_trade_on: 'x' }, '/out_trade_on'],
    [{ amount: { total: 1, curency: 'CNY' } }, '/amount/curency'],
    [{ description: undefined }, '/description'],
    [{ notify_url: undefined }, '/notify_url'],
    [{ payer: undefined }, '/payer'],
    [{ payer: {} }, '/payer/openid'],
    [{ description: '' }, '/description'],
    [{ description: '准'.repeat(128) }, '/description'],
    [{ out_trade_no: 'short' }, '/out_trade_no'],
    [{ out_trade_no: 'x'.repeat(33) }, '/out_trade_no'],
    [{ out_trade_no: 'no spaces' }, '/out_trade_no'],
    [{ attach: 'x'.repeat(129) }, '/attach'],
    [{ amount: { total: 0, currency: 'CNY' } }, '/amount/total'],
    [{ amount: { total: '100', currency: 'CNY' } }, '/amount/total'],
    [{ amount: { total: 1.5, currency: 'CNY' } }, '/amount/total'],
    [{ amount: { total: 1, currency: 'USD' } }, '/amount/currency'],
    [{ amount: [] }, '/amount'],
    [{ support_fapiao: 'true' }, '/support_fapiao'],
    [{ detail: { goods_detail: [] } }, '/detail/goods_detail'],
    [{ time_expire: '2026-03-01 12:00:00' }, '/time_expire'],
  ]) {
    const answer = await wrong(changes);
    refused(answer, 400, 'PARAM_ERROR');
    assert.equal(answer.body.detail.field, field);
  }
  refused(await place(sandbox, '[]'), 400, 'PARAM_ERROR', /不是合法的JSON对象/);
  refused(await place(sandbox, '{'), 400, 'PARAM_ERROR', /不是合法的JSON对象/);
  const escaped = JSON.stringify(order(sandbox)).replace('肩颈', '\\ud83d\\ude00');
  refused(await place(sandbox, escaped), 400, 'PARAM_ERROR', /1到3字节/);
});

test('a notify_url is absolute https without query; http on this machine is the sandbox\'s own', async (t) => {
  const sandbox = await startPay(t);
  for (const url of [
    'http://example.cn/pay', 'https://example.cn/pay?x=1', 'https://example.cn/#pay', '/webhooks/wechat-pay', 'ftp://example.cn/',
    'https://user@example.cn/', `https://example.cn/${'x'.repeat(250)}`, 'http://127.0.0.1.example.cn/',
  ]) {
    refused(await place(sandbox, order(sandbox, { notify_url: url })), 400, 'PARAM_ERROR', /通知地址不合法/);
  }
  assert.equal((await place(sandbox, order(sandbox, { notify_url: 'https://example.cn/webhooks/wechat-pay' }))).status, 200);
});

test('another appid or mchid is refused', async (t) => {
  const sandbox = await startPay(t);
  refused(await place(sandbox, order(sandbox, { appid: 'wx2' })), 400, 'APPID_MCHID_NOT_MATCH');
  refused(await place(sandbox, order(sandbox, { mchid: '1' })), 400, 'APPID_MCHID_NOT_MATCH');
  const asked = order(sandbox);
  await place(sandbox, asked);
  const path = `/v3/pay/transactions/out-trade-no/${asked.out_trade_no}`;
  refused(await v3(sandbox, 'GET', `${path}?mchid=1`), 400, 'APPID_MCHID_NOT_MATCH');
  refused(await v3(sandbox, 'GET', path), 400, 'PARAM_ERROR', /mchid”必填/);
  refused(await v3(sandbox, 'GET', `${path}?mchid=${MCHID}&mchid=${MCHID}`), 400, 'PARAM_ERROR');
  refused(await v3(sandbox, 'POST', `${path}/close`, { mchid: '1' }), 400, 'APPID_MCHID_NOT_MATCH');
});

test('the same order again is the same order; changed, paid or closed it is refused', async (t) => {
  const sandbox = await startPay(t);
  const asked = order(sandbox);
  const first = (await place(sandbox, asked)).body.prepay_id;
  const { payer, ...rest } = asked;
  const second = (await place(sandbox, { payer, ...rest, time_expire: rfc3339(sandbox.clock.now() + DAY_MS) })).body.prepay_id;
  assert.ok(second && second !== first);
  for (const changes of [
    { amount: { total: 9_999, currency: 'CNY' } }, { description: 'x' }, { attach: 'x' }, { payer: { openid: 'oBen' } },
  ]) {
    refused(await place(sandbox, { ...asked, ...changes }), 400, 'INVALID_REQUEST', /^请求重入时，参数与首次请求时不一致$/);
  }
  refused(await v3(sandbox, 'POST', '/v3/pay/transactions/native', rest), 403, 'OUT_TRADE_NO_USED');

  await sandbox.post('/sandbox/pay', { out_trade_no: asked.out_trade_no, notify: 'never' });
  refused(await place(sandbox, asked), 400, 'ORDERPAID');
  refused(await closeOrder(sandbox, asked.out_trade_no), 400, 'ORDERPAID');

  const other = order(sandbox);
  await place(sandbox, other);
  for (let again = 0; again < 2; again += 1) {
    const closed = await closeOrder(sandbox, other.out_trade_no);
    assert.equal(closed.status, 204);
    assert.equal(closed.text, '');
    assert.ok(isSigned(closed));
  }
  refused(await place(sandbox, other), 400, 'ORDERCLOSED');
  assert.equal((await queryOrder(sandbox, other.out_trade_no)).body.trade_state, 'CLOSED');
});

test('a number never ordered is not found, and spoilt when it is closed', async (t) => {
  const sandbox = await startPay(t);
  const asked = order(sandbox);
  refused(await queryOrder(sandbox, asked.out_trade_no), 404, 'ORDER_NOT_EXIST');
  refused(await v3(sandbox, 'GET', `/v3/pay/transactions/id/42?mchid=${MCHID}`), 404, 'ORDER_NOT_EXIST');
  assert.equal((await closeOrder(sandbox, asked.out_trade_no)).status, 204);
  refused(await place(sandbox, asked), 400, 'INVALID_REQUEST', /请求重入/);
});

test('nobody pays after the deadline, but a payment under way comes through', async (t) => {
  const sandbox = await startPay(t);
  const pay = (no, more = {}, status = 409) => sandbox.refused('/sandbox/pay', { out_trade_no: no, ...more }, status);
  const soon = order(sandbox, { time_expire: rfc3339(sandbox.clock.now() + 1_000) });
  await place(sandbox, soon);
  sandbox.clock.pass(59_000); // a deadline is at least a minute ahead
  assert.equal((await queryOrder(sandbox, soon.out_trade_no)).body.trade_state, 'NOTPAY');
  sandbox.clock.pass(1_000);
  assert.match(await pay(soon.out_trade_no), /time_expire has passed/);
  assert.equal((await queryOrder(sandbox, soon.out_trade_no)).body.trade_state, 'NOTPAY');
  const late = await sandbox.post('/sandbox/pay', { out_trade_no: soon.out_trade_no, late: true, notify: 'never' });
  assert.equal(late.state, 'SUCCESS');
  assert.match(await pay(soon.out_trade_no, { late: true }), /the order is SUCCESS/);

  const stale = order(sandbox);
  await place(sandbox, stale);
  sandbox.clock.pass(2 * HOUR_MS);
  assert.match(await pay(stale.out_trade_no), /older than two hours/);
  await place(sandbox, stale);
  assert.equal((await sandbox.post('/sandbox/pay', { out_trade_no: stale.out_trade_no, notify: 'never' })).state, 'SUCCESS');

  const closed = order(sandbox);
  await place(sandbox, closed);
  await closeOrder(sandbox, closed.out_trade_no);
  assert.match(await pay(closed.out_trade_no, { late: true }), /the order is CLOSED/);

  const forgotten = order(sandbox);
  await place(sandbox, forgotten);
  sandbox.clock.pass(7 * DAY_MS);
  assert.equal((await queryOrder(sandbox, forgotten.out_trade_no)).body.trade_state, 'CLOSED');
});

test('refunds: accepted first, then done; in parts, and never over what is left', async (t) => {
  const sandbox = await startPay(t);
  const paid = await paidOrder(sandbox);
  const first = refundOf(sandbox, paid, 4_000, { reason: '客户取消' });
  const { body } = await refund(sandbox, first);
  assert.equal(body.status, 'PROCESSING');
  assert.equal(body.success_time, undefined);
  assert.deepEqual(body.amount.refund, 4_000);
  const target = `/v3/refund/domestic/refunds/${first.out_refund_no}`;
  const queried = (await v3(sandbox, 'GET', target)).body;
  assert.equal(queried.status, 'SUCCESS');
  assert.equal(queried.success_time, '2026-03-01T12:00:00+08:00');
  assert.deepEqual((await refund(sandbox, first)).body, queried);
  assert.equal((await queryOrder(sandbox, paid.out_trade_no)).body.trade_state, 'REFUND');

  const [notice] = await until(() => sandbox.merchant.got.length > 0 && sandbox.merchant.got);
  const { event_type, resource, contents } = openNotice(notice);
  assert.equal(event_type, 'REFUND.SUCCESS');
  assert.equal(resource.associated_data, 'refund');
  assert.deepEqual(contents, {
    mchid: MCHID,
    out_trade_no: paid.out_trade_no,
    transaction_id: paid.transaction_id,
    out_refund_no: first.out_refund_no,
    refund_id: body.refund_id,
    refund_status: 'SUCCESS',
    success_time: '2026-03-01T12:00:00+08:00',
    amount: { total: 10_000, refund: 4_000, payer_total: 10_000, payer_refund: 4_000 },
    user_received_account: '支付用户零钱',
  });

  const changed = { ...first, amount: { ...first.amount, refund: 3_999 } };
  refused(await refund(sandbox, changed), 400, 'INVALID_REQUEST', /与之前请求不一致/);
  refused(await refund(sandbox, refundOf(sandbox, paid, 6_001)), 400, 'INVALID_REQUEST', /大于订单剩余可退金额/);
  const wrongTotal = { amount: { refund: 1, total: 9_999, currency: 'CNY' } };
  refused(await refund(sandbox, refundOf(sandbox, paid, 1, wrongTotal)), 400, 'INVALID_REQUEST', /与之前请求不一致/);
  const byId = refundOf(sandbox, paid, 6_000, { out_trade_no: undefined, transaction_id: paid.transaction_id });
  assert.equal((await refund(sandbox, byId)).status, 200);
  refused(await refund(sandbox, refundOf(sandbox, paid, 1)), 400, 'INVALID_REQUEST');

  const other = await paidOrder(sandbox);
  const reused = refundOf(sandbox, other, 4_000, { out_refund_no: first.out_refund_no });
  refused(await refund(sandbox, reused), 400, 'INVALID_REQUEST', /与之前请求不一致/);
});

test('refunds of what is not there, not paid, or paid too long ago are refused', async (t) => {
  const sandbox = await startPay(t);
  const paid = await paidOrder(sandbox);
  refused(await refund(sandbox, refundOf(sandbox, paid, 1, { out_trade_no: 'never-ordered' })), 404, 'RESOURCE_NOT_EXISTS');
  refused(await refund(sandbox, refundOf(sandbox, paid, 1, { out_trade_no: undefined })), 400, 'PARAM_ERROR');
  refused(await refund(sandbox, refundOf(sandbox, paid, 1, { transaction_id: '42' })), 400, 'INVALID_REQUEST', /不是同一笔/);
  refused(await refund(sandbox, refundOf(sandbox, paid, 0)), 400, 'PARAM_ERROR');
  refused(await refund(sandbox, refundOf(sandbox, paid, 1, { reason: '准'.repeat(81) })), 400, 'PARAM_ERROR');
  refused(await v3(sandbox, 'GET', '/v3/refund/domestic/refunds/none'), 404, 'RESOURCE_NOT_EXISTS');
  const unpaid = order(sandbox);
  await place(sandbox, unpaid);
  refused(await refund(sandbox, refundOf(sandbox, unpaid, 1)), 400, 'INVALID_REQUEST', /未支付/);
  for (let part = 0; part < 50; part += 1) assert.equal((await refund(sandbox, refundOf(sandbox, paid, 1))).status, 200);
  refused(await refund(sandbox, refundOf(sandbox, paid, 1)), 400, 'INVALID_REQUEST', /最多退款50次/);
  const old = await paidOrder(sandbox);
  sandbox.clock.pass(366 * DAY_MS);
  refused(await refund(sandbox, refundOf(sandbox, old, 1)), 400, 'INVALID_REQUEST', /超过一年/);
});

test('faults: the vendor\'s errors change nothing, a signature may be wrong, 202 tells nothing', async (t) => {
  const sandbox = await startPay(t);
  const fault = (kind, more = {}) => sandbox.post('/sandbox/faults', { provider: 'wechat_pay', kind, ...more });
  const asked = order(sandbox);
  for (const [kind, status, code, more] of [
    ['system_error', 500, 'SYSTEM_ERROR'], ['frequency_limit', 429, 'FREQUENCY_LIMITED'],
    ['refuse', 403, 'RULELIMIT'], ['refuse', 403, 'ACCOUNTERROR', { errcode: 'ACCOUNTERROR' }],
  ]) {
    await fault(kind, more);
    refused(await place(sandbox, asked), status, code);
  }
  refused(await queryOrder(sandbox, asked.out_trade_no), 404, 'ORDER_NOT_EXIST');
  for (const kind of ['bad_signature', 'signtest']) {
    await fault(kind);
    const answer = await place(sandbox, asked, { unverified: true });
    assert.equal(answer.status, 200);
    assert.equal(isSigned(answer), false);
    assert.equal(answer.headers['wechatpay-signature'].startsWith('WECHATPAY/SIGNTEST/'), kind === 'signtest');
  }
  await fault('system_error', { path: '/v3/pay/transactions/out-trade-no/{out_trade_no}' });
  assert.equal((await place(sandbox, asked)).status, 200);
  refused(await queryOrder(sandbox, asked.out_trade_no), 500, 'SYSTEM_ERROR');
  refused(await place(sandbox, asked, { mchid: '1' }), 400, 'MCH_NOT_EXISTS');

  await sandbox.post('/sandbox/pay', { out_trade_no: asked.out_trade_no, notify: 'never' });
  const asking = refundOf(sandbox, asked, 100);
  await fault('not_enough');
  refused(await refund(sandbox, asking), 403, 'NOT_ENOUGH');
  await fault('accepted');
  assert.equal((await refund(sandbox, asking)).status, 202);
  assert.equal((await payment(sandbox, asked.out_trade_no)).refunds[0].status, 'SUCCESS');
});

test('bills of a day, from ten the next morning, packed or not', async (t) => {
  const sandbox = await startPay(t); // Sunday noon in China
  const one = await paidOrder(sandbox, { attach: 'a,b`c' });
  const two = await paidOrder(sandbox, { amount: { total: 5, currency: 'CNY' } });
  sandbox.clock.pass(1_000);
  await refund(sandbox, refundOf(sandbox, one, 2_500));
  const bill = (query) => v3(sandbox, 'GET', `/v3/bill/tradebill?bill_date=2026-03-01${query}`);
  refused(await bill(''), 400, 'INVALID_REQUEST', /正在生成/);
  sandbox.clock.pass(22 * HOUR_MS - 1_001);
  refused(await bill(''), 400, 'INVALID_REQUEST', /正在生成/);
  sandbox.clock.pass(1);
  const offered = (await bill('')).body;
  const download = async ({ download_url: url }, changes) => {
    assert.ok(url.startsWith(`${sandbox.base}/v3/billdownload/file?token=`));
    return v3(sandbox, 'GET', url.slice(sandbox.base.length), undefined, changes);
  };
  const file = await download(offered);
  assert.equal(file.headers['wechatpay-signature'], undefined);
  assert.equal(offered.hash_type, 'SHA1');
  assert.equal(createHash('sha1').update(file.bytes).digest('hex'), offered.hash_value);
  const { rows, summary } = Formatter.castCsvBill(file.bytes);
  assert.equal(Object.keys(rows[0]).length, 27);
  assert.deepEqual(rows.map((row) => [row.商户订单号, row.交易状态, row.订单金额, row.退款金额]), [
    [one.out_trade_no, 'SUCCESS', '100.00', '0.00'],
    [two.out_trade_no, 'SUCCESS', '0.05', '0.00'],
    [one.out_trade_no, 'REFUND', '0.00', '25.00'],
  ]);
  assert.equal(rows[0].商户数据包, 'a b c');
  assert.deepEqual(summary, {
    总交易单数: '3', 应结订单总金额: '100.05', 退款总金额: '25.00', 充值券退款总金额: '0.00', 手续费总金额: '0.45000',
    订单总金额: '100.05', 申请退款总金额: '25.00',
  });

  const packed = (await bill('&tar_type=GZIP')).body;
  assert.equal(packed.hash_value, offered.hash_value);
  assert.deepEqual(gunzipSync((await download(packed)).bytes), file.bytes);
  const kinds = { SUCCESS: 20, REFUND: 29 };
  for (const [kind, columns] of Object.entries(kinds)) {
    const some = Formatter.castCsvBill((await download((await bill(`&bill_type=${kind}`)).body)).bytes);
    assert.equal(Object.keys(some.rows[0]).length, columns);
  }
  const flow = (await v3(sandbox, 'GET', '/v3/bill/fundflowbill?bill_date=2026-03-01')).body;
  const moves = Formatter.castCsvBill((await download(flow)).bytes);
  assert.deepEqual(moves.rows.map((row) => row['收支金额(元)']), ['100.00', '0.60', '0.05', '24.85']);
  assert.equal(moves.summary.收入金额, '100.05');

  refused(await download(offered, { key: generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey }), 401, 'SIGN_ERROR');
  sandbox.clock.pass(5 * MINUTE_MS + 1);
  refused(await download(offered), 400, 'INVALID_REQUEST', /已过期/);
  refused(await v3(sandbox, 'GET', '/v3/bill/tradebill?bill_date=2026-02-28'), 400, 'NO_STATEMENT_EXIST');
  refused(await v3(sandbox, 'GET', '/v3/bill/tradebill?bill_date=2025-11-01'), 400, 'INVALID_REQUEST', /三个月/);
  refused(await v3(sandbox, 'GET', '/v3/bill/tradebill?bill_date=2026-02-30'), 400, 'PARAM_ERROR');
  refused(await v3(sandbox, 'GET', '/v3/bill/tradebill'), 400, 'PARAM_ERROR');
  refused(await v3(sandbox, 'GET', '/v3/bill/fundflowbill?bill_date=2026-03-01&account_type=FEES'), 400, 'NO_STATEMENT_EXIST');
});

test('bills are there at once when the world is told so', async (t) => {
  const sandbox = await startPay(t);
  await paidOrder(sandbox);
  assert.deepEqual(await sandbox.post('/sandbox/bills', { early: true }), { early: true });
  assert.equal((await v3(sandbox, 'GET', '/v3/bill/tradebill?bill_date=2026-03-01')).status, 200);
  refused(await v3(sandbox, 'GET', '/v3/bill/tradebill?bill_date=2026-03-02'), 400, 'INVALID_REQUEST');
});

test('shipping of a paid order is told once, and once more', async (t) => {
  const sandbox = await startPay(t);
  const paid = await paidOrder(sandbox);
  const unpaid = order(sandbox);
  await place(sandbox, unpaid);
  const { access_token } = await sandbox.token();
  const shipping = {
    order_key: { order_number_type: 1, mchid: MCHID, out_trade_no: paid.out_trade_no },
    logistics_type: 4,
    delivery_mode: 1,
    shipping_list: [{ item_desc: '肩颈放松' }],
    upload_time: '2026-03-01T12:00:00.000+08:00',
    payer: { openid: OPENID },
  };
  const upload = async (changes = {}, token = access_token) =>
    (await sandbox.post(`/wxa/sec/order/upload_shipping_info?access_token=${token}`, { ...shipping, ...changes })).errcode;
  assert.equal(await upload({}, 'none'), 40001);
  for (const changes of [
    { order_key: undefined }, { order_key: { order_number_type: 1, mchid: MCHID } }, { logistics_type: 5 }, { delivery_mode: 2 },
    { shipping_list: [] }, { shipping_list: [{ item_desc: 'x'.repeat(121) }] }, { upload_time: 'now' }, { payer: {} },
  ]) assert.equal(await upload(changes), 47001, JSON.stringify(changes));
  assert.equal(await upload({ order_key: { ...shipping.order_key, mchid: '1' } }), 10060001);
  assert.equal(await upload({ order_key: { ...shipping.order_key, out_trade_no: unpaid.out_trade_no } }), 10060004);
  assert.equal(await upload({ payer: { openid: 'oBen' } }), 10060031);
  assert.equal(await upload(), 0);
  assert.equal(await upload({ order_key: { order_number_type: 2, transaction_id: paid.transaction_id } }), 0);
  assert.equal(await upload(), 10060003);
  assert.deepEqual((await payment(sandbox, paid.out_trade_no)).shipping, {
    at: sandbox.clock.now(), uploads: 2, logistics_type: 4, items: ['肩颈放松'],
  });
});
