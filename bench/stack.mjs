// What is measured, as processes: the sandbox, our Worker and the baseline, each Worker under its own
// `wrangler dev` with the same flags, in a state folder of its own.

import { fork, spawn } from 'node:child_process';
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';

export const ROOT = path.resolve(import.meta.dirname, '..');
const READY_MS = 120_000;
const CLOCK_TICKS = 100; // a second, of /proc/<pid>/stat on every Linux that runs workerd

// What wrangler would do besides: build, fetch, and keep a trace of every request in a database of its
// own for its explorer. It is a tool of development, and would be the greater part of what is measured.
const WRANGLER_ENV = {
  ZHUNDIAN_BUILD: 'none', CLOUDFLARE_CF_FETCH_ENABLED: 'false', X_LOCAL_OBSERVABILITY: 'false', X_LOCAL_EXPLORER: 'false',
};

const started = new Set();

/** Ends everything that was started here. */
export async function stopAll() {
  await Promise.all([...started].map((one) => one.stop()));
}

export async function freePort() {
  const server = net.createServer();
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return port;
}

class Service {
  /** Starts a command in a group that ends with us, however we end (tools/leash). */
  constructor(name, command, env, log) {
    this.name = name;
    this.log = log;
    const output = fs.openSync(log, 'a');
    this.child = spawn(path.join(ROOT, 'tools/leash'), command, {
      cwd: ROOT, env: { ...process.env, ...env }, detached: true, stdio: ['pipe', output, output],
    });
    this.child.stdin.on('error', () => {});
    fs.closeSync(output);
    this.ended = new Promise((resolve) => this.child.once('exit', resolve));
    started.add(this);
  }

  async answers(url) {
    for (const deadline = Date.now() + READY_MS; Date.now() < deadline; await wait(50)) {
      if (this.child.exitCode !== null || this.child.signalCode !== null) break;
      const ok = await fetch(url, { signal: AbortSignal.timeout(5_000) }).then((answer) => answer.ok, () => false);
      if (ok) return;
    }
    throw new Error(`${this.name} does not answer at ${url}:\n${fs.readFileSync(this.log, 'utf8').slice(-4_000)}`);
  }

  async stop() {
    started.delete(this);
    const signal = (name) => {
      try {
        process.kill(-this.child.pid, name);
      } catch {
        // it is gone
      }
    };
    signal('SIGTERM');
    await Promise.race([this.ended, wait(10_000, undefined, { ref: false })]);
    signal('SIGKILL');
    await this.ended;
  }
}

/** A Worker under `wrangler dev`. */
export class Worker extends Service {
  /** @param config path of its wrangler.toml @param state its state folder */
  static async start(name, { config, state, vars, log }) {
    const port = await freePort();
    const command = ['node', 'bench/serve.mjs', config, String(port), state, vars];
    const worker = new Worker(name, command, WRANGLER_ENV, log);
    worker.port = port;
    worker.url = `http://127.0.0.1:${port}`;
    await worker.answers(`${worker.url}/healthz`);
    return worker;
  }

  /** The processes named `workerd`: the Worker's own, and that of wrangler's proxy before it. */
  workerds() {
    const found = [];
    for (const pid of fs.readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
      const [, name, rest] = /^\d+ \((.*)\) (.*)$/s.exec(readOr(`/proc/${pid}/stat`, '')) ?? [];
      const fields = rest?.split(' ');
      if (!name?.startsWith('workerd') || Number(fields[2]) !== this.child.pid) continue;
      found.push({ pid: Number(pid), ms: ((Number(fields[11]) + Number(fields[12])) * 1000) / CLOCK_TICKS });
    }
    return found;
  }

  /** Milliseconds of processor time that the Worker's own process has used: it, D1 and its objects. */
  cpu() {
    const found = this.workerds();
    // The proxy listens on the port that was asked for.
    this.own ??= found.find(({ pid }) => !readOr(`/proc/${pid}/cmdline`, '').includes(`entry=127.0.0.1:${this.port}`))?.pid;
    return found.find(({ pid }) => pid === this.own).ms;
  }

  /** Waits until what goes on after answers has come to rest. @returns how long it took, in ms */
  async settle() {
    const from = performance.now();
    const used = () => this.workerds().reduce((sum, one) => sum + one.ms, 0);
    for (let before = used(); performance.now() - from < 10_000; ) {
      await wait(200);
      const now = used();
      if (now - before <= 20) break;
      before = now;
    }
    return performance.now() - from;
  }

  /** Marks a place in the log; `linesSince` gives the request lines from there on. */
  mark() {
    return fs.statSync(this.log).size;
  }

  linesSince(mark) {
    const bytes = fs.readFileSync(this.log).subarray(mark);
    return bytes.toString().split('\n')
      .filter((line) => line.startsWith('{"') && line.includes('"event":"request"'))
      .map((line) => JSON.parse(line));
  }
}

export async function startSandbox(vars, log) {
  const port = await freePort();
  const env = { ...vars, SANDBOX_PORT: String(port) };
  const sandbox = new Service('sandbox', ['node', 'sandbox/main.mjs'], env, log);
  sandbox.port = port;
  sandbox.url = `http://127.0.0.1:${port}`;
  await sandbox.answers(`${sandbox.url}/sandbox/healthz`);
  return sandbox;
}

/** Runs a command to its end. @returns its output */
export async function run(command, env = {}) {
  const child = spawn(command[0], command.slice(1), {
    cwd: ROOT, env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  child.stdout.on('data', (chunk) => (output += chunk));
  child.stderr.on('data', (chunk) => (output += chunk));
  const status = await new Promise((resolve, reject) => child.once('close', resolve).once('error', reject));
  if (status !== 0) throw new Error(`${command.join(' ')}: status ${status}\n${output.slice(-4_000)}`);
  return output;
}

/** The load generator: one process for the whole run. */
export class Load {
  constructor() {
    this.child = fork(path.join(import.meta.dirname, 'load.mjs'), { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
    this.stop = async () => this.child.disconnect();
    started.add(this);
  }

  /** One job; see load.mjs. */
  run(job) {
    return new Promise((resolve, reject) => {
      this.child.once('message', ({ result, error }) => (error ? reject(new Error(error)) : resolve(result)));
      this.child.send(job);
    });
  }

  define(name, requests) {
    return this.run({ define: name, requests });
  }
}

function readOr(file, otherwise) {
  try {
    return fs.readFileSync(file, 'utf8');
  } catch {
    return otherwise;
  }
}
