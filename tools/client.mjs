// How the scripts here talk to the API and to the sandbox: plain HTTP, as any client does.

import { randomUUID } from 'node:crypto';
import { setTimeout as wait } from 'node:timers/promises';

const TIMEOUT_MS = 30_000;

/** Where `make dev` listens, by its variables. */
export const urls = (env = process.env) => ({
  api: `http://127.0.0.1:${env.PORT || 8787}`,
  sandbox: `http://127.0.0.1:${env.SANDBOX_PORT || 8788}`,
});

export class Client {
  /** @param {{api: string, sandbox: string}} where @param {string} [token] */
  constructor(where, token) {
    this.where = where;
    this.token = token;
  }

  /** @returns {{status: number, body: any, headers: Headers, ms: number}} */
  async call(method, path, body, { key } = {}) {
    const started = performance.now();
    const response = await fetch(this.where.api + path, {
      method,
      headers: {
        ...(this.token ? { authorization: `Bearer ${this.token}` } : {}),
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        ...(key ? { 'idempotency-key': key } : {}),
      },
      body: body === undefined ? undefined : JSON.stringify(body),
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    const text = await response.text();
    const ms = performance.now() - started;
    return { status: response.status, body: parse(text), headers: response.headers, ms };
  }

  /** A call that must be answered with `status`. @returns its body */
  async must(status, method, path, body, options) {
    const answer = await this.call(method, path, body, options);
    if (answer.status !== status) throw new Error(`${method} ${path}: ${refusal(answer)}`);
    return answer.body;
  }

  /** The same one with a token. */
  as(token) {
    return new Client(this.where, token);
  }
}

/** A key for a POST that takes time or money. */
export const newKey = () => randomUUID();

/** What a refusal says, in one line. */
export function refusal({ status, body }) {
  const fields = (body?.fields ?? []).map((fault) => fault.field).join(', ');
  return `${status} ${body?.code ?? ''} ${body?.title ?? ''}${fields ? ` (${fields})` : ''}`.trim();
}

/** One of the sandbox's control calls. */
export async function play(where, path, body) {
  const response = await fetch(`${where.sandbox}/sandbox${path}`, {
    method: body === undefined ? 'GET' : 'POST',
    body: body === undefined ? undefined : JSON.stringify(body),
    signal: AbortSignal.timeout(TIMEOUT_MS),
  });
  const answer = await response.json();
  if (!response.ok) throw new Error(`sandbox ${path}: ${answer.error}`);
  return answer;
}

/** Signs a member in by WeChat. @returns {Promise<Client>} */
export async function signInMember(client, openid) {
  const { code } = await play(client.where, '/login', openid ? { openid } : {});
  const { token } = await client.must(200, 'POST', '/api/v1/auth/wechat', { code });
  return client.as(token);
}

/**
 * Signs a member of staff in by SMS code. A phone gets one code a minute: `onWait(seconds)` is told
 * when we have to wait for the next one. @returns {Promise<Client>}
 */
export async function signInStaff(client, phone, onWait = () => {}) {
  let since = Date.now();
  for (;;) {
    const asked = await client.call('POST', '/api/v1/staff/auth/code', { phone });
    if (asked.status === 202) break;
    const seconds = Number(asked.headers.get('retry-after') ?? 0);
    if (asked.status !== 429 || seconds < 1 || seconds > 60) {
      throw new Error(`no sign-in code for ${phone}: ${refusal(asked)}`);
    }
    onWait(seconds);
    await wait(seconds * 1000);
    since = Date.now();
  }
  const code = await newestCode(client.where, phone, since);
  const { token } = await client.must(200, 'POST', '/api/v1/staff/auth/token', { phone, code });
  return client.as(token);
}

async function newestCode(where, phone, since) {
  for (const deadline = Date.now() + 10_000; Date.now() < deadline; await wait(100)) {
    const { messages } = await play(where, `/messages?to=${phone}&since=${since}`);
    if (messages.length > 0) return messages.at(-1).params[0];
  }
  throw new Error(`no SMS for ${phone} within 10 s`);
}

function parse(text) {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}
