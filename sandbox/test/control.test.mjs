import assert from 'node:assert/strict';
import { test } from 'node:test';

import { createControl } from '../control.mjs';
import { MAX_BODY_BYTES } from '../http.mjs';
import { MAX_MESSAGES, MAX_PER_RECIPIENT, Messages } from '../messages.mjs';
import { start } from './support.mjs';

test('healthz', async (t) => {
  const sandbox = await start(t);
  assert.deepEqual(await sandbox.get('/sandbox/healthz'), { ok: true });
});

test('messages are read by recipient and time, newest last', async (t) => {
  const sandbox = await start(t);
  const begun = sandbox.clock.now();
  for (const code of ['1', '2', '3']) {
    await sandbox.sms({ params: { TemplateParamSet: [code] } });
    sandbox.clock.pass(1_000);
  }
  await sandbox.sms({ params: { PhoneNumberSet: ['+8613800000009'], TemplateParamSet: undefined } });
  const read = async (query) => {
    const { messages } = await sandbox.get(`/sandbox/messages?${query}`);
    return messages.map((message) => message.params.join());
  };
  assert.deepEqual(await read('to=13800000000'), ['1', '2', '3']);
  assert.deepEqual(await read(`to=13800000000&since=${begun + 1_000}`), ['2', '3']);
  assert.deepEqual(await read('to=13800000009'), ['']);
  assert.deepEqual(await read('to=13800000008'), []);
});

test('messages are bounded, for one recipient and in total, the oldest going first', () => {
  const messages = new Messages();
  const record = (to, at) => messages.record({ to, at });
  record('early', 0);
  for (let at = 1; at <= MAX_PER_RECIPIENT + 5; at += 1) record('loop', at);
  assert.equal(messages.list('loop').length, MAX_PER_RECIPIENT);
  assert.equal(messages.list('loop')[0].at, 6);
  assert.equal(messages.list('early').length, 1);

  for (let i = 0; i < MAX_MESSAGES - MAX_PER_RECIPIENT; i += 1) record(`one-${i}`, 100);
  assert.equal(messages.list('early').length, 0);
  assert.equal(messages.list('loop').length, MAX_PER_RECIPIENT);
  record('one-more', 101);
  assert.equal(messages.list('loop').length, MAX_PER_RECIPIENT - 1);
  record('loop', 102);
  assert.equal(messages.list('loop').at(-1).at, 102);
});

test('control calls refuse unknown fields, wrong types and what is missing', async (t) => {
  const sandbox = await start(t);
  for (const [path, body, message] of [
    ['/sandbox/login', { openId: 'oAnna' }, /unknown field "openId"; known: openid/],
    ['/sandbox/login', { openid: 7 }, /openid must be/],
    ['/sandbox/login', { openid: '' }, /openid must be/],
    ['/sandbox/login', ['oAnna'], /body must be a JSON object/],
    ['/sandbox/login', { __proto__: null, constructor: 'x' }, /unknown field "constructor"/],
    ['/sandbox/phone-code', {}, /phone is missing: 11 digits/],
    ['/sandbox/phone-code', { phone: '+8613800000000' }, /phone must be 11 digits/],
    ['/sandbox/phone-code', { phone: 13800000000 }, /phone must be 11 digits/],
  ]) {
    assert.match(await sandbox.refused(path, body), message);
  }
  for (const [query, message] of [
    ['', /to is missing/],
    ['to=%2B8613800000000', /to must be/],
    ['to=13800000000&since=yesterday', /since must be UTC milliseconds/],
    ['to=13800000000&form=sms', /unknown field "form"/],
  ]) {
    const response = await sandbox.fetch(`/sandbox/messages?${query}`);
    assert.equal(response.status, 400);
    assert.match((await response.json()).error, message);
  }
});

test('unknown paths, wrong methods and bodies over the limit are refused', async (t) => {
  const sandbox = await start(t);
  assert.equal((await sandbox.fetch('/sandbox/logins', { method: 'POST' })).status, 404);
  assert.equal((await sandbox.fetch('/cgi-bin/token')).status, 404);
  const wrong = await sandbox.fetch('/sandbox/faults', { method: 'PUT' });
  assert.equal(wrong.status, 405);
  assert.equal(wrong.headers.get('allow'), 'POST, GET, DELETE');

  const body = (bytes) => JSON.stringify({ openid: '' }).padEnd(bytes, ' ');
  const big = await sandbox.fetch('/sandbox/login', { method: 'POST', body: body(MAX_BODY_BYTES + 1) });
  assert.equal(big.status, 413);
  const fits = await sandbox.fetch('/sandbox/login', { method: 'POST', body: body(MAX_BODY_BYTES) });
  assert.equal(fits.status, 400);
});

test('control calls are for this machine only', () => {
  const { routes } = createControl({ providers: [] });
  const healthz = routes.find((route) => route.path === '/sandbox/healthz');
  for (const [remoteAddress, status] of [
    ['127.0.0.1', 200],
    ['::1', 200],
    ['::ffff:127.0.0.1', 200],
    ['192.168.1.20', 403],
    ['::ffff:192.168.1.20', 403],
    [undefined, 403],
  ]) {
    assert.equal(healthz.handle({ remoteAddress }).status, status, remoteAddress);
  }
});
