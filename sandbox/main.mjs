// The sandbox: the services around Zhundian, imitated on loopback. This file reads the configuration,
// puts the providers together and starts the server. A new provider is a module with
// `{name, routes, faultKinds, isErrcode, errcodeRule}` and one line in `createSandbox`.

import { setTimeout as wait } from 'node:timers/promises';

import { createControl } from './control.mjs';
import { Faults } from './faults.mjs';
import { createServer } from './http.mjs';
import { Messages } from './messages.mjs';
import { createTencentSms } from './tencent-sms.mjs';
import { createWechat } from './wechat.mjs';

const HOST = '127.0.0.1'; // never another: who reaches the control calls can log in as anybody
const DEFAULT_PORT = 8788;

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
  };
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
 * @param config what `readConfig` returns
 * @param world clock, chance and waiting, as arguments so that tests own them
 * @returns an `http.Server` that does not listen yet
 */
export function createSandbox(config, { now = Date.now, random = Math.random, sleep = sleepFor } = {}) {
  const messages = new Messages();
  const faults = new Faults(random);
  const wechat = createWechat({ ...config.wechat, now });
  const sms = createTencentSms({ ...config.sms, now, messages });
  const providers = [wechat, sms];
  const control = createControl({ providers, wechat, messages, faults });
  return createServer({ services: [...providers, control], faults, sleep });
}

function main() {
  const config = readConfig(process.env);
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
