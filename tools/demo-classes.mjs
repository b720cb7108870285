// The part of `make demo` that tells of classes: a timetable, a class that is full, and who waits for a seat.

import { newKey } from './client.mjs';

/**
 * @param told what demo.mjs tells with: call, title, note, check, until, reaches, named, when, clock, yuan
 * @param scene {store, services, technician, lin, xu, manager, date}
 */
export async function tellClasses(told, scene) {
  const { call, title, note, check, until, reaches, named, when, clock, yuan } = told;
  const { store, services, technician, lin, xu, manager, date } = scene;

  title('19 团课约满了,徐先生候补');
  const lesson = named(services, '肩颈拉伸课');
  const places = await freeTimes(lin, store, lesson, technician, date(5));
  check(places.length > 0, '老师应有空闲时间');
  const timetable = {
    store_id: store.id, service_id: lesson.id, technician_id: technician.id, capacity: 2, starts: [places[0].start_at], weeks: 3,
  };
  const { sessions: [one, ...rest] } = await call(manager, 201, 'POST', '/api/v1/admin/sessions', timetable, { key: newKey() });
  note(`店长排了 ${1 + rest.length} 节课,每周 ${clock(one.start_at)},每节 ${one.capacity} 个名额`);
  const seats = (number) => ({ seats: number, payment: 'at_store' });
  const inClass = `/api/v1/sessions/${one.id}`;
  let { order } = await call(lin, 201, 'POST', `${inClass}/bookings`, seats(2), { key: newKey() });
  note(`林女士约了 2 个名额,共 ${yuan(order.total_fen)}`);
  const full = await call(xu, 409, 'POST', `${inClass}/bookings`, seats(1), { key: newKey() });
  check(full.code === 'session_full', `应为 session_full,而不是 ${full.code}`);
  note(full.title);
  const waits = await call(xu, 201, 'POST', `${inClass}/waitlist`, { seats: 1 });
  await call(lin, 200, 'POST', `/api/v1/orders/${order.id}/cancel`, {}, { key: newKey() });
  let place;
  await until('空出的名额应留给候补的人', async () => {
    const { items } = await xu.must(200, 'GET', '/api/v1/waitlist');
    place = items.find((entry) => entry.id === waits.id);
    return place.status === 'offered';
  });
  note(`林女士取消,名额为徐先生留到 ${clock(place.offer.expires_at)}`);
  ({ order } = await call(xu, 201, 'POST', `/api/v1/waitlist/${waits.id}/bookings`, { payment: 'at_store' }, { key: newKey() }));
  note(`徐先生约上了:${when(order.lines[0].start_at)} ${lesson.name},订单 ${order.status}`);
  for (const session of [one, ...rest]) {
    await call(manager, 200, 'POST', `/api/v1/admin/sessions/${session.id}/cancel`, { version: session.version });
  }
  order = await reaches(xu, order.id, 'cancelled');
  note('店长停了这几节课,约了的人都已取消');
}

async function freeTimes(by, store, service, technician, from) {
  const path = `/api/v1/availability?store_id=${store.id}&service_id=${service.id}&technician_id=${technician.id}&from=${from}&days=3`;
  return (await by.must(200, 'GET', path)).days.flatMap((day) => day.slots);
}
