import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { test } from 'node:test';

import { ConfigError, readConfig } from '../main.mjs';

const ENV = {
  WECHAT_APPID: 'wxsandbox00000001',
  WECHAT_SECRET: 'app-secret',
  SMS_SECRET_ID: 'AKIDsandbox',
  SMS_SECRET_KEY: 'secret-key',
  SMS_SDK_APP_ID: '1400000001',
  SMS_SIGN_NAME: '准点',
};

/** Runs the program until it ends, or the test does. */
function run(t, env) {
  const path = fileURLToPath(new URL('../main.mjs', import.meta.url));
  const child = spawn(process.execPath, [path], { env, stdio: ['ignore', 'pipe', 'pipe'] });
  t.after(() => child.kill('SIGKILL'));
  const output = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr']) {
    child[name].setEncoding('utf8').on('data', (chunk) => { output[name] += chunk; });
  }
  return { child, output, ended: once(child, 'close') };
}

test('the configuration has a default port and any template, and no other default', () => {
  assert.deepEqual(readConfig(ENV), {
    port: 8788,
    wechat: { appid: 'wxsandbox00000001', secret: 'app-secret' },
    sms: {
      secretId: 'AKIDsandbox',
      secretKey: 'secret-key',
      sdkAppId: '1400000001',
      signName: '准点',
      templates: null,
    },
    payments: null,
  });
  const { port, sms } = readConfig({ ...ENV, SANDBOX_PORT: '9000', SMS_TEMPLATES: '1001, 1002' });
  assert.equal(port, 9000);
  assert.deepEqual([...sms.templates], ['1001', '1002']);
  for (const name of Object.keys(ENV)) {
    for (const value of [undefined, '']) {
      assert.throws(() => readConfig({ ...ENV, [name]: value }), new ConfigError(`${name} is not set`));
    }
  }
  for (const port of ['http', '-1', '65536', '80.5']) {
    assert.throws(() => readConfig({ ...ENV, SANDBOX_PORT: port }), ConfigError);
  }
  assert.throws(() => readConfig({ ...ENV, SMS_TEMPLATES: '1001,login' }), /not "login"/);
});

const PAYMENTS = {
  SANDBOX_KEYS: '/keys',
  WECHAT_PAY_MCHID: '1900000109',
  ALIPAY_APP_ID: '2021000000000001',
  ALIPAY_SELLER_ID: '2088000000000001',
};

test('payments are configured as a whole', () => {
  const expected = {
    keysFolder: '/keys',
    wechatPay: { mchid: '1900000109' },
    alipay: { appId: '2021000000000001', sellerId: '2088000000000001', mode: 'key' },
    speed: 1,
  };
  assert.deepEqual(readConfig({ ...ENV, ...PAYMENTS }).payments, expected);
  const more = { ALIPAY_MODE: 'certificate', SANDBOX_SPEED: '0.5' };
  assert.deepEqual(readConfig({ ...ENV, ...PAYMENTS, ...more }).payments, {
    ...expected, alipay: { ...expected.alipay, mode: 'certificate' }, speed: 0.5,
  });
  for (const name of Object.keys(PAYMENTS)) {
    assert.throws(() => readConfig({ ...ENV, ...PAYMENTS, [name]: '' }), new ConfigError(`${name} is not set`));
  }
  for (const speed of ['0', '-1', 'fast', 'Infinity']) {
    assert.throws(() => readConfig({ ...ENV, ...PAYMENTS, SANDBOX_SPEED: speed }), /SANDBOX_SPEED must be a number/);
  }
  assert.throws(() => readConfig({ ...ENV, ...PAYMENTS, ALIPAY_MODE: 'cert' }), /ALIPAY_MODE must be key or certificate/);
});

test('with payments it makes the keys first', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'sandbox-keys-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const { child, output, ended } = run(t, { ...ENV, ...PAYMENTS, SANDBOX_KEYS: folder, SANDBOX_PORT: '0' });
  while (!output.stdout.includes('\n')) await once(child.stdout, 'data');
  const [, base] = /^sandbox: listening on (http:\/\/127\.0\.0\.1:\d+)\n$/.exec(output.stdout);
  assert.deepEqual(await (await fetch(`${base}/sandbox/money`)).json(), { money: [] });
  child.kill('SIGTERM');
  assert.deepEqual(await ended, [0, null]);
  assert.equal(output.stderr, '');
});

test('a folder without room for keys ends it with a message', async (t) => {
  const { output, ended } = run(t, { ...ENV, ...PAYMENTS, SANDBOX_KEYS: fileURLToPath(import.meta.url), SANDBOX_PORT: '0' });
  assert.deepEqual(await ended, [1, null]);
  assert.match(output.stderr, /^sandbox: SANDBOX_KEYS: EEXIST.*\n$/);
});

test('it says where it listens in one line, and a signal ends it even while a call hangs', async (t) => {
  for (const signal of ['SIGTERM', 'SIGINT']) {
    const { child, output, ended } = run(t, { ...ENV, SANDBOX_PORT: '0' });
    while (!output.stdout.includes('\n')) await once(child.stdout, 'data');
    const [, base] = /^sandbox: listening on (http:\/\/127\.0\.0\.1:\d+)\n$/.exec(output.stdout);
    await fetch(`${base}/sandbox/faults`, {
      method: 'POST',
      body: JSON.stringify({ provider: 'wechat', kind: 'hang' }),
    });
    const hanging = fetch(`${base}/cgi-bin/stable_token`, { method: 'POST' }).catch(() => 'cut off');
    for (let waiting = 1; waiting > 0;) {
      waiting = (await (await fetch(`${base}/sandbox/faults`)).json()).faults.length;
    }
    child.kill(signal);
    assert.deepEqual(await ended, [0, null]);
    assert.equal(await hanging, 'cut off');
    assert.deepEqual(output, { stdout: `sandbox: listening on ${base}\n`, stderr: '' });
  }
});

test('it does not start without its configuration, and says what is missing', async (t) => {
  const { output, ended } = run(t, { ...ENV, WECHAT_SECRET: '' });
  assert.deepEqual(await ended, [1, null]);
  assert.deepEqual(output, { stdout: '', stderr: 'sandbox: WECHAT_SECRET is not set\n' });
});

test('a port that is taken ends it with a message', async (t) => {
  const first = run(t, { ...ENV, SANDBOX_PORT: '0' });
  while (!first.output.stdout.includes('\n')) await once(first.child.stdout, 'data');
  const [, port] = /:(\d+)\n$/.exec(first.output.stdout);
  const second = run(t, { ...ENV, SANDBOX_PORT: port });
  assert.deepEqual(await second.ended, [1, null]);
  assert.match(second.output.stderr, /^sandbox: listen EADDRINUSE.*\n$/);
});
