// `make dev`: builds, migrates, starts the sandbox and the Worker, fills a new state folder with demo
// data, and says how to sign in. It ends with Ctrl-C, and everything that it started ends with it.
//
// Variables: PORT, SANDBOX_PORT, STATE (folder). Runs with other values live side by side.

import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';

import { Client, play, urls } from './client.mjs';
import { isDue } from './cron.mjs';
import { makeDemoData } from './demo-data.mjs';
import { keyVars, PAYMENT_NUMBERS, PAYMENT_SECRETS, paymentUrls, sandboxVars } from './payment-vars.mjs';

const PORT = port('PORT', 8787);
const SANDBOX_PORT = port('SANDBOX_PORT', 8788);
const STATE = path.resolve(process.env.STATE || '.state');
const VARS_FILE = path.join(STATE, 'vars.env');
const KEYS = path.join(STATE, 'keys');
const READY_MS = 120_000;
const STOP_MS = 5_000;

const where = urls({ PORT, SANDBOX_PORT });
const running = new Map(); // name -> child process, each the leader of its own group
let stopping = false;

/** Thrown for what the person who started us can put right; shown without a stack. */
class Trouble extends Error {}

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => stop(0, signal));

main().catch((error) => {
  if (stopping) return;
  console.error(`\ndev: ${error instanceof Trouble ? error.message : error.stack}`);
  stop(1);
});

async function main() {
  const started = performance.now();
  await portIsFree('PORT', PORT);
  await portIsFree('SANDBOX_PORT', SANDBOX_PORT);
  fs.mkdirSync(STATE, { recursive: true });
  takeStateFolder();
  const vars = writeVars();
  const env = { ...process.env, ...vars, ZHUNDIAN_BUILD: 'dev', CLOUDFLARE_CF_FETCH_ENABLED: 'false' };
  const persist = ['--persist-to', path.join(STATE, 'worker')];

  await step('building the Worker (profile edge-dev)', () => run('build', ['tools/build'], env));
  await step('D1 migrations', () =>
    run('migrations', ['wrangler', 'd1', 'migrations', 'apply', 'zhundian', '--local', ...persist], env));
  await step(`the sandbox on port ${SANDBOX_PORT}`, async () => {
    start('sandbox', ['node', 'sandbox/main.mjs'], { ...sandboxVars(env), SANDBOX_PORT: String(SANDBOX_PORT) });
    await answers('sandbox', `${where.sandbox}/sandbox/healthz`);
  });
  await step(`the Worker on port ${PORT}`, async () => {
    start('worker', [
      'wrangler', 'dev', '--local', '--ip', '127.0.0.1', '--port', String(PORT), '--inspector-port', '0',
      ...persist, '--env-file', VARS_FILE, ...PAYMENT_SECRETS.flatMap((name) => ['--var', `${name}:${vars[name]}`]),
      '--show-interactive-dev-session=false',
    ], env);
    await answers('worker', `${where.api}/healthz`);
  });
  const owner = await demoData(vars.OWNER_PHONE);
  runCrons();
  await tellHowToSignIn(vars.OWNER_PHONE, owner);
  console.log(`\nReady after ${seconds(started)}. A change to a Rust file is built at once. Ctrl-C ends everything.\n`);
  for (const name of running.keys()) follow(name);
}

async function step(what, work) {
  const started = performance.now();
  process.stdout.write(`dev: ${what} … `);
  try {
    const note = await work();
    console.log(`${seconds(started)}${note ? `, ${note}` : ''}`);
  } catch (error) {
    if (!stopping) console.log('failed');
    throw error;
  }
}

const seconds = (since) => `${((performance.now() - since) / 1000).toFixed(1)} s`;

// Settings -------------------------------------------------------------------------------------------

function port(name, standard) {
  const value = Number(process.env[name] || standard);
  if (Number.isInteger(value) && value > 0 && value < 65_536) return value;
  console.error(`dev: ${name} is no port number: ${process.env[name]}`);
  process.exit(2);
}

function portIsFree(name, number) {
  return new Promise((resolve, reject) => {
    const server = net.createServer();
    server.once('error', () => reject(new Trouble(`port ${number} is in use; choose another: make dev ${name}=…`)));
    server.listen(number, '127.0.0.1', () => server.close(resolve));
  });
}

/** Two Workers on one state folder would spoil it for each other. */
function takeStateFolder() {
  const file = path.join(STATE, 'pid');
  const pid = Number(readOr(file, '0'));
  if (pid && isOneOfUs(pid)) throw new Trouble(`${STATE} is in use by process ${pid}; choose another: make dev STATE=…`);
  fs.writeFileSync(file, `${process.pid}\n`);
  process.on('exit', () => fs.rmSync(file, { force: true }));
}

