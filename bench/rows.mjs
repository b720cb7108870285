// The rows of the table: what each of them does, and what it makes of it.
//
// A row answers lines {what, figure, beside, goal, ok}: `figure` is ours, `beside` what it is held
// against, `ok` null where there is no goal.

import fs from 'node:fs';
import path from 'node:path';
import { DatabaseSync } from 'node:sqlite';

import { compare, median, perRound } from './compare.mjs';
import { bytes, errors, number, post, side } from './lines.mjs';
import { notification, prepay, refund } from './payment-rows.mjs';
import { run } from './stack.mjs';
import { BUSY, databaseFile, QUIET } from './world.mjs';

const PROBES = 20; // requests by which `rows_read` is told

/** @param bench {load, world, ours, baseline, rounds, seconds, onRound} */
export async function availability(bench) {
  const { world, ours, baseline } = bench;
  const answer = await fetch(ours.url + world.availabilityPath());
  const text = await answer.text();
  if (answer.status !== 200) throw new Error(`availability: ${answer.status} ${text}`);
  const length = Buffer.byteLength(text);
  const slots = JSON.parse(text).days.reduce((sum, day) => sum + day.slots.length, 0);
  const job = (path) => ({ request: { path }, connections: 8, want: 200 });
  const [we, bare] = await compare(bench.load, [
    { name: 'ours', worker: ours, job: job(world.availabilityPath()) },
    { name: 'baseline', worker: baseline, job: job(world.baselineAvailabilityPath(length)) },
  ], bench);
  const ratio = perRound(we, bare, (a, b) => a.rate / b.rate);
  return {
    note: `${BUSY.technicians} technicians, ${BUSY.days} days, ${number(BUSY.claims)} claims, 8 connections; `
      + `an answer is ${slots} starts in ${bytes(length)}, the read ${world.dayRows.rows} rows`,
    lines: [
      { what: 'rate', figure: side(we), beside: side(bare), ratio, goal: 'at least 0.9 of the baseline', ok: ratio >= 0.9 },
      { what: 'CPU time of workerd', figure: `${number(we.cpu, 2)} ms`, beside: `${number(bare.cpu, 2)} ms`, goal: 'under 5 ms', ok: we.cpu < 5 },
      errors([we, bare]),
    ],
  };
}

/** @param bench as above */
export async function recommended(bench) {
  const { world, load, ours } = bench;
  const [member] = world.members;
  // With habits to be found.
  for (const place of world.singles.splice(0, 3)) {
    await post(ours, { ...world.booking(world.quiet, place, 0), headers: {
      authorization: `Bearer ${member.token}`, 'idempotency-key': `habit-${place.technician}-${Date.parse(place.start_at)}`,
    } }, 201);
  }
  const job = (path) => ({
    request: { path, headers: { authorization: `Bearer ${member.token}` } }, connections: 8, want: 200,
  });
  const [best, plain] = await compare(load, [
    { name: 'recommended', worker: ours, job: job(world.availabilityPath().replace('?', '/recommended?')) },
    { name: 'availability', worker: ours, job: job(world.availabilityPath()) },
  ], bench);
  const ratio = perRound(best, plain, (a, b) => b.rate / a.rate);
  return {
    note: `the same store and days as availability, a member with three appointments; beside it ours without recommending`,
    lines: [
      { what: 'time of an answer, beside availability', figure: side(best), beside: side(plain), ratio, goal: 'at most 1.5', ok: ratio <= 1.5 },
      { what: 'CPU time of workerd', figure: `${number(best.cpu, 2)} ms`, beside: `${number(plain.cpu, 2)} ms`, ok: null },
      errors([best, plain]),
    ],
  };
}

/** Lists of bookings of free places, for ours and for the baseline; each keeps its own place in it. */
async function defineBookings(bench) {
  const { world, load } = bench;
  if (bench.bookings) return;
  const [place] = world.singles.splice(0, 1);
  const first = await post(bench.ours, world.booking(world.quiet, place, 0), 201);
  const refused = await post(bench.ours, world.booking(world.quiet, place, 1), 409);
  const query = `/bookings?bytes=${first}&refused_bytes=${refused}`;
  await load.define('bookings', world.free.map((one, index) => world.booking(world.quiet, one, index)));
  await load.define('bare bookings', world.free.map((one, index) => world.booking(world.quiet, one, index, query)));
  bench.bookings = { first, refused, query, next: 0 };
}

