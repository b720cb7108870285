-- Money, members, orders and catalog; who has which time is decided by the calendar objects.
-- Instants are UTC milliseconds (*_at), money is fen (*_fen), dates are the store's business dates,
-- lists that are only ever read whole are JSON. Additive changes only from here on.

-- A statement that must stop its batch inserts into this view: nothing is written, the trigger raises
-- the name of what does not hold. A precondition that is missing below raises as unknown.
CREATE VIEW precondition (name, ok) AS SELECT NULL, NULL;

CREATE TRIGGER precondition_holds INSTEAD OF INSERT ON precondition WHEN NEW.ok IS NOT 1
BEGIN
  SELECT RAISE(ABORT, 'precondition service_bookable') WHERE NEW.name = 'service_bookable';
  SELECT RAISE(ABORT, 'precondition store_open') WHERE NEW.name = 'store_open';
  SELECT RAISE(ABORT, 'precondition technician_active') WHERE NEW.name = 'technician_active';
  SELECT RAISE(ABORT, 'precondition member_active') WHERE NEW.name = 'member_active';
  SELECT RAISE(ABORT, 'precondition daily_limit') WHERE NEW.name = 'daily_limit';
  SELECT RAISE(ABORT, 'precondition order_version') WHERE NEW.name = 'order_version';
  SELECT RAISE(ABORT, 'precondition no_appointments') WHERE NEW.name = 'no_appointments';
  SELECT RAISE(ABORT, 'precondition last_owner') WHERE NEW.name = 'last_owner';
  SELECT RAISE(ABORT, 'precondition staff_version') WHERE NEW.name = 'staff_version';
  SELECT RAISE(ABORT, 'precondition member_phone') WHERE NEW.name = 'member_phone';
  SELECT RAISE(ABORT, 'precondition catalog_version') WHERE NEW.name = 'catalog_version';
  SELECT RAISE(ABORT, 'precondition stores_exist') WHERE NEW.name = 'stores_exist';
  SELECT RAISE(ABORT, 'precondition technicians_exist') WHERE NEW.name = 'technicians_exist';
  SELECT RAISE(ABORT, 'precondition photos_exist') WHERE NEW.name = 'photos_exist';
  SELECT RAISE(ABORT, 'precondition unknown');
END;

-- Catalog -----------------------------------------------------------------------------------------

CREATE TABLE store (
  id TEXT PRIMARY KEY NOT NULL,
  name TEXT NOT NULL,
  address TEXT NOT NULL,
  latitude REAL NOT NULL CONSTRAINT store_latitude CHECK (latitude BETWEEN -90 AND 90),
  longitude REAL NOT NULL CONSTRAINT store_longitude CHECK (longitude BETWEEN -180 AND 180),
  phone TEXT NOT NULL,
  time_zone TEXT NOT NULL,
  -- Seven lists of {"start": minute, "end": minute}, Monday first.
  hours TEXT NOT NULL CONSTRAINT store_hours CHECK (json_valid(hours)),
  introduction TEXT NOT NULL DEFAULT '',
  photos TEXT NOT NULL DEFAULT '[]' CONSTRAINT store_photos CHECK (json_valid(photos)),
  status TEXT NOT NULL CONSTRAINT store_status CHECK (status IN ('open', 'closed', 'retired')),
  version INTEGER NOT NULL DEFAULT 1,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL
) STRICT;
CREATE INDEX store_near ON store (latitude, longitude, id) WHERE status <> 'retired';
CREATE INDEX store_name ON store (name, id);

