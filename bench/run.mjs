// Measures the rows of bench/README.md and prints them as one table. Ends by itself, with status 1 when
// a goal was missed.
//
//   tools/bench [--write]        --write replaces the table in bench/README.md
//   ROWS=availability,booking    these rows alone (availability, recommended, booking, hot-slot, prepay, notification, refund, growth, size)
//   ORDERS=1000,100000           other numbers of past orders for the row growth
//   ROUNDS=5 SECONDS=4           how often and how long each side is measured, by turns
//   BENCH_DIR=…                  where databases and objects are kept while it runs

import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';

import { isPaymentRow, Payments } from './payments.mjs';
import { Load, ROOT, stopAll } from './stack.mjs';
import { ROWS } from './rows.mjs';
import { World } from './world.mjs';

const LIMIT_MINUTES = 25;
const README = path.join(import.meta.dirname, 'README.md');
const started = performance.now();
const seconds = (since = started) => `${((performance.now() - since) / 1000).toFixed(0)} s`;
const say = (text) => process.stderr.write(`bench: ${text}\n`);

function list(name, standard) {
  return (process.env[name] || standard).split(',').map((one) => one.trim()).filter(Boolean);
}

const wanted = list('ROWS', Object.keys(ROWS).join(','));
const settings = {
  orders: list('ORDERS', '1000,100000,1000000').map(Number),
  rounds: Number(process.env.ROUNDS || 5),
  seconds: Number(process.env.SECONDS || 4),
};
const unknown = wanted.filter((name) => !ROWS[name]);
if (unknown.length > 0 || settings.orders.some((count) => !(count >= 1_000)) || !(settings.rounds >= 1) || !(settings.seconds >= 1)) {
  say(`ROWS is of ${Object.keys(ROWS).join(', ')}; ORDERS are numbers from 1000 on; ROUNDS and SECONDS from 1 on`);
  process.exit(2);
}

// In memory where there is room: what is compared is what the two do, not how they wait for one disk.
const ROOM = 6e9;
const memory = '/dev/shm';
const roomInMemory = fs.existsSync(memory) && ((disk) => disk.bavail * disk.bsize)(fs.statfsSync(memory)) >= ROOM;
const place = process.env.BENCH_DIR || (roomInMemory ? memory : os.tmpdir());
const folder = fs.mkdtempSync(path.join(place, 'zhundian-bench-'));
async function end(status) {
  await stopAll();
  fs.rmSync(folder, { recursive: true, force: true });
  process.exit(status);
}
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.once(signal, () => end(130));
setTimeout(() => {
  say(`not done in ${LIMIT_MINUTES} minutes`);
  end(1);
}, LIMIT_MINUTES * 60_000).unref();

try {
  const table = render(await measure());
  console.log(table);
  if (process.argv.includes('--write')) write(table);
  say(`${seconds()} in all`);
  await end(table.includes('MISSED') ? 1 : 0);
} catch (error) {
  say(error.stack);
  await end(1);
}

async function measure() {
  const load = new Load();
  const world = new World(folder);
  const bench = {
    ...settings, load, world,
    onRound: (name, round, { rate, p50, errors }) =>
      say(`  ${name}, round ${round + 1}: ${rate.toFixed(0)}/s, p50 ${p50.toFixed(1)} ms${errors ? `, ${errors} ERRORS` : ''}`),
  };
  if (wanted.some((name) => name !== 'size')) {
    const from = performance.now();
    say('making the world');
    say(`${await world.make(load)}, in ${seconds(from)}`);
  }
  const results = [];
  for (const name of wanted) {
    const from = performance.now();
    say(name);
    if (name !== 'size' && name !== 'growth' && !bench.ours) {
      // The seeded state stays as it is for the row growth.
      bench.state = path.join(folder, 'ours');
      fs.cpSync(world.state, bench.state, { recursive: true });
      const payments = wanted.filter(isPaymentRow);
      if (payments.length > 0) {
        bench.payments = new Payments(world, bench.state);
        say(`payments: ${await bench.payments.make(payments, bench)}, in ${seconds(from)}`);
      }
      bench.baseline = await world.startBaseline(bench.state);
      bench.ours = await world.start('ours', bench.state);
    }
    results.push({ name, ...await ROWS[name](bench) });
    say(`${name}: ${seconds(from)}`);
  }
  return results;
}

function render(results) {
  const model = /^model name\s*: (.*)$/m.exec(fs.readFileSync('/proc/cpuinfo', 'utf8'))?.[1] ?? 'unknown processor';
  const versions = ['workerd', 'wrangler'].map((name) =>
    `${name} ${JSON.parse(fs.readFileSync(path.join(ROOT, 'node_modules', name, 'package.json'), 'utf8')).version}`);
  const lines = [
    `${os.cpus().length} × ${model}, ${(os.totalmem() / 2 ** 30).toFixed(0)} GiB, ${os.type()} ${os.release()}; `
      + `${versions.join(', ')}; state in ${place === memory ? 'memory' : place}; ${settings.rounds} rounds of ${settings.seconds} s; ${new Date().toISOString().slice(0, 10)}`,
    '',
    '| row | what | ours | beside | ratio | goal | |',
    '|---|---|---|---|---|---|---|',
  ];
  for (const { name, lines: own } of results) {
    own.forEach(({ what, figure, beside, ratio, goal = '', ok }, index) => {
      const mark = ok === null ? '' : ok ? 'ok' : '**MISSED**';
      lines.push(`| ${index ? '' : name} | ${what} | ${figure} | ${beside} | ${ratio === undefined ? '' : ratio.toFixed(2)} | ${goal} | ${mark} |`);
    });
  }
  lines.push('', ...results.map(({ name, note }) => `- ${name}: ${note}.`));
  return lines.join('\n');
}

function write(table) {
  const text = fs.readFileSync(README, 'utf8');
  const parts = /^([^]*<!-- table -->\n)[^]*(<!-- end of table -->[^]*)$/.exec(text);
  if (!parts) throw new Error(`${README} has no place for the table`);
  fs.writeFileSync(README, `${parts[1]}\n${table}\n\n${parts[2]}`);
}
