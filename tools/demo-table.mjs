// The part of `make demo` that tells of a table room, its dishes and what is asked before.

import { newKey } from './client.mjs';

const DISHES = [
  { category: '热菜', name: '挂炉烤鸭', price_fen: 26_800, max_per_order: 2 },
  { category: '热菜', name: '清蒸鲈鱼', price_fen: 12_800, max_per_order: 4 },
  { category: '主食', name: '虾饺', price_fen: 3_800, max_per_order: 20 },
];
const SERVICE = '包厢晚宴';
const INTAKE = {
  consent: { text: '过敏与忌口由您如实告知;菜品备好后取消,按取消规则退款。' },
  fields: [
    { key: 'guests', label: '几位', required: true, kind: { type: 'number', min: 2, max: 12 } },
    { key: 'avoid', label: '忌口', kind: { type: 'choices', options: ['辣', '海鲜', '花生'] } },
    { key: 'allergy', label: '过敏', kind: { type: 'text', max_chars: 100 } },
  ],
};

/**
 * @param told what demo.mjs tells with: call, title, note, check, when, yuan
 * @param scene {store, technician, lin, manager, date}
 */
export async function tellTable(told, { store, technician, lin, manager, date }) {
  const { call, title, note, check, when, yuan } = told;
  const make = async (kind, body, where) => {
    const { items } = await manager.must(200, 'GET', `/api/v1/admin/${kind}?limit=100${where}`);
    const there = items.find((one) => one.name === body.name && one.status === 'active');
    return there ?? manager.must(201, 'POST', `/api/v1/admin/${kind}`, body);
  };

  title('22 包厢和菜:先填几句,菜一起订好');
  await make('resources', { store_id: store.id, kind: 'room', type: '包厢', name: '兰厅' }, `&store_id=${store.id}`);
  const service = await make('services', {
    category: '餐饮', name: SERVICE, duration_minutes: 120, price_fen: 20_000, deposit: { kind: 'none' },
    places: ['store'], modes: ['direct'], resources: [{ type: '包厢' }], intake: INTAKE,
    stores: [store.id], technicians: [technician.id],
  }, '');
  for (const dish of DISHES) await make('items', { store_id: store.id, ...dish }, `&store_id=${store.id}`);

  const { intake } = await call(lin, 200, 'GET', `/api/v1/services/${service.id}`);
  note(`${SERVICE}要先填:${intake.fields.map((field) => field.label + (field.required ? '*' : '')).join('、')};说明第 ${intake.consent.version} 版要同意`);
  const { items } = await call(lin, 200, 'GET', `/api/v1/items?store_id=${store.id}`);
  note(items.map((item) => `${item.name} ${yuan(item.price_fen)}`).join('  '));
  const dish = (name, quantity) => ({ item_id: items.find((item) => item.name === name).id, quantity });

  const path = `/api/v1/availability?store_id=${store.id}&service_id=${service.id}&from=${date(12)}&days=1`;
  const { days } = await call(lin, 200, 'GET', path);
  const start_at = days[0].slots.at(-1)?.start_at;
  check(start_at, '应有空的包厢');
  const booking = {
    store_id: store.id, service_id: service.id, start_at, mode: 'direct', payment: 'at_store', note: '想靠窗',
    items: [dish('挂炉烤鸭', 1), dish('虾饺', 4)],
  };
  const said = { form_version: intake.version, consent_version: intake.consent.version };
  await call(lin, 422, 'POST', '/api/v1/bookings', booking, { key: newKey() });
  await call(lin, 422, 'POST', '/api/v1/bookings', { ...booking, intake: { ...said, answers: { guests: 30 } } }, { key: newKey() });
  note('没有填,或者三十位:都约不上,什么也没有变');
  const answers = { guests: 6, avoid: ['花生'] };
  const { order } = await call(lin, 201, 'POST', '/api/v1/bookings', { ...booking, intake: { ...said, answers } }, { key: newKey() });
  check(order.total_fen === 20_000 + 26_800 + 4 * 3_800, '菜应计入总价');
  note(`订单 ${order.status}  ${when(start_at)}  ${order.lines[0].resources[0].name}  共 ${yuan(order.total_fen)}`);
  const seen = await call(manager, 200, 'GET', `/api/v1/staff/orders/${order.id}`);
  const { answered } = seen.intakes[0];
  note(`店里看到:${seen.items.map((item) => `${item.name} ×${item.quantity}`).join('、')};${answered.answers.guests} 位,忌口 ${answered.answers.avoid.join('、')};${when(answered.agreed_at)} 同意了说明`);
  await call(lin, 200, 'PUT', `/api/v1/orders/${order.id}/intake`, { ...said, answers: { ...answers, guests: 8 } });
  note('到店前她改成八位');
  await call(lin, 200, 'POST', `/api/v1/orders/${order.id}/cancel`, {}, { key: newKey() });
}