/** A number that is left in the file may belong to another program by now. */
function isOneOfUs(pid) {
  try {
    process.kill(pid, 0);
  } catch (error) {
    if (error.code !== 'EPERM') return false;
  }
  return readOr(`/proc/${pid}/cmdline`, 'tools/dev.mjs').includes('tools/dev.mjs');
}

/**
 * Variables and secrets of this state folder, for the Worker and the sandbox alike. Secrets are made up
 * at the first start; what the file says later on, also by hand, stays, but for the addresses and what
 * follows from the payment keys: those are what is in their folder.
 */
function writeVars() {
  const kept = Object.fromEntries(
    readOr(VARS_FILE, '')
      .split('\n')
      .map((line) => /^([A-Z0-9_]+)=(.*)$/.exec(line))
      .filter(Boolean)
      .map(([, name, value]) => [name, value]),
  );
  const secret = () => randomBytes(16).toString('hex');
  const vars = {
    ENVIRONMENT: 'development',
    TOKEN_KEYS: `dev:${randomBytes(32).toString('base64url')}`,
    WECHAT_APPID: `wx${randomBytes(8).toString('hex')}`,
    WECHAT_SECRET: secret(),
    SMS_SECRET_ID: `AKID${secret()}`,
    SMS_SECRET_KEY: secret(),
    SMS_SDK_APP_ID: '1400000001',
    SMS_SIGN_NAME: '准点',
    SMS_CODE_TEMPLATE: '1000001',
    ...messageVars(),
    OWNER_PHONE: '13800000000',
    ...PAYMENT_NUMBERS,
    HOLD_MINUTES: '15',
    WAITLIST_OFFER_MINUTES: '15',
    INTAKE_KEEP_DAYS: '365',
    SANDBOX_SPEED: '60', // a notification that was refused comes again after a quarter of a second
    ...kept,
    ...keyVars(KEYS, kept.ALIPAY_MODE),
    PUBLIC_URL: where.api,
    WECHAT_BASE_URL: where.sandbox,
    SMS_BASE_URL: where.sandbox,
    ...paymentUrls(where.sandbox),
  };
  const text = Object.entries(vars).map(([name, value]) => `${name}=${value}\n`).join('');
  fs.writeFileSync(`${VARS_FILE}.new`, text, { mode: 0o600 });
  fs.renameSync(`${VARS_FILE}.new`, VARS_FILE);
  return vars;
}

/** What is told in development: everything, by templates that the sandbox takes. */
function messageVars() {
  const kinds = ['booked', 'changed', 'cancelled', 'before', 'no_show', 'waitlist_offer', 'plan', 'proposal'];
  const sms = kinds.map((kind, at) => `${kind}=${1000003 + at} store start service`);
  const theirs = ['booked', 'changed', 'cancelled', 'before', 'asked', 'offered'];
  const toTechnicians = theirs.map((kind, at) => `technician.${kind}=${1000020 + at} customer start service`);
  const wechat = kinds.map((kind) => `${kind}=${devTemplate(kind)} thing1=service date2=start thing3=store`);
  return {
    SMS_MESSAGES: ['lost=1000002 store start', ...sms, ...toTechnicians].join('; '),
    WECHAT_MESSAGES: wechat.join('; '),
    WECHAT_ORDER_PAGE: 'pages/order/detail?id=',
    QUIET_HOURS: '22:00-08:00',
  };
}

/** As long as WeChat's are. */
const devTemplate = (kind) => `dev-${kind}`.padEnd(43, '-');

function readOr(file, otherwise) {
  try {
    return fs.readFileSync(file, 'utf8');
  } catch {
    return otherwise;
  }
}

// Processes ------------------------------------------------------------------------------------------

/** Starts a command whose output goes to `STATE/<name>.log`, in a group that does not outlive us. */
function launch(name, command, env) {
  const log = fs.openSync(path.join(STATE, `${name}.log`), 'w');
  // Our end of its standard input is the leash: when we die, it closes.
  const child = spawn('tools/leash', command, { env, detached: true, stdio: ['pipe', log, log] });
  child.stdin.on('error', () => {});
  fs.closeSync(log);
  running.set(name, child);
  child.once('exit', () => running.delete(name));
  return child;
}

/** A command that ends. The leash ends with it, killed, and has noted how in the log. */
async function run(name, command, env) {
  const child = launch(name, command, env);
  await new Promise((resolve, reject) => child.once('exit', resolve).once('error', reject));
  const log = readOr(path.join(STATE, `${name}.log`), '');
  if (/^leash: .* ended with status 0$/m.test(log)) return;
  throw new Trouble(`${command.join(' ')} failed:\n${tail(log)}`);
}

/** A command that must not end. */
function start(name, command, env) {
  const child = launch(name, command, env);
  child.once('exit', () => {
    if (stopping) return;
    const log = readOr(path.join(STATE, `${name}.log`), '');
    console.error(`\ndev: the ${name} ended by itself:\n${tail(log)}`);
    stop(1);
  });
}

