// The world that is measured: one merchant with a store of 20 technicians whose coming week is rather
// full, a store of 50 whose calendars are empty, and one of 20 who go to their customers' homes. Catalog, working windows and the week's claims are
// made through the API, so that D1 and the calendar objects agree; members are rows, so that signing in
// is not what takes the time; past orders are rows too, for a million of them.

import { createHmac, randomBytes } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { DatabaseSync } from 'node:sqlite';

import { Client, signInStaff } from '../tools/client.mjs';
import { keyVars, PAYMENT_NUMBERS, paymentUrls } from '../tools/payment-vars.mjs';
import { ROOT, run, startSandbox, Worker } from './stack.mjs';

export const BUSY = { technicians: 20, days: 7, claims: 1_800 };
export const QUIET = { technicians: 50, days: 35 };
export const ROUNDS = { technicians: 20, days: 7, starts: ['10:30', '12:30', '14:30', '16:30', '18:30'] };
const STORE = { latitude: 31.2243, longitude: 121.4461 };
const MEMBERS = 1_200; // a member may make 60 bookings a minute
const OPEN = { start: '10:00', end: '22:00' };
const CLAIM_MINUTES = 30; // 24 places a technician and day
const ASKED_MINUTES = 60; // what a customer looks for in the busy store
const FIRST_DAY_AHEAD = 2;
const OWNER_PHONE = '13800000000';
const DAY_MS = 86_400_000;
const CHINA_MS = 8 * 3_600_000;

