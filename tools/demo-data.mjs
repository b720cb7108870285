// Fills a new deployment with two stores, their services, technicians and staff, through the API alone,
// as the owner would. What is there already, by its name, is left as it is.

import { signInStaff } from './client.mjs';

const DAYS = ['monday', 'tuesday', 'wednesday', 'thursday', 'friday', 'saturday', 'sunday'];
const everyDay = (...spans) => Object.fromEntries(DAYS.map((day) => [day, spans]));
const span = (start, end) => ({ start, end });

const STORES = [
  {
    name: '准点·静安寺店', address: '上海市静安区南京西路 1601 号 3 层', latitude: 31.2243, longitude: 121.4461,
    phone: '13900000001', introduction: '静安寺地铁站 1 号口,步行两分钟。',
  },
  {
    name: '准点·陆家嘴店', address: '上海市浦东新区陆家嘴环路 1000 号 2 层', latitude: 31.2381, longitude: 121.5016,
    phone: '13900000002', introduction: '陆家嘴滨江,可停车。',
  },
];

const SERVICES = [
  {
    category: '推拿', name: '肩颈舒缓', description: '针对久坐人群的肩颈放松。', duration_minutes: 60, price_fen: 19800,
    buffer_after_minutes: 10, skills: ['推拿'], places: ['store', 'home'],
    steps: [{ name: '问询与检查', minutes: 5 }, { name: '热敷', minutes: 10 }, { name: '肩颈推拿', minutes: 35 }, { name: '拉伸', minutes: 10 }],
    add_ons: [{ name: '热敷', minutes: 15, price_fen: 3000 }, { name: '加钟', minutes: 30, price_fen: 9900 }],
  },
  {
    category: '足疗', name: '足底按摩', description: '足浴加足底反射区按摩。', duration_minutes: 45, price_fen: 12800,
    buffer_after_minutes: 10, skills: ['足疗'],
    intake: { fields: [{ key: 'care', label: '哪里要避开', kind: { type: 'text', max_chars: 100 } }] },
  },
  {
    category: 'SPA', name: '全身精油 SPA', description: '全身精油舒压。', duration_minutes: 90, price_fen: 39800,
    buffer_before_minutes: 5, buffer_after_minutes: 15, skills: ['SPA'], deposit: { kind: 'percent', percent: 30 },
    cancellation: [{ until_minutes_before: 1440, refund_percent: 100 }, { until_minutes_before: 120, refund_percent: 50 }],
  },
  {
    category: '疗程', name: '体态调整疗程', description: '由门店排成一个计划,每次一小时。', duration_minutes: 60, price_fen: 26800,
    buffer_after_minutes: 10, skills: ['推拿'], modes: ['plan'],
  },
  { category: '团课', name: '肩颈拉伸课', description: '小班跟练。', duration_minutes: 60, price_fen: 6800, buffer_after_minutes: 10, skills: ['推拿'], modes: ['group'] },
];

export const TECHNICIANS = [
  { name: '王静', store: 0, level: '高级', years_experience: 8, skills: ['推拿', '足疗'], introduction: '擅长肩颈与腰背。' },
  { name: '李明', store: 0, level: '中级', years_experience: 4, skills: ['推拿', 'SPA'], introduction: '手法沉稳,力度可调。' },
  { name: '赵敏', store: 0, level: '高级', years_experience: 10, skills: ['SPA', '足疗'], introduction: '芳疗师。' },
  { name: '陈晨', store: 1, level: '中级', years_experience: 3, skills: ['推拿', '足疗'], introduction: '细致耐心。' },
  { name: '周洋', store: 1, level: '高级', years_experience: 7, skills: ['推拿', 'SPA'], introduction: '运动放松。' },
];

/** Staff of the demo, besides the owner. They sign in with a code from the sandbox. */
export const MANAGER_PHONE = '13800000001';
export const CASHIER_PHONE = '13800000002';
/** The phone of the technician at this place in the list. */
export const technicianPhone = (index) => `1380000001${index}`;

/** @returns {Promise<{token: string, note: string}>} the owner's token, and what was made */
export async function makeDemoData(client, ownerPhone) {
  const owner = await signInStaff(client, ownerPhone);
  const made = { stores: 0, services: 0, technicians: 0 };

  /** The id of the one with this name, made if it is not there. */
  const ensure = async (kind, body) => {
    const { items } = await owner.must(200, 'GET', `/api/v1/${kind}?limit=100`);
    const there = items.find((one) => one.name === body.name);
    if (there) return { id: there.id, isNew: false };
    made[kind] += 1;
    const created = await owner.must(201, 'POST', `/api/v1/admin/${kind}`, body);
    return { id: created.id, isNew: true };
  };

  const stores = [];
  for (const store of STORES) {
    const { id } = await ensure('stores', {
      ...store, hours: everyDay(span('10:00', '22:00')), time_zone: 'Asia/Shanghai', status: 'open',
      home_service: {
        area: { kind: 'radius', metres: 15_000 },
        fees: [{ up_to_metres: 3_000, fee_fen: 2_000 }, { up_to_metres: 15_000, fee_fen: 4_000 }],
        speeds: [{ up_to_metres: 1_000, metres_per_minute: 70 }, { up_to_metres: 15_000, metres_per_minute: 250 }],
        handover_minutes: 10,
      },
      ways: { express: { deposit_fen: 5_000, propose_within_minutes: 60, answer_within_minutes: 30 } },
    });
    stores.push(id);
  }
  const features = await owner.must(200, 'GET', '/api/v1/admin/features');
  if (!features.plans) {
    await owner.must(200, 'PUT', '/api/v1/admin/features', { plans: true, version: features.version });
  }
  for (const service of SERVICES) {
    await ensure('services', {
      deposit: { kind: 'none' }, places: ['store'], modes: ['direct', 'assigned', 'express'], ...service,
      min_notice_minutes: 30, max_days_ahead: 30, change_notice_minutes: 60, stores,
    });
  }
  for (const [index, { store, ...technician }] of TECHNICIANS.entries()) {
    const { id, isNew } = await ensure('technicians', { ...technician, stores: [stores[store]] });
    if (!isNew) continue;
    await owner.must(200, 'PUT', `/api/v1/admin/technicians/${id}/windows/weekly`, {
      store_id: stores[store], valid_from: todayInShanghai(), week: everyDay(span('10:00', '13:00'), span('14:00', '22:00')),
    });
    await staff(owner, {
      phone: technicianPhone(index), name: technician.name, technician_id: id,
      grants: [{ role: 'technician', store_id: stores[store] }],
    });
  }
  await staff(owner, { phone: MANAGER_PHONE, name: '店长 孙丽', grants: [{ role: 'manager', store_id: stores[0] }] });
  await staff(owner, { phone: CASHIER_PHONE, name: '收银 钱芳', grants: [{ role: 'cashier', store_id: stores[0] }] });
  const note = Object.entries(made).map(([kind, count]) => `${count} ${kind}`).join(', ');
  return { token: owner.token, note };
}

async function staff(owner, body) {
  const answer = await owner.call('POST', '/api/v1/admin/staff', body);
  const isThere = answer.status === 409 && answer.body.code === 'staff_phone_taken';
  if (answer.status !== 201 && !isThere) {
    throw new Error(`staff ${body.name}: ${answer.status} ${answer.body?.code} ${answer.body?.title}`);
  }
}

const todayInShanghai = () => new Date().toLocaleDateString('sv-SE', { timeZone: 'Asia/Shanghai' });
