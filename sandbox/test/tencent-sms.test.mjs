import assert from 'node:assert/strict';
import { test } from 'node:test';

import signModule from 'tencentcloud-sdk-nodejs-common/tencentcloud/common/sign.js';

import { tc3Signature } from '../tencent-sms.mjs';
import { CONFIG, SMS, signedSms, start, tencentClient } from './support.mjs';

const realTime = { now: Date.now }; // the vendor's client reads the clock itself

test('the signature agrees with the vendor\'s published example', () => {
  const body = String.raw`{"Limit": 1, "Filters": [{"Values": ["\u672a\u547d\u540d"], "Name": "instance-name"}]}`;
  const signature = tc3Signature({
    method: 'POST',
    path: '/',
    rawQuery: '',
    headers: { 'content-type': 'application/json; charset=utf-8', host: 'cvm.tencentcloudapi.com' },
    names: ['content-type', 'host'],
    body: Buffer.from(body),
    service: 'cvm',
    timestamp: '1551113065',
    secretKey: 'Gu5t9xGARNpq86cd98joQYCN3*******',
  });
  assert.equal(signature, '2230eefd229f582d8b1b891af7107b91597240707d778ab3738f756258d7652c');
});

test('the signature agrees with the vendor\'s signer, whatever the body, type and time', () => {
  for (const [payload, contentType, timestamp] of [
    ['{}', 'application/json', 1],
    [JSON.stringify(SMS), 'application/json; charset=utf-8', 1_772_337_600],
    [JSON.stringify({ ...SMS, SignName: '准点𠮷' }), 'Application/JSON; charset=UTF-8', 1_772_323_199],
  ]) {
    const body = Buffer.from(payload);
    const headers = { 'content-type': contentType, host: 'sms.tencentcloudapi.com' };
    const vendors = signModule.default.sign3({
      method: 'POST',
      url: 'https://sms.tencentcloudapi.com/',
      payload: body,
      timestamp,
      service: 'sms',
      ...CONFIG.sms,
      headers: { 'Content-Type': contentType },
    });
    const ours = tc3Signature({
      method: 'POST',
      path: '/',
      rawQuery: '',
      headers,
      names: ['content-type', 'host'],
      body,
      service: 'sms',
      timestamp: String(timestamp),
      secretKey: CONFIG.sms.secretKey,
    });
    assert.ok(vendors.endsWith(`Signature=${ours}`), `${vendors} and ${ours}`);
  }
});

test('the vendor\'s client sends a message', async (t) => {
  const sandbox = await start(t, { clock: realTime });
  const client = tencentClient(sandbox.port);
  const sent = await client.request('SendSms', { ...SMS, SessionContext: 'order 准点' });
  const [status] = sent.SendStatusSet;
  assert.match(status.SerialNo, /^2640:\d+$/);
  assert.deepEqual({ ...status, SerialNo: '' }, {
    SerialNo: '',
    PhoneNumber: '+8613800000000',
    Fee: 1,
    SessionContext: 'order 准点',
    Code: 'Ok',
    Message: 'send success',
    IsoCode: 'CN',
  });
  assert.match(sent.RequestId, /^[0-9a-f-]{36}$/);
  const { messages } = await sandbox.messages('13800000000');
  assert.equal(typeof messages[0].at, 'number');
  assert.deepEqual(messages, [
    { at: messages[0].at, channel: 'sms', to: '13800000000', template_id: '1001', params: ['123456', '5'] },
  ]);
});

test('the vendor\'s client is told what is wrong with its credentials, version, region and action', async (t) => {
  const sandbox = await start(t, { clock: realTime });
  const { secretId, secretKey } = CONFIG.sms;
  const code = (expected) => (error) => assert.equal(error.code, expected) ?? true;
  await assert.rejects(
    tencentClient(sandbox.port, { secretId, secretKey: 'other' }).request('SendSms', SMS),
    code('AuthFailure.SignatureFailure'),
  );
  await assert.rejects(
    tencentClient(sandbox.port, { secretId: 'AKIDother', secretKey }).request('SendSms', SMS),
    code('AuthFailure.SecretIdNotFound'),
  );
  await assert.rejects(
    tencentClient(sandbox.port, CONFIG.sms, '').request('SendSms', SMS),
    code('MissingParameter'),
  );
  await assert.rejects(tencentClient(sandbox.port).request('PullSmsSendStatus', {}), code('InvalidAction'));
  const old = tencentClient(sandbox.port);
  old.apiVersion = '2019-07-11';
  await assert.rejects(old.request('SendSms', SMS), code('NoSuchVersion'));
});

