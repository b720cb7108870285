// WeChat Pay's notifications: sealed with the APIv3 key (AES-256-GCM), signed like an answer.

import { randomBytes, randomUUID } from 'node:crypto';

import { Aes, Formatter, Rsa } from 'wechatpay-axios-plugin';

import { HOUR_MS, MINUTE_MS, rfc3339 } from './china-time.mjs';

const S = 1_000;
/** The gaps between attempts: 16 attempts in a day. */
export const SCHEDULE = [
  15 * S, 15 * S, 30 * S, 3 * MINUTE_MS, 10 * MINUTE_MS, 20 * MINUTE_MS, 30 * MINUTE_MS, 30 * MINUTE_MS,
  30 * MINUTE_MS, 60 * MINUTE_MS, 3 * HOUR_MS, 3 * HOUR_MS, 3 * HOUR_MS, 6 * HOUR_MS, 6 * HOUR_MS,
];

/** What a merchant's own check of its verification must refuse. */
const SIGNTEST = 'WECHATPAY/SIGNTEST/';

const SUMMARY = {
  'TRANSACTION.SUCCESS': '支付成功',
  'REFUND.SUCCESS': '退款成功',
  'REFUND.ABNORMAL': '退款异常',
  'REFUND.CLOSED': '退款关闭',
};

/** Kinds of forgeries that are signed as they should be; only what they say is wrong. */
const WRONG_CONTENTS = {
  wrong_amount: (payment) => ({ ...payment, amount: { ...payment.amount, total: payment.amount.total + 1 } }),
  wrong_merchant: (payment) => ({ ...payment, mchid: '1999999999' }),
  wrong_app: (payment) => ({ ...payment, appid: 'wxsomebodyelse0001' }),
  other_currency: (payment) => ({
    ...payment,
    amount: { ...payment.amount, currency: 'USD', payer_currency: 'USD' },
  }),
};
export const FORGERIES = [...Object.keys(WRONG_CONTENTS), 'bad_signature', 'signtest', 'unknown_serial', 'stale'];
const STALE_MS = 10 * MINUTE_MS;

/** Signs answers and notifications; a control call says with which of the two keys. */
export class Signer {
  #keys;
  #now;
  use = 'public_key';

  constructor(keys, now) {
    this.#keys = keys;
    this.#now = now;
  }

  /** @param how `ordinary`, or the kind of a fault or forgery */
  headers(body, how = 'ordinary') {
    const { publicKeyId, publicKeyPrivateKey, platformSerial, platformPrivateKey } = this.#keys;
    const [serial, key] =
      this.use === 'public_key' ? [publicKeyId, publicKeyPrivateKey] : [platformSerial, platformPrivateKey];
    const timestamp = Math.floor((this.#now() - (how === 'stale' ? STALE_MS : 0)) / 1000);
    const nonce = Formatter.nonce();
    const signed = how === 'bad_signature' ? `${body} ` : body;
    const signature = Rsa.sign(Formatter.response(timestamp, nonce, signed), key);
    return {
      'wechatpay-nonce': nonce,
      'wechatpay-serial': how === 'unknown_serial' ? otherSerial(serial) : serial,
      'wechatpay-signature': how === 'signtest' ? SIGNTEST + signature.slice(SIGNTEST.length) : signature,
      'wechatpay-signature-type': 'WECHATPAY2-SHA256-RSA2048',
      'wechatpay-timestamp': String(timestamp),
    };
  }

  seal(plaintext, associatedData) {
    const nonce = randomBytes(6).toString('hex'); // 12 characters, which are the nonce as they stand
    return {
      algorithm: 'AEAD_AES_256_GCM',
      ciphertext: Aes.AesGcm.encrypt(plaintext, this.#keys.apiV3Key, nonce, associatedData),
      associated_data: associatedData,
      nonce,
    };
  }
}

/** The same length, another ending. */
const otherSerial = (serial) => serial.slice(0, -1) + (serial.endsWith('0') ? '1' : '0');

/**
 * A notification as the notifier takes it: one id for all its attempts, sealed and signed anew for each.
 */
export function notice({ signer, now, order, url, eventType, contents }) {
  const [event] = eventType.split('.');
  const originalType = event === 'REFUND' ? 'refund' : 'transaction';
  const id = randomUUID();
  const createTime = rfc3339(now());
  return {
    order,
    kind: eventType,
    url,
    schedule: SCHEDULE,
    build: (how) => {
      const body = JSON.stringify({
        id,
        create_time: createTime,
        resource_type: 'encrypt-resource',
        event_type: eventType,
        summary: SUMMARY[eventType],
        resource: { original_type: originalType, ...signer.seal(JSON.stringify(contents), originalType) },
      });
      return { headers: { ...HEADERS, ...signer.headers(body, how) }, body };
    },
    accepted: ({ status }) => status === 200 || status === 204,
  };
}

const HEADERS = { accept: '*/*', 'content-type': 'application/json', 'user-agent': 'Mozilla/4.0' };

/** A notification about a payment that never was as it says. @returns `{headers, body}` */
export function forge(kind, { signer, now, order, payment }) {
  const contents = WRONG_CONTENTS[kind]?.(payment) ?? payment;
  return notice({ signer, now, order, eventType: 'TRANSACTION.SUCCESS', contents }).build(kind);
}
