import assert from 'node:assert/strict';
import { test } from 'node:test';

import { CONFIG, start } from './support.mjs';

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;

/** Asserts a WeChat refusal in its whole form. */
function refusedWith(answer, errcode) {
  assert.equal(answer.errcode, errcode, JSON.stringify(answer));
  assert.match(answer.errmsg, /^.+, rid: [0-9a-f]+-[0-9a-f]{8}-[0-9a-f]{8}$/);
  assert.deepEqual(Object.keys(answer), ['errcode', 'errmsg']);
}

async function loginCode(sandbox, openid) {
  return (await sandbox.post('/sandbox/login', { openid })).code;
}

async function phoneCode(sandbox, phone = '13800000000') {
  return (await sandbox.post('/sandbox/phone-code', { phone })).code;
}

test('a login code becomes the session of its openid, again and again the same customer', async (t) => {
  const sandbox = await start(t);
  const first = await sandbox.session(await loginCode(sandbox, 'oAnna'));
  const second = await sandbox.session(await loginCode(sandbox, 'oAnna'));
  const other = await sandbox.session(await loginCode(sandbox, 'oBela'));
  assert.equal(first.openid, 'oAnna');
  assert.equal(first.errcode, undefined);
  assert.equal(Buffer.from(first.session_key, 'base64').length, 16);
  assert.match(first.unionid, /^u.{27}$/);
  assert.equal(second.openid, first.openid);
  assert.equal(second.unionid, first.unionid);
  assert.notEqual(other.unionid, first.unionid);
});

test('a login without openid makes one up and tells it', async (t) => {
  const sandbox = await start(t);
  const { code, openid } = await sandbox.post('/sandbox/login');
  assert.match(openid, /^o[A-Za-z0-9_-]{27}$/);
  assert.equal((await sandbox.session(code)).openid, openid);
});

test('refusals come with HTTP 200', async (t) => {
  const sandbox = await start(t);
  const response = await sandbox.fetch('/sns/jscode2session?grant_type=authorization_code');
  assert.equal(response.status, 200);
});

test('a login code is good once and for five minutes', async (t) => {
  const sandbox = await start(t);
  const used = await loginCode(sandbox, 'oAnna');
  await sandbox.session(used);
  refusedWith(await sandbox.session(used), 40163);
  refusedWith(await sandbox.session('never-issued'), 40029);

  const last = await loginCode(sandbox, 'oAnna');
  const late = await loginCode(sandbox, 'oAnna');
  sandbox.clock.pass(5 * MINUTE - 1);
  assert.equal((await sandbox.session(last)).openid, 'oAnna');
  sandbox.clock.pass(1);
  refusedWith(await sandbox.session(late), 40029);
});

test('login and phone codes are two kinds', async (t) => {
  const sandbox = await start(t);
  const { access_token } = await sandbox.token();
  refusedWith(await sandbox.session(await phoneCode(sandbox)), 40029);
  refusedWith(await sandbox.phone(await loginCode(sandbox, 'oAnna'), access_token), 40029);
});

test('missing and wrong app credentials have their own errcodes, and leave the code good', async (t) => {
  const sandbox = await start(t);
  const code = await loginCode(sandbox, 'oAnna');
  for (const [changes, errcode] of [
    [{ appid: undefined }, 41002],
    [{ secret: undefined }, 41004],
    [{ js_code: undefined }, 41008],
    [{ appid: 'wxother' }, 40013],
    [{ secret: 'other' }, 40125],
    [{ grant_type: undefined }, 40002],
  ]) {
    refusedWith(await sandbox.session(code, changes), errcode);
  }
  assert.equal((await sandbox.session(code)).openid, 'oAnna');
});

test('a customer has 100 sessions a minute', async (t) => {
  const sandbox = await start(t);
  for (let i = 0; i < 100; i += 1) {
    assert.equal((await sandbox.session(await loginCode(sandbox, 'oAnna'))).openid, 'oAnna');
  }
  const code = await loginCode(sandbox, 'oAnna');
  refusedWith(await sandbox.session(code), 45011);
  assert.equal((await sandbox.session(await loginCode(sandbox, 'oBela'))).openid, 'oBela');
  sandbox.clock.pass(MINUTE);
  assert.equal((await sandbox.session(code)).openid, 'oAnna');
});

test('a wrong method is refused in WeChat\'s words', async (t) => {
  const sandbox = await start(t);
  refusedWith(await sandbox.post('/sns/jscode2session', {}), 43001);
  refusedWith(await sandbox.get('/cgi-bin/stable_token'), 43002);
  refusedWith(await sandbox.get('/wxa/business/getuserphonenumber'), 43002);
});

test('stable_token refuses what is missing or wrong', async (t) => {
  const sandbox = await start(t);
  for (const [changes, errcode] of [
    [{ grant_type: 'authorization_code' }, 40002],
    [{ appid: undefined }, 41002],
    [{ secret: undefined }, 41004],
    [{ appid: 'wxother' }, 40013],
    [{ secret: 'other' }, 40125],
    [{ force_refresh: 'true' }, 47001],
  ]) {
    refusedWith(await sandbox.token(changes), errcode);
  }
  const response = await sandbox.fetch('/cgi-bin/stable_token', { method: 'POST', body: '{' });
  refusedWith(await response.json(), 47001);
});