/** @param bench as above */
export async function booking(bench) {
  await defineBookings(bench);
  const { ours, baseline } = bench;
  const mark = ours.mark();
  const [we, bare] = await compare(bench.load, [
    { name: 'ours', worker: ours, job: { list: 'bookings', from: bench.bookings.next, connections: 16, want: 201 } },
    { name: 'baseline', worker: baseline, job: { list: 'bare bookings', from: bench.bookings.next, connections: 16, want: 201 } },
  ], bench);
  bench.bookings.next = Math.max(we.next, bare.next);
  const lines = ours.linesSince(mark).filter((line) => line.route === '/api/v1/bookings' && line.status === 201);
  const most = (field) => Math.max(...lines.map((line) => line[field]));
  const ratio = perRound(we, bare, (a, b) => a.rate / b.rate);
  const [batches, calls] = [most('d1_batches'), most('object_calls')];
  return {
    note: `${QUIET.technicians} technicians, 16 connections, all distinct places; an answer is ${bytes(bench.bookings.first)}`,
    lines: [
      { what: 'rate', figure: side(we), beside: side(bare), ratio, goal: 'at least 0.7 of the baseline', ok: ratio >= 0.7 },
      {
        what: `what the customer waits for, at most (${number(lines.length)} log lines)`,
        figure: `${batches} D1 batches, ${calls} object call${calls === 1 ? '' : 's'}`, beside: '2, 1',
        goal: 'at most 2 and 1', ok: batches <= 2 && calls <= 1,
      },
      { what: 'CPU time of workerd', figure: `${number(we.cpu, 2)} ms`, beside: `${number(bare.cpu, 2)} ms`, ok: null },
      errors([we, bare]),
    ],
  };
}

/** @param bench as above */
export async function hotSlot(bench) {
  await defineBookings(bench);
  const { world, load, ours } = bench;
  const connections = 64;
  const hot = [];
  const oneSlot = async (round) => {
    const [place] = world.singles.splice(0, 1);
    if (round >= 0) hot.push(place);
    const name = `hot ${round}`;
    await load.define(name, Array.from({ length: 6_000 }, (_, index) => world.booking(world.quiet, place, index)));
    return { list: name, fresh: true, connections, want: 409, allowed: [201] };
  };
  const [losers, winners] = await compare(load, [
    { name: 'one slot', worker: ours, job: oneSlot },
    { name: 'distinct slots', worker: ours, job: { list: 'bookings', from: bench.bookings.next, connections, want: 201 } },
  ], bench);
  bench.bookings.next = winners.next;
  const won = losers.rounds.map((round) => round.statuses[201] ?? 0);
  const attempts = losers.rounds.reduce((sum, round) => sum + round.total, 0);
  const kept = new DatabaseSync(databaseFile(bench.state), { readOnly: true });
  const rows = hot.map((place) => kept.prepare(
    "SELECT count(*) AS rows FROM order_line WHERE technician_id = ? AND start_at = ? AND status = 'live'",
  ).get(place.technician, Date.parse(place.start_at)).rows);
  kept.close();
  const ratio = perRound(losers, winners, (a, b) => a.rate / b.rate);
  const single = won.every((count) => count === 1) && rows.every((count) => count === 1);
  return {
    note: `${connections} connections on one slot, another one each round`,
    lines: [
      {
        what: 'rate of losers, beside that of bookings', figure: side(losers), beside: side(winners), ratio,
        goal: 'at least as fast', ok: ratio >= 1,
      },
      {
        what: `winners a slot, of ${number(attempts)} attempts at ${won.length} slots`, figure: won.join(', '),
        beside: `orders in D1: ${rows.join(', ')}`, goal: 'one', ok: single,
      },
      errors([losers, winners]),
    ],
  };
}