-- Two-character pieces of a store's name and address: a search for Chinese text of two characters
-- upwards reads the pieces' rows instead of the whole table.
CREATE TABLE store_bigram (
  bigram TEXT NOT NULL,
  store_id TEXT NOT NULL REFERENCES store (id),
  PRIMARY KEY (bigram, store_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX store_bigram_store ON store_bigram (store_id);

CREATE TABLE store_holiday (
  store_id TEXT NOT NULL REFERENCES store (id),
  date TEXT NOT NULL,
  name TEXT NOT NULL,
  PRIMARY KEY (store_id, date)
) STRICT, WITHOUT ROWID;

CREATE TABLE service (
  id TEXT PRIMARY KEY NOT NULL,
  category TEXT NOT NULL,
  name TEXT NOT NULL,
  description TEXT NOT NULL DEFAULT '',
  steps TEXT NOT NULL DEFAULT '[]' CONSTRAINT service_steps CHECK (json_valid(steps)),
  photos TEXT NOT NULL DEFAULT '[]' CONSTRAINT service_photos CHECK (json_valid(photos)),
  duration_minutes INTEGER NOT NULL CONSTRAINT service_duration CHECK (duration_minutes BETWEEN 5 AND 720),
  buffer_before_minutes INTEGER NOT NULL DEFAULT 0 CONSTRAINT service_before CHECK (buffer_before_minutes BETWEEN 0 AND 240),
  buffer_after_minutes INTEGER NOT NULL DEFAULT 0 CONSTRAINT service_after CHECK (buffer_after_minutes BETWEEN 0 AND 240),
  price_fen INTEGER NOT NULL CONSTRAINT service_price CHECK (price_fen >= 0),
  -- [["senior", 29800], …]: the levels whose price differs.
  level_prices TEXT NOT NULL DEFAULT '[]' CONSTRAINT service_level_prices CHECK (json_valid(level_prices)),
  -- {"kind": "none"} | {"kind": "fixed", "fen": n} | {"kind": "percent", "percent": n} | {"kind": "full"}
  deposit TEXT NOT NULL CONSTRAINT service_deposit CHECK (json_valid(deposit)),
  places TEXT NOT NULL CONSTRAINT service_places CHECK (json_valid(places)),
  modes TEXT NOT NULL CONSTRAINT service_modes CHECK (json_valid(modes)),
  min_notice_minutes INTEGER NOT NULL CONSTRAINT service_notice CHECK (min_notice_minutes >= 0),
  max_days_ahead INTEGER NOT NULL CONSTRAINT service_ahead CHECK (max_days_ahead BETWEEN 1 AND 90),
  -- Appointments a store and business date; NULL for no limit.
  max_per_day INTEGER CONSTRAINT service_max_per_day CHECK (max_per_day >= 1),
  -- Least minutes before the start for a member to cancel or move.
  change_notice_minutes INTEGER NOT NULL CONSTRAINT service_change_notice CHECK (change_notice_minutes >= 0),
  status TEXT NOT NULL CONSTRAINT service_status CHECK (status IN ('active', 'retired')),
  version INTEGER NOT NULL DEFAULT 1,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL
) STRICT;
CREATE INDEX service_category ON service (category, name, id);

CREATE TABLE service_store (
  service_id TEXT NOT NULL REFERENCES service (id),
  store_id TEXT NOT NULL REFERENCES store (id),
  PRIMARY KEY (service_id, store_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX service_store_store ON service_store (store_id, service_id);

CREATE TABLE service_skill (
  service_id TEXT NOT NULL REFERENCES service (id),
  skill TEXT NOT NULL,
  PRIMARY KEY (service_id, skill)
) STRICT, WITHOUT ROWID;

-- When a service names technicians, only they do it; otherwise all who have its skills.
CREATE TABLE service_technician (
  service_id TEXT NOT NULL REFERENCES service (id),
  technician_id TEXT NOT NULL REFERENCES technician (id),
  PRIMARY KEY (service_id, technician_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX service_technician_technician ON service_technician (technician_id, service_id);

CREATE TABLE technician (
  id TEXT PRIMARY KEY NOT NULL,
  name TEXT NOT NULL,
  photo TEXT,
  introduction TEXT NOT NULL DEFAULT '',
  years_experience INTEGER NOT NULL DEFAULT 0 CONSTRAINT technician_years CHECK (years_experience BETWEEN 0 AND 80),
  level TEXT NOT NULL DEFAULT '',
  -- [{"photo": id, "caption": text}, …]
  works TEXT NOT NULL DEFAULT '[]' CONSTRAINT technician_works CHECK (json_valid(works)),
  -- Customers at the same time; the calendar object's capacity.
  capacity INTEGER NOT NULL DEFAULT 1 CONSTRAINT technician_capacity CHECK (capacity BETWEEN 1 AND 500),
  status TEXT NOT NULL CONSTRAINT technician_status CHECK (status IN ('active', 'retired')),
  version INTEGER NOT NULL DEFAULT 1,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL
) STRICT;
CREATE INDEX technician_name ON technician (name, id);

CREATE TABLE technician_store (
  technician_id TEXT NOT NULL REFERENCES technician (id),
  store_id TEXT NOT NULL REFERENCES store (id),
  PRIMARY KEY (technician_id, store_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX technician_store_store ON technician_store (store_id, technician_id);

CREATE TABLE technician_skill (
  technician_id TEXT NOT NULL REFERENCES technician (id),
  skill TEXT NOT NULL,
  PRIMARY KEY (technician_id, skill)
) STRICT, WITHOUT ROWID;
CREATE INDEX technician_skill_skill ON technician_skill (skill, technician_id);

CREATE TABLE photo (
  id TEXT PRIMARY KEY NOT NULL,
  content_type TEXT NOT NULL CONSTRAINT photo_type CHECK (content_type IN ('image/jpeg', 'image/png', 'image/webp')),
  bytes INTEGER NOT NULL,
  uploaded_at INTEGER NOT NULL
) STRICT;
CREATE INDEX photo_uploaded ON photo (uploaded_at);

-- Free bits of a UTC day of a calendar in a store (288 bits of five minutes, 72 hexadecimal digits): a
-- copy that the calendar objects keep up to date. Nothing is decided from it.
CREATE TABLE calendar_day (
  store_id TEXT NOT NULL,
  day INTEGER NOT NULL,
  calendar TEXT NOT NULL,
  free TEXT NOT NULL CONSTRAINT calendar_day_free CHECK (length(free) = 72),
  version INTEGER NOT NULL,
  PRIMARY KEY (store_id, calendar, day)
) STRICT, WITHOUT ROWID;
CREATE INDEX calendar_day_day ON calendar_day (day);

-- People ------------------------------------------------------------------------------------------

CREATE TABLE member (
  id TEXT PRIMARY KEY NOT NULL,
  openid TEXT,
  unionid TEXT,
  phone TEXT,
  nickname TEXT NOT NULL DEFAULT '',
  avatar TEXT,
  gender TEXT CONSTRAINT member_gender CHECK (gender IN ('female', 'male', 'other')),
  birthday TEXT,
  token_version INTEGER NOT NULL DEFAULT 0,
  -- A member who turned out to be the same person as another is merged into them.
  status TEXT NOT NULL DEFAULT 'active' CONSTRAINT member_status CHECK (status IN ('active', 'merged')),
  merged_into TEXT REFERENCES member (id),
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX member_openid ON member (openid) WHERE openid IS NOT NULL;
CREATE UNIQUE INDEX member_phone ON member (phone) WHERE phone IS NOT NULL;
-- Which photos are somebody's avatar.
CREATE INDEX member_avatar ON member (avatar) WHERE avatar IS NOT NULL;

CREATE TABLE staff (
  id TEXT PRIMARY KEY NOT NULL,
  phone TEXT NOT NULL,
  name TEXT NOT NULL,
  technician_id TEXT REFERENCES technician (id),
  token_version INTEGER NOT NULL DEFAULT 0,
  status TEXT NOT NULL DEFAULT 'active' CONSTRAINT staff_status CHECK (status IN ('active', 'retired')),
  version INTEGER NOT NULL DEFAULT 1,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL
) STRICT;
-- Somebody who comes back after having left is a new row.
CREATE UNIQUE INDEX staff_phone ON staff (phone) WHERE status = 'active';

CREATE TABLE staff_grant (
  staff_id TEXT NOT NULL REFERENCES staff (id),
  role TEXT NOT NULL CONSTRAINT staff_grant_role CHECK (role IN ('owner', 'manager', 'cashier', 'technician')),
  -- NULL for all stores.
  store_id TEXT REFERENCES store (id)
) STRICT;
CREATE UNIQUE INDEX staff_grant_once ON staff_grant (staff_id, role, coalesce(store_id, ''));
CREATE INDEX staff_grant_store ON staff_grant (store_id);

-- One-time codes: one row a phone and audience, so that one a minute and ten a day are exact.
CREATE TABLE sign_in_code (
  audience TEXT NOT NULL CONSTRAINT sign_in_code_audience CHECK (audience IN ('member', 'staff')),
  phone TEXT NOT NULL,
  -- A keyed digest of audience, phone and code; NULL once used.
  digest TEXT,
  expires_at INTEGER NOT NULL,
  tries INTEGER NOT NULL,
  sent_at INTEGER NOT NULL,
  -- Beijing date of the count.
  day TEXT NOT NULL,
  sent_today INTEGER NOT NULL,
  PRIMARY KEY (audience, phone)
) STRICT, WITHOUT ROWID;
CREATE INDEX sign_in_code_sent ON sign_in_code (sent_at);

-- WeChat's access token, shared by all isolates.
CREATE TABLE provider_token (
  provider TEXT PRIMARY KEY NOT NULL,
  token TEXT NOT NULL,
  expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Orders ------------------------------------------------------------------------------------------

CREATE TABLE orders (
  id TEXT PRIMARY KEY NOT NULL,
  -- NULL for somebody who walked in or called.
  member_id TEXT REFERENCES member (id),
  store_id TEXT NOT NULL REFERENCES store (id),
  service_id TEXT NOT NULL REFERENCES service (id),
  status TEXT NOT NULL CONSTRAINT orders_status CHECK (status IN ('created', 'pending_payment', 'paid', 'confirmed',
    'in_service', 'completed', 'cancelled', 'no_show', 'closed')),
  mode TEXT NOT NULL,
  payment TEXT NOT NULL,
  total_fen INTEGER NOT NULL CONSTRAINT orders_total CHECK (total_fen >= 0),
  due_fen INTEGER NOT NULL CONSTRAINT orders_due CHECK (due_fen BETWEEN 0 AND total_fen),
  price_parts TEXT NOT NULL CONSTRAINT orders_parts CHECK (json_valid(price_parts)),
  -- The rule by which the member may cancel or move, as it was when the order was made.
  change_notice_minutes INTEGER NOT NULL,
  contact_name TEXT NOT NULL DEFAULT '',
  contact_phone TEXT NOT NULL DEFAULT '',
  note TEXT NOT NULL DEFAULT '',
  -- Of the first appointment: what lists are filtered and ordered by.
  technician_id TEXT NOT NULL REFERENCES technician (id),
  start_at INTEGER NOT NULL,
  version INTEGER NOT NULL DEFAULT 1,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL
) STRICT;
CREATE INDEX orders_member ON orders (member_id, start_at, id);
CREATE INDEX orders_member_status ON orders (member_id, status, start_at, id);
CREATE INDEX orders_store ON orders (store_id, start_at, id);
CREATE INDEX orders_store_status ON orders (store_id, status, start_at, id);
CREATE INDEX orders_technician ON orders (technician_id, start_at, id);

CREATE TABLE order_line (
  id TEXT PRIMARY KEY NOT NULL,
  order_id TEXT NOT NULL REFERENCES orders (id),
  kind TEXT NOT NULL,
  store_id TEXT NOT NULL REFERENCES store (id),
  service_id TEXT NOT NULL REFERENCES service (id),
  technician_id TEXT NOT NULL REFERENCES technician (id),
  -- The claim in the technician's calendar; another one after each move.
  claim_id TEXT NOT NULL CONSTRAINT order_line_claim UNIQUE,
  start_at INTEGER NOT NULL,
  end_at INTEGER NOT NULL CONSTRAINT order_line_end CHECK (end_at > start_at),
  block_start INTEGER NOT NULL,
  block_end INTEGER NOT NULL,
  -- The store's business date of the start.
  date TEXT NOT NULL,
  status TEXT NOT NULL CONSTRAINT order_line_status CHECK (status IN ('live', 'cancelled')),
  price_fen INTEGER NOT NULL CONSTRAINT order_line_price CHECK (price_fen >= 0),
  version INTEGER NOT NULL DEFAULT 1
) STRICT;
CREATE INDEX order_line_order ON order_line (order_id);
CREATE INDEX order_line_store ON order_line (store_id, start_at);
CREATE INDEX order_line_technician ON order_line (technician_id, start_at);
-- Counts of the day: the most per day of a service, the load of a technician.
CREATE INDEX order_line_service_day ON order_line (service_id, store_id, date) WHERE status = 'live';
CREATE INDEX order_line_technician_day ON order_line (technician_id, date) WHERE status = 'live';

-- What happened to an order, by whom.
CREATE TABLE order_event (
  id TEXT PRIMARY KEY NOT NULL,
  order_id TEXT NOT NULL REFERENCES orders (id),
  at INTEGER NOT NULL,
  kind TEXT NOT NULL,
  actor_kind TEXT NOT NULL CONSTRAINT order_event_actor CHECK (actor_kind IN ('member', 'staff', 'system')),
  actor_id TEXT,
  detail TEXT NOT NULL DEFAULT '{}' CONSTRAINT order_event_detail CHECK (json_valid(detail))
) STRICT;
CREATE INDEX order_event_order ON order_event (order_id, id);

-- Time that staff block in a technician's calendar.
CREATE TABLE block (
  id TEXT PRIMARY KEY NOT NULL,
  technician_id TEXT NOT NULL REFERENCES technician (id),
  store_id TEXT NOT NULL REFERENCES store (id),
  start_at INTEGER NOT NULL,
  end_at INTEGER NOT NULL CONSTRAINT block_end CHECK (end_at > start_at),
  reason TEXT NOT NULL DEFAULT '',
  status TEXT NOT NULL CONSTRAINT block_status CHECK (status IN ('live', 'removed')),
  made_by TEXT NOT NULL REFERENCES staff (id),
  created_at INTEGER NOT NULL
) STRICT;
CREATE INDEX block_store ON block (store_id, start_at);
CREATE INDEX block_technician ON block (technician_id, start_at);

-- Machinery ---------------------------------------------------------------------------------------

-- The answer to a request that takes time or money, written in the batch of its effect.
CREATE TABLE idempotency (
  actor TEXT NOT NULL,
  key TEXT NOT NULL,
  request_hash TEXT NOT NULL,
  status INTEGER NOT NULL,
  response TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  PRIMARY KEY (actor, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX idempotency_created ON idempotency (created_at);

CREATE TABLE outbox (
  id TEXT PRIMARY KEY NOT NULL,
  topic TEXT NOT NULL,
  payload TEXT NOT NULL CONSTRAINT outbox_payload CHECK (json_valid(payload)),
  due_at INTEGER NOT NULL,
  attempts INTEGER NOT NULL DEFAULT 0,
  lease_until INTEGER NOT NULL DEFAULT 0,
  last_error TEXT,
  dead INTEGER NOT NULL DEFAULT 0 CONSTRAINT outbox_dead CHECK (dead IN (0, 1)),
  created_at INTEGER NOT NULL
) STRICT;
CREATE INDEX outbox_due ON outbox (dead, due_at);

-- What jobs have done, one row a job.
CREATE TABLE job (
  name TEXT PRIMARY KEY NOT NULL,
  -- How far the job has come; its meaning is the job's own.
  watermark TEXT NOT NULL DEFAULT '',
  started_at INTEGER NOT NULL DEFAULT 0,
  finished_at INTEGER NOT NULL DEFAULT 0,
  outcome TEXT NOT NULL DEFAULT '',
  runs INTEGER NOT NULL DEFAULT 0,
  failures INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;

-- What the audit found, counted: should stay at zero.
CREATE TABLE drift (
  kind TEXT PRIMARY KEY NOT NULL,
  count INTEGER NOT NULL DEFAULT 0,
  last_at INTEGER NOT NULL,
  last_detail TEXT NOT NULL
) STRICT, WITHOUT ROWID;
