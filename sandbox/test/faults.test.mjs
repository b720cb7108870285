import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Faults } from '../faults.mjs';
import { start, tencentClient, SMS } from './support.mjs';

const order = (sandbox, fault) => sandbox.post('/sandbox/faults', { provider: 'wechat', ...fault });
const login = async (sandbox) => (await sandbox.post('/sandbox/login', { openid: 'oAnna' })).code;

/** The socket was closed on us in the middle of a call. */
const cutOff = (error) => error.cause?.code === 'UND_ERR_SOCKET';

/** A sleep that only tells how long it would have been. */
function recordedSleep() {
  const slept = [];
  return { slept, sleep: async (ms) => void slept.push(ms) };
}

test('faults are ordered, listed, used up and cleared', async (t) => {
  const sandbox = await start(t);
  const { id } = await order(sandbox, { kind: 'busy', path: '/cgi-bin/stable_token', times: 2 });
  assert.equal(typeof id, 'string');
  assert.notEqual((await order(sandbox, { kind: 'delay', delay_ms: 5 })).id, id);
  await sandbox.token();
  const { faults } = await sandbox.get('/sandbox/faults');
  assert.deepEqual(faults[0], {
    id,
    provider: 'wechat',
    path: '/cgi-bin/stable_token',
    kind: 'busy',
    times: 1,
    probability: 1,
    after: false,
  });
  assert.equal(faults.length, 2);
  const cleared = await sandbox.fetch('/sandbox/faults', { method: 'DELETE' });
  assert.deepEqual(await cleared.json(), { cleared: 2 });
  assert.deepEqual(await sandbox.get('/sandbox/faults'), { faults: [] });
  assert.ok((await sandbox.token()).access_token);
});

test('a fault strikes its provider and path only, once unless told otherwise', async (t) => {
  const sandbox = await start(t);
  await order(sandbox, { kind: 'busy', path: '/sns/jscode2session' });
  assert.ok((await sandbox.token()).access_token);
  assert.equal((await sandbox.sms()).SendStatusSet[0].Code, 'Ok');
  const code = await login(sandbox);
  assert.equal((await sandbox.session(code)).errcode, -1);
  assert.equal((await sandbox.session(code)).openid, 'oAnna');
});

test('a fault with a probability is spent only when it strikes', () => {
  const chances = [0.5, 0.49, 0.9, 0];
  const faults = new Faults(() => chances.shift());
  faults.add({ provider: 'sms', kind: 'drop', probability: 0.5, times: 2 });
  const struck = () => faults.take('sms', '/') !== undefined;
  assert.deepEqual([struck(), struck(), struck(), struck()], [false, true, false, true]);
  assert.deepEqual(faults.list(), []);
});

test('error500 and garbage are answers no vendor means', async (t) => {
  const sandbox = await start(t);
  await order(sandbox, { kind: 'error500' });
  assert.equal((await sandbox.fetch('/cgi-bin/stable_token', { method: 'POST' })).status, 500);
  await order(sandbox, { kind: 'garbage' });
  const response = await sandbox.fetch('/cgi-bin/stable_token', { method: 'POST' });
  assert.equal(response.status, 200);
  await assert.rejects(response.json(), SyntaxError);
});

test('drop closes the socket without an answer', async (t) => {
  const sandbox = await start(t);
  await order(sandbox, { kind: 'drop' });
  const code = await login(sandbox);
  await assert.rejects(sandbox.session(code), cutOff);
  assert.equal((await sandbox.session(code)).openid, 'oAnna');
});

test('with `after` the work is done before the answer is lost', async (t) => {
  const sandbox = await start(t);
  await order(sandbox, { kind: 'drop', after: true });
  const code = await login(sandbox);
  await assert.rejects(sandbox.session(code), cutOff);
  assert.equal((await sandbox.session(code)).errcode, 40163);
});

test('the vendor\'s client meets a lost answer and a 500, and the message is there once', async (t) => {
  const sandbox = await start(t, { clock: { now: Date.now } });
  const client = tencentClient(sandbox.port);
  await sandbox.post('/sandbox/faults', { provider: 'sms', kind: 'drop', after: true });
  await assert.rejects(client.request('SendSms', SMS), /socket hang up|ECONNRESET/);
  await sandbox.post('/sandbox/faults', { provider: 'sms', kind: 'error500' });
  await assert.rejects(client.request('SendSms', SMS), { httpCode: 500 });
  assert.equal((await sandbox.messages('13800000000')).messages.length, 1);
});

