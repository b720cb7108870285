// The load generator, in a process of its own: keep-alive HTTP/1.1 over plain sockets, so that it takes
// as little of the processor as it can from what it measures. bench/run.mjs sends it one job at a time.
//
// A job is a closed loop: each connection sends its next request when the answer to the last one has
// come whole. Either one request is repeated, or each of a list is sent once, in order.

import net from 'node:net';

const DRAIN_MS = 20_000;
const KEEP_BODIES = 5; // of answers with another status than the one wanted
const HEAD_END = Buffer.from('\r\n\r\n');
const lists = new Map();

/**
 * @param job.port where
 * @param job.connections how many
 * @param job.seconds how long; or until the list is at its end
 * @param job.most how many requests at most
 * @param job.want the status wanted
 * @param job.request {method, path, headers, body}, repeated; or
 * @param job.list the name of a list of such, each sent once, of which the first `from` are left out
 */
async function run(job) {
  const texts = job.request ? null : lists.get(job.list);
  const repeated = job.request ? encode(job.request) : null;
  const state = {
    port: job.port, want: job.want, next: job.from ?? 0, statuses: {}, others: [], bytes: 0,
    latencies: [], running: 0, until: 0, lastBytes: 0,
  };
  let left = job.most ?? Infinity;
  state.take = () => {
    if (left-- <= 0) return null;
    if (repeated) return repeated;
    return state.next < texts.length ? encode(texts[state.next++]) : null;
  };
  const connections = [];
  for (let index = 0; index < job.connections; index++) connections.push(await connect(state));
  const started = performance.now();
  state.until = started + job.seconds * 1000;
  await new Promise((resolve, reject) => {
    state.failed = reject;
    state.finished = resolve;
    const late = setTimeout(() => reject(new Error('no answer')), job.seconds * 1000 + DRAIN_MS);
    late.unref();
    for (const connection of connections) connection.send();
  });
  for (const connection of connections) connection.socket.destroy();
  // What came after the end counts as answered, but not in the rate.
  const seconds = Math.min(performance.now(), state.until) - started;
  const latencies = Float64Array.from(state.latencies).sort();
  const within = (share) => latencies[Math.min(latencies.length - 1, Math.floor(latencies.length * share))] ?? 0;
  return {
    answered: latencies.length,
    rate: latencies.length / (seconds / 1000),
    p50: within(0.5),
    p99: within(0.99),
    statuses: state.statuses,
    others: state.others,
    bytes: state.lastBytes,
    next: state.next,
    ranOut: texts !== null && left > 0 && state.next >= texts.length,
  };
}

function encode({ method = 'GET', path, headers = {}, body = '' }) {
  let head = `${method} ${path} HTTP/1.1\r\nHost: 127.0.0.1\r\n`;
  for (const [name, value] of Object.entries(headers)) head += `${name}: ${value}\r\n`;
  if (method !== 'GET') head += `content-type: application/json\r\ncontent-length: ${Buffer.byteLength(body)}\r\n`;
  return Buffer.from(`${head}\r\n${body}`);
}

async function connect(state) {
  const socket = net.connect(state.port, '127.0.0.1');
  socket.setNoDelay(true);
  await new Promise((resolve, reject) => socket.once('connect', resolve).once('error', reject));
  const connection = { socket, sentAt: 0, busy: false };
  const reader = new AnswerReader((status, body, bytes) => {
    const now = performance.now();
    connection.busy = false;
    state.running -= 1;
    state.statuses[status] = (state.statuses[status] ?? 0) + 1;
    if (status === state.want) state.lastBytes = bytes;
    else if (state.others.length < KEEP_BODIES) state.others.push(`${status} ${body}`);
    if (now <= state.until) state.latencies.push(now - connection.sentAt);
    connection.send();
  }, state.want);
  socket.on('data', (chunk) => reader.feed(chunk));
  socket.on('error', (error) => state.failed(error));
  socket.on('close', () => connection.busy && state.failed(new Error('a connection was closed before its answer')));
  connection.send = () => {
    const bytes = performance.now() < state.until ? state.take() : null;
    if (bytes) {
      connection.busy = true;
      state.running += 1;
      connection.sentAt = performance.now();
      socket.write(bytes);
    } else if (state.running === 0) {
      state.finished();
    }
  };
  return connection;
}

