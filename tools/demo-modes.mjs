// The part of `make demo` that tells the modes of booking: assigned, accepted by the technician, by a wish;
// and the times that are recommended.

import { newKey, play } from './client.mjs';

/**
 * @param told what demo.mjs tells with: call, title, note, check, until, reaches, named, when, yuan, signIn
 * @param scene {where, store, service, lin, xu, manager, technicianOf, date}
 */
export async function tellModes(told, scene) {
  const { call, title, note, check, until, reaches, when, yuan } = told;
  const { where, store, service, lin, xu, manager, date } = scene;
  const query = `store_id=${store.id}&service_id=${service.id}`;
  const staffOrder = async (id) => (await manager.must(200, 'GET', `/api/v1/staff/orders/${id}`)).order;

  title('14 三步预约:服务、推荐时间、确认');
  const { items } = await call(lin, 200, 'GET', `/api/v1/availability/recommended?${query}&from=${date(5)}&days=3`);
  const why = { habit: '您常在这个时间来', fills_gap: '正好补上技师的空档', quiet: '店里比较空' };
  for (const one of items) note(`${when(one.start_at)}  ${why[one.reason]}`);
  check(items.length === 3, '应推荐三个时间');

  title('15 指派:只选服务和时间,店里安排技师');
  const booking = { store_id: store.id, service_id: service.id, start_at: items[0].start_at, mode: 'assigned', payment: 'at_store' };
  const { order } = await call(lin, 201, 'POST', '/api/v1/bookings', booking, { key: newKey() });
  const line_id = order.lines[0].id;
  check(order.lines[0].technician_name === null, '还没有技师的名字');
  note(`订单 ${order.status},技师待安排;时间已经占住`);
  const { items: able } = await call(manager, 200, 'GET', `/api/v1/staff/orders/${order.id}/candidates?line_id=${line_id}`);
  for (const one of able) note(`${one.technician_name}  ${one.level}  当天 ${one.appointments} 个预约  ${one.free ? '有空' : '没空'}`);
  const chosen = able.findLast((one) => one.free);
  const assign = { line_id, technician_id: chosen.technician_id };
  await call(manager, 200, 'POST', `/api/v1/staff/orders/${order.id}/assign`, assign, { key: newKey() });
  const seen = await call(lin, 200, 'GET', `/api/v1/orders/${order.id}`);
  note(`店长安排了 ${seen.order.lines[0].technician_name},林女士看到了`);
  await call(lin, 200, 'POST', `/api/v1/orders/${order.id}/cancel`, {}, { key: newKey() });

  title('16 直约:技师接单,或者不接');
  const path = `/api/v1/admin/stores/${store.id}`;
  const change = async (ways) => {
    const { id, ...current } = await manager.must(200, 'GET', path);
    await call(manager, 200, 'PUT', path, { ...current, ways: { ...current.ways, ...ways } });
  };
  await change({ accept_within_minutes: 30 });
  note('门店设为技师 30 分钟内接单');
  const direct = { ...booking, mode: 'direct', start_at: items[1].start_at };
  const { order: asked } = await call(xu, 201, 'POST', '/api/v1/bookings', direct, { key: newKey() });
  const first = asked.lines[0];
  note(`等 ${first.technician_name} 接单,${when(first.answer_by)} 前有效`);
  const technician = await scene.technicianOf(first.technician_name);
  await call(technician, 200, 'POST', `/api/v1/staff/orders/${asked.id}/decline`, { line_id: first.id }, { key: newKey() });
  await until('应轮到下一位技师', async () => (await staffOrder(asked.id)).lines[0].assignment === 'asked');
  const next = (await staffOrder(asked.id)).lines[0];
  check(next.technician_id !== first.technician_id, '应是另一位技师');
  note(`${first.technician_name} 不接,轮到 ${next.technician_name}`);
  const other = await scene.technicianOf(next.technician_name);
  await call(other, 200, 'POST', `/api/v1/staff/orders/${asked.id}/accept`, { line_id: first.id }, { key: newKey() });
  note(`${next.technician_name} 接单`);
  await call(xu, 200, 'POST', `/api/v1/orders/${asked.id}/cancel`, {}, { key: newKey() });
  await change({ accept_within_minutes: null });

  title('17 快速预约:说想要什么,付定金,店里给方案,一键确认');
  const from = Date.parse(items[0].start_at);
  const wish = {
    store_id: store.id, category: service.category, wishes: '肩颈酸痛,下午都可以', payment: 'online',
    from: new Date(from).toISOString(), until: new Date(from + 4 * 3_600_000).toISOString(),
  };
  let { order: express } = await call(lin, 201, 'POST', '/api/v1/express-bookings', wish, { key: newKey() });
  const pay = await call(lin, 200, 'POST', `/api/v1/orders/${express.id}/pay`, { channel: 'wechat_jsapi' }, { key: newKey() });
  await play(where, '/pay', { out_trade_no: pay.payment.id });
  express = await reaches(lin, express.id, 'confirmed');
  note(`定金 ${yuan(express.paid_fen)} 已付,店里要在 ${when(express.express.due_at)} 前给方案,否则自动退款`);
  const proposal = { service_id: service.id, start_at: items[0].start_at };
  await call(manager, 200, 'POST', `/api/v1/staff/orders/${express.id}/proposal`, proposal, { key: newKey() });
  const { order: proposed } = await call(lin, 200, 'GET', `/api/v1/orders/${express.id}`);
  const { service_name, technician_name, start_at, total_fen } = proposed.express.proposal;
  note(`方案:${service_name}  ${technician_name}  ${when(start_at)}  ${yuan(total_fen)}`);
  ({ order: express } = await call(lin, 200, 'POST', `/api/v1/orders/${express.id}/proposal/accept`, {}, { key: newKey() }));
  note(`确认了:${when(express.lines[0].start_at)},定金抵扣后到店再付 ${yuan(express.remaining_fen)}`);
  check(express.remaining_fen === total_fen - express.paid_fen, '定金应抵扣');
  ({ order: express } = await call(lin, 200, 'POST', `/api/v1/orders/${express.id}/cancel`, {}, { key: newKey() }));
  note(`订单 ${express.status},退 ${yuan(express.refunded_fen)}`);
}
