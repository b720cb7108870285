-- The visit: check-in, how far it has come, who did not come, notes, the technicians' feeds. Additive.

-- Settings ----------------------------------------------------------------------------------------

-- So long after its end an appointment with nothing due is completed by itself.
ALTER TABLE store ADD COLUMN complete_after_minutes INTEGER NOT NULL DEFAULT 30
  CONSTRAINT store_complete_after CHECK (complete_after_minutes BETWEEN 0 AND 1440);
-- So long after its start one without a check-in is a no-show by itself; NULL for never.
ALTER TABLE store ADD COLUMN no_show_after_minutes INTEGER
  CONSTRAINT store_no_show_after CHECK (no_show_after_minutes BETWEEN 5 AND 1440);
-- A member who did not come so often pays before the visit; NULL for never.
ALTER TABLE store ADD COLUMN prepay_after_no_shows INTEGER
  CONSTRAINT store_prepay_after CHECK (prepay_after_no_shows BETWEEN 1 AND 100);
-- How often a member may move an appointment; NULL for no limit.
ALTER TABLE service ADD COLUMN max_moves INTEGER
  CONSTRAINT service_max_moves CHECK (max_moves BETWEEN 0 AND 100);

-- Orders ------------------------------------------------------------------------------------------

-- As it was when the order was made.
ALTER TABLE orders ADD COLUMN max_moves INTEGER;
-- How often the member has moved it.
ALTER TABLE orders ADD COLUMN moves INTEGER NOT NULL DEFAULT 0;
-- Made when somebody first asks for it.
ALTER TABLE orders ADD COLUMN check_in_code TEXT;
ALTER TABLE orders ADD COLUMN checked_in_at INTEGER;
-- When its time was seen to be over with something due: it waits for the counter.
ALTER TABLE orders ADD COLUMN ended_at INTEGER;
CREATE UNIQUE INDEX orders_check_in_code ON orders (store_id, check_in_code)
  WHERE check_in_code IS NOT NULL AND status IN ('pending_payment', 'paid', 'confirmed', 'in_service');
-- What the jobs of the visit look at: only what is under way.
CREATE INDEX orders_under_way ON orders (start_at, id)
  WHERE ended_at IS NULL AND status IN ('confirmed', 'in_service');

ALTER TABLE order_line ADD COLUMN departed_at INTEGER;
ALTER TABLE order_line ADD COLUMN departed_latitude REAL;
ALTER TABLE order_line ADD COLUMN departed_longitude REAL;
ALTER TABLE order_line ADD COLUMN arrived_at INTEGER;
ALTER TABLE order_line ADD COLUMN arrived_latitude REAL;
ALTER TABLE order_line ADD COLUMN arrived_longitude REAL;
ALTER TABLE order_line ADD COLUMN started_at INTEGER;
ALTER TABLE order_line ADD COLUMN finished_at INTEGER;
-- What the technician notes of it; the customer does not see it.
ALTER TABLE order_line ADD COLUMN visit_note TEXT NOT NULL DEFAULT '';

-- Photos of what was done, in order.
CREATE TABLE visit_photo (
  photo_id TEXT NOT NULL REFERENCES photo (id),
  line_id TEXT NOT NULL REFERENCES order_line (id),
  position INTEGER NOT NULL,
  PRIMARY KEY (line_id, position)
) STRICT, WITHOUT ROWID;
CREATE INDEX visit_photo_photo ON visit_photo (photo_id);

-- QR codes that were shown, until they would have ended.
CREATE TABLE shown_qr (
  id TEXT PRIMARY KEY NOT NULL,
  order_id TEXT NOT NULL REFERENCES orders (id),
  expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX shown_qr_expires ON shown_qr (expires_at);

-- Wrong check-in codes that somebody of the staff has typed: one row a person, so that the count is exact.
CREATE TABLE check_in_try (
  staff_id TEXT PRIMARY KEY NOT NULL REFERENCES staff (id),
  tries INTEGER NOT NULL,
  ends_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Members -----------------------------------------------------------------------------------------

ALTER TABLE member ADD COLUMN no_shows INTEGER NOT NULL DEFAULT 0
  CONSTRAINT member_no_shows CHECK (no_shows >= 0);

-- What staff keep of a member's preferences.
CREATE TABLE member_preference (
  member_id TEXT PRIMARY KEY NOT NULL REFERENCES member (id),
  text TEXT NOT NULL,
  version INTEGER NOT NULL,
  staff_id TEXT NOT NULL REFERENCES staff (id),
  updated_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Feeds -------------------------------------------------------------------------------------------

-- SHA-256 of the secret in the address of somebody's calendar feed.
ALTER TABLE staff ADD COLUMN feed_digest TEXT;
ALTER TABLE staff ADD COLUMN feed_made_at INTEGER;
CREATE UNIQUE INDEX staff_feed ON staff (feed_digest) WHERE feed_digest IS NOT NULL;
