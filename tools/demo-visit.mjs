// The part of `make demo` that tells of a visit of two guests: services beside and after each other, an add-on,
// and more time while it goes on.

import { newKey } from './client.mjs';

/**
 * @param told what demo.mjs tells with: call, title, note, check, named, when, clock, yuan
 * @param scene {store, services, technicians, lin, manager, date}
 */
export async function tellVisit(told, scene) {
  const { call, title, note, check, named, when, clock, yuan } = told;
  const { store, services, technicians, lin, manager, date } = scene;

  title('23 林女士带妈妈来:两位一起做,妈妈再做足底,还要热敷');
  const [shoulders, feet] = [named(services, '肩颈舒缓'), named(services, '足底按摩')];
  const [warmth, more] = [named(shoulders.add_ons, '热敷'), named(shoulders.add_ons, '加钟')];
  const lines = [
    // Who does no feet has time for more afterwards.
    { service_id: shoulders.id, technician_id: named(technicians, '李明').id, guest: '林女士', add_ons: [warmth.id] },
    { service_id: shoulders.id, starts: 'with_previous', guest: '林妈妈' },
    {
      service_id: feet.id, starts: 'after_previous', guest: '林妈妈',
      intake: { form_version: feet.intake.version, answers: { care: '左脚踝扭过' } },
    },
  ];
  const wanted = { store_id: store.id, from: date(12), days: 1, lines };
  const { starts } = await call(lin, 200, 'POST', '/api/v1/visits/availability', wanted);
  check(starts.length > 0, '应有两位都能做的时间');
  note(`两位同时有人做的时间 ${starts.length} 个:${starts.slice(0, 6).map((one) => clock(one.start_at)).join(' ')} …`);
  const body = { store_id: store.id, start_at: starts[0].start_at, payment: 'at_store', lines };
  let { order } = await call(lin, 201, 'POST', '/api/v1/visits', body, { key: newKey() });
  for (const line of order.lines) {
    const added = line.add_ons.map((one) => ` + ${one.name}`).join('');
    note(`${clock(line.start_at)}–${clock(line.end_at)}  ${line.guest}  ${line.service_name}${added}  ${line.technician_name}  ${yuan(line.price_fen)}`);
  }
  check(order.lines[0].technician_id !== order.lines[1].technician_id, '同时做要两位技师');
  note(`一个订单,一次付清,共 ${yuan(order.total_fen)}`);
  const [first, , last] = order.lines;
  const { intakes } = await call(manager, 200, 'GET', `/api/v1/staff/orders/${order.id}`);
  check(intakes.length === 1 && intakes[0].line_id === last.id, '只有足底问了,答的是那一项');
  const { form, answers } = intakes[0].answered;
  note(`${last.guest} ${last.service_name} 填了:${form.fields[0].label} ${answers.care}`);
  const extend = `/api/v1/staff/orders/${order.id}/extend`;
  ({ order } = await call(manager, 200, 'POST', extend, { line_id: first.id, add_ons: [more.id] }, { key: newKey() }));
  note(`林女士加钟,做到 ${when(order.lines.find((line) => line.id === first.id).end_at)},共 ${yuan(order.total_fen)}`);
  const at = starts.find((one) => Date.parse(one.start_at) >= Date.parse(last.end_at) + 3_600_000).start_at;
  ({ order } = await call(lin, 200, 'POST', `/api/v1/orders/${order.id}/reschedule`, { start_at: at }, { key: newKey() }));
  note(`整次改到 ${when(order.lines[0].start_at)},三项一起动`);
  ({ order } = await call(lin, 200, 'POST', `/api/v1/orders/${order.id}/cancel`, {}, { key: newKey() }));
  check(order.lines.every((line) => line.status === 'cancelled'), '取消应放开每一项');
}
