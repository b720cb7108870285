// Alipay's gateway below the business: common parameters, signatures of requests, answers and notifications.
// HTTP is always 200; an answer is signed over the text of its inner object, as it stands in the body.

import { sign } from 'node:crypto';

import { AlipaySdk } from 'alipay-sdk';

import { MINUTE_MS, parsePlainTime } from './china-time.mjs';
import { readJsonObject } from './http.mjs';
import { pemBody } from './keys.mjs';

/** Stricter than what is documented: a clock in another time zone must not go unnoticed. */
export const MAX_CLOCK_SKEW_MS = 10 * MINUTE_MS;

const HEADERS = { 'content-type': 'text/html;charset=utf-8' };

const MESSAGES = {
  10000: 'Success',
  20000: 'Service Currently Unavailable',
  40001: 'Missing Required Arguments',
  40002: 'Invalid Arguments',
  40004: 'Business Failed',
  40005: 'Call Limited',
};

/** Thrown where a request is refused; becomes the inner object of the answer. */
export class Refusal extends Error {
  /** Before the app is known there is nothing to sign with, nor a method to name the answer after. */
  nameless = false;

  constructor(code, subCode, subMsg) {
    super(subMsg);
    this.body = { code: String(code), msg: MESSAGES[code], sub_code: subCode, sub_msg: subMsg };
  }
}

const nameless = (refusal) => Object.assign(refusal, { nameless: true });
const missing = (name) => new Refusal(40001, `isv.missing-${name}`, `缺少参数：${name}`);
const invalid = (name, why) => new Refusal(40002, `isv.invalid-${name}`, why);

/** @returns the parameters of a request, those of the address and of the body; or null: one is there twice */
export function readParameters(request) {
  const parameters = {};
  const form = new URLSearchParams(request.body.toString());
  for (const [name, value] of [...request.query, ...form]) {
    if (Object.hasOwn(parameters, name)) return null;
    parameters[name] = value;
  }
  return parameters;
}

export class Gateway {
  #appId;
  #keys;
  #now;
  #certificates;
  #sdk;

  /** @param options mode: `key` or `certificate`; keys: `alipay` of keys.mjs; now: UTC ms */
  constructor({ appId, keys, mode, now }) {
    this.#appId = appId;
    this.#keys = keys;
    this.#now = now;
    this.#certificates = mode === 'certificate';
    // The SDK with the roles exchanged: it verifies with the app's public key.
    this.#sdk = new AlipaySdk({
      appId,
      keyType: 'PKCS8',
      privateKey: pemBody(keys.alipayPrivateKey),
      alipayPublicKey: pemBody(keys.appPublicKey),
    });
  }

  /** @returns `{parameters, content}`, content being biz_content as an object */
  check(request, methods) {
    const parameters = readParameters(request);
    if (parameters === null) throw nameless(invalid('parameter', '参数重复'));
    const given = (name, called = name.replaceAll('_', '-')) => {
      if (!parameters[name]) throw missing(called);
      return parameters[name];
    };
    if (parameters.app_id !== this.#appId) {
      throw nameless(parameters.app_id ? invalid('app-id', '无效的AppID参数') : missing('app-id'));
    }
    if (!methods.includes(parameters.method)) {
      throw nameless(parameters.method ? invalid('method', '不存在的方法名') : missing('method'));
    }
    if (given('version') !== '1.0') throw invalid('version', '无效的版本参数');
    if (parameters.format !== undefined && parameters.format.toUpperCase() !== 'JSON') {
      throw invalid('format', '无效的数据格式');
    }
    if (given('charset').toLowerCase() !== 'utf-8') throw invalid('charset', '字符集错误');
    if (given('sign_type', 'signature-type') !== 'RSA2') throw invalid('signature-type', '无效的签名类型');
    const at = parsePlainTime(given('timestamp'));
    if (Number.isNaN(at) || Math.abs(at - this.#now()) > MAX_CLOCK_SKEW_MS) {
      throw invalid('timestamp', '非法的时间戳参数，应为GMT+8的yyyy-MM-dd HH:mm:ss');
    }
    this.#checkCertificates(parameters);
    this.#checkSignature(parameters, request, given('sign', 'signature'));
    const content = readJsonObject(Buffer.from(given('biz_content')));
    if (content === null) throw new Refusal(40004, 'ACQ.INVALID_PARAMETER', '参数无效：biz_content不是JSON对象');
    return { parameters, content };
  }

  #checkCertificates(parameters) {
    const expected = this.#certificates
      ? { app_cert_sn: this.#keys.appCertSn, alipay_root_cert_sn: this.#keys.rootCertSn }
      : { app_cert_sn: undefined, alipay_root_cert_sn: undefined };
    for (const [name, value] of Object.entries(expected)) {
      const called = name.replaceAll('_', '-');
      if (value !== undefined && !parameters[name]) throw missing(called);
      if (parameters[name] !== value) throw invalid(called, '证书序列号与应用的加签方式不一致');
    }
  }

  #checkSignature(parameters, request, signature) {
    // Without a charset in the address the gateway would read the body in GBK, and sign other characters.
    const readable = request.query.has('charset') || /^[\x20-\x7e]*$/.test(Object.values(parameters).join(''));
    const content = signingText(parameters, ['sign']);
    const wellFormed = /^[A-Za-z0-9+/]{342}==$/.test(signature);
    if (readable && wellFormed && this.#sdk.rsaCheck(content, signature, 'RSA2')) return;
    throw invalid('signature', `验签出错，建议检查签名字符串或签名私钥与应用公钥是否匹配，网关生成的验签字符串为：${content}`);
  }

  /** An answer to nobody in particular; as over there it is not signed. */
  namelessAnswer(inner) {
    return { status: 200, headers: HEADERS, body: JSON.stringify({ error_response: inner }) };
  }

  /** @param method that of the request; how: `bad_signature`, or anything else */
  answer(method, inner, how) {
    const name = `${method.replaceAll('.', '_')}_response`;
    const text = JSON.stringify(inner).replaceAll('/', '\\/'); // slashes are escaped over there
    const sn = this.#certificates ? `,"alipay_cert_sn":"${this.#keys.alipayCertSn}"` : '';
    const signature = this.#sign(how === 'bad_signature' ? `${text} ` : text);
    return {
      status: 200,
      headers: HEADERS,
      body: `{"${name}":${text}${sn},"sign":"${signature}"}`,
    };
  }

  /** @returns the form of a notification; its signature leaves out sign and sign_type */
  notification(fields, how) {
    const whole = {
      ...fields,
      charset: 'utf-8',
      version: '1.0',
      ...(this.#certificates && { alipay_cert_sn: this.#keys.alipayCertSn }),
      sign_type: 'RSA2',
    };
    const content = signingText(whole, ['sign', 'sign_type']);
    whole.sign = this.#sign(how === 'bad_signature' ? `${content} ` : content);
    return {
      headers: { 'content-type': 'application/x-www-form-urlencoded; charset=utf-8', 'user-agent': 'Mozilla/4.0' },
      body: new URLSearchParams(whole).toString(),
    };
  }

  #sign(text) {
    return sign('sha256', Buffer.from(text), this.#keys.alipayPrivateKey).toString('base64');
  }
}

function signingText(parameters, without) {
  return Object.keys(parameters)
    .filter((name) => !without.includes(name) && parameters[name] !== '')
    .sort()
    .map((name) => `${name}=${parameters[name]}`)
    .join('&');
}