test('stable_token gives the same token until its last five minutes, then both are good', async (t) => {
  const sandbox = await start(t);
  const first = await sandbox.token();
  assert.equal(first.expires_in, 7200);
  assert.equal(first.access_token.length, 512);
  sandbox.clock.pass(1 * HOUR);
  assert.deepEqual(await sandbox.token(), { ...first, expires_in: 3600 });

  sandbox.clock.pass(55 * MINUTE - 1);
  assert.equal((await sandbox.token()).access_token, first.access_token);
  sandbox.clock.pass(1);
  const second = await sandbox.token();
  assert.notEqual(second.access_token, first.access_token);
  assert.equal(second.expires_in, 7200);

  sandbox.clock.pass(5 * MINUTE - 1);
  assert.equal((await sandbox.phone(await phoneCode(sandbox), first.access_token)).errcode, 0);
  assert.equal((await sandbox.phone(await phoneCode(sandbox), second.access_token)).errcode, 0);
  sandbox.clock.pass(1);
  refusedWith(await sandbox.phone(await phoneCode(sandbox), first.access_token), 42001);
  assert.equal((await sandbox.phone(await phoneCode(sandbox), second.access_token)).errcode, 0);
});

test('a forced refresh kills the old token, 30 s apart at least', async (t) => {
  const sandbox = await start(t);
  const first = await sandbox.token();
  const forced = await sandbox.token({ force_refresh: true });
  assert.notEqual(forced.access_token, first.access_token);
  refusedWith(await sandbox.phone(await phoneCode(sandbox), first.access_token), 40001);
  assert.equal((await sandbox.phone(await phoneCode(sandbox), forced.access_token)).errcode, 0);

  sandbox.clock.pass(29_999);
  refusedWith(await sandbox.token({ force_refresh: true }), 45011);
  assert.equal((await sandbox.token()).access_token, forced.access_token);
  sandbox.clock.pass(1);
  assert.notEqual((await sandbox.token({ force_refresh: true })).access_token, forced.access_token);
});

test('a forced refresh works 20 times a day, and the day is China\'s', async (t) => {
  const sandbox = await start(t);
  sandbox.clock.at = Date.UTC(2026, 2, 1, 15, 30); // half past eleven in the evening in Shanghai
  for (let i = 0; i < 20; i += 1) {
    assert.ok((await sandbox.token({ force_refresh: true })).access_token);
    sandbox.clock.pass(30_000);
  }
  refusedWith(await sandbox.token({ force_refresh: true }), 45009);
  sandbox.clock.at = Date.UTC(2026, 2, 1, 16, 0);
  assert.ok((await sandbox.token({ force_refresh: true })).access_token);
});

test('a phone code becomes the phone number, once, within five minutes', async (t) => {
  const sandbox = await start(t);
  const { access_token } = await sandbox.token();
  const code = await phoneCode(sandbox, '13912345678');
  assert.deepEqual(await sandbox.phone(code, access_token), {
    errcode: 0,
    errmsg: 'ok',
    phone_info: {
      phoneNumber: '13912345678',
      purePhoneNumber: '13912345678',
      countryCode: '86',
      watermark: { timestamp: Math.floor(sandbox.clock.now() / 1000), appid: CONFIG.wechat.appid },
    },
  });
  refusedWith(await sandbox.phone(code, access_token), 40029);

  const late = await phoneCode(sandbox);
  sandbox.clock.pass(5 * MINUTE);
  refusedWith(await sandbox.phone(late, access_token), 40029);
});

test('getuserphonenumber refuses a missing or unknown token and a missing code', async (t) => {
  const sandbox = await start(t);
  const { access_token } = await sandbox.token();
  const code = await phoneCode(sandbox);
  refusedWith(await sandbox.phone(code), 40001);
  refusedWith(await sandbox.phone(code, 'never-issued'), 40001);
  refusedWith(await sandbox.phone(undefined, access_token), 41008);
  refusedWith(await sandbox.post(`/wxa/business/getuserphonenumber?access_token=${access_token}`, []), 47001);
  assert.equal((await sandbox.phone(code, access_token)).errcode, 0);
});

test('WeChat\'s faults: busy, high risk, too fast, any other errcode; the code stays good', async (t) => {
  const sandbox = await start(t);
  const code = await loginCode(sandbox, 'oAnna');
  for (const [fault, errcode] of [
    [{ kind: 'busy' }, -1],
    [{ kind: 'high_risk' }, 40226],
    [{ kind: 'frequency_limit' }, 45011],
    [{ kind: 'refuse', errcode: 40164 }, 40164],
    [{ kind: 'refuse', errcode: 99999 }, 99999],
    [{ kind: 'refuse' }, 45009],
  ]) {
    await sandbox.post('/sandbox/faults', { provider: 'wechat', ...fault });
    refusedWith(await sandbox.session(code), errcode);
  }
  assert.equal((await sandbox.session(code)).openid, 'oAnna');
});

test('high risk strikes logins only', async (t) => {
  const sandbox = await start(t);
  await sandbox.post('/sandbox/faults', { provider: 'wechat', kind: 'high_risk' });
  assert.ok((await sandbox.token()).access_token);
  refusedWith(await sandbox.session(await loginCode(sandbox, 'oAnna')), 40226);
});
