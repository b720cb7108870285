// Delivers the payment vendors' notifications, again and again on the vendor's schedule until the merchant
// accepts, and misbehaves on demand: loses, delays, repeats and reorders.
//
// A notice is `{order, kind, url, schedule, build, accepted}`: `schedule` are the vendor's gaps in
// milliseconds, `build()` gives fresh `{headers, body}` for each attempt, `accepted({status, body})` is what
// the vendor takes for a yes.

import { request as httpRequest } from 'node:http';

import { record } from './ledger.mjs';

/** How long a merchant has to answer, headers and body. */
export const ANSWER_MS = 5_000;
/** Held notifications are let go after this long, when those they wait for do not come. */
export const HOLD_MS = 2_000;
/** Deliveries under way at a time. */
const MAX_UNDER_WAY = 32;
/** Notices whose last bytes are kept for a replay. */
const MAX_KEPT = 10_000;

/** The most of an answer that is read. */
const MAX_ANSWER_BYTES = 64 * 1024;

/** The sandbox talks to this machine only: a notification to anywhere else is not sent. */
const LOOPBACK_URL = /^http:\/\/(127\.\d+\.\d+\.\d+|localhost|\[::1\])(:\d+)?(\/|$)/;

export const NORMAL = Object.freeze({ lose: 0, delay_ms: 0, repeat: 0, reorder: 0 });

export class Notifier {
  #now;
  #sleep;
  #speed;
  #chaos;
  #answerMs;
  #mode = { ...NORMAL };
  #held = [];
  #slots = new Slots(MAX_UNDER_WAY);
  #lastSent = new Map(); // order -> the last genuine request
  #stop = new AbortController();

  /** @param world speed: the vendors' schedules run this many times faster */
  constructor({ now, sleep, speed, chaos, answerMs = ANSWER_MS }) {
    this.#now = now;
    this.#sleep = sleep;
    this.#speed = speed;
    this.#chaos = chaos;
    this.#answerMs = answerMs;
  }

