// The sandbox: the services around Zhundian, imitated on loopback. This file reads the configuration,
// puts the providers together and starts the server. A new provider is a module with
// `{name, routes, faultKinds, isErrcode, errcodeRule}` and one line in `createSandbox`.

import { setTimeout as wait } from 'node:timers/promises';

import { createAlipay, NAME as ALIPAY } from './alipay.mjs';
import { Chaos } from './chaos.mjs';
import { createControl } from './control.mjs';
import { Faults } from './faults.mjs';
import { createServer } from './http.mjs';
import { ensureKeys } from './keys.mjs';
import { Ledger } from './ledger.mjs';
import { Messages } from './messages.mjs';
import { Notifier } from './notifier.mjs';
import { createTencentSms } from './tencent-sms.mjs';
import { createWechatPay, NAME as WECHAT_PAY } from './wechat-pay.mjs';
import { createWechat } from './wechat.mjs';

const HOST = '127.0.0.1'; // never another: who reaches the control calls can log in as anybody
const DEFAULT_PORT = 8788;
const MAX_SPEED = 100_000;

/** Thrown for a configuration that cannot work; its message is for the person who starts us. */
export class ConfigError extends Error {}

/** Everything we need to know, from environment variables. There are no defaults for credentials. */
export function readConfig(env) {
  const need = (name) => {
    if (!env[name]) throw new ConfigError(`${name} is not set`);
    return env[name];
  };
  return {
    port: readPort(env.SANDBOX_PORT),
    wechat: { appid: need('WECHAT_APPID'), secret: need('WECHAT_SECRET') },
    sms: {
      secretId: need('SMS_SECRET_ID'),
      secretKey: need('SMS_SECRET_KEY'),
      sdkAppId: need('SMS_SDK_APP_ID'),
      signName: need('SMS_SIGN_NAME'),
      templates: readTemplates(env.SMS_TEMPLATES),
    },
    payments: PAYMENT_VARIABLES.some((name) => env[name]) ? readPayments(env, need) : null,
  };
}

const PAYMENT_VARIABLES = ['SANDBOX_KEYS', 'WECHAT_PAY_MCHID', 'ALIPAY_APP_ID', 'ALIPAY_SELLER_ID'];

/** All or nothing: a payment vendor that is half configured would look like one that is down. */
function readPayments(env, need) {
  return {
    keysFolder: need('SANDBOX_KEYS'),
    wechatPay: { mchid: need('WECHAT_PAY_MCHID') },
    alipay: {
      appId: need('ALIPAY_APP_ID'),
      sellerId: need('ALIPAY_SELLER_ID'),
      mode: readMode(env.ALIPAY_MODE),
    },
    speed: readSpeed(env.SANDBOX_SPEED),
  };
}

function readMode(text = 'key') {
  if (text !== 'key' && text !== 'certificate') {
    throw new ConfigError(`ALIPAY_MODE must be key or certificate, not "${text}"`);
  }
  return text;
}

/** How many times faster than the vendors' own the schedules of notifications run. */
function readSpeed(text = '1') {
  const speed = Number(text);
  if (!(speed > 0 && speed <= MAX_SPEED)) {
    throw new ConfigError(`SANDBOX_SPEED must be a number over 0 and up to ${MAX_SPEED}, not "${text}"`);
  }
  return speed;
}

function readPort(text) {
  if (!text) return DEFAULT_PORT;
  const port = Number(text);
  if (!Number.isInteger(port) || port < 0 || port > 65_535) {
    throw new ConfigError(`SANDBOX_PORT must be a port number, not "${text}"`);
  }
  return port;
}

/** @returns a Set of template ids, or null: any numeric id will do. */
function readTemplates(text) {
  if (!text) return null;
  const ids = text.split(',').map((id) => id.trim());
  const wrong = ids.find((id) => !/^\d+$/.test(id));
  if (wrong !== undefined) throw new ConfigError(`SMS_TEMPLATES must be numbers with commas, not "${wrong}"`);
  return new Set(ids);
}

/** Ends early, without an error, when the signal fires. */
const sleepFor = (ms, signal) => wait(ms, undefined, { signal }).catch(() => {});

/**
 * @param config what `readConfig` returns, and `payments.keys`, which `ensureKeys` makes
 * @param world clock, chance and waiting, as arguments so that tests own them
 * @returns an `http.Server` that does not listen yet
 */
export function createSandbox(config, { now = Date.now, random = Math.random, sleep = sleepFor } = {}) {
  const messages = new Messages();
  const chaos = new Chaos([WECHAT_PAY, ALIPAY]);
  const faults = new Faults(random, chaos);
  const payments = config.payments ? createPayments(config, { now, sleep, chaos }) : null;
  const wechat = createWechat({ ...config.wechat, now, orders: payments?.orders, messages });
  const sms = createTencentSms({ ...config.sms, now, messages });
  const providers = [wechat, sms, ...Object.values(payments?.vendors ?? {})];
  const control = createControl({ providers, wechat, messages, faults, payments });
  const server = createServer({ services: [...providers, control], faults, sleep });
  server.on('close', () => payments?.notifier.stop());
  return server;
}

function createPayments({ wechat, payments }, { now, sleep, chaos }) {
  const { keys, speed } = payments;
  const ledger = new Ledger();
  const notifier = new Notifier({ now, sleep, speed, chaos });
  const bills = { early: false };
  const shared = { ledger, notifier, bills, now };
  const { appid } = wechat;
  const vendors = {
    [WECHAT_PAY]: createWechatPay({ ...payments.wechatPay, ...shared, appid, keys: keys.wechatPay }),
    [ALIPAY]: createAlipay({ ...payments.alipay, ...shared, keys: keys.alipay }),
  };
  // What the mini program's shipping call looks orders up in.
  const orders = {
    mchid: payments.wechatPay.mchid,
    find: (outTradeNo) => ledger.find(WECHAT_PAY, outTradeNo),
    findTransaction: (id) => ledger.findTransaction(WECHAT_PAY, id),
  };
  return { vendors, ledger, notifier, chaos, bills, orders, now };
}

function main() {
  const config = readConfig(process.env);
  if (config.payments) config.payments.keys = readKeys(config.payments.keysFolder);
  const server = createSandbox(config);
  server.on('error', fail);
  server.listen(config.port, HOST, () => {
    console.log(`sandbox: listening on http://${HOST}:${server.address().port}`);
  });
  const stop = () => {
    server.close(() => process.exit(0));
    server.closeAllConnections(); // idle ones, and those a `hang` or `delay` holds
  };
  process.once('SIGTERM', stop);
  process.once('SIGINT', stop);
}

function readKeys(folder) {
  try {
    return ensureKeys(folder);
  } catch (error) {
    throw new ConfigError(`SANDBOX_KEYS: ${error.message}`);
  }
}

function fail(error) {
  console.error(`sandbox: ${error.message}`);
  process.exit(1);
}

if (import.meta.main) {
  try {
    main();
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    fail(error);
  }
}
