// What the tests of the payment vendors share: keys, a merchant that gets notifications, signed calls.

import { createDecipheriv, createVerify, randomBytes, sign } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';

import { AlipaySdk } from 'alipay-sdk';

import { ensureKeys, pemBody } from '../keys.mjs';
import { CONFIG, start } from './support.mjs';

process.env.TZ = 'Asia/Shanghai'; // Alipay's SDK writes its timestamps in the local time zone

const folder = mkdtempSync(join(tmpdir(), 'sandbox-keys-'));
export const KEYS = ensureKeys(folder);
after(() => rmSync(folder, { recursive: true }));

export const MCHID = '1900000109';
export const APPID = CONFIG.wechat.appid;
export const APP_ID = '2021000000000001';
export const SELLER_ID = '2088000000000001';
export const OPENID = 'oAnna';

export const realTime = { now: Date.now };

/** Starts a sandbox with payments; retries come at once unless `sleep` says otherwise. */
export async function startPay(t, { speed = 1, mode = 'key', ...world } = {}) {
  const payments = {
    keys: KEYS, wechatPay: { mchid: MCHID }, alipay: { appId: APP_ID, sellerId: SELLER_ID, mode }, speed,
  };
  const sandbox = await start(t, { config: { ...CONFIG, payments }, ...world });
  sandbox.merchant = await startMerchant(t);
  return sandbox;
}

