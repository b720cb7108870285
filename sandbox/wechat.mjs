// WeChat's mini program server API: sessions, access tokens, phone numbers, shipping of paid orders,
// subscribe messages.
//
// Every refusal is HTTP 200 with `{errcode, errmsg}`, as over there. Limits per app and minute
// (10,000 and more) are not imitated: no test of ours should come near them.

import { createHash, randomBytes } from 'node:crypto';

import { parseRfc3339 } from './china-time.mjs';
import { json, readJsonObject } from './http.mjs';

/** Login and phone codes are good for this long, and once. */
export const CODE_MS = 5 * 60_000;
export const TOKEN_MS = 7_200_000;
/** In the last five minutes of a token stable_token gives a new one, and both are good. */
export const TOKEN_OVERLAP_MS = 5 * 60_000;
export const FORCE_REFRESH_GAP_MS = 30_000;
export const FORCE_REFRESH_PER_DAY = 20;
export const SESSIONS_PER_MINUTE = 100;
/** Tokens remembered, so that an old one is told apart as expired or replaced. */
const MAX_TOKENS = 64;

const MINUTE_MS = 60_000;
const DAY_MS = 86_400_000;
const CHINA_OFFSET_MS = 8 * 3_600_000; // quotas turn over at midnight in China, which has no daylight saving

const SESSION_PATH = '/sns/jscode2session';
const SHIPPING_PATH = '/wxa/sec/order/upload_shipping_info';
/** Shipping may be told once, and once more to correct it. */
const MAX_SHIPPINGS = 2;
const SUBSCRIBE_PATH = '/cgi-bin/message/subscribe/send';
/** Consents remembered for one customer and template; the real limit is not documented. */
export const MAX_CONSENTS = 1_000;

const ERRMSG = new Map([
  [-1, 'system error'],
  [40003, 'invalid openid'],
  [40001, 'invalid credential, access_token is invalid or not latest'],
  [40002, 'invalid grant_type'],
  [40013, 'invalid appid'],
  [40029, 'invalid code'],
  [40037, 'invalid template_id'],
  [40125, 'invalid appsecret'],
  [40163, 'code been used'],
  [40164, 'invalid ip, not in whitelist'],
  [40226, 'code blocked'],
  [41002, 'appid missing'],
  [41004, 'appsecret missing'],
  [41008, 'missing code'],
  [41030, 'invalid page'],
  [42001, 'access_token expired'],
  [43001, 'require GET method'],
  [43002, 'require POST method'],
  [43101, 'user refuse to accept the msg'],
  [45009, 'reach max api daily quota limit'],
  [45011, 'api minute-quota reach limit, must slower, retry next minute'],
  [47001, 'data format error'],
  [47003, 'argument invalid!'],
  [10060001, '支付单不存在'],
  [10060003, '支付单已使用重新发货机会'],
  [10060004, '支付单处于不可发货的状态'],
  [10060031, '支付单不属于openid所指定的用户'],
]);

/**
 * @param {{appid: string, secret: string, now: () => number}} options `now` in UTC milliseconds; `orders`:
 *   those of WeChat Pay, where payments are imitated; `messages`: where subscribe messages go
 */
export function createWechat({ appid, secret, now, orders, messages }) {
  const refuse = (errcode, about) => refusal(errcode, now(), about);
  const checkApp = (givenAppid, givenSecret) => {
    if (!givenAppid) return 41002;
    if (!givenSecret) return 41004;
    if (givenAppid !== appid) return 40013;
    if (givenSecret !== secret) return 40125;
    return 0;
  };
  const app = { appid, now, refuse, checkApp, orders, messages, consents: new Map() };
  app.loginCodes = new Codes(now, () => `0${randomBytes(24).toString('hex').slice(0, 31)}`);
  app.phoneCodes = new Codes(now, () => randomBytes(32).toString('hex'));
  app.sessionRate = new MinuteRate(now, SESSIONS_PER_MINUTE);
  app.tokens = new Tokens(now);

  const route = (method, path, handle) => ({
    method: '*',
    path,
    handle(request, fault) {
      if (fault) return refuse(faultErrcode(fault));
      if (request.method !== method) return refuse(method === 'GET' ? 43001 : 43002);
      return handle(app, request);
    },
  });
  return {
    name: 'wechat',
    routes: [
      route('GET', SESSION_PATH, codeToSession),
      route('POST', '/cgi-bin/stable_token', stableToken),
      route('POST', '/wxa/business/getuserphonenumber', phoneNumber),
      route('POST', SUBSCRIBE_PATH, sendMessage),
      ...(orders ? [route('POST', SHIPPING_PATH, uploadShipping)] : []),
    ],
    faultKinds: { busy: undefined, refuse: undefined, frequency_limit: undefined, high_risk: SESSION_PATH },
    isErrcode: Number.isInteger,
    errcodeRule: 'an integer',
    /** What `wx.login` gives to this customer. */
    issueLoginCode: (openid) => app.loginCodes.issue({ openid }),
    /** What `getPhoneNumber` gives to a customer with this phone (11 digits). */
    issuePhoneCode: (phone) => app.phoneCodes.issue({ phone }),
    /** What `wx.requestSubscribeMessage` gives when the customer answers so for these templates. */
    subscribe(openid, templateIds, result) {
      for (const id of templateIds) {
        if (result === 'accept') addConsent(app.consents, openid, id);
      }
      return {
        errMsg: 'requestSubscribeMessage:ok',
        ...Object.fromEntries(templateIds.map((id) => [id, result])),
      };
    },
  };
}

