// The part of `make demo` that tells a service plan: previewed, made, moved and given up.

import { newKey } from './client.mjs';

/**
 * @param told what demo.mjs tells with: call, title, note, check, named, when
 * @param scene {store, services, technician, lin, manager, date}
 */
export async function tellPlan(told, scene) {
  const { call, title, note, check, named, when } = told;
  const { store, services, technician, lin, manager, date } = scene;
  title('18 店长给林女士排一个疗程');
  const course = named(services.items, '体态调整疗程');
  const { id: memberId } = await lin.must(200, 'GET', '/api/v1/me');
  const wish = {
    store_id: store.id, member_id: memberId, service_id: course.id, technician_id: technician.id,
    rhythm: 'weekly', starts: [`${date(4)}T10:00`, `${date(6)}T13:30`], times: 5,
  };
  const preview = await call(manager, 200, 'POST', '/api/v1/staff/plans/preview', wish);
  note(`每周两次、共五周:${preview.sessions.length} 次,${preview.conflicts} 次排不上`);
  const { conflict } = preview.sessions.find((one) => one.conflict) ?? {};
  check(conflict, '午休时间应排不上');
  note(`${when(conflict.start_at)} ${conflict.code}  最近可排:${conflict.nearest.map(when).join('、')}`);
  wish.starts[1] = conflict.nearest[0];
  const { plan } = await call(manager, 201, 'POST', '/api/v1/staff/plans', wish, { key: newKey() });
  note(`改到 ${when(wish.starts[1])},一次排好 ${plan.total} 次,下一次 ${when(plan.next_at)}`);
  const [first, , third] = plan.sessions;
  const shifted = { which: 'rest', session_id: third.id, start_at: `${third.start_at.slice(0, 10)}T11:30` };
  await call(manager, 200, 'POST', `/api/v1/staff/plans/${plan.id}/reschedule`, shifted, { key: newKey() });
  note('从第二周起都晚一个半小时');
  await call(manager, 200, 'POST', `/api/v1/staff/plans/${plan.id}/cancel`, { which: 'one', session_id: first.id });
  const seen = (await call(lin, 200, 'GET', `/api/v1/plans/${plan.id}`)).plan;
  note(`林女士看到:共 ${seen.total} 次,已完成 ${seen.done} 次,下一次 ${when(seen.next_at)}`);
  check(seen.total === plan.total - 1, '取消一次,应少一次');
  await call(manager, 200, 'POST', `/api/v1/staff/plans/${plan.id}/cancel`, { which: 'all' });
}