const tail = (log) => log.trimEnd().split('\n').slice(-40).join('\n');

async function answers(name, url) {
  for (const deadline = Date.now() + READY_MS; Date.now() < deadline; await wait(50)) {
    if (stopping) throw new Trouble('stopped');
    const ok = await fetch(url, { signal: AbortSignal.timeout(5_000) }).then((response) => response.ok, () => false);
    if (ok) return;
  }
  throw new Trouble(`the ${name} did not answer at ${url}:\n${tail(readOr(path.join(STATE, `${name}.log`), ''))}`);
}

/** Shows what a log gets from now on. */
function follow(name) {
  const file = path.join(STATE, `${name}.log`);
  let at = fs.statSync(file).size;
  let rest = '';
  setInterval(() => {
    const size = fs.statSync(file).size;
    if (size <= at) return;
    const handle = fs.openSync(file, 'r');
    const buffer = Buffer.alloc(size - at);
    fs.readSync(handle, buffer, 0, buffer.length, at);
    fs.closeSync(handle);
    at = size;
    const lines = (rest + buffer.toString()).split('\n');
    rest = lines.pop();
    for (const line of lines) if (line.trim()) console.log(`${name} | ${line}`);
  }, 200).unref();
}

async function stop(status, why) {
  if (stopping) return;
  stopping = true;
  if (why) console.log(`\ndev: ${why}: ending everything`);
  const signal = (name) => {
    for (const child of running.values()) {
      try {
        process.kill(-child.pid, name);
      } catch {
        // it is gone
      }
    }
  };
  signal('SIGTERM');
  for (const deadline = Date.now() + STOP_MS; running.size > 0 && Date.now() < deadline; ) await wait(20);
  signal('SIGKILL');
  for (const deadline = Date.now() + STOP_MS; running.size > 0 && Date.now() < deadline; ) await wait(20);
  process.exit(status);
}

// After the start ------------------------------------------------------------------------------------

/** @returns the owner's token when demo data has just been made */
async function demoData(ownerPhone) {
  const done = path.join(STATE, 'demo-data');
  if (fs.existsSync(done)) return undefined;
  let owner;
  try {
    await step('demo data for the new state folder', async () => {
      const { token, note } = await makeDemoData(new Client(where), ownerPhone);
      owner = token;
      return note;
    });
    fs.writeFileSync(done, `${new Date().toISOString()}\n`);
  } catch (error) {
    if (stopping) throw error;
    // What is there is still of use; the next start tries again.
    console.error(`dev: WARNING: ${error.message}`);
  }
  return owner;
}

/** The local runtime does not run crons by itself. */
function runCrons() {
  const [, list] = /^crons = \[(.*)\]$/m.exec(fs.readFileSync('wrangler.toml', 'utf8'));
  const crons = [...list.matchAll(/"([^"]+)"/g)].map(([, cron]) => cron);
  const tick = async () => {
    const now = new Date();
    for (const cron of crons.filter((one) => isDue(one, now))) {
      const url = `${where.api}/cdn-cgi/local/scheduled?cron=${encodeURIComponent(cron)}&time=${now.getTime()}&format=json`;
      await fetch(url, { signal: AbortSignal.timeout(60_000) }).catch((error) => {
        if (!stopping) console.error(`dev: cron ${cron}: ${error.message}`);
      });
    }
  };
  const next = () => setTimeout(() => (tick(), next()), 60_000 - (Date.now() % 60_000)).unref();
  next();
}

async function tellHowToSignIn(ownerPhone, ownerToken) {
  const { api, sandbox } = where;
  const { code } = await play(where, '/login', { openid: 'demo-customer' });
  const json = `-H 'content-type: application/json'`;
  console.log(`
  API      ${api}/api/v1        (document: ${api}/openapi.json)
  Docs     ${api}/docs
  Sandbox  ${sandbox}/sandbox   (sandbox/README.md)
  State    ${STATE}   (logs, database, secrets; delete it to begin anew)

Sign in as a customer (a login code is good once, for five minutes):
  curl ${api}/api/v1/auth/wechat ${json} -d '{"code":"${code}"}'
  curl ${sandbox}/sandbox/login -d '{"openid":"demo-customer"}'      # another code

Sign in as the owner, phone ${ownerPhone} (one code a minute):
  curl ${api}/api/v1/staff/auth/code ${json} -d '{"phone":"${ownerPhone}"}'
  curl '${sandbox}/sandbox/messages?to=${ownerPhone}'                # the code is in params
  curl ${api}/api/v1/staff/auth/token ${json} -d '{"phone":"${ownerPhone}","code":"…"}'`);
  if (ownerToken) console.log(`or use the token that the demo data was made with:\n  ${ownerToken}`);
  console.log('\nA booking told step by step: make demo (in another terminal, with the same variables).');
}