test('the vendor\'s client with a clock that is five minutes off is told so', async (t) => {
  for (const [offset, accepted] of [[-298_000, true], [298_000, true], [-302_000, false], [302_000, false]]) {
    const sandbox = await start(t, { clock: { now: () => Date.now() + offset } });
    const sending = tencentClient(sandbox.port).request('SendSms', SMS);
    if (accepted) await sending;
    else await assert.rejects(sending, { code: 'AuthFailure.SignatureExpire' });
  }
});

test('a caller may sign the host with its port, and the action', async (t) => {
  const sandbox = await start(t);
  for (const names of ['content-type;host', 'content-type;host;x-tc-action']) {
    assert.equal((await sandbox.sms({ names })).SendStatusSet[0].Code, 'Ok');
  }
});

test('what was signed must be what is sent', async (t) => {
  const sandbox = await start(t);
  const wrong = async (changes, spoil) => {
    const { status, Error } = await sandbox.sms(changes, spoil);
    assert.equal(status, 200);
    return Error.Code;
  };
  const failure = 'AuthFailure.SignatureFailure';
  assert.equal(await wrong({ secretKey: 'other' }), failure);
  assert.equal(await wrong({ service: 'cvm' }), failure);
  assert.equal(await wrong({ date: '2026-02-28' }), failure);
  assert.equal(await wrong({ names: 'host;x-tc-action' }), failure);
  assert.equal(await wrong({ names: 'content-type;x-tc-action' }), failure);
  assert.equal(await wrong({ names: 'host;content-type' }), failure);
  assert.equal(await wrong({}, (headers) => { headers['content-type'] = 'application/json'; }), failure);
  assert.equal(
    await wrong({}, (headers) => { headers['x-tc-timestamp'] = String(Number(headers['x-tc-timestamp']) + 1); }),
    failure,
  );
  assert.equal(
    await wrong({}, (headers) => { headers.authorization = headers.authorization.replace('x-tc-action', 'x-absent'); }),
    failure,
  );
  assert.equal(await wrong({ secretId: 'AKIDother' }), 'AuthFailure.SecretIdNotFound');

  const { headers } = signedSms(sandbox.host, sandbox.clock.now());
  const body = JSON.stringify({ ...SMS, TemplateParamSet: ['654321', '5'] });
  const changed = await (await sandbox.fetch('/', { method: 'POST', headers, body })).json();
  assert.equal(changed.Response.Error.Code, failure);
  const query = await (await sandbox.fetch('/?a=1', { method: 'POST', headers, body: JSON.stringify(SMS) })).json();
  assert.equal(query.Response.Error.Code, failure);
  assert.deepEqual(await sandbox.messages('13800000000'), { messages: [] });
});

test('an authorization header of another form is refused', async (t) => {
  const sandbox = await start(t);
  for (const change of [
    () => undefined,
    () => 'SKIP',
    (value) => value.replaceAll(', ', ','),
    (value) => value.replace('TC3-HMAC-SHA256', 'TC2-HMAC-SHA1'),
    (value) => value.slice(0, -1),
  ]) {
    const { Error } = await sandbox.sms({}, (headers) => {
      headers.authorization = change(headers.authorization);
      if (headers.authorization === undefined) delete headers.authorization;
    });
    assert.equal(Error.Code, 'AuthFailure.InvalidAuthorization');
  }
});

test('the common headers are required', async (t) => {
  const sandbox = await start(t);
  for (const name of ['x-tc-action', 'x-tc-version', 'x-tc-region', 'x-tc-timestamp']) {
    const { Error } = await sandbox.sms({}, (headers) => delete headers[name]);
    assert.equal(Error.Code, 'MissingParameter');
    assert.match(Error.Message.toLowerCase(), new RegExp(name));
  }
  const { Error } = await sandbox.sms({}, (headers) => { headers['x-tc-timestamp'] = 'today'; });
  assert.equal(Error.Code, 'InvalidParameter');
});

test('the parameters are checked by name, type and number', async (t) => {
  const sandbox = await start(t);
  const many = (count) => Array.from({ length: count }, (_, i) => `+86138${String(i).padStart(8, '0')}`);
  for (const [params, code] of [
    [{ Sign: '准点' }, 'UnknownParameter'],
    [{ TemplateParamSet: [123456] }, 'InvalidParameter'],
    [{ TemplateId: 1001 }, 'InvalidParameter'],
    [{ SessionContext: null }, 'InvalidParameter'],
    [{ TemplateId: undefined }, 'MissingParameter'],
    [{ PhoneNumberSet: undefined }, 'MissingParameter'],
    [{ PhoneNumberSet: [] }, 'MissingParameter.EmptyPhoneNumberSet'],
    [{ PhoneNumberSet: many(201) }, 'LimitExceeded.PhoneNumberCountLimit'],
    [{ SessionContext: '准'.repeat(171) }, 'InvalidParameterValue'],
    [{ SmsSdkAppId: '1400000002' }, 'InvalidParameterValue.SdkAppIdNotExist'],
  ]) {
    assert.equal((await sandbox.sms({ params })).Error?.Code, code, JSON.stringify(params).slice(0, 80));
  }
  assert.equal((await sandbox.sms({ body: '[]' })).Error.Code, 'InvalidParameter');
  assert.equal((await sandbox.sms({ body: '{' })).Error.Code, 'InvalidParameter');
  const { SendStatusSet } = await sandbox.sms({ params: { PhoneNumberSet: many(200) } });
  assert.ok(SendStatusSet.length === 200 && SendStatusSet.every((status) => status.Code === 'Ok'));
});

