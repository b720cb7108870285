// What WeChat Pay v3 checks before it looks at the business of a request: headers, signature, JSON, fields.
// Every refusal is `{code, message, detail?}` with the status that goes with the code.

import { Formatter, Rsa } from 'wechatpay-axios-plugin';

import { MINUTE_MS } from './china-time.mjs';
import { json, readJsonObject } from './http.mjs';

export const MAX_CLOCK_SKEW_MS = 5 * MINUTE_MS;

const SCHEME = 'WECHATPAY2-SHA256-RSA2048';
const AUTHORIZATION_FIELDS = ['mchid', 'nonce_str', 'serial_no', 'signature', 'timestamp'];

const STATUS = new Map([
  ['SIGN_ERROR', 401],
  ['ACCOUNTERROR', 403],
  ['NOT_ENOUGH', 403],
  ['NO_AUTH', 403],
  ['OUT_TRADE_NO_USED', 403],
  ['RULELIMIT', 403],
  ['TRADE_ERROR', 403],
  ['USER_ACCOUNT_ABNORMAL', 403],
  ['ORDER_NOT_EXIST', 404],
  ['RESOURCE_NOT_EXISTS', 404],
  ['FREQUENCY_LIMITED', 429],
  ['BANKERROR', 500],
  ['OPENID_MISMATCH', 500],
  ['SYSTEM_ERROR', 500],
]);

/** Thrown where a request is refused; `reply` is what the merchant gets. */
export class Refusal extends Error {
  constructor(code, message, detail) {
    super(message);
    this.code = code;
    this.reply = json({ code, message, ...(detail && { detail }) }, STATUS.get(code) ?? 400);
  }
}

/** Nonces seen lately: one is good once. */
export class Nonces {
  #now;
  #seen = new Map(); // nonce -> UTC ms, oldest first

  constructor(now) {
    this.#now = now;
  }

  /** @returns false when it was used before, as far back as a timestamp is good */
  take(nonce) {
    for (const [old, at] of this.#seen) {
      if (this.#now() - at <= 2 * MAX_CLOCK_SKEW_MS) break;
      this.#seen.delete(old);
    }
    if (this.#seen.has(nonce)) return false;
    this.#seen.set(nonce, this.#now());
    return true;
  }
}

/** @param account mchid, keys (those of the merchant and the vendor), nonces, now */
export function authenticate({ mchid, keys, nonces, now }, request) {
  const { headers } = request;
  if (!headers['user-agent'] || !headers.accept) {
    throw new Refusal('INVALID_REQUEST', 'Http头缺少Accept或User-Agent');
  }
  if (request.body.length > 0 && !/^application\/json(;|$)/i.test(headers['content-type'] ?? '')) {
    throw new Refusal('INVALID_REQUEST', 'Http头Content-Type必须为application/json');
  }
  const given = readAuthorization(headers.authorization);
  if (given.mchid !== mchid) throw new Refusal('MCH_NOT_EXISTS', '商户号不存在');
  if (given.serial_no !== keys.merchantSerial) {
    throw new Refusal('SIGN_ERROR', '商户证书序列号有误。请使用签名私钥匹配的证书序列号', {
      field: 'serial_no', location: 'authorization', value: given.serial_no,
    });
  }
  const knownSerials = [undefined, keys.publicKeyId, keys.platformSerial];
  if (!knownSerials.includes(headers['wechatpay-serial'])) {
    throw new Refusal('INVALID_REQUEST', 'Http头Wechatpay-Serial不是有效的微信支付公钥ID或平台证书序列号');
  }
  if (Math.abs(now() - Number(given.timestamp) * 1000) > MAX_CLOCK_SKEW_MS) {
    throw new Refusal('SIGN_ERROR', 'Http头Authorization中的timestamp与发起请求的时间不得超过5分钟', {
      field: 'timestamp', location: 'authorization', value: given.timestamp,
    });
  }
  checkSignature(given, request, keys);
  if (!nonces.take(given.nonce_str)) {
    throw new Refusal('SIGN_ERROR', 'Http头Authorization中的nonce_str已被使用', {
      field: 'nonce_str', location: 'authorization', value: given.nonce_str,
    });
  }
}

function readAuthorization(header = '') {
  const malformed = () =>
    new Refusal('SIGN_ERROR', 'Http头Authorization值格式错误，请参考《微信支付商户REST API签名规则》');
  const [scheme, rest, ...more] = header.split(' ');
  if (!rest || more.length > 0) throw malformed();
  if (scheme !== SCHEME) throw new Refusal('SIGN_ERROR', 'Http头Authorization认证类型不正确');
  const fields = {};
  for (const part of rest.split(',')) {
    const [, name, value] = /^([a-z_]+)="([^"]+)"$/.exec(part) ?? [];
    if (!AUTHORIZATION_FIELDS.includes(name) || Object.hasOwn(fields, name)) throw malformed();
    fields[name] = value;
  }
  if (Object.keys(fields).length !== AUTHORIZATION_FIELDS.length) throw malformed();
  if (!/^\d{1,12}$/.test(fields.timestamp) || !/^[0-9A-Za-z]{1,32}$/.test(fields.nonce_str)) throw malformed();
  return fields;
}

