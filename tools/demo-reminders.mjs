// The part of `make demo` that tells of messages: a consent, the message that uses it up, and what staff see.

import { newKey, play, signInMember } from './client.mjs';

/**
 * @param told what demo.mjs tells with: call, title, note, check, when
 * @param scene {where, nobody, manager, everyMinute, booking}: `booking` is the body of one that can be made
 */
export async function tellReminders(told, scene) {
  const { call, title, note, check, when } = told;
  const { where, nobody, manager, everyMinute, booking } = scene;

  title('21 提醒:赵女士同意接收一条微信消息,约了一次');
  const openid = `demo-zhao-${Date.now()}`;
  const zhao = await signInMember(nobody, openid);
  const { templates } = await call(zhao, 200, 'GET', '/api/v1/me/subscriptions');
  const template = templates.find((one) => one.kinds.includes('booked'))?.template_id;
  check(template, '应有预约成功的订阅消息模板');
  const agreed = await play(where, '/subscribe', { openid, template_ids: [template] });
  const results = [{ template_id: template, result: agreed[template] }];
  await call(zhao, 200, 'POST', '/api/v1/me/subscriptions', { results });
  note('她在小程序里点了"允许":一次同意,一条消息');
  const { order } = await call(zhao, 201, 'POST', '/api/v1/bookings', booking, { key: newKey() });
  await everyMinute();
  const { messages } = await play(where, `/messages?to=${openid}`);
  check(messages.length === 1, `应有一条微信消息,而不是 ${messages.length} 条`);
  note(`微信消息:${Object.values(messages[0].params).join('  ')}`);
  const { items } = await call(manager, 200, 'GET', `/api/v1/staff/orders/${order.id}/messages`);
  for (const one of items) {
    const to = one.to === 'customer' ? '顾客' : '技师';
    note(`${when(one.due_at)}  ${to}  ${one.kind.padEnd(6)}  ${one.state}${one.channel ? `  ${one.channel}` : ''}`);
  }
  await call(zhao, 200, 'POST', `/api/v1/orders/${order.id}/cancel`, {}, { key: newKey() });
}