export const randomOpenid = () => `o${randomBytes(21).toString('base64url').slice(0, 27)}`;

/** Always the same for one openid, whatever was restarted in between. */
export function unionidOf(openid) {
  return `u${createHash('sha256').update(`unionid:${openid}`).digest('base64url').slice(0, 27)}`;
}

function refusal(errcode, at, about = '') {
  const errmsg = (ERRMSG.get(errcode) ?? 'refused by the sandbox') + about;
  const rid = [Math.floor(at / 1000).toString(16), randomBytes(4).toString('hex'), randomBytes(4).toString('hex')];
  return json({ errcode, errmsg: `${errmsg}, rid: ${rid.join('-')}` });
}

function faultErrcode({ kind, errcode }) {
  const byKind = { busy: -1, frequency_limit: 45011, high_risk: 40226 };
  return kind === 'refuse' ? (errcode ?? 45009) : byKind[kind];
}

function codeToSession({ checkApp, refuse, loginCodes, sessionRate }, { query }) {
  if (query.get('grant_type') !== 'authorization_code') return refuse(40002);
  const wrong = checkApp(query.get('appid'), query.get('secret'));
  if (wrong) return refuse(wrong);
  if (!query.get('js_code')) return refuse(41008);

  const entry = loginCodes.find(query.get('js_code'));
  if (!entry) return refuse(40029);
  // Counted for used codes too: the limit is on calls, and a loop that repeats one code must meet it.
  if (!sessionRate.take(entry.openid)) return refuse(45011);
  if (entry.used) return refuse(40163);
  entry.used = true;
  return json({
    session_key: randomBytes(16).toString('base64'),
    openid: entry.openid,
    unionid: unionidOf(entry.openid),
  });
}

function stableToken({ checkApp, refuse, tokens }, { body }) {
  const asked = readJsonObject(body);
  if (asked === null) return refuse(47001);
  if (asked.grant_type !== 'client_credential') return refuse(40002);
  const wrong = checkApp(asked.appid, asked.secret);
  if (wrong) return refuse(wrong);
  const { force_refresh: force = false } = asked;
  if (typeof force !== 'boolean') return refuse(47001);

  const got = force ? tokens.force() : tokens.current();
  return got.errcode ? refuse(got.errcode) : json(got);
}

function phoneNumber({ appid, now, refuse, phoneCodes, tokens }, { query, body }) {
  const wrong = tokens.check(query.get('access_token'));
  if (wrong) return refuse(wrong);
  const asked = readJsonObject(body);
  if (asked === null) return refuse(47001);
  if (typeof asked.code !== 'string' || asked.code === '') return refuse(41008);

  // This call knows one errcode for a code that never was, is too old, or was used: 40029.
  const entry = phoneCodes.find(asked.code);
  if (!entry || entry.used) return refuse(40029);
  entry.used = true;
  return json({
    errcode: 0,
    errmsg: 'ok',
    phone_info: {
      phoneNumber: entry.phone,
      purePhoneNumber: entry.phone,
      countryCode: '86',
      watermark: { timestamp: Math.floor(now() / 1000), appid },
    },
  });
}

