// What the tests share: a sandbox on a free port with a clock they own, and callers for it.

import { createHash, createHmac } from 'node:crypto';
import { Agent } from 'node:http';
import { connect } from 'node:net';

import sdk from 'tencentcloud-sdk-nodejs-common';

import { createSandbox } from '../main.mjs';

export const CONFIG = {
  wechat: { appid: 'wxsandbox00000001', secret: 'app-secret-for-tests' },
  sms: {
    secretId: 'AKIDsandboxtest',
    secretKey: 'secret-key-for-tests',
    sdkAppId: '1400000001',
    signName: '准点',
    templates: new Set(['1001', '1002']),
  },
};

/** A clock that moves when told to. */
export class Clock {
  at;
  constructor(at = Date.UTC(2026, 2, 1, 4, 0, 0)) {
    this.at = at;
  }
  now = () => this.at;
  pass(ms) {
    this.at += ms;
  }
}

/** Starts a sandbox for one test and stops it with the test. */
export async function start(t, { config = CONFIG, clock = new Clock(), ...world } = {}) {
  const server = createSandbox(config, { now: clock.now, ...world });
  await new Promise((resolve, reject) => server.once('error', reject).listen(0, '127.0.0.1', resolve));
  t.after(() => {
    server.closeAllConnections();
    return new Promise((resolve) => server.close(resolve));
  });
  const { port } = server.address();
  return new Caller(port, clock);
}

class Caller {
  constructor(port, clock) {
    this.port = port;
    this.host = `127.0.0.1:${port}`;
    this.base = `http://${this.host}`;
    this.clock = clock;
  }

  fetch = (path, init) => fetch(this.base + path, init);

  async get(path) {
    return (await this.fetch(path)).json();
  }

  /** POSTs `value` as JSON and returns the parsed body. */
  async post(path, value) {
    return (await this.fetch(path, { method: 'POST', body: JSON.stringify(value) })).json();
  }

  /** Posts a control call that must be refused; returns the message. */
  async refused(path, value, status = 400) {
    const response = await this.fetch(path, { method: 'POST', body: JSON.stringify(value) });
    const body = await response.json();
    if (response.status !== status) throw new Error(`${response.status}: ${JSON.stringify(body)}`);
    return body.error;
  }

  session(js_code, changes = {}) {
    const { appid, secret } = CONFIG.wechat;
    const asked = { appid, secret, js_code, grant_type: 'authorization_code', ...changes };
    for (const [name, value] of Object.entries(asked)) if (value === undefined) delete asked[name];
    return this.get(`/sns/jscode2session?${new URLSearchParams(asked)}`);
  }

  token(changes = {}) {
    return this.post('/cgi-bin/stable_token', {
      grant_type: 'client_credential',
      ...CONFIG.wechat,
      ...changes,
    });
  }

  phone(code, token) {
    const query = token === undefined ? '' : `?${new URLSearchParams({ access_token: token })}`;
    return this.post(`/wxa/business/getuserphonenumber${query}`, { code });
  }

  /** Sends an SMS the way the Worker does; `request` may be spoilt beforehand. */
  async sms(changes = {}, spoil = () => {}) {
    const request = signedSms(this.host, this.clock.now(), changes);
    spoil(request.headers);
    const response = await this.fetch('/', { method: 'POST', headers: request.headers, body: request.body });
    return { status: response.status, ...(await response.json()).Response };
  }

  messages(to) {
    return this.get(`/sandbox/messages?to=${to}`);
  }
}

export const SMS = {
  PhoneNumberSet: ['+8613800000000'],
  SmsSdkAppId: CONFIG.sms.sdkAppId,
  TemplateId: '1001',
  SignName: CONFIG.sms.signName,
  TemplateParamSet: ['123456', '5'],
};

/**
 * A SendSms request signed with node:crypto alone, `changes` being: params, and what the signature is
 * made from (secretId, secretKey, date, service, names).
 */
export function signedSms(host, now, changes = {}) {
  const { secretId, secretKey } = { ...CONFIG.sms, ...changes };
  const timestamp = String(Math.floor(now / 1000));
  const { date = new Date(now).toISOString().slice(0, 10), service = 'sms' } = changes;
  const { names = 'content-type;host;x-tc-action' } = changes;
  const body = changes.body ?? JSON.stringify({ ...SMS, ...changes.params });
  const headers = {
    'content-type': 'application/json; charset=utf-8',
    'x-tc-action': 'SendSms',
    'x-tc-version': '2021-01-11',
    'x-tc-region': 'ap-guangzhou',
    'x-tc-timestamp': timestamp,
  };
  const signed = { ...headers, host, 'x-tc-action': 'sendsms' };
  const lines = names.split(';').map((name) => `${name}:${signed[name]}\n`);
  const canonical = `POST\n/\n\n${lines.join('')}\n${names}\n${sha256(body)}`;
  const scope = `${date}/${service}/tc3_request`;
  const hmac = (key, text) => createHmac('sha256', key).update(text).digest();
  const key = hmac(hmac(hmac(`TC3${secretKey}`, date), service), 'tc3_request');
  const signature = hmac(key, `TC3-HMAC-SHA256\n${timestamp}\n${scope}\n${sha256(canonical)}`).toString('hex');
  headers.authorization =
    `TC3-HMAC-SHA256 Credential=${secretId}/${scope}, SignedHeaders=${names}, Signature=${signature}`;
  return { headers, body };
}

const sha256 = (text) => createHash('sha256').update(text).digest('hex');

/**
 * Tencent's own client, calling sms.tencentcloudapi.com as ever; only its socket leads to the sandbox. (Given
 * another endpoint it would sign another service name and a host without its port.)
 */
export function tencentClient(port, { secretId, secretKey } = CONFIG.sms, region = 'ap-guangzhou') {
  const agent = new Agent();
  agent.createConnection = () => connect(port, '127.0.0.1');
  const httpProfile = { protocol: 'http://', agent };
  return new sdk.CommonClient('sms.tencentcloudapi.com', '2021-01-11', {
    credential: { secretId, secretKey },
    region,
    profile: { httpProfile },
  });
}
