-- What customers and technicians are told, and the consents of WeChat's subscribe messages.

-- Minutes before the visit, each with a message of its own: domain/src/reminder.rs.
ALTER TABLE service ADD COLUMN reminder_minutes TEXT NOT NULL DEFAULT '[1440,60]'
  CONSTRAINT service_reminder_minutes CHECK (json_valid(reminder_minutes));

-- One row for one message to one person, written in the batch of the change that it follows from. It is
-- `sending` from before it leaves until its outcome is known; one that stays so ends as `unknown` and
-- is never sent again.
CREATE TABLE reminder (
  id TEXT PRIMARY KEY NOT NULL,
  kind TEXT NOT NULL CONSTRAINT reminder_kind CHECK (kind IN ('booked', 'changed', 'cancelled', 'before',
    'no_show', 'lost', 'waitlist_offer', 'plan')),
  -- `customer` or `technician:<id>`.
  recipient TEXT NOT NULL,
  -- Whose appointment it is of; NULL when it is of none.
  order_id TEXT REFERENCES orders (id),
  -- The order's line, or the id of what else it is of.
  subject TEXT NOT NULL,
  -- The customer, when there is no order to say.
  member_id TEXT REFERENCES member (id),
  store_id TEXT NOT NULL REFERENCES store (id),
  service_id TEXT REFERENCES service (id),
  technician_id TEXT REFERENCES technician (id),
  -- What it speaks of; NULL when it speaks of no time.
  start_at INTEGER,
  lead_minutes INTEGER NOT NULL DEFAULT 0,
  -- Of news the order's version, of what comes before a visit its start: once each.
  occasion INTEGER NOT NULL,
  due_at INTEGER NOT NULL,
  expires_at INTEGER NOT NULL,
  at_once INTEGER NOT NULL DEFAULT 0 CONSTRAINT reminder_at_once CHECK (at_once IN (0, 1)),
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
CREATE UNIQUE INDEX reminder_once ON reminder (subject, kind, recipient, lead_minutes, occasion);
CREATE INDEX reminder_due ON reminder (state, due_at);
CREATE INDEX reminder_order ON reminder (order_id, due_at, id) WHERE order_id IS NOT NULL;

-- Consents that members have given to templates and that are not used up: one for one message.
CREATE TABLE message_consent (
  member_id TEXT NOT NULL REFERENCES member (id),
  template_id TEXT NOT NULL,
  balance INTEGER NOT NULL CONSTRAINT message_consent_balance CHECK (balance >= 0),
  updated_at INTEGER NOT NULL,
  PRIMARY KEY (member_id, template_id)
) STRICT, WITHOUT ROWID;

-- A technician's telephone is in the row of the staff that they are.
CREATE INDEX staff_technician ON staff (technician_id) WHERE technician_id IS NOT NULL;
