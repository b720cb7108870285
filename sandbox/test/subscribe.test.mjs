import assert from 'node:assert/strict';
import { test } from 'node:test';

import { start } from './support.mjs';

const TEMPLATE = 'T'.padEnd(43, '1');
const OTHER = 'T'.padEnd(43, '2');
const DATA = { thing1: { value: '肩颈舒缓' }, date2: { value: '2026年11月25日 15:01' } };

async function sender(t) {
  const sandbox = await start(t);
  const { access_token: token } = await sandbox.token();
  const send = (changes = {}, by = token) =>
    sandbox.post(`/cgi-bin/message/subscribe/send?${new URLSearchParams({ access_token: by })}`, {
      touser: 'oAnna-1',
      template_id: TEMPLATE,
      data: DATA,
      ...changes,
    });
  const subscribe = (ids = [TEMPLATE], result) =>
    sandbox.post('/sandbox/subscribe', { openid: 'oAnna-1', template_ids: ids, result });
  return { sandbox, send, subscribe };
}

test('one consent is good for one message of its template', async (t) => {
  const { sandbox, send, subscribe } = await sender(t);
  assert.equal((await send()).errcode, 43101);
  assert.deepEqual(await subscribe([TEMPLATE, OTHER]), {
    errMsg: 'requestSubscribeMessage:ok',
    [TEMPLATE]: 'accept',
    [OTHER]: 'accept',
  });
  await subscribe();
  assert.equal((await subscribe([TEMPLATE], 'reject'))[TEMPLATE], 'reject');
  assert.deepEqual(await send({ page: 'pages/order?id=1', miniprogram_state: 'developer' }), {
    errcode: 0,
    errmsg: 'ok',
  });
  assert.equal((await send()).errcode, 0);
  assert.equal((await send()).errcode, 43101);
  assert.equal((await send({ template_id: OTHER })).errcode, 0);
  const { messages } = await sandbox.messages('oAnna-1');
  assert.equal(messages.length, 3);
  assert.deepEqual(messages[0], {
    at: sandbox.clock.now(),
    channel: 'wechat',
    to: 'oAnna-1',
    template_id: TEMPLATE,
    params: { thing1: '肩颈舒缓', date2: '2026年11月25日 15:01' },
    page: 'pages/order?id=1',
  });
});

test('what is refused uses no consent up', async (t) => {
  const { sandbox, send, subscribe } = await sender(t);
  await subscribe();
  const cases = [
    [{ touser: '' }, 40003],
    [{ touser: 'o' }, 40003],
    [{ template_id: '1000001' }, 40037],
    [{ page: '/pages/order' }, 41030],
    [{ miniprogram_state: 'released' }, 47001],
    [{ data: [] }, 47001],
    [{ data: undefined }, 47001],
    [{ data: {} }, 47003],
  ];
  for (const [changes, errcode] of cases) {
    assert.equal((await send(changes)).errcode, errcode, JSON.stringify(changes));
  }
  assert.equal((await send({}, 'no-token')).errcode, 40001);
  assert.equal((await send()).errcode, 0);
  assert.equal((await sandbox.messages('oAnna-1')).messages.length, 1);
});

test('values have the lengths and forms of their keywords', async (t) => {
  const { send, subscribe } = await sender(t);
  const takes = async (name, value) => {
    await subscribe();
    const { errcode, errmsg } = await send({ data: { [name]: { value } } });
    if (errcode !== 0) assert.match(errmsg, new RegExp(`^argument invalid! data\\.${name}\\.value is invalid, rid`));
    return errcode === 0;
  };
  for (const [name, good, bad] of [
    ['thing1', '一'.repeat(20), '一'.repeat(21)],
    ['thing2', ' 好 ', ' '],
    ['number1', '1'.repeat(32), '1'.repeat(33)],
    ['letter1', 'abc', 'a1'],
    ['symbol1', '-', '一'],
    ['character_string1', 'A-12', '订单'],
    ['time1', '15:01', '15点'],
    ['time2', '2026年1月5日 9:00', '2026年1月5日'],
    ['date1', '2026年1月5日', '15:01'],
    ['date2', '2026年11月25日 15:01', '2026-11-25 15:01'],
    ['amount1', '¥198.00', '一百'],
    ['phone_number1', '021-62480000', '0'.repeat(18)],
    ['car_number1', '沪A12345', '沪A12345678'],
    ['name1', '欧阳明月', '欧阳 Anna'],
    ['name2', 'Anna', '一'.repeat(11)],
    ['phrase1', '预约成功', '预约成功了吗'],
    ['thing12', '好', ''],
    ['thing3', '好', 7],
  ]) {
    assert.equal(await takes(name, good), true, `${name} ${good}`);
    assert.equal(await takes(name, bad), false, `${name} ${bad}`);
  }
  for (const name of ['thing', 'thing0', 'thing123', 'Thing1', 'const1']) assert.equal(await takes(name, '好'), false, name);
});

test('faults strike messages too, and the control call is strict', async (t) => {
  const { sandbox, send, subscribe } = await sender(t);
  await subscribe();
  const path = '/cgi-bin/message/subscribe/send';
  await sandbox.post('/sandbox/faults', { provider: 'wechat', kind: 'refuse', errcode: 43107, path });
  assert.equal((await send()).errcode, 43107);
  assert.equal((await send()).errcode, 0);
  for (const wrong of [
    { openid: 'o', template_ids: [] },
    { openid: 'o', template_ids: [TEMPLATE, TEMPLATE, TEMPLATE, TEMPLATE] },
    { openid: 'o', template_ids: [TEMPLATE], result: 'maybe' },
    { template_ids: [TEMPLATE] },
  ]) {
    await sandbox.refused('/sandbox/subscribe', wrong);
  }
});
