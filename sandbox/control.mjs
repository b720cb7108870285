// The calls under /sandbox: a client or a test plays the world with them. No vendor has these, and the
// Worker never makes them.

import { MAX_DELAY_MS, MAX_FAULTS, TRANSPORT_KINDS } from './faults.mjs';
import { BadRequest, checkFields, flag, integer, number, readFields, required, text } from './fields.mjs';
import { json } from './http.mjs';
import { paymentRoutes } from './payment-control.mjs';
import { randomOpenid } from './wechat.mjs';

const MAX_TIMES = 1_000_000;
/** Templates in one prompt of the mini program. */
const MAX_ASKED = 3;

const LOOPBACK = /^(127\.\d+\.\d+\.\d+|::1|::ffff:127\.\d+\.\d+\.\d+)$/;

const RECIPIENT = text(/^[A-Za-z0-9_-]{1,64}$/, 'a phone without country code, or an openid');
const FIELDS = {
  login: { openid: text(/^[A-Za-z0-9_-]{1,64}$/, '1 to 64 letters, digits, "_" or "-"') },
  phoneCode: { phone: required(text(/^1\d{10}$/, '11 digits, the first a 1')) },
  subscribe: {
    openid: required(text(/^[A-Za-z0-9_-]{1,64}$/, '1 to 64 letters, digits, "_" or "-"')),
    template_ids: required({
      rule: '1 to 3 ids of templates',
      ok: (value) => Array.isArray(value) && value.length >= 1 && value.length <= MAX_ASKED
        && value.every((id) => typeof id === 'string' && id !== ''),
    }),
    result: text(/^(accept|reject)$/, 'accept or reject'),
  },
  messages: { to: required(RECIPIENT), since: text(/^\d{1,15}$/, 'UTC milliseconds') },
  fault: {
    provider: required(text(/./, 'the name of a provider')),
    kind: required(text(/./, 'the name of a kind')),
    path: text(/^\//, 'a path'),
    operation: text(/./, 'the name of an operation'),
    errcode: { rule: 'an error code', ok: () => true }, // its type is the provider's
    delay_ms: integer(0, MAX_DELAY_MS),
    times: integer(1, MAX_TIMES),
    probability: number(0, 1, 'a number from 0 to 1'),
    after: flag,
  },
};

export function createControl({ providers, wechat, messages, faults, payments = null }) {
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
      route('POST', '/sandbox/subscribe', ({ body }) => {
        const { openid, template_ids: ids, result = 'accept' } = readFields(body, FIELDS.subscribe);
        return json(wechat.subscribe(openid, ids, result));
      }),
      route('GET', '/sandbox/messages', ({ query }) => {
        const { to, since = '0' } = checkFields(Object.fromEntries(query), FIELDS.messages);
        return json({ messages: messages.list(to, Number(since)) });
      }),
      route('POST', '/sandbox/faults', ({ body }) => addFault(readFields(body, FIELDS.fault), providers, faults)),
      route('GET', '/sandbox/faults', () => json({ faults: faults.list() })),
      route('DELETE', '/sandbox/faults', () => json({ cleared: faults.clear() })),
      ...(payments ? paymentRoutes(payments, route) : []),
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
      const reply = handle(request);
      return reply instanceof Promise ? reply.catch(refusal) : reply;
    } catch (error) {
      return refusal(error);
    }
  };
}

function refusal(error) {
  if (error instanceof BadRequest) return json({ error: error.message }, 400);
  throw error;
}

function addFault(fault, providers, faults) {
  const provider = providers.find((one) => one.name === fault.provider);
  if (!provider) throw new BadRequest(`provider must be one of: ${providers.map((one) => one.name).join(', ')}`);
  const transport = TRANSPORT_KINDS.includes(fault.kind);
  if (!transport && !Object.hasOwn(provider.faultKinds, fault.kind)) {
    const kinds = [...Object.keys(provider.faultKinds), ...TRANSPORT_KINDS];
    throw new BadRequest(`kind must be one of: ${kinds.join(', ')} (for ${provider.name})`);
  }
  // Some kinds exist at one path or operation only; elsewhere they would give an answer the vendor never gives.
  const only = transport ? undefined : provider.faultKinds[fault.kind];
  const onlyPath = only?.startsWith('/') ? only : undefined;
  const onlyOperation = only === onlyPath ? undefined : only;
  oneOfThese(fault, 'path', onlyPath ? [onlyPath] : provider.routes.map((one) => one.path));
  oneOfThese(fault, 'operation', onlyOperation ? [onlyOperation] : (provider.operations ?? []));
  onlyWith(fault, 'errcode', fault.kind === 'refuse', 'refuse');
  onlyWith(fault, 'delay_ms', fault.kind === 'delay', 'delay');
  onlyWith(fault, 'after', transport, TRANSPORT_KINDS.join(', '));
  if (fault.errcode !== undefined && !provider.isErrcode(fault.errcode)) {
    throw new BadRequest(`errcode must be ${provider.errcodeRule}`);
  }
  const id = faults.add({
    ...fault,
    path: fault.path ?? onlyPath,
    operation: fault.operation ?? onlyOperation,
  });
  if (id === null) return json({ error: `${MAX_FAULTS} faults wait already; DELETE /sandbox/faults` }, 409);
  return json({ id });
}

function oneOfThese(fault, field, values) {
  if (fault[field] === undefined || values.includes(fault[field])) return;
  const known = values.length > 0 ? `one of: ${values.join(', ')}` : 'left out';
  throw new BadRequest(`${field} must be ${known} (for ${fault.kind})`);
}

function onlyWith(fault, field, allowed, kinds) {
  if (fault[field] !== undefined && !allowed) throw new BadRequest(`${field} goes with kind ${kinds} only`);
}