/** Numbers that look random and are the same in every run. */
export function chance(seed) {
  let state = seed >>> 0;
  return () => {
    // mulberry32
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

function shuffled(list, random) {
  for (let at = list.length - 1; at > 0; at--) {
    const other = Math.floor(random() * (at + 1));
    [list[at], list[other]] = [list[other], list[at]];
  }
  return list;
}

/** UUIDv7 of an instant, as 32 hexadecimal digits. */
export function idAt(ms) {
  const random = randomBytes(9).toString('hex');
  return `${ms.toString(16).padStart(12, '0')}7${random.slice(0, 3)}8${random.slice(3, 18)}`;
}

const shanghaiDate = (ms) => new Date(ms + CHINA_MS).toISOString().slice(0, 10);

export class World {
  /** @param folder everything is kept in it */
  constructor(folder) {
    this.folder = folder;
    this.state = path.join(folder, 'seeded');
    this.varsFile = path.join(folder, 'vars.env');
    this.key = randomBytes(32);
    this.vars = {
      ENVIRONMENT: 'development',
      TOKEN_KEYS: `bench:${this.key.toString('base64url')}`,
      WECHAT_APPID: `wx${randomBytes(8).toString('hex')}`,
      WECHAT_SECRET: randomBytes(16).toString('hex'),
      SMS_SECRET_ID: `AKID${randomBytes(16).toString('hex')}`,
      SMS_SECRET_KEY: randomBytes(16).toString('hex'),
      SMS_SDK_APP_ID: '1400000001',
      SMS_SIGN_NAME: '准点',
      SMS_CODE_TEMPLATE: '1000001',
      SMS_MESSAGES: 'lost=1000002 store start',
      OWNER_PHONE,
      HOLD_MINUTES: '15',
      WAITLIST_OFFER_MINUTES: '15',
      INTAKE_KEEP_DAYS: '365',
      ...PAYMENT_NUMBERS,
    };
    this.today = Date.now();
    this.firstDate = shanghaiDate(this.today + FIRST_DAY_AHEAD * DAY_MS);
  }

  /**
   * Our wrangler.toml as it is measured: built already, and without the page at /docs, for the local
   * stand-in for static assets would put two Workers of wrangler's own before every request of the API.
   */
  writeConfig() {
    const text = fs.readFileSync(path.join(ROOT, 'wrangler.toml'), 'utf8');
    this.config = path.join(this.folder, 'wrangler.toml');
    fs.writeFileSync(this.config, text
      .replace(/^\[(build|assets)\]\n(?:(?!\[).*\n)*/gm, '')
      .replace(/^main = "(.*)"/m, (_, main) => `main = "${path.join(ROOT, main)}"`)
      .replace(/^migrations_dir = "(.*)"/m, (_, folder) => `migrations_dir = "${path.join(ROOT, folder)}"`));
  }

  log(name) {
    return path.join(this.folder, `${name}.log`);
  }

  /** Makes the world; the Worker is stopped again at the end. @returns what was made, in one line */
  async make(load) {
    this.writeConfig();
    await run(['wrangler', 'd1', 'migrations', 'apply', 'zhundian', '--local', '--config', this.config,
      '--persist-to', this.state]);
    this.makeMembers();
    Object.assign(this.vars, keyVars(path.join(this.folder, 'keys')));
    const sandbox = await startSandbox(this.vars, this.log('sandbox'));
    Object.assign(this.vars, { WECHAT_BASE_URL: sandbox.url, SMS_BASE_URL: sandbox.url, ...paymentUrls(sandbox.url) });
    fs.writeFileSync(this.varsFile, Object.entries(this.vars).map(([name, value]) => `${name}=${value}\n`).join(''));
    const worker = await this.start('seed', this.state);
    this.owner = await signInStaff(new Client({ api: worker.url, sandbox: sandbox.url }), OWNER_PHONE);
    await this.makeCatalog();
    await this.takeClaims(load, worker);
    await this.takeRounds(load, worker);
    await worker.settle();
    await worker.stop();
    this.sandbox = sandbox; // the payment vendor of the rows that need one
    this.plan();
    return `${this.busy.technicians.length} + ${this.quiet.technicians.length} technicians, ${BUSY.claims} claims, ${MEMBERS} members`;
  }

  /** Starts our Worker on a state folder. */
  start(name, state) {
    return Worker.start(name, { config: this.config, state, vars: this.varsFile, log: this.log(name) });
  }

  /** Starts the baseline on a copy of our database, which nobody has open. */
  async startBaseline(ours) {
    const state = path.join(this.folder, 'baseline');
    await run(['wrangler', 'd1', 'execute', 'zhundian', '--local', '--config', 'bench/baseline/wrangler.toml',
      '--persist-to', state, '--command', 'SELECT 1']);
    const [from, to] = [databaseFile(ours), databaseFile(state)];
    for (const end of ['', '-wal', '-shm']) fs.rmSync(to + end, { force: true });
    fs.copyFileSync(from, to);
    return Worker.start('baseline', {
      config: 'bench/baseline/wrangler.toml', state, vars: this.varsFile, log: this.log('baseline'),
    });
  }

  makeMembers() {
    const db = open(this.state);
    const insert = db.prepare(`INSERT INTO member (id, openid, phone, nickname, created_at, updated_at)
      VALUES (?, ?, ?, ?, ?, ?)`);
    db.exec('BEGIN');
    this.members = Array.from({ length: MEMBERS }, (_, index) => {
      const id = idAt(this.today - index);
      insert.run(id, `bench-${index}`, `139${String(index).padStart(8, '0')}`, `顾客${index}`, this.today, this.today);
      return { id, openid: `bench-${index}`, token: this.token(id) };
    });
    db.exec('COMMIT');
    close(db);
  }

  /** As src/auth/token.rs makes them. */
  token(member) {
    const part = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');
    const now = Math.floor(this.today / 1000);
    const claims = { sub: member, aud: 'member', iat: now, exp: now + 86_400, ver: 0 };
    const signed = `${part({ alg: 'HS256', kid: 'bench', typ: 'JWT' })}.${part(claims)}`;
    return `${signed}.${createHmac('sha256', this.key).update(signed).digest('base64url')}`;
  }

  async makeCatalog() {
    const days = ['monday', 'tuesday', 'wednesday', 'thursday', 'friday', 'saturday', 'sunday'];
    const week = Object.fromEntries(days.map((day) => [day, [OPEN]]));
    const store = async (name, technicians, more = {}) => {
      const { id } = await this.owner.must(201, 'POST', '/api/v1/admin/stores', {
        name, address: '上海市静安区南京西路 1601 号', ...STORE,
        phone: '13900000001', hours: week, status: 'open', ...more,
      });
      const made = [];
      for (let index = 0; index < technicians; index++) {
        const technician = await this.owner.must(201, 'POST', '/api/v1/admin/technicians', {
          name: `技师${index}`, stores: [id],
        });
        await this.owner.must(200, 'PUT', `/api/v1/admin/technicians/${technician.id}/windows/weekly`, {
          store_id: id, valid_from: shanghaiDate(this.today), week,
        });
        made.push(technician.id);
      }
      return { id, technicians: made };
    };
    this.busy = await store('繁忙店', BUSY.technicians);
    this.quiet = await store('清静店', QUIET.technicians);
    this.rounds = await store('上门店', ROUNDS.technicians, {
      home_service: {
        area: { kind: 'radius', metres: 20_000 }, fees: [{ up_to_metres: 20_000, fee_fen: 2_000 }],
        speeds: [{ up_to_metres: 3_000, metres_per_minute: 250 }, { up_to_metres: 20_000, metres_per_minute: 500 }],
        handover_minutes: 5,
      },
    });
    const service = async (name, duration_minutes) => {
      const { id } = await this.owner.must(201, 'POST', '/api/v1/admin/services', {
        category: '推拿', name, duration_minutes, price_fen: 19_800, deposit: { kind: 'none' },
        places: ['store', 'home'], modes: ['direct'], min_notice_minutes: 0, max_days_ahead: 60,
        change_notice_minutes: 60, stores: [this.busy.id, this.quiet.id, this.rounds.id],
      });
      return id;
    };
    this.claimed = await service('肩颈舒缓', CLAIM_MINUTES);
    this.asked = await service('全身推拿', ASKED_MINUTES);
  }

  /** Every place of a store's days from the first one (or `after` days later), in a random order that is always the same. */
  places(store, days, seed, after = 0) {
    const first = Date.parse(`${this.firstDate}T00:00:00Z`) + after * DAY_MS;
    const [open, close] = [OPEN.start, OPEN.end].map((time) => Number(time.slice(0, 2)) * 60);
    const all = [];
    for (let day = 0; day < days; day++) {
      for (let minute = open; minute < close; minute += CLAIM_MINUTES) {
        const local = new Date(first + day * DAY_MS + minute * 60_000).toISOString().slice(0, 19);
        for (const technician of store.technicians) all.push({ technician, start_at: `${local}+08:00` });
      }
    }
    return shuffled(all, chance(seed));
  }

  /** The request that books a place; `index` says which member asks, and makes the key. */
  booking(store, place, index, path = '/api/v1/bookings') {
    const member = this.members[index % this.members.length];
    return {
      method: 'POST',
      path,
      headers: { authorization: `Bearer ${member.token}`, 'idempotency-key': `bench-${randomBytes(9).toString('hex')}` },
      body: JSON.stringify({
        store_id: store.id, service_id: this.claimed, technician_id: place.technician,
        start_at: place.start_at, mode: 'direct', payment: 'at_store',
      }),
    };
  }

  async takeClaims(load, worker) {
    const places = this.places(this.busy, BUSY.days, 1).slice(0, BUSY.claims);
    await load.define('claims', places.map((place, index) => this.booking(this.busy, place, index)));
    const done = await load.run({ port: worker.port, list: 'claims', connections: 8, seconds: 120, want: 201 });
    if (done.statuses[201] !== BUSY.claims) {
      throw new Error(`seeding: ${JSON.stringify(done.statuses)} ${done.others.join('\n')}`);
    }
  }

  /** Every technician who goes to homes has three visits a day, and two customers in the store between them. */
  async takeRounds(load, worker) {
    const random = chance(3);
    const first = Date.parse(`${this.firstDate}T00:00:00Z`);
    const requests = [];
    for (const technician_id of this.rounds.technicians) {
      for (let day = 0; day < ROUNDS.days; day++) {
        const date = new Date(first + day * DAY_MS).toISOString().slice(0, 10);
        ROUNDS.starts.forEach((start, index) => {
          const near = (degrees) => degrees + (random() - 0.5) * 0.08; // 4 km or so each way
          const home = {
            place: 'home',
            address: { text: '江宁路 1 号', latitude: near(STORE.latitude), longitude: near(STORE.longitude) },
          };
          requests.push({
            method: 'POST',
            path: '/api/v1/staff/bookings',
            headers: { authorization: `Bearer ${this.owner.token}`, 'idempotency-key': `bench-${randomBytes(9).toString('hex')}` },
            body: JSON.stringify({
              store_id: this.rounds.id, service_id: this.claimed, technician_id, start_at: `${date}T${start}:00+08:00`,
              contact_name: '林女士', contact_phone: '13900001111', ...(index % 2 === 0 ? home : {}),
            }),
          });
        });
      }
    }
    await load.define('rounds', requests);
    const done = await load.run({ port: worker.port, list: 'rounds', connections: 8, seconds: 120, want: 201 });
    if (done.statuses[201] !== requests.length) {
      throw new Error(`seeding: ${JSON.stringify(done.statuses)} ${done.others.join('\n')}`);
    }
    this.roundsClaims = requests.length;
  }

  /** What the rows need to know of the database that was made. */
  plan() {
    const day = Date.parse(`${this.firstDate}T00:00:00Z`) / DAY_MS;
    // The days that src/booking/queries.rs reads for these dates.
    const [first, last] = [day - 1, day + BUSY.days + 1];
    const db = open(this.state);
    const { rows } = db.prepare(
      'SELECT count(*) AS rows FROM calendar_day WHERE store_id = ? AND day BETWEEN ? AND ?',
    ).get(this.busy.id, first, last);
    const { claims } = db.prepare('SELECT count(*) AS claims FROM order_line WHERE store_id = ?').get(this.busy.id);
    close(db);
    if (claims !== BUSY.claims) throw new Error(`seeding: ${claims} claims`);
    this.dayRows = { first, last, rows };
    const places = this.places(this.quiet, QUIET.days, 2);
    // Kept back for single slots.
    this.singles = places.splice(0, 100);
    this.free = places;
  }

  roundsPath(home) {
    const path = `/api/v1/availability?store_id=${this.rounds.id}&service_id=${this.asked}&from=${this.firstDate}&days=${ROUNDS.days}`;
    return home ? `${path}&place=home&latitude=31.2301&longitude=121.4502` : path;
  }

  availabilityPath() {
    return `/api/v1/availability?store_id=${this.busy.id}&service_id=${this.asked}&from=${this.firstDate}&days=${BUSY.days}`;
  }

  baselineAvailabilityPath(bytes) {
    const { first, last, rows } = this.dayRows;
    return `/availability?store_id=${this.busy.id}&first_day=${first}&last_day=${last}&rows=${rows}&bytes=${bytes}`;
  }

  /**
   * A copy of the seeded state with `count` past orders in it: over three years, both stores, every
   * technician, and a member for every fifty. The first 20 members have up to a thousand of them each.
   * @returns its state folder
   */
  withPastOrders(count) {
    const state = path.join(this.folder, `past-${count}`);
    fs.cpSync(this.state, state, { recursive: true });
    const db = open(state, { enableForeignKeyConstraints: false });
    db.exec('PRAGMA journal_mode = DELETE; PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA cache_size = -200000');
    // Indexes are made anew at the end: sorting once is quicker than finding a place a million times.
    const indexes = db.prepare(`SELECT name, sql FROM sqlite_master
      WHERE type = 'index' AND tbl_name IN ('orders', 'order_line', 'order_event') AND sql IS NOT NULL`).all();
    for (const { name } of indexes) db.exec(`DROP INDEX ${name}`);
    db.exec('BEGIN');
    this.insertPast(db, count);
    db.exec('COMMIT');
    for (const { sql } of indexes) db.exec(sql);
    const { orders } = db.prepare('SELECT count(*) AS orders FROM orders WHERE start_at < ?').get(this.today);
    if (orders !== count) throw new Error(`past orders: ${orders} of ${count}`);
    db.exec('PRAGMA journal_mode = WAL');
    close(db);
    return state;
  }

  insertPast(db, count) {
    const random = chance(3);
    const pick = (list) => list[Math.floor(random() * list.length)];
    const heavy = this.heavyMembers();
    // Each the same number of orders, at the smallest size too: more than a page.
    const every = Math.max(2, Math.ceil(count / (heavy.length * 1_000)));
    const member = db.prepare('INSERT INTO member (id, phone, nickname, created_at, updated_at) VALUES (?, ?, ?, ?, ?)');
    const order = db.prepare(`INSERT INTO orders (id, member_id, store_id, service_id, status, mode, payment, total_fen,
        due_fen, price_parts, change_notice_minutes, contact_name, contact_phone, note, technician_id, start_at,
        version, created_at, updated_at)
      VALUES (?, ?, ?, ?, ?, 'direct', 'at_store', 19800, 0, '[{"kind":"service","fen":19800}]', 60, ?, ?, ?, ?, ?, ?, ?, ?)`);
    const line = db.prepare(`INSERT INTO order_line (id, order_id, kind, store_id, service_id, technician_id, claim_id,
        start_at, end_at, block_start, block_end, date, status, price_fen)
      VALUES (?, ?, 'appointment', ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 19800)`);
    const event = db.prepare(`INSERT INTO order_event (id, order_id, at, kind, actor_kind, actor_id, detail)
      VALUES (?, ?, ?, ?, 'member', ?, ?)`);
    const oldest = this.today - 3 * 365 * DAY_MS;
    const others = Array.from({ length: Math.ceil(count / 50) }, (_, index) => {
      const id = idAt(oldest + index);
      member.run(id, `137${String(index).padStart(8, '0')}`, `老顾客${index}`, oldest, oldest);
      return { id };
    });
    const step = (this.today - 10 * DAY_MS - oldest) / count;
    for (let index = 0; index < count; index++) {
      const made = Math.floor(oldest + index * step);
      const date = shanghaiDate(made + Math.floor(random() * 7 * DAY_MS));
      const start = Date.parse(`${date}T${OPEN.start}:00+08:00`) + Math.floor(random() * 23) * CLAIM_MINUTES * 60_000;
      const end = start + CLAIM_MINUTES * 60_000;
      const store = random() < 0.3 ? this.busy : this.quiet;
      const technician = pick(store.technicians);
      const who = index % every === 0 ? heavy[(index / every) % heavy.length] : pick(others);
      const cancelled = random() < 0.08;
      const [orderId, lineId] = [idAt(made), idAt(made)];
      order.run(orderId, who.id, store.id, this.claimed, cancelled ? 'cancelled' : 'completed', `顾客${index % 997}`,
        `139${String(index % 99_999_999).padStart(8, '0')}`, random() < 0.2 ? '请安排安静的位置,谢谢' : '', technician, start,
        cancelled ? 2 : 1, made, made);
      line.run(lineId, orderId, store.id, this.claimed, technician, lineId, start, end, start, end, date,
        cancelled ? 'cancelled' : 'live');
      event.run(idAt(made), orderId, made, 'booked', who.id, JSON.stringify({ start_at: start, technician_id: technician }));
      if (cancelled) event.run(idAt(made + 3_600_000), orderId, made + 3_600_000, 'cancelled', who.id, '{}');
    }
  }

  heavyMembers() {
    return this.members.slice(0, 20);
  }
}

/** The file of the D1 database in a state folder. */
export function databaseFile(state) {
  const folder = path.join(state, 'v3/d1/miniflare-D1DatabaseObject');
  const files = fs.readdirSync(folder).filter((name) => /^[0-9a-f]+\.sqlite$/.test(name));
  if (files.length !== 1) throw new Error(`${folder}: ${files.length} databases`);
  return path.join(folder, files[0]);
}

export function open(state, options = {}) {
  return new DatabaseSync(databaseFile(state), options);
}

/** Everything into the one file, so that it can be copied. */
export function close(db) {
  db.exec('PRAGMA wal_checkpoint(TRUNCATE)');
  db.close();
}
