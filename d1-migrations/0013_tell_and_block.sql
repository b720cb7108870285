-- Technicians are asked, orders offered and proposals made by messages, too; news of several sessions is told
-- once. Rooms and equipment are blocked as technicians' time is.

-- As before, with three more kinds and the number of sessions; nothing refers to it.
CREATE TABLE reminder_new (
  id TEXT PRIMARY KEY NOT NULL,
  kind TEXT NOT NULL CONSTRAINT reminder_kind CHECK (kind IN ('booked', 'changed', 'cancelled', 'before',
    'no_show', 'lost', 'waitlist_offer', 'plan', 'asked', 'offered', 'proposal')),
  -- `customer` or `technician:<id>`.
  recipient TEXT NOT NULL,
  -- Whose appointment it is of; NULL when it is of none.
  order_id TEXT REFERENCES orders (id),
  -- The order's line, or the id of what else it is of: a class, an entry of the waitlist, a wish.
  subject TEXT NOT NULL,
  -- The customer, when there is no order to say.
  member_id TEXT REFERENCES member (id),
  store_id TEXT NOT NULL REFERENCES store (id),
  service_id TEXT REFERENCES service (id),
  technician_id TEXT REFERENCES technician (id),
  -- What it speaks of; NULL when it speaks of no time.
  start_at INTEGER,
  lead_minutes INTEGER NOT NULL DEFAULT 0,
  -- Of news the order's or class's version, of what comes before a visit its start: once each.
  occasion INTEGER NOT NULL,
  due_at INTEGER NOT NULL,
  expires_at INTEGER NOT NULL,
  at_once INTEGER NOT NULL DEFAULT 0 CONSTRAINT reminder_at_once CHECK (at_once IN (0, 1)),
  -- Of how many sessions it is news; it names the first.
  sessions INTEGER NOT NULL DEFAULT 1 CONSTRAINT reminder_sessions CHECK (sessions >= 1),
  state TEXT NOT NULL DEFAULT 'pending' CONSTRAINT reminder_state CHECK (state IN ('pending', 'sending', 'sent',
    'skipped', 'failed', 'unknown')),
  channel TEXT CONSTRAINT reminder_channel CHECK (channel IN ('wechat', 'sms')),
  -- Why it was not sent, or not by WeChat.
  reason TEXT,
  -- Whether WeChat has refused it: then it goes by SMS.
  wechat_refused INTEGER NOT NULL DEFAULT 0 CONSTRAINT reminder_refused CHECK (wechat_refused IN (0, 1)),
  attempts INTEGER NOT NULL DEFAULT 0,
  claimed_at INTEGER,
  done_at INTEGER,
  created_at INTEGER NOT NULL
) STRICT;
INSERT INTO reminder_new (id, kind, recipient, order_id, subject, member_id, store_id, service_id, technician_id,
    start_at, lead_minutes, occasion, due_at, expires_at, at_once, state, channel, reason, wechat_refused,
    attempts, claimed_at, done_at, created_at)
  SELECT id, kind, recipient, order_id, subject, member_id, store_id, service_id, technician_id, start_at,
    lead_minutes, occasion, due_at, expires_at, at_once, state, channel, reason, wechat_refused, attempts,
    claimed_at, done_at, created_at FROM reminder;
DROP TABLE reminder;
ALTER TABLE reminder_new RENAME TO reminder;
CREATE UNIQUE INDEX reminder_once ON reminder (subject, kind, recipient, lead_minutes, occasion);
CREATE INDEX reminder_due ON reminder (state, due_at);
CREATE INDEX reminder_order ON reminder (order_id, due_at, id) WHERE order_id IS NOT NULL;

-- Time that staff block in a calendar: a technician's, a room's or a piece of equipment's.
CREATE TABLE block_new (
  id TEXT PRIMARY KEY NOT NULL,
  technician_id TEXT REFERENCES technician (id),
  resource_id TEXT REFERENCES resource (id),
  store_id TEXT NOT NULL REFERENCES store (id),
  start_at INTEGER NOT NULL,
  end_at INTEGER NOT NULL CONSTRAINT block_end CHECK (end_at > start_at),
  reason TEXT NOT NULL DEFAULT '',
  status TEXT NOT NULL CONSTRAINT block_status CHECK (status IN ('live', 'removed')),
  made_by TEXT NOT NULL REFERENCES staff (id),
  created_at INTEGER NOT NULL,
  CONSTRAINT block_whose CHECK ((technician_id IS NULL) <> (resource_id IS NULL))
) STRICT;
INSERT INTO block_new (id, technician_id, store_id, start_at, end_at, reason, status, made_by, created_at)
  SELECT id, technician_id, store_id, start_at, end_at, reason, status, made_by, created_at FROM block;
DROP TABLE block;
ALTER TABLE block_new RENAME TO block;
CREATE INDEX block_store ON block (store_id, start_at);
CREATE INDEX block_technician ON block (technician_id, start_at) WHERE technician_id IS NOT NULL;
CREATE INDEX block_resource ON block (resource_id, start_at) WHERE resource_id IS NOT NULL;