  /** Changes the fields given. `reorder` under the number held lets them go. */
  setMode(changes) {
    Object.assign(this.#mode, changes);
    if (this.#held.length >= this.#mode.reorder) this.#release();
    return this.describe();
  }

  describe() {
    return { ...this.#mode, held: this.#held.length };
  }

  /** Nothing is sent any more, and nobody waits for it. */
  stop() {
    this.#stop.abort();
  }

  /**
   * @param make gives the notice, with an id of its own each time it is called
   * @param how `once`; `lost`: its first attempt; `twice`: as two notifications, with two ids; `never`
   */
  send(make, how = 'once') {
    if (how === 'never') return;
    const notices = how === 'twice' ? [make(), make()] : [make()];
    for (let again = 0; again < this.#mode.repeat; again += 1) notices.push(notices[0]);
    for (const notice of notices) {
      this.#keepSending(notice, how === 'lost').catch((error) => {
        console.error(`sandbox: notification about ${notice.order.out_trade_no}: ${error.stack}`);
      });
    }
  }

  /** Sends a request as it is, once, whoever made it up. @returns `{status, body}`, or `{error}` */
  async sendOnce(url, { headers, body }) {
    if (!LOOPBACK_URL.test(url)) return { error: 'not an http address on this machine' };
    await this.#slots.take();
    try {
      return await post(url, headers, body, AbortSignal.any([AbortSignal.timeout(this.#answerMs), this.#stop.signal]));
    } catch (error) {
      return { error: error.code === 'ABORT_ERR' ? 'timeout' : (error.code ?? error.name) };
    } finally {
      this.#slots.give();
    }
  }

  /** The last genuine request about an order, byte for byte, or undefined. */
  lastSent(order) {
    return this.#lastSent.get(order);
  }

  async #keepSending(notice, loseFirst) {
    for (let attempt = 1; attempt <= notice.schedule.length + 1; attempt += 1) {
      if (attempt > 1) await this.#sleep(notice.schedule[attempt - 2] / this.#speed, this.#stop.signal);
      if (this.#stop.signal.aborted) return;
      if (await this.#attempt(notice, attempt, loseFirst && attempt === 1)) return;
    }
  }

  /** @returns whether the vendor is done with this notice */
  async #attempt(notice, attempt, lose) {
    const trouble = this.#chaos.notification();
    if (lose || this.#lose() || trouble?.kind === 'lose') {
      this.#record(notice, attempt, { outcome: 'lost' });
      return false;
    }
    const delay = this.#mode.delay_ms + (trouble?.kind === 'delay' ? trouble.delay_ms : 0);
    if (delay > 0) await this.#sleep(delay, this.#stop.signal);
    if (this.#stop.signal.aborted) return true;
    const done = await this.#inTurn(() => this.#deliver(notice, attempt), trouble?.kind === 'reorder');
    if (trouble?.kind === 'repeat') await this.#deliver(notice, attempt);
    return done;
  }

  #lose() {
    if (this.#mode.lose === 0) return false;
    this.#mode.lose -= 1;
    return true;
  }

  async #deliver(notice, attempt) {
    const request = notice.build();
    this.#lastSent.delete(notice.order);
    this.#lastSent.set(notice.order, { url: notice.url, ...request });
    if (this.#lastSent.size > MAX_KEPT) this.#lastSent.delete(this.#lastSent.keys().next().value);

    const answer = await this.sendOnce(notice.url, request);
    if (answer.error) {
      this.#record(notice, attempt, { outcome: 'failed', error: answer.error });
      return false;
    }
    const accepted = notice.accepted(answer);
    this.#record(notice, attempt, { outcome: accepted ? 'accepted' : 'refused', status: answer.status });
    return accepted;
  }

  #record({ order, kind }, attempt, what) {
    record(order, { kind, attempt, at: this.#now(), ...what });
  }

  /** Runs `act` now, or, while reordering, when as many wait as asked for: the last one first. */
  #inTurn(act, random) {
    if (this.#mode.reorder === 0 && !random && this.#held.length === 0) return act();
    if (this.#mode.reorder === 0 && !random) {
      // One that chaos holds back goes right after this one.
      return act().finally(() => this.#release());
    }
    const turn = new Promise((resolve, reject) => {
      this.#held.push(() => act().then(resolve, reject));
    });
    if (this.#mode.reorder > 0 && this.#held.length >= this.#mode.reorder) {
      this.#mode.reorder = 0;
      this.#release();
    } else if (random) {
      this.#sleep(HOLD_MS, this.#stop.signal).then(() => this.#release());
    }
    return turn;
  }

  async #release() {
    const held = this.#held.splice(0);
    for (const send of held.reverse()) await send();
  }
}

/** On a connection of its own: one kept from before a restart of the merchant would fail for no reason. */
function post(url, headers, body, signal) {
  return new Promise((resolve, reject) => {
    const length = { 'content-length': Buffer.byteLength(body) };
    const request = httpRequest(url, { method: 'POST', agent: false, headers: { ...headers, ...length }, signal });
    request.on('error', reject);
    request.on('response', (response) => {
      const chunks = [];
      let size = 0;
      response.on('data', (chunk) => {
        size += chunk.length;
        if (size <= MAX_ANSWER_BYTES) chunks.push(chunk);
      });
      response.on('error', reject);
      response.on('end', () => resolve({ status: response.statusCode, body: Buffer.concat(chunks).toString() }));
    });
    request.end(body);
  });
}

/** So many at a time, the others in line. */
class Slots {
  #free;
  #line = [];

  constructor(count) {
    this.#free = count;
  }

  take() {
    if (this.#free > 0) {
      this.#free -= 1;
      return Promise.resolve();
    }
    return new Promise((resolve) => this.#line.push(resolve));
  }

  give() {
    const next = this.#line.shift();
    if (next) next();
    else this.#free += 1;
  }
}