/** Tells that a paid order was delivered; until then its money is held back. */
function uploadShipping({ now, refuse, tokens, orders }, { query, body }) {
  const wrong = tokens.check(query.get('access_token'));
  if (wrong) return refuse(wrong);
  const asked = readJsonObject(body);
  if (asked === null || !isShipping(asked)) return refuse(47001);
  const { order_key: key } = asked;
  const order = key.order_number_type === 1
    ? key.mchid === orders.mchid && orders.find(key.out_trade_no)
    : orders.findTransaction(key.transaction_id);
  if (!order) return refuse(10060001);
  if (order.paid_at === undefined) return refuse(10060004);
  if (order.payer_openid !== asked.payer.openid) return refuse(10060031);
  const uploads = (order.shipping?.uploads ?? 0) + 1;
  if (uploads > MAX_SHIPPINGS) return refuse(10060003);
  order.shipping = {
    at: now(),
    uploads,
    logistics_type: asked.logistics_type,
    items: asked.shipping_list.map((one) => one.item_desc),
  };
  return json({ errcode: 0, errmsg: 'ok' });
}

function isShipping({ order_key: key, logistics_type: type, delivery_mode: mode, ...asked }) {
  const filled = (value) => typeof value === 'string' && value !== '';
  const numbered = key?.order_number_type === 1
    ? filled(key.mchid) && filled(key.out_trade_no)
    : key?.order_number_type === 2 && filled(key.transaction_id);
  const items = asked.shipping_list;
  return numbered
    && [1, 2, 3, 4].includes(type)
    && (mode === 1 || (mode === 2 && typeof asked.is_all_delivered === 'boolean'))
    && Array.isArray(items) && items.length >= 1 && items.length <= (mode === 1 ? 1 : 15)
    && items.every((one) => filled(one?.item_desc) && [...one.item_desc].length <= 120
      && (type !== 1 || (filled(one.tracking_no) && filled(one.express_company))))
    && !Number.isNaN(parseRfc3339(asked.upload_time))
    && filled(asked.payer?.openid);
}

const consentKey = (openid, templateId) => `${openid} ${templateId}`;

function addConsent(consents, openid, templateId) {
  const key = consentKey(openid, templateId);
  consents.set(key, Math.min((consents.get(key) ?? 0) + 1, MAX_CONSENTS));
}

/** A template's id as WeChat gives it; which ones are approved is the merchant's, and not known here. */
const TEMPLATE_ID = /^[A-Za-z0-9_-]{43}$/;
const OPENID = /^[A-Za-z0-9_-]{6,64}$/;