/** An HTTP server that keeps what it is sent; `answers` are used up first to last, the last one stays. */
async function startMerchant(t) {
  const merchant = { got: [], answers: [{ status: 200, body: '' }] };
  const server = createServer(async (incoming, response) => {
    const chunks = [];
    for await (const chunk of incoming) chunks.push(chunk);
    const answer = merchant.answers.length > 1 ? merchant.answers.shift() : merchant.answers[0];
    merchant.got.push({ url: incoming.url, headers: incoming.headers, body: Buffer.concat(chunks).toString() });
    response.writeHead(answer.status, { connection: 'close' }).end(answer.body);
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => server.close());
  merchant.url = `http://127.0.0.1:${server.address().port}/notices`;
  return merchant;
}

/** Waits for a condition, with a deadline. @returns its first truthy value */
export async function until(condition, what = condition) {
  for (let left = 400; left > 0; left -= 1) {
    const value = await condition();
    if (value) return value;
    await wait(5);
  }
  throw new Error(`not in time: ${what}`);
}

let lastNumber = 0;
export const newNumber = () => `T${Date.now()}${String((lastNumber += 1)).padStart(4, '0')}`;

// --- WeChat Pay, signed with node:crypto alone ---

/** The headers of a signed call; `changes` spoil what the signature is made from, or replace headers. */
export function v3Headers(sandbox, method, target, body, changes = {}) {
  const {
    mchid = MCHID, serial = KEYS.wechatPay.merchantSerial, key = KEYS.wechatPay.merchantPrivateKey,
    timestamp = Math.floor(sandbox.clock.now() / 1000), nonce = randomBytes(16).toString('hex'), signedBody = body,
  } = changes;
  const message = `${method}\n${target}\n${timestamp}\n${nonce}\n${signedBody}\n`;
  const signature = sign('sha256', Buffer.from(message), key).toString('base64');
  return {
    accept: 'application/json',
    'user-agent': 'tests',
    ...(body && { 'content-type': 'application/json' }),
    authorization: `WECHATPAY2-SHA256-RSA2048 mchid="${mchid}",nonce_str="${nonce}",signature="${signature}",`
      + `timestamp="${timestamp}",serial_no="${serial}"`,
    ...changes.headers,
  };
}

/** A call to WeChat Pay. @returns `{status, headers, text, body}`; the signature of a 2xx answer is checked */
export async function v3(sandbox, method, target, value, changes = {}) {
  const body = value === undefined ? '' : typeof value === 'string' ? value : JSON.stringify(value);
  const headers = v3Headers(sandbox, method, target, body, changes);
  const response = await sandbox.fetch(target, { method, headers, ...(body && { body }) });
  const bytes = Buffer.from(await response.arrayBuffer());
  const answer = { status: response.status, headers: Object.fromEntries(response.headers), bytes, text: bytes.toString() };
  if (response.ok && !target.startsWith('/v3/billdownload') && !changes.unverified && !isSigned(answer)) {
    throw new Error(`the answer is not signed: ${answer.text}`);
  }
  try {
    answer.body = JSON.parse(answer.text);
  } catch {
    answer.body = null;
  }
  return answer;
}

/** Whether WeChat Pay signed these headers and this text. */
export function isSigned({ headers, text }) {
  const { publicKeyId, publicKey, platformSerial, platformCertificate } = KEYS.wechatPay;
  const known = { [publicKeyId]: publicKey, [platformSerial]: platformCertificate };
  const key = known[headers['wechatpay-serial']];
  if (!key || headers['wechatpay-signature-type'] !== 'WECHATPAY2-SHA256-RSA2048') return false;
  const message = `${headers['wechatpay-timestamp']}\n${headers['wechatpay-nonce']}\n${text}\n`;
  return createVerify('sha256').update(message).verify(key, headers['wechatpay-signature'], 'base64');
}

export function unseal({ nonce, associated_data: data, ciphertext }) {
  const sealed = Buffer.from(ciphertext, 'base64');
  const decipher = createDecipheriv('aes-256-gcm', KEYS.wechatPay.apiV3Key, nonce);
  decipher.setAuthTag(sealed.subarray(-16)).setAAD(Buffer.from(data));
  return decipher.update(sealed.subarray(0, -16), undefined, 'utf8') + decipher.final('utf8');
}

/** What a notification says, once its signature is checked. */
export function openNotice({ headers, body }) {
  if (!isSigned({ headers, text: body })) throw new Error('the notification is not signed');
  const envelope = JSON.parse(body);
  return { ...envelope, contents: JSON.parse(unseal(envelope.resource)) };
}

export function order(sandbox, changes = {}) {
  return {
    appid: APPID,
    mchid: MCHID,
    description: '肩颈放松 60分钟',
    out_trade_no: newNumber(),
    notify_url: sandbox.merchant.url,
    amount: { total: 10_000, currency: 'CNY' },
    payer: { openid: OPENID },
    ...changes,
  };
}

export const place = (sandbox, asked, changes) => v3(sandbox, 'POST', '/v3/pay/transactions/jsapi', asked, changes);
export const queryOrder = (sandbox, no) =>
  v3(sandbox, 'GET', `/v3/pay/transactions/out-trade-no/${encodeURIComponent(no)}?mchid=${MCHID}`);
export const closeOrder = (sandbox, no) =>
  v3(sandbox, 'POST', `/v3/pay/transactions/out-trade-no/${no}/close`, { mchid: MCHID });
export const refund = (sandbox, asked) => v3(sandbox, 'POST', '/v3/refund/domestic/refunds', asked);

/** An order that the customer has paid; no notification unless asked for. @returns what was ordered */
export async function paidOrder(sandbox, changes = {}, how = { notify: 'never' }) {
  const asked = order(sandbox, changes);
  const placed = await place(sandbox, asked);
  if (placed.status !== 200) throw new Error(placed.text);
  const { transaction_id } = await sandbox.post('/sandbox/pay', { out_trade_no: asked.out_trade_no, ...how });
  return { ...asked, transaction_id };
}

export const refundOf = (sandbox, asked, amount, changes = {}) => ({
  out_trade_no: asked.out_trade_no,
  out_refund_no: newNumber(),
  notify_url: sandbox.merchant.url,
  amount: { refund: amount, total: asked.amount.total, currency: 'CNY' },
  ...changes,
});

export async function payment(sandbox, no) {
  return (await sandbox.get(`/sandbox/payments?out_trade_no=${encodeURIComponent(no)}`)).payments[0];
}

// --- Alipay, through its own SDK ---

export function alipayClient(sandbox, changes = {}) {
  return new AlipaySdk({
    appId: APP_ID,
    keyType: 'PKCS8',
    privateKey: pemBody(KEYS.alipay.appPrivateKey),
    alipayPublicKey: pemBody(KEYS.alipay.alipayPublicKey),
    gateway: `${sandbox.base}/gateway.do`,
    camelcase: false,
    ...changes,
  });
}

export const exec = (client, method, bizContent, params = {}) =>
  client.exec(method, { bizContent, ...params }, { validateSign: true });
