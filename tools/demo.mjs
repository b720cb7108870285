// `make demo`: a whole booking, told step by step, against a running `make dev` with the same PORT and
// SANDBOX_PORT. Ends with status 1 when a step does not go as told.

import { CASHIER_PHONE, MANAGER_PHONE, technicianPhone, TECHNICIANS } from './demo-data.mjs';
import { Client, newKey, play, refusal, signInMember, signInStaff, urls } from './client.mjs';
import { tellClasses } from './demo-classes.mjs';
import { tellModes } from './demo-modes.mjs';
import { tellPlan } from './demo-plan.mjs';
import { tellTable } from './demo-table.mjs';
import { tellTravel } from './demo-travel.mjs';
import { tellReminders } from './demo-reminders.mjs';
import { tellVisit } from './demo-visit.mjs';

const ZONE = 'Asia/Shanghai';
const colour = process.stdout.isTTY && !process.env.NO_COLOR;
const paint = (code) => (text) => (colour ? `\x1b[${code}m${text}\x1b[0m` : text);
const [bold, dim, green, yellow] = [1, 2, 32, 33].map(paint);

const where = urls();
const nobody = new Client(where);

try {
  await tell();
} catch (error) {
  const down = error.cause?.code === 'ECONNREFUSED';
  console.error(`\ndemo: ${down ? `nothing listens at ${where.api}; start \`make dev\` first` : error.message}`);
  process.exit(1);
}

async function tell() {
  console.log(bold('准点:一次完整的预约') + dim(`   ${where.api}`));

  title('1 顾客微信登录');
  const lin = await signInMember(nobody, `demo-lin-${Date.now()}`);
  note('林女士用微信登录码换到令牌');
  const xu = await signInMember(nobody, `demo-xu-${Date.now()}`);
  note('徐先生也登录了');

  title('2 找门店、选服务');
  const stores = await call(nobody, 200, 'GET', '/api/v1/stores?latitude=31.2235&longitude=121.4460');
  for (const one of stores.items.slice(0, 3)) note(`${one.name}  ${one.address}${one.distance_m === undefined ? '' : `  ${one.distance_m} 米`}`);
  const store = named(stores.items, '准点·静安寺店');
  const services = await call(nobody, 200, 'GET', `/api/v1/services?store_id=${store.id}`);
  for (const one of services.items) note(`${one.name}  ${one.duration_minutes} 分钟  ${yuan(one.price_fen)}`);
  const service = named(services.items, '肩颈舒缓');
  const technicians = await call(nobody, 200, 'GET', `/api/v1/technicians?store_id=${store.id}&service_id=${service.id}`);
  for (const one of technicians.items) note(`${one.name}  ${one.level}  从业 ${one.years_experience} 年`);

  title('3 看空闲时间');
  const from = businessDate(1);
  const technician = named(technicians.items, '王静');
  const query = `store_id=${store.id}&service_id=${service.id}`;
  const free = async (by, id) => {
    const { days } = await call(by, 200, 'GET', `/api/v1/availability?${query}&technician_id=${id}&from=${from}&days=3`);
    return days;
  };
  const days = await free(lin, technician.id);
  for (const day of days) note(`${day.date}  ${day.slots.length} 个时间  ${day.slots.slice(0, 6).map((slot) => clock(slot.start_at)).join(' ')} …`);
  const slots = days.flatMap((day) => day.slots);
  check(slots.length >= 20, '三天里至少应有二十个空闲时间');
  // Not beside each other: an hour's service and ten minutes after it.
  const [start, later] = [slots[6], slots[20]].map((slot) => slot.start_at);

  title(`4 林女士预约 ${technician.name},${when(start)}`);
  const booking = (at) => ({
    store_id: store.id, service_id: service.id, technician_id: technician.id, start_at: at, mode: 'direct', payment: 'at_store',
  });
  const key = newKey();
  let { order } = await call(lin, 201, 'POST', '/api/v1/bookings', booking(start), { key });
  note(`订单 ${order.id}  ${order.status}  ${yuan(order.total_fen)}`);
  const again = await call(lin, 201, 'POST', '/api/v1/bookings', booking(start), { key });
  check(again.order.id === order.id, '同一个 Idempotency-Key 应得到同一个订单');
  note('网络不好,小程序又发了一次:还是同一个订单');

  title('5 徐先生也想要同一个时间');
  const taken = await call(xu, 409, 'POST', '/api/v1/bookings', booking(start), { key: newKey() });
  check(taken.code === 'slot_taken', `应为 slot_taken,而不是 ${taken.code}`);
  note(`${taken.title}  可改约:${(taken.alternatives ?? []).map((slot) => when(slot.start_at)).join('、')}`);
  check(taken.alternatives?.length > 0, '应给出可改约的时间');

  title(`6 林女士改到 ${when(later)}`);
  const line = order.lines[0];
  const move = { line_id: line.id, start_at: later };
  const moveKey = newKey();
  ({ order } = await call(lin, 200, 'POST', `/api/v1/orders/${order.id}/reschedule`, move, { key: moveKey }));
  check(sameInstant(order.lines[0].start_at, later), '预约应在新的时间');
  note(`新时间 ${when(order.lines[0].start_at)}`);
  const retried = await call(lin, 200, 'POST', `/api/v1/orders/${order.id}/reschedule`, move, { key: moveKey });
  check(sameInstant(retried.order.lines[0].start_at, later), '重发不应再改');
  note('重发改约请求:什么也没有再变');
  check((await free(lin, technician.id)).some((day) => day.slots.some((slot) => sameInstant(slot.start_at, start))), '原来的时间应已空出');
  note(`${when(start)} 又空出来了`);

  title('7 店里看到的当天安排');
  const day = businessDateOf(later);
  const phone = technicianPhone(TECHNICIANS.findIndex((one) => one.name === technician.name));
  const signIn = (who, number) =>
    signInStaff(nobody, number, (seconds) => note(`${who}的验证码一分钟只发一次,等 ${seconds} 秒`));
  const manager = await signIn('店长', MANAGER_PHONE);
  const atWork = await signIn('技师', phone);
  for (const [who, staff] of [['技师', atWork], ['店长', manager]]) {
    const { items } = await call(staff, 200, 'GET', `/api/v1/staff/appointments?store_id=${store.id}&from=${day}&days=1`);
    const found = items.find((one) => one.order_id === order.id);
    check(found, `${who}应看到这个预约`);
    note(`${who}看到 ${items.length} 个预约,其中有 ${when(found.start_at)} ${service.name}`);
  }

  title('8 林女士取消');
  ({ order } = await call(lin, 200, 'POST', `/api/v1/orders/${order.id}/cancel`, {}, { key: newKey() }));
  note(`订单 ${order.status}`);
  await until('时间应重新空出', async () =>
    (await nobodySees(query, technician.id, from)).some((slot) => sameInstant(slot.start_at, later)));
  note(`${when(later)} 又空出来了`);
  const other = await call(xu, 201, 'POST', '/api/v1/bookings', booking(later), { key: newKey() });
  note(`徐先生约到了这个时间,订单 ${other.order.id}`);
  await call(xu, 200, 'POST', `/api/v1/orders/${other.order.id}/cancel`, {}, { key: newKey() });

  title('9 订单的经过');
  await timeline(lin, order.id, 'booked moved cancelled');

  title('10 要定金的服务:林女士用微信支付');
  const spa = named(services.items, '全身精油 SPA');
  const [spaStart, spaLater] = await spaSlots(store, spa);
  const spaBooking = (at) => ({
    store_id: store.id, service_id: spa.id, start_at: at, mode: 'direct', payment: 'online',
  });
  ({ order } = await call(lin, 201, 'POST', '/api/v1/bookings', spaBooking(spaStart), { key: newKey() }));
  note(`${when(spaStart)} ${spa.name}  ${order.status}  共 ${yuan(order.total_fen)},先付定金 ${yuan(order.due_fen)},${clock(order.hold_expires_at)} 前有效`);
  const asked = await call(lin, 200, 'POST', `/api/v1/orders/${order.id}/pay`, { channel: 'wechat_jsapi' }, { key: newKey() });
  const { package: prepay, signType, paySign } = asked.wechat_parameters;
  note(`wx.requestPayment 的参数:package ${brief(prepay)}  signType ${signType}  paySign ${brief(paySign)}`);
  await play(where, '/pay', { out_trade_no: asked.payment.id });
  note('林女士在微信里付了款,微信支付通知店里');
  order = await reaches(lin, order.id, 'confirmed');
  note(`订单 ${order.status}  已付 ${yuan(order.paid_fen)},到店再付 ${yuan(order.remaining_fen)}`);

  title('11 店里看到这笔款,到店收余款');
  const payments = await call(manager, 200, 'GET', `/api/v1/staff/payments?order_id=${order.id}`);
  for (const one of payments.items) note(`${one.channel}  ${yuan(one.amount_fen)}  ${one.status}  微信订单号 ${one.transaction_id}`);
  check(payments.items.length === 1, '应有一笔付款');
  const cashier = await signIn('收银', CASHIER_PHONE);
  const settled = await call(cashier, 200, 'POST', `/api/v1/staff/orders/${order.id}/settle`, { channel: 'cash' }, { key: newKey() });
  note(`收银收现金 ${yuan(settled.taken_fen)},订单 ${settled.status}`);
  check(settled.remaining_fen === 0 && settled.status === 'completed', '应已收清');
  await timeline(lin, order.id, 'booked paid confirmed settled');

  title('12 徐先生用支付宝付了定金,又取消了');
  let { order: paid } = await call(xu, 201, 'POST', '/api/v1/bookings', spaBooking(spaLater), { key: newKey() });
  note(`${when(spaLater)} ${spa.name}  ${paid.status}`);
  const code = await call(xu, 200, 'POST', `/api/v1/orders/${paid.id}/pay`, { channel: 'alipay_qr' }, { key: newKey() });
  note(`二维码 ${brief(code.code_url)}  ${yuan(code.payment.amount_fen)}`);
  await play(where, '/pay', { out_trade_no: code.payment.id });
  paid = await reaches(xu, paid.id, 'confirmed');
  note(`扫码付款,订单 ${paid.status}`);
  for (const tier of paid.cancellation) note(`${when(tier.until)} 前取消退 ${tier.refund_percent}%`);
  ({ order: paid } = await call(xu, 200, 'POST', `/api/v1/orders/${paid.id}/cancel`, {}, { key: newKey() }));
  note(`订单 ${paid.status},退 ${yuan(paid.refunded_fen)}`);
  check(paid.refunded_fen === code.payment.amount_fen, '提前两天取消应全退');
  await until('退款应已到账', async () => (await lastKinds(xu, paid.id)).includes('refunded'));
  await timeline(xu, paid.id, 'booked paid confirmed cancelled refunded');

  title('13 到店:签到、服务、收款');
  const at = await startSoon(store, service, technician);
  if (at) {
    await visit({ xu, store, at, cashier, technician: atWork, body: booking(at) });
  } else {
    note('十二小时内没有空闲时间,签到要等到那时才能做;这一步略过');
  }

  const told = { call, title, note, check, until, reaches, named, when, clock, yuan };
  // A code is sent once a minute, so nobody signs in twice.
  const signedIn = new Map([[technician.name, atWork]]);
  const technicianOf = async (name) => {
    if (!signedIn.has(name)) {
      const number = technicianPhone(TECHNICIANS.findIndex((one) => one.name === name));
      signedIn.set(name, await signIn('技师', number));
    }
    return signedIn.get(name);
  };
  await tellModes(told, { where, store, service, lin, xu, manager, technicianOf, date: businessDate });
  await tellPlan({ ...told, named }, { store, services, technician, lin, manager, date: businessDate });

  await tellClasses(told, { store, services: services.items, technician, lin, xu, manager, date: businessDate });
  await tellTravel(told, { store, service, technician, lin, xu, date: businessDate });
  await tellReminders(told, { where, nobody, manager, everyMinute, booking: booking(slots.at(-1).start_at) });
  await tellTable(told, { store, technician, lin, manager, date: businessDate });
  await tellVisit(told, { store, services: services.items, technicians: technicians.items, lin, manager, date: businessDate });
  console.log(`\n${green('完成:每一步都如所说。')}`);
}

/** The customer comes, is served and pays. */
async function visit({ xu, store, at, cashier, technician, body }) {
  let { order } = await call(xu, 201, 'POST', '/api/v1/bookings', body, { key: newKey() });
  note(`徐先生约了 ${when(at)}`);
  const shown = await call(xu, 200, 'GET', `/api/v1/orders/${order.id}/check-in`);
  note(`他的到店码 ${shown.code},二维码 ${brief(shown.qr)}  ${clock(shown.qr_expires_at)} 前有效`);
  const wrong = await call(cashier, 422, 'POST', '/api/v1/staff/check-ins/code', { store_id: store.id, code: 'AAAAAA' });
  note(wrong.title);
  await call(cashier, 200, 'POST', '/api/v1/staff/check-ins/qr', { qr: shown.qr }, { key: newKey() });
  note('收银扫了二维码,徐先生已签到');
  const again = await call(cashier, 409, 'POST', '/api/v1/staff/check-ins/qr', { qr: shown.qr }, { key: newKey() });
  note(again.title);
  const line = `/api/v1/staff/appointments/${order.lines[0].id}`;
  const before = await call(technician, 200, 'GET', line);
  const version = before.customer.preferences_version;
  const known = await call(technician, 200, 'PUT', `${line}/preferences`, { text: '力度轻一点', version });
  note(`技师记下他的喜好:${known.text}`);
  await call(technician, 200, 'POST', `${line}/start`);
  ({ order } = await call(technician, 200, 'POST', `${line}/finish`, {}));
  note(`服务做完,订单 ${order.status},还差 ${yuan(order.remaining_fen)}`);
  const settled = await call(cashier, 200, 'POST', `/api/v1/staff/orders/${order.id}/settle`, { channel: 'at_store' }, { key: newKey() });
  note(`刷卡 ${yuan(settled.taken_fen)},订单 ${settled.status}`);
  await timeline(xu, order.id, 'booked checked_in started finished settled');
  const day = await call(technician, 200, 'GET', `/api/v1/staff/my/day?date=${businessDateOf(at)}`);
  note(`技师当天有 ${day.items.length} 项`);
  const { path } = await call(technician, 201, 'POST', '/api/v1/staff/my/feed');
  note(`日历订阅地址 ${path.slice(0, 12)}…,只说一次,可随时作废`);
}

/** The technician's next free start within the half day in which a customer may check in. */
async function startSoon(store, service, technician) {
  const path = `/api/v1/availability?store_id=${store.id}&service_id=${service.id}&technician_id=${technician.id}&from=${businessDate(0)}&days=2`;
  const slots = (await call(nobody, 200, 'GET', path)).days.flatMap((day) => day.slots).map((slot) => slot.start_at);
  return slots.find((at) => Date.parse(at) < Date.now() + 12 * 3_600_000);
}

/** What runs by itself each minute, run now. */
async function everyMinute() {
  const response = await fetch(`${where.api}/cdn-cgi/local/scheduled?cron=*+*+*+*+*`);
  check(response.ok, `每分钟的任务:${response.status}`);
}

/** What happened to an order, which must be so. */
async function timeline(by, id, expected) {
  const seen = await call(by, 200, 'GET', `/api/v1/orders/${id}`);
  for (const event of seen.timeline) {
    const fen = event.detail?.amount_fen;
    note(`${when(event.at)}  ${event.kind.padEnd(9)}  ${event.actor_kind.padEnd(6)}${fen === undefined ? '' : `  ${yuan(fen)}`}`.trimEnd());
  }
  const kinds = seen.timeline.map((event) => event.kind).join(' ');
  check(kinds === expected, `应为 ${expected},而不是 ${kinds}`);
}

async function lastKinds(by, id) {
  return (await by.must(200, 'GET', `/api/v1/orders/${id}`)).timeline.map((event) => event.kind);
}

/** The order, once it has come to a state. */
async function reaches(by, id, status) {
  let order;
  await until(`订单应为 ${status}`, async () => {
    ({ order } = await by.must(200, 'GET', `/api/v1/orders/${id}`));
    return order.status === status;
  });
  return order;
}

/** Two starts in three days' time that do not touch: an hour and a half, and cleaning up. */
async function spaSlots(store, service) {
  const path = `/api/v1/availability?store_id=${store.id}&service_id=${service.id}&from=${businessDate(3)}&days=2`;
  const slots = (await call(nobody, 200, 'GET', path)).days.flatMap((day) => day.slots).map((slot) => slot.start_at);
  check(slots.length >= 2, '应有空闲时间');
  return [slots[0], slots.at(-1)];
}

async function nobodySees(query, technician, from) {
  const path = `/api/v1/availability?${query}&technician_id=${technician}&from=${from}&days=3`;
  return (await nobody.must(200, 'GET', path)).days.flatMap((day) => day.slots);
}

/** A call that is shown, and must be answered with this status. */
async function call(by, status, method, path, body, options) {
  const answer = await by.call(method, path, body, options);
  const as = answer.status === status ? green(answer.status) : yellow(answer.status);
  console.log(`  ${method} ${shorten(path)} ${dim('→')} ${as} ${dim(`${answer.ms.toFixed(0)} ms`)}`);
  check(answer.status === status, `应为 ${status},而不是 ${refusal(answer)}`);
  return answer.body;
}

function title(text) {
  console.log(`\n${bold(text)}`);
}

function note(text) {
  console.log(`    ${text}`);
}

function check(holds, otherwise) {
  if (!holds) throw new Error(otherwise);
}

async function until(otherwise, ask) {
  for (const deadline = Date.now() + 30_000; Date.now() < deadline; ) {
    if (await ask()) return;
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
  throw new Error(otherwise);
}

function named(items, name) {
  const found = items.find((one) => one.name === name);
  check(found, `没有"${name}":演示数据不完整(删除 STATE 文件夹后重新 make dev)`);
  return found;
}

function shorten(path) {
  return path.replaceAll(/[0-9a-f]{32}/g, (id) => `${id.slice(0, 4)}…${id.slice(-4)}`);
}
function brief(text) {
  return text.length > 26 ? `${text.slice(0, 20)}…` : text;
}
function yuan(fen) {
  return `¥${(fen / 100).toFixed(2)}`;
}
function sameInstant(one, other) {
  return Date.parse(one) === Date.parse(other);
}
function local(instant, options) {
  return new Date(instant).toLocaleString('zh-CN', { timeZone: ZONE, hourCycle: 'h23', ...options });
}
function clock(instant) {
  return local(instant, { hour: '2-digit', minute: '2-digit' });
}
function when(instant) {
  return local(instant, { month: 'numeric', day: 'numeric', hour: '2-digit', minute: '2-digit' });
}
function businessDateOf(instant) {
  return new Date(instant).toLocaleDateString('sv-SE', { timeZone: ZONE });
}
function businessDate(days) {
  return businessDateOf(Date.now() + days * 86_400_000);
}