/** Reads one answer after the other; keeps the bodies of those that were not wanted. */
class AnswerReader {
  constructor(onAnswer, want) {
    this.onAnswer = onAnswer;
    this.want = want;
    this.start();
  }

  start() {
    this.mode = 'head';
    this.pending = null; // bytes of a head or of a chunk's size that are not whole yet
    this.kept = [];
    this.bytes = 0;
  }

  feed(chunk) {
    let at = 0;
    while (at < chunk.length) at = this[this.mode](chunk, at);
  }

  head(chunk, at) {
    const data = this.pending ? Buffer.concat([this.pending, chunk.subarray(at)]) : chunk.subarray(at);
    const end = data.indexOf(HEAD_END);
    if (end < 0) {
      this.pending = data;
      return chunk.length;
    }
    const before = this.pending?.length ?? 0;
    const text = data.latin1Slice(0, end).toLowerCase();
    this.pending = null;
    this.status = Number(text.slice(9, 12));
    const length = /\r\ncontent-length: *(\d+)/.exec(text);
    if (length) {
      this.left = Number(length[1]);
      this.mode = 'body';
    } else if (text.includes('\r\ntransfer-encoding: chunked')) {
      this.mode = 'size';
    } else {
      this.left = 0;
      this.mode = 'body';
    }
    const next = at + end + 4 - before;
    if (this.mode === 'body' && this.left === 0) this.done();
    return next;
  }

  body(chunk, at) {
    const end = Math.min(chunk.length, at + this.left);
    this.keep(chunk, at, end);
    this.left -= end - at;
    if (this.left === 0) this.done();
    return end;
  }

  size(chunk, at) {
    const data = this.pending ? Buffer.concat([this.pending, chunk.subarray(at)]) : chunk.subarray(at);
    const end = data.indexOf('\r\n');
    if (end < 0) {
      this.pending = data;
      return chunk.length;
    }
    const before = this.pending?.length ?? 0;
    this.pending = null;
    this.left = Number.parseInt(data.latin1Slice(0, end), 16);
    this.mode = this.left === 0 ? 'trailer' : 'part';
    this.tail = 2;
    return at + end + 2 - before;
  }

  part(chunk, at) {
    const end = Math.min(chunk.length, at + this.left);
    this.keep(chunk, at, end);
    this.left -= end - at;
    if (this.left === 0) this.mode = 'partEnd';
    return end;
  }

  partEnd(chunk, at) {
    const end = Math.min(chunk.length, at + this.tail);
    this.tail -= end - at;
    if (this.tail === 0) this.mode = 'size';
    return end;
  }

  trailer(chunk, at) {
    const end = Math.min(chunk.length, at + this.tail);
    this.tail -= end - at;
    if (this.tail === 0) this.done();
    return end;
  }

  keep(chunk, from, until) {
    this.bytes += until - from;
    if (this.status !== this.want && this.bytes < 4096) this.kept.push(Buffer.from(chunk.subarray(from, until)));
  }

  done() {
    const { status, bytes } = this;
    const body = this.kept.length > 0 ? Buffer.concat(this.kept).toString() : '';
    this.start();
    this.onAnswer(status, body, bytes);
  }
}

process.on('message', async (message) => {
  try {
    if (message.define) lists.set(message.define, message.requests);
    process.send({ result: message.define ? null : await run(message) });
  } catch (error) {
    process.send({ error: error.stack });
  }
});
process.on('disconnect', () => process.exit(0));