/** What the documents say of each kind of keyword, the number after its name left out. */
const KEYWORD = new Map(Object.entries({
  thing: (text) => [...text].length <= 20,
  number: (text) => /^[0-9.]{1,32}$/.test(text),
  letter: (text) => /^[A-Za-z]{1,32}$/.test(text),
  symbol: (text) => /^[!-/:-@[-`{-~]{1,5}$/.test(text),
  character_string: (text) => /^[!-~]{1,32}$/.test(text),
  time: (text) => /^(\d{4}年\d{1,2}月\d{1,2}日 )?\d{1,2}:\d{2}$/.test(text),
  date: (text) => /^\d{4}年\d{1,2}月\d{1,2}日( \d{1,2}:\d{2})?$/.test(text),
  amount: (text) => /^[¥$€£]?[0-9.]{1,10}元?$/.test(text),
  phone_number: (text) => /^[0-9!-/:-@ ]{1,17}$/.test(text),
  car_number: (text) => [...text].length <= 8,
  name: (text) => /^\p{Script=Han}{1,10}$/u.test(text) || /^[^\d\p{Script=Han}]{1,20}$/u.test(text),
  phrase: (text) => /^\p{Script=Han}{1,5}$/u.test(text),
}));

/** @returns the first keyword whose value its kind does not take, or undefined. */
function wrongKeyword(data) {
  return Object.keys(data).find((name) => {
    const fits = KEYWORD.get(/^([a-z_]+?)[1-9]\d?$/.exec(name)?.[1]);
    const value = data[name]?.value;
    return !fits || typeof value !== 'string' || value.trim() === '' || !fits(value);
  });
}

/** One message for one consent: it is used up by a message that is taken, not by one that is refused. */
function sendMessage({ now, refuse, tokens, consents, messages }, { query, body }) {
  const wrong = tokens.check(query.get('access_token'));
  if (wrong) return refuse(wrong);
  const asked = readJsonObject(body);
  const { touser: openid, template_id: templateId, page, data, miniprogram_state: state = 'formal' } = asked ?? {};
  if (data === null || typeof data !== 'object' || Array.isArray(data)) return refuse(47001);
  if (!['formal', 'trial', 'developer'].includes(state)) return refuse(47001);
  if (typeof openid !== 'string' || !OPENID.test(openid)) return refuse(40003);
  if (typeof templateId !== 'string' || !TEMPLATE_ID.test(templateId)) return refuse(40037);
  if (page !== undefined && (typeof page !== 'string' || !/^[A-Za-z0-9]/.test(page))) return refuse(41030);
  const keyword = Object.keys(data).length === 0 ? '*' : wrongKeyword(data);
  if (keyword) return refuse(47003, ` data.${keyword}.value is invalid`);
  const key = consentKey(openid, templateId);
  const left = consents.get(key) ?? 0;
  if (left === 0) return refuse(43101);
  consents.set(key, left - 1);
  messages.record({
    at: now(),
    channel: 'wechat',
    to: openid,
    template_id: templateId,
    params: Object.fromEntries(Object.entries(data).map(([name, { value }]) => [name, value])),
    ...(page === undefined ? {} : { page }),
  });
  return json({ errcode: 0, errmsg: 'ok' });
}

/** Codes that are good once and for CODE_MS. */
class Codes {
  #now;
  #make;
  #byCode = new Map(); // a Map keeps insertion order, which here is age

  constructor(now, make) {
    this.#now = now;
    this.#make = make;
  }

  issue(about) {
    this.#forgetExpired();
    const code = this.#make();
    this.#byCode.set(code, { ...about, used: false, issuedAt: this.#now() });
    return code;
  }

  /** The entry of a code that has not expired, used or not; undefined for any other. */
  find(code) {
    const entry = this.#byCode.get(code);
    return entry && this.#isLive(entry) ? entry : undefined;
  }

  #isLive(entry) {
    return this.#now() - entry.issuedAt < CODE_MS;
  }

  #forgetExpired() {
    for (const [code, entry] of this.#byCode) {
      if (this.#isLive(entry)) return;
      this.#byCode.delete(code);
    }
  }
}

/** So many calls a key and calendar minute. */
class MinuteRate {
  #now;
  #limit;
  #minute = 0;
  #counts = new Map();

  constructor(now, limit) {
    this.#now = now;
    this.#limit = limit;
  }

  /** @returns false when the minute's calls are used up. */
  take(key) {
    const minute = Math.floor(this.#now() / MINUTE_MS);
    if (minute !== this.#minute) {
      this.#minute = minute;
      this.#counts.clear();
    }
    const count = (this.#counts.get(key) ?? 0) + 1;
    this.#counts.set(key, count);
    return count <= this.#limit;
  }
}

/** The app's access tokens under stable_token's rules. */
class Tokens {
  #now;
  #expiry = new Map(); // token -> UTC ms, or 0 when a forced refresh killed it
  #latest = null;
  #forcedAt = -Infinity;
  #forcedDay = { day: -1, count: 0 };

  constructor(now) {
    this.#now = now;
  }

  /** Normal mode: the same token until its last five minutes; after that a new one, the old one lives out. */
  current() {
    const left = this.#latest === null ? 0 : this.#expiry.get(this.#latest) - this.#now();
    return left > TOKEN_OVERLAP_MS ? this.#answer() : this.#renew();
  }

  /** Forced mode: a new token at once, and every older one is dead. */
  force() {
    const day = Math.floor((this.#now() + CHINA_OFFSET_MS) / DAY_MS);
    if (day !== this.#forcedDay.day) this.#forcedDay = { day, count: 0 };
    if (this.#now() - this.#forcedAt < FORCE_REFRESH_GAP_MS) return { errcode: 45011 };
    if (this.#forcedDay.count >= FORCE_REFRESH_PER_DAY) return { errcode: 45009 };
    this.#forcedAt = this.#now();
    this.#forcedDay.count += 1;
    for (const token of this.#expiry.keys()) this.#expiry.set(token, 0);
    return this.#renew();
  }

  /** @returns 0 for a good token, else the errcode. */
  check(token) {
    const expiry = this.#expiry.get(token);
    if (expiry === undefined || expiry === 0) return 40001;
    return this.#now() < expiry ? 0 : 42001;
  }

  #renew() {
    // As long as the real ones get, so that a column or a header too short for them shows here.
    this.#latest = randomBytes(384).toString('base64url');
    this.#expiry.set(this.#latest, this.#now() + TOKEN_MS);
    if (this.#expiry.size > MAX_TOKENS) this.#expiry.delete(this.#expiry.keys().next().value);
    return this.#answer();
  }

  #answer() {
    const left = this.#expiry.get(this.#latest) - this.#now();
    return { access_token: this.#latest, expires_in: Math.floor(left / 1000) };
  }
}