test('a wrong number, signature text or template is refused for each number', async (t) => {
  const sandbox = await start(t);
  const refused = (status, code) => {
    assert.equal(status.Code, code);
    assert.deepEqual([status.SerialNo, status.Fee, status.IsoCode], ['', 0, '']);
  };
  const numbers = ['13800000001', '+8623800000001', '+861380000000', '+85261234567', '+8613800000001'];
  const { SendStatusSet } = await sandbox.sms({ params: { PhoneNumberSet: numbers } });
  assert.deepEqual(SendStatusSet.map((status) => status.PhoneNumber), numbers);
  for (const status of SendStatusSet.slice(0, 4)) refused(status, 'InvalidParameterValue.IncorrectPhoneNumber');
  assert.equal(SendStatusSet[4].Code, 'Ok');
  assert.equal((await sandbox.messages('13800000001')).messages.length, 1);

  for (const [params, code] of [
    [{ SignName: '别家' }, 'FailedOperation.SignatureIncorrectOrUnapproved'],
    [{ SignName: undefined }, 'FailedOperation.SignatureIncorrectOrUnapproved'],
    [{ TemplateId: '9999' }, 'FailedOperation.TemplateIncorrectOrUnapproved'],
  ]) {
    refused((await sandbox.sms({ params })).SendStatusSet[0], code);
  }
});

test('without a list of templates every numeric id is approved', async (t) => {
  const sandbox = await start(t, { config: { ...CONFIG, sms: { ...CONFIG.sms, templates: null } } });
  const code = async (TemplateId) => (await sandbox.sms({ params: { TemplateId } })).SendStatusSet[0].Code;
  assert.equal(await code('424242'), 'Ok');
  assert.equal(await code('login'), 'FailedOperation.TemplateIncorrectOrUnapproved');
});

test('a phone may get many messages in a row: the 30 s limit is a fault to ask for', async (t) => {
  const sandbox = await start(t);
  const code = async () => (await sandbox.sms()).SendStatusSet[0].Code;
  assert.deepEqual([await code(), await code()], ['Ok', 'Ok']);
  await sandbox.post('/sandbox/faults', { provider: 'sms', kind: 'frequency_limit', times: 2 });
  const limited = 'LimitExceeded.PhoneNumberThirtySecondLimit';
  assert.deepEqual([await code(), await code(), await code()], [limited, limited, 'Ok']);
  assert.equal((await sandbox.messages('13800000000')).messages.length, 3);
});

test('SMS faults: busy and refusals, of the request or of each number', async (t) => {
  const sandbox = await start(t);
  const faulty = async (fault) => {
    await sandbox.post('/sandbox/faults', { provider: 'sms', ...fault });
    const { Error, SendStatusSet } = await sandbox.sms();
    return Error ? `whole ${Error.Code}` : SendStatusSet[0].Code;
  };
  assert.equal(await faulty({ kind: 'busy' }), 'whole InternalError');
  assert.equal(await faulty({ kind: 'refuse' }), 'FailedOperation.InsufficientBalanceInSmsPackage');
  for (const errcode of ['FailedOperation.PhoneNumberInBlacklist', 'LimitExceeded.DeliveryFrequencyLimit']) {
    assert.equal(await faulty({ kind: 'refuse', errcode }), errcode);
  }
  for (const errcode of ['RequestLimitExceeded', 'UnauthorizedOperation.RequestIpNotInWhitelist']) {
    assert.equal(await faulty({ kind: 'refuse', errcode }), `whole ${errcode}`);
  }
  assert.deepEqual(await sandbox.messages('13800000000'), { messages: [] });
});

test('a fault does not hide a bad signature', async (t) => {
  const sandbox = await start(t);
  await sandbox.post('/sandbox/faults', { provider: 'sms', kind: 'refuse' });
  assert.equal((await sandbox.sms({ secretKey: 'other' })).Error.Code, 'AuthFailure.SignatureFailure');
});