/** @param bench as above, with `orders`, the sizes */
export async function growth(bench) {
  const { world, load } = bench;
  const sizes = [];
  for (const count of bench.orders) {
    const state = world.withPastOrders(count);
    sizes.push({ count, state, megabytes: fs.statSync(databaseFile(state)).size / 1e6 });
  }
  for (const size of sizes) size.worker = await world.start(`past-${size.count}`, size.state);
  await load.define('growth', world.free.map((one, index) => world.booking(world.quiet, one, index)));
  const lists = world.heavyMembers().map(({ token }) => ({ path: '/api/v1/orders', headers: { authorization: `Bearer ${token}` } }));
  await load.define('lists', lists);
  await load.define('many lists', Array.from({ length: 500 }, () => lists).flat());
  const staffHeaders = { authorization: `Bearer ${world.owner.token}` };
  const what = [
    {
      name: 'availability', route: '/api/v1/availability',
      probe: { request: { path: world.availabilityPath() }, want: 200 }, job: { request: { path: world.availabilityPath() }, want: 200 },
    },
    { name: 'booking', route: '/api/v1/bookings', probe: { list: 'growth', want: 201 }, job: { list: 'growth', from: 2_000, want: 201 } },
    { name: "a member's orders", route: '/api/v1/orders', probe: { list: 'lists', want: 200 }, job: { list: 'many lists', want: 200 } },
    {
      name: "a store's orders", route: '/api/v1/staff/orders',
      probe: { request: { path: `/api/v1/staff/orders?store_id=${world.quiet.id}`, headers: staffHeaders }, want: 200 },
      job: { request: { path: `/api/v1/staff/orders?store_id=${world.quiet.id}`, headers: staffHeaders }, want: 200 },
    },
  ];
  const lines = [];
  const all = [];
  for (const { name, route, probe, job } of what) {
    for (const size of sizes) size.rows = await rowsRead(load, size.worker, route, probe);
    const sides = await compare(load, sizes.map(({ count, worker }) => (
      { name: `${name}, ${number(count)}`, worker, job: { ...job, connections: 4 } }
    )), { ...bench, rounds: Math.max(3, bench.rounds - 1), seconds: bench.seconds / 2, warmUpSeconds: 1.5 });
    all.push(...sides);
    const [first, last] = [0, sizes.length - 1];
    const rows = sizes.map((size) => size.rows);
    const time = perRound(sides[last], sides[first], (a, b) => a.p50 / b.p50);
    const more = rows[last] / rows[first];
    lines.push({
      what: `${name}: rows read`, figure: rows.map((one) => number(one, 1)).join(' → '), beside: '', ratio: more,
      goal: 'less than 1.1 times', ok: more < 1.1,
    }, {
      what: `${name}: time, p50`, figure: `${sides.map((one) => number(one.p50, 1)).join(' → ')} ms`, beside: '', ratio: time,
      goal: 'less than 1.3 times', ok: time < 1.3,
    });
  }
  for (const size of sizes) await size.worker.stop();
  return {
    note: `with ${sizes.map(({ count, megabytes }) => `${number(count)} (${number(megabytes)} MB)`).join(', ')} past orders, 4 connections; `
      + 'each page of orders is a full one; rows read are averages of the log lines of 20 requests',
    lines: [...lines, errors(all)],
  };
}

async function rowsRead(load, worker, route, probe) {
  const mark = worker.mark();
  const wanted = [];
  for (let index = 0; index < PROBES; index++) {
    // One at a time, so that exactly so many are sent.
    const done = await load.run({ ...probe, port: worker.port, connections: 1, seconds: 20, from: index, most: 1 });
    if (done.statuses[probe.want] !== 1) throw new Error(`${route}: ${JSON.stringify(done.statuses)} ${done.others[0]}`);
  }
  for (const deadline = Date.now() + 5_000; Date.now() < deadline; await new Promise((resolve) => setTimeout(resolve, 50))) {
    wanted.splice(0, wanted.length, ...worker.linesSince(mark).filter((line) => line.route === route));
    if (wanted.length >= PROBES) break;
  }
  if (wanted.length !== PROBES) throw new Error(`${route}: ${wanted.length} log lines of ${PROBES}`);
  return wanted.reduce((sum, line) => sum + line.d1_rows_read, 0) / PROBES;
}

/** The script as it is deployed, and its start. @param bench as above */
export async function size(bench) {
  const outdir = path.join(bench.world.folder, 'script');
  const dry = await run(['wrangler', 'deploy', '--dry-run', '--outdir', outdir], { ZHUNDIAN_BUILD: 'none' });
  const [, whole, gzip] = /Total Upload: ([\d.]+) KiB \/ gzip: ([\d.]+) KiB/.exec(dry) ?? [];
  const windows = [];
  for (let round = 0; round < 3; round++) {
    const output = await run(['wrangler', 'check', 'startup', '--outfile', path.join(bench.world.folder, 'startup.cpuprofile')],
      { ZHUNDIAN_BUILD: 'none' });
    const [, window] = /Profile window: ([\d.]+) ms/.exec(output) ?? [];
    const [, active] = /Active: ([\d.]+) ms/.exec(output) ?? [];
    windows.push({ window: Number(window), active: Number(active) });
  }
  const startup = median(windows.map(({ window }) => window));
  const active = median(windows.map(({ active: one }) => one));
  const kilobytes = (Number(gzip) * 1024) / 1000;
  return {
    note: '`wrangler deploy --dry-run` and `wrangler check startup`; the CPU time of a request stands in the rows above',
    lines: [
      { what: 'script, gzipped', figure: `${number(kilobytes)} kB`, beside: `${number((Number(whole) * 1024) / 1000)} kB unpacked`, goal: 'under 1 MB', ok: kilobytes < 1_000 },
      { what: 'start-up, profile window', figure: `${number(startup, 1)} ms`, beside: `${number(active, 1)} ms active`, goal: 'under 100 ms', ok: startup < 100 },
    ],
  };
}

export const ROWS = { availability, recommended, booking, 'hot-slot': hotSlot, prepay, notification, refund, growth, size };
