// The rows of payments: what lets a customer pay, a notice that they have paid, a refund. WeChat Pay is
// the sandbox, and answers at once.

import { setTimeout as wait } from 'node:timers/promises';
import { DatabaseSync } from 'node:sqlite';

import { compare, perRound } from './compare.mjs';
import { errors, number, post, side } from './lines.mjs';
import { mostARound } from './payments.mjs';
import { databaseFile } from './world.mjs';

const CONNECTIONS = 8;

/** @param bench {load, world, payments, ours, baseline, state, rounds, seconds, onRound} */
export async function prepay(bench) {
  const { load, payments, ours, baseline } = bench;
  const [first, ...rest] = payments.unpaid;
  const length = await post(ours, payments.prepay(first), 200);
  await load.define('prepay', rest.map((one) => payments.prepay(one)));
  await load.define('bare prepay', rest.map((one) => payments.prepay(one, `?bytes=${length}`)));
  const mark = ours.mark();
  const job = (list) => ({ list, connections: CONNECTIONS, want: 200, most: mostARound('prepay', bench) });
  const [we, bare] = await compare(load, [
    { name: 'ours', worker: ours, job: job('prepay') },
    { name: 'baseline', worker: baseline, job: job('bare prepay') },
  ], bench);
  const lines = ours.linesSince(mark).filter((line) => line.route === '/api/v1/orders/{id}/pay' && line.status === 200);
  const ratio = perRound(we, bare, (a, b) => a.rate / b.rate);
  return {
    note: `the pay call (wechat_jsapi) of orders that wait for it, ${CONNECTIONS} connections, each order once`,
    lines: [
      { what: 'rate', figure: side(we), beside: side(bare), ratio, goal: 'at least 0.6 of the baseline', ok: ratio >= 0.6 },
      {
        what: `what the customer waits for, at most (${number(lines.length)} log lines)`,
        figure: `${most(lines, 'd1_batches')} D1 batches, ${most(lines, 'object_calls')} object calls`, beside: '1, 0', ok: null,
      },
      { what: 'CPU time of workerd', figure: `${number(we.cpu, 2)} ms`, beside: `${number(bare.cpu, 2)} ms`, ok: null },
      errors([we, bare]),
    ],
  };
}

/** @param bench as above */
export async function notification(bench) {
  const { load, payments, ours, baseline, state } = bench;
  const requests = payments.notices();
  await load.define('notices', requests);
  const bare = ({ headers, body }, { id, claim, technician, openid, payment }, query) => ({
    method: 'POST', path: `/webhooks/wechat-pay${query}`, body,
    headers: { ...headers, 'x-bench': JSON.stringify({ order: id, claim, technician, openid, payment }) },
  });
  await load.define('bare notices', requests.map((one, index) => bare(one, payments.asked[index], '')));
  await load.define('answered notices', requests.map((one, index) => bare(one, payments.asked[index], '?after=nothing')));
  const mark = ours.mark();
  const job = (list) => ({ list, connections: CONNECTIONS, want: 204, most: mostARound('notification', bench) });
  const [we, baseline1, answered] = await compare(load, [
    { name: 'ours', worker: ours, job: job('notices') },
    { name: 'baseline', worker: baseline, job: job('bare notices') },
    { name: 'baseline that only answers', worker: baseline, job: job('answered notices') },
  ], bench);
  const lines = ours.linesSince(mark).filter((line) => line.route === '/webhooks/wechat-pay' && line.status === 204);
  const [batches, calls] = [most(lines, 'd1_batches'), most(lines, 'object_calls')];
  const ratio = perRound(we, baseline1, (a, b) => a.rate / b.rate);
  const ids = JSON.stringify(payments.asked.slice(0, we.next).map((one) => one.id));
  const confirmed = await settled(state, we.next, `SELECT count(*) AS rows FROM orders
    WHERE status = 'confirmed' AND id IN (SELECT value FROM json_each(?))`, ids);
  return {
    note: `genuine notices of WeChat Pay, each of another payment, ${CONNECTIONS} connections; the CPU time has in it what `
      + 'follows the answer: the confirm in the calendar object, its batch, and the report to WeChat',
    lines: [
      { what: 'rate', figure: side(we), beside: side(baseline1), ratio, goal: 'at least 0.6 of the baseline', ok: ratio >= 0.6 },
      {
        what: 'rate, beside a baseline that does nothing after its answer', figure: side(we), beside: side(answered),
        ratio: perRound(we, answered, (a, b) => a.rate / b.rate), ok: null,
      },
      {
        what: `before the answer, at most (${number(lines.length)} log lines)`,
        figure: `${batches} D1 batches, ${calls} object calls`, beside: '2, 0', goal: 'one read, one batch', ok: batches <= 2 && calls === 0,
      },
      {
        what: 'CPU time of workerd', figure: `${number(we.cpu, 2)} ms`,
        beside: `${number(baseline1.cpu, 2)} ms; ${number(answered.cpu, 2)} ms`, goal: 'under 5 ms', ok: we.cpu < 5,
      },
      { what: 'orders confirmed, of those told of', figure: number(confirmed), beside: number(we.next), goal: 'all', ok: confirmed === we.next },
      errors([we, baseline1, answered]),
    ],
  };
}

/** @param bench as above */
export async function refund(bench) {
  const { load, payments, ours, baseline, state } = bench;
  const [first, ...rest] = payments.refunds();
  const length = await post(ours, first, 201);
  await load.define('refunds', rest);
  await load.define('bare refunds', payments.refunds(`?bytes=${length}`).slice(1));
  const mark = ours.mark();
  const job = (list) => ({ list, connections: CONNECTIONS, want: 201, most: mostARound('refund', bench) });
  const [we, bare] = await compare(load, [
    { name: 'ours', worker: ours, job: job('refunds') },
    { name: 'baseline', worker: baseline, job: job('bare refunds') },
  ], bench);
  const lines = ours.linesSince(mark)
    .filter((line) => line.route === '/api/v1/staff/orders/{id}/refunds' && line.status === 201);
  const ratio = perRound(we, bare, (a, b) => a.rate / b.rate);
  const asked = we.next + 1;
  const done = await settled(state, asked, "SELECT count(*) AS rows FROM refund WHERE status = 'succeeded'");
  return {
    note: `staff give money back, ${CONNECTIONS} connections; the rate and the CPU time have in them what follows the answer: `
      + 'the call to WeChat Pay, what it says, and its notice',
    lines: [
      { what: 'rate', figure: side(we), beside: side(bare), ratio, goal: 'at least 0.6 of the baseline', ok: ratio >= 0.6 },
      {
        what: `what the staff wait for, at most (${number(lines.length)} log lines)`,
        figure: `${most(lines, 'd1_batches')} D1 batches, ${most(lines, 'object_calls')} object calls`, beside: '1, 0', ok: null,
      },
      { what: 'CPU time of workerd', figure: `${number(we.cpu, 2)} ms`, beside: `${number(bare.cpu, 2)} ms`, ok: null },
      { what: 'refunds that arrived, of those decided', figure: number(done), beside: number(asked), goal: 'all', ok: done === asked },
      errors([we, bare]),
    ],
  };
}

const most = (lines, field) => Math.max(...lines.map((line) => line[field]));

/** How many rows there are, once they are `wanted` or a while has passed. */
async function settled(state, wanted, sql, ...params) {
  for (const deadline = Date.now() + 30_000; ; await wait(500)) {
    const db = new DatabaseSync(databaseFile(state), { readOnly: true });
    const { rows } = db.prepare(sql).get(...params);
    db.close();
    if (rows === wanted || Date.now() > deadline) return rows;
  }
}