function checkSignature({ timestamp, nonce_str: nonce, signature }, { method, target, body }, keys) {
  const message = Formatter.request(method, target, timestamp, nonce, body.toString());
  // Node reads base64 leniently; the vendor does not.
  const wellFormed = /^[A-Za-z0-9+/]{342}==$/.test(signature);
  if (wellFormed && Rsa.verify(message, signature, keys.merchantPublicKey)) return;
  throw new Refusal('SIGN_ERROR', '错误的签名，验签失败', {
    detail: { issue: 'sign not match' },
    field: 'signature',
    location: 'authorization',
    sign_information: {
      method,
      sign_message_length: Buffer.byteLength(message),
      truncated_sign_message: message.slice(0, 256),
      url: target,
    },
  });
}

// --- Fields ---

export const string = (min, max, pattern = /^/) => ({ type: 'string', min, max, pattern });
export const integer = (min, max = 100_000_000) => ({ type: 'integer', min, max });
export const boolean = { type: 'boolean' };
export const object = (fields) => ({ type: 'object', fields });
export const list = (of, max) => ({ type: 'list', of, max });
export const optional = (spec) => ({ ...spec, optional: true });
export const enumeration = (...values) => ({ type: 'enumeration', values });
/** A notification address: an absolute https URL without query; http too where it is this machine. */
export const notifyUrl = (max) => ({ type: 'url', max });

/** @returns the body, checked; the vendor takes neither null nor characters of four bytes, anywhere */
export function readBody(request, fields) {
  const value = readJsonObject(request.body);
  if (value === null) throw new Refusal('PARAM_ERROR', '请求体不是合法的JSON对象');
  checkCharacters(value, '');
  check(value, object(fields), '', 'body');
  return value;
}

export function readQuery(request, fields) {
  const value = {};
  for (const [name, text] of request.query) {
    if (Object.hasOwn(value, name)) fail(`/${name}`, text, '重复', 'query');
    value[name] = text;
  }
  check(value, object(fields), '', 'query');
  return value;
}

function checkCharacters(value, pointer) {
  if (value === null) fail(pointer, null, '不支持null值', 'body');
  if (typeof value === 'string' && /[\ud800-\udfff]/.test(value)) {
    fail(pointer, value, '包含不支持的字符，仅支持1到3字节的UTF-8字符', 'body');
  }
  if (typeof value !== 'object') return;
  for (const [name, inner] of Object.entries(value)) {
    checkCharacters(name, `${pointer}/${name}`);
    checkCharacters(inner, `${pointer}/${name}`);
  }
}

function check(value, spec, pointer, location) {
  const wrong = (issue) => fail(pointer, value, issue, location);
  switch (spec.type) {
    case 'object':
      if (typeof value !== 'object' || Array.isArray(value)) wrong('类型校验失败，应为对象');
      for (const name of Object.keys(value)) {
        if (!Object.hasOwn(spec.fields, name)) fail(`${pointer}/${name}`, value[name], '未知的字段', location);
      }
      for (const [name, inner] of Object.entries(spec.fields)) {
        if (Object.hasOwn(value, name)) check(value[name], inner, `${pointer}/${name}`, location);
        else if (!inner.optional) fail(`${pointer}/${name}`, '', '必填性规则校验失败，此字段为必填项', location);
      }
      return;
    case 'list':
      if (!Array.isArray(value) || value.length === 0 || value.length > spec.max) wrong('数组长度校验失败');
      for (const [index, inner] of value.entries()) check(inner, spec.of, `${pointer}/${index}`, location);
      return;
    case 'string': {
      if (typeof value !== 'string') wrong('类型校验失败，应为字符串');
      const { length } = [...value];
      if (length < spec.min || length > spec.max) wrong(`字符串长度校验失败，应为${spec.min}到${spec.max}`);
      if (!spec.pattern.test(value)) wrong('字符串规则校验失败');
      return;
    }
    case 'integer':
      if (!Number.isInteger(value)) wrong('类型校验失败，应为整数');
      if (value < spec.min || value > spec.max) wrong(`取值范围校验失败，应为${spec.min}到${spec.max}`);
      return;
    case 'boolean':
      if (typeof value !== 'boolean') wrong('类型校验失败，应为布尔值');
      return;
    case 'enumeration':
      if (!spec.values.includes(value)) wrong(`枚举值校验失败，应为${spec.values.join('、')}之一`);
      return;
    case 'url':
      if (typeof value !== 'string' || value.length > spec.max || !isNotifyUrl(value)) wrong('通知地址不合法');
      return;
    default:
      throw new Error(`no such type: ${spec.type}`);
  }
}

function isNotifyUrl(text) {
  if (!/^https?:\/\/[^\s?#]+$/.test(text) || !URL.canParse(text)) return false;
  const url = new URL(text);
  if (url.username || url.password) return false;
  return url.protocol === 'https:' || url.hostname === '127.0.0.1';
}

function fail(pointer, value, issue, location) {
  throw new Refusal('PARAM_ERROR', `输入源“/${location}${pointer}”${issue}`, {
    field: pointer, value: value ?? 'null', issue, location,
  });
}