test('delay waits, then answers as ever', async (t) => {
  const { slept, sleep } = recordedSleep();
  const sandbox = await start(t, { sleep });
  await order(sandbox, { kind: 'delay', delay_ms: 2_500 });
  await order(sandbox, { kind: 'delay', after: true });
  assert.ok((await sandbox.token()).access_token);
  assert.ok((await sandbox.token()).access_token);
  assert.ok((await sandbox.token()).access_token);
  assert.deepEqual(slept, [2_500, 1_000]);
});

test('hang gives up after a minute', async (t) => {
  const { slept, sleep } = recordedSleep();
  const sandbox = await start(t, { sleep });
  await order(sandbox, { kind: 'hang' });
  await assert.rejects(sandbox.token(), cutOff);
  assert.deepEqual(slept, [60_000]);
});

test('hang and delay end with a caller that gives up first', async (t) => {
  for (const kind of ['hang', 'delay']) {
    const caller = new AbortController();
    let ended;
    const over = new Promise((resolve) => { ended = resolve; });
    const sandbox = await start(t, {
      sleep: (_ms, signal) => new Promise((resolve) => {
        signal.addEventListener('abort', () => { resolve(); ended(); });
        caller.abort();
      }),
    });
    await order(sandbox, { kind });
    const calling = sandbox.fetch('/cgi-bin/stable_token', { method: 'POST', signal: caller.signal });
    await assert.rejects(calling, { name: 'AbortError' });
    await over;
    assert.ok((await sandbox.token()).access_token);
  }
});

test('a fault that could never strike, or would mean nothing, is refused', async (t) => {
  const sandbox = await start(t);
  for (const [fault, message] of [
    [{}, /provider is missing/],
    [{ provider: 'wechat' }, /kind is missing/],
    [{ provider: 'alipay', kind: 'busy' }, /provider must be one of: wechat, sms/],
    [{ provider: 'wechat', kind: 'slow' }, /kind must be one of: busy, refuse/],
    [{ provider: 'sms', kind: 'high_risk' }, /kind must be one of: .* \(for sms\)/],
    [{ provider: 'wechat', kind: 'toString' }, /kind must be one of/],
    [{ provider: 'wechat', kind: 'busy', path: '/' }, /path must be one of: \/sns/],
    [{ provider: 'wechat', kind: 'high_risk', path: '/cgi-bin/stable_token' }, /path must be one of: \/sns\/jscode2session \(/],
    [{ provider: 'wechat', kind: 'refuse', errcode: '40029' }, /errcode must be an integer/],
    [{ provider: 'sms', kind: 'refuse', errcode: 40029 }, /errcode must be a Tencent error code/],
    [{ provider: 'wechat', kind: 'busy', errcode: 40029 }, /errcode goes with kind refuse only/],
    [{ provider: 'wechat', kind: 'busy', delay_ms: 10 }, /delay_ms goes with kind delay only/],
    [{ provider: 'wechat', kind: 'busy', after: true }, /after goes with kind delay, hang/],
    [{ provider: 'wechat', kind: 'delay', delay_ms: 60_001 }, /delay_ms must be an integer from 0 to 60000/],
    [{ provider: 'wechat', kind: 'drop', times: 0 }, /times must be an integer from 1/],
    [{ provider: 'wechat', kind: 'drop', probability: 1.5 }, /probability must be a number from 0 to 1/],
    [{ provider: 'wechat', kind: 'drop', after: 'yes' }, /after must be true or false/],
    [{ provider: 'wechat', kind: 'drop', delay: 5 }, /unknown field "delay"/],
  ]) {
    assert.match(await sandbox.refused('/sandbox/faults', fault), message);
  }
  assert.deepEqual(await sandbox.get('/sandbox/faults'), { faults: [] });
});

test('no more than 100 faults wait', async (t) => {
  const sandbox = await start(t);
  for (let i = 0; i < 100; i += 1) await order(sandbox, { kind: 'drop' });
  assert.match(
    await sandbox.refused('/sandbox/faults', { provider: 'sms', kind: 'drop' }, 409),
    /100 faults wait already/,
  );
});
