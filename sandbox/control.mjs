// The calls under /sandbox: a client or a test plays the world with them. No vendor has these, and the
// Worker never makes them. They are strict, since a misspelt field in a test would silently test nothing.

import { MAX_DELAY_MS, MAX_FAULTS, TRANSPORT_KINDS } from './faults.mjs';
import { json, readJsonObject } from './http.mjs';
import { randomOpenid } from './wechat.mjs';

const MAX_TIMES = 1_000_000;

const LOOPBACK = /^(127\.\d+\.\d+\.\d+|::1|::ffff:127\.\d+\.\d+\.\d+)$/;

const text = (pattern, rule) => ({ rule, ok: (value) => typeof value === 'string' && pattern.test(value) });
const number = (min, max, rule) => ({
  rule,
  ok: (value) => typeof value === 'number' && value >= min && value <= max,
});
const integer = (min, max) => ({
  rule: `an integer from ${min} to ${max}`,
  ok: (value) => Number.isInteger(value) && value >= min && value <= max,
});
const required = (field) => ({ ...field, required: true });

const RECIPIENT = text(/^[A-Za-z0-9_-]{1,64}$/, 'a phone without country code, or an openid');
const FIELDS = {
  login: { openid: text(/^[A-Za-z0-9_-]{1,64}$/, '1 to 64 letters, digits, "_" or "-"') },
  phoneCode: { phone: required(text(/^1\d{10}$/, '11 digits, the first a 1')) },
  messages: { to: required(RECIPIENT), since: text(/^\d{1,15}$/, 'UTC milliseconds') },
  fault: {
    provider: required(text(/./, 'the name of a provider')),
    kind: required(text(/./, 'the name of a kind')),
    path: text(/^\//, 'a path'),
    errcode: { rule: 'an error code', ok: () => true }, // its type is the provider's
    delay_ms: integer(0, MAX_DELAY_MS),
    times: integer(1, MAX_TIMES),
    probability: number(0, 1, 'a number from 0 to 1'),
    after: { rule: 'true or false', ok: (value) => typeof value === 'boolean' },
  },
};

/** Thrown for a call we do not understand; becomes a 400. */
class BadRequest extends Error {}

export function createControl({ providers, wechat, messages, faults }) {
  const route = (method, path, handle) => ({ method, path, handle: guarded(handle) });
  return {
    name: 'control',
    routes: [
      route('GET', '/sandbox/healthz', () => json({ ok: true })),
      route('POST', '/sandbox/login', ({ body }) => {
        const { openid = randomOpenid() } = readFields(body, FIELDS.login);
        return json({ code: wechat.issueLoginCode(openid), openid });
      }),
      route('POST', '/sandbox/phone-code', ({ body }) => {
        const { phone } = readFields(body, FIELDS.phoneCode);
        return json({ code: wechat.issuePhoneCode(phone) });
      }),
      route('GET', '/sandbox/messages', ({ query }) => {
        const { to, since = '0' } = checkFields(Object.fromEntries(query), FIELDS.messages);
        return json({ messages: messages.list(to, Number(since)) });
      }),
      route('POST', '/sandbox/faults', ({ body }) => addFault(readFields(body, FIELDS.fault), providers, faults)),
      route('GET', '/sandbox/faults', () => json({ faults: faults.list() })),
      route('DELETE', '/sandbox/faults', () => json({ cleared: faults.clear() })),
    ],
  };
}

function guarded(handle) {
  return (request) => {
    // The server listens on loopback only; this holds even where somebody forwards a port to it.
    if (!LOOPBACK.test(request.remoteAddress ?? '')) {
      return json({ error: 'control calls are for this machine only' }, 403);
    }
    try {
      return handle(request);
    } catch (error) {
      if (error instanceof BadRequest) return json({ error: error.message }, 400);
      throw error;
    }
  };
}

function addFault(fault, providers, faults) {
  const provider = providers.find((one) => one.name === fault.provider);
  if (!provider) throw new BadRequest(`provider must be one of: ${providers.map((one) => one.name).join(', ')}`);
  const transport = TRANSPORT_KINDS.includes(fault.kind);
  if (!transport && !Object.hasOwn(provider.faultKinds, fault.kind)) {
    const kinds = [...Object.keys(provider.faultKinds), ...TRANSPORT_KINDS];
    throw new BadRequest(`kind must be one of: ${kinds.join(', ')} (for ${provider.name})`);
  }
  // Some kinds exist at one path only; elsewhere they would give an answer the vendor never gives.
  const onlyPath = transport ? undefined : provider.faultKinds[fault.kind];
  const paths = onlyPath ? [onlyPath] : provider.routes.map((one) => one.path);
  if (fault.path !== undefined && !paths.includes(fault.path)) {
    throw new BadRequest(`path must be one of: ${paths.join(', ')} (for ${fault.kind})`);
  }
  onlyWith(fault, 'errcode', fault.kind === 'refuse', 'refuse');
  onlyWith(fault, 'delay_ms', fault.kind === 'delay', 'delay');
  onlyWith(fault, 'after', transport, TRANSPORT_KINDS.join(', '));
  if (fault.errcode !== undefined && !provider.isErrcode(fault.errcode)) {
    throw new BadRequest(`errcode must be ${provider.errcodeRule}`);
  }
  const id = faults.add({ ...fault, path: fault.path ?? onlyPath });
  if (id === null) return json({ error: `${MAX_FAULTS} faults wait already; DELETE /sandbox/faults` }, 409);
  return json({ id });
}

function onlyWith(fault, field, allowed, kinds) {
  if (fault[field] !== undefined && !allowed) throw new BadRequest(`${field} goes with kind ${kinds} only`);
}

/** An absent body counts as `{}`, so that `curl -X POST` is enough where nothing is required. */
function readFields(body, fields) {
  const value = body.length === 0 ? {} : readJsonObject(body);
  if (value === null) throw new BadRequest('the body must be a JSON object');
  return checkFields(value, fields);
}

function checkFields(value, fields) {
  for (const name of Object.keys(value)) {
    if (!Object.hasOwn(fields, name)) {
      throw new BadRequest(`unknown field "${name}"; known: ${Object.keys(fields).join(', ')}`);
    }
    if (!fields[name].ok(value[name])) throw new BadRequest(`${name} must be ${fields[name].rule}`);
  }
  for (const [name, field] of Object.entries(fields)) {
    if (field.required && !Object.hasOwn(value, name)) throw new BadRequest(`${name} is missing: ${field.rule}`);
  }
  return value;
}
