// The part of `make demo` that tells a day at customers' homes.

import { newKey } from './client.mjs';

const HOMES = [
  { who: 'lin', label: '家', contact_name: '林女士', contact_phone: '13900001111', text: '上海市静安区江宁路 838 号', latitude: 31.2437, longitude: 121.4461 },
  { who: 'xu', label: '家', contact_name: '徐先生', contact_phone: '13900002222', text: '上海市长宁区仙霞路 88 号', latitude: 31.2073, longitude: 121.4052 },
  { who: 'lin', label: '妈妈家', contact_name: '林妈妈', contact_phone: '13900003333', text: '上海市黄浦区陆家浜路 1011 号', latitude: 31.2105, longitude: 121.4867 },
];
const FAR = { label: '老家', contact_name: '林女士', contact_phone: '13900001111', text: '苏州市姑苏区观前街 1 号', latitude: 31.3117, longitude: 120.6254 };
const TICK_MS = 300_000;
const PAUSE_MS = 90 * 60_000;

/**
 * @param told what demo.mjs tells with: call, title, note, check, when, yuan
 * @param scene {store, service, technician, lin, xu, date}
 */
export async function tellTravel(told, { store, service, technician, lin, xu, date }) {
  const { call, title, note, check, when, yuan } = told;
  const members = { lin, xu };
  const keep = async (who, address) => (await call(members[who], 201, 'POST', '/api/v1/me/addresses', address)).id;
  const booking = (address_id, start_at) => ({
    store_id: store.id, service_id: service.id, technician_id: technician.id, start_at,
    mode: 'direct', payment: 'at_store', place: 'home', address_id,
  });

  title('20 上门的一天:一位技师,三个地方,路上的时间也留好');
  const made = [];
  const kept = [];
  for (const { who, ...address } of HOMES) {
    const address_id = await keep(who, address);
    kept.push([who, address_id]);
    const point = `place=home&latitude=${address.latitude}&longitude=${address.longitude}`;
    const path = `/api/v1/availability?store_id=${store.id}&service_id=${service.id}&technician_id=${technician.id}`
      + `&from=${date(9)}&days=1&${point}`;
    const { days, travel } = await call(members[who], 200, 'GET', path);
    const after = made.length === 0 ? 0 : Date.parse(made.at(-1).order.lines[0].end_at);
    const start = days[0].slots.map((slot) => slot.start_at).find((at) => Date.parse(at) >= after);
    check(start, '应有可以上门的时间');
    note(`${address.text}:离店 ${travel.distance_metres} 米,上门费 ${yuan(travel.fee_fen)},最早 ${when(start)}`);
    // After the technician's own pause it is not the way that decides.
    if (made.length > 0 && Date.parse(start) - after < PAUSE_MS) {
      const early = new Date(Date.parse(start) - TICK_MS).toISOString();
      const refused = booking(address_id, early);
      await call(members[who], 409, 'POST', '/api/v1/bookings', refused, { key: newKey() });
      note(`早五分钟就赶不到,所以约不上`);
    }
    const { order } = await call(members[who], 201, 'POST', '/api/v1/bookings', booking(address_id, start), { key: newKey() });
    note(`订单 ${order.status}  ${when(start)}  ${order.address.text}  ${yuan(order.total_fen)}`);
    made.push({ who, order });
  }
  const far = await keep('lin', FAR);
  kept.push(['lin', far]);
  await call(lin, 422, 'POST', '/api/v1/bookings', booking(far, made[0].order.lines[0].start_at), { key: newKey() });
  note('苏州太远,不在上门范围内');
  for (const { who, order } of made) {
    await call(members[who], 200, 'POST', `/api/v1/orders/${order.id}/cancel`, {}, { key: newKey() });
  }
  for (const [who, id] of kept) await call(members[who], 204, 'DELETE', `/api/v1/me/addresses/${id}`);
}
