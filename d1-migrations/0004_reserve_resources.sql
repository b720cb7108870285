-- Rooms, equipment and a store's capacity as calendars of their own, claimed together with the technician.

-- What does not hold stops the batch by its own name, whichever it is.
DROP TRIGGER precondition_holds;
CREATE TRIGGER precondition_holds INSTEAD OF INSERT ON precondition WHEN NEW.ok IS NOT 1
BEGIN
  SELECT RAISE(ABORT, 'precondition ' || NEW.name);
END;

-- A room or a piece of equipment: the calendar `room:<id>`.
CREATE TABLE resource (
  id TEXT PRIMARY KEY NOT NULL,
  store_id TEXT NOT NULL REFERENCES store (id),
  kind TEXT NOT NULL CONSTRAINT resource_kind CHECK (kind IN ('room', 'equipment')),
  -- Which ones serve alike: a service asks for any of a type, or for one by its id.
  type TEXT NOT NULL,
  name TEXT NOT NULL,
  -- Customers at the same time.
  capacity INTEGER NOT NULL DEFAULT 1 CONSTRAINT resource_capacity CHECK (capacity BETWEEN 1 AND 500),
  status TEXT NOT NULL CONSTRAINT resource_status CHECK (status IN ('active', 'retired')),
  version INTEGER NOT NULL DEFAULT 1,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL
) STRICT;
CREATE INDEX resource_store ON resource (store_id, type, name, id);

-- [{"type": "massage room"}, {"resource_id": id}, …]: what a service takes besides a technician.
ALTER TABLE service ADD COLUMN resources TEXT NOT NULL DEFAULT '[]'
  CONSTRAINT service_resources CHECK (json_valid(resources));
-- Minutes from the start on, and how many, in which a treatment works by itself and the technician is
-- free for somebody else; NULL for none.
ALTER TABLE service ADD COLUMN processing_after_minutes INTEGER;
ALTER TABLE service ADD COLUMN processing_minutes INTEGER
  CONSTRAINT service_processing CHECK ((processing_minutes IS NULL) = (processing_after_minutes IS NULL));

-- Appointments that a store has room for at once: the calendar `store:<id>`; NULL for no limit.
ALTER TABLE store ADD COLUMN capacity INTEGER
  CONSTRAINT store_capacity CHECK (capacity BETWEEN 1 AND 500);

-- The claims of a line besides the first of its technician, which stands in order_line.
CREATE TABLE line_claim (
  claim_id TEXT PRIMARY KEY NOT NULL,
  line_id TEXT NOT NULL REFERENCES order_line (id),
  order_id TEXT NOT NULL,
  store_id TEXT NOT NULL,
  calendar TEXT NOT NULL,
  -- Service time and block, UTC milliseconds.
  start_at INTEGER NOT NULL,
  end_at INTEGER NOT NULL,
  block_start INTEGER NOT NULL,
  block_end INTEGER NOT NULL,
  quantity INTEGER NOT NULL DEFAULT 1,
  status TEXT NOT NULL CONSTRAINT line_claim_status CHECK (status IN ('live', 'cancelled'))
) STRICT;
CREATE INDEX line_claim_order ON line_claim (order_id);
CREATE INDEX line_claim_line ON line_claim (line_id);
CREATE INDEX line_claim_calendar ON line_claim (calendar, start_at);

-- An order may not know yet which service and technician it will have. SQLite counts the rows that point
-- to an order as it is dropped, and takes them off the count as it is written again.
PRAGMA defer_foreign_keys = true;
CREATE TABLE orders_kept AS SELECT * FROM orders;
DROP TABLE orders;
CREATE TABLE orders (
  id TEXT PRIMARY KEY NOT NULL,
  -- NULL for somebody who walked in or called.
  member_id TEXT REFERENCES member (id),
  store_id TEXT NOT NULL REFERENCES store (id),
  -- Of the first appointment: what lists are filtered and ordered by. NULL until there is one; `start_at`
  -- is then the earliest that the customer wished for.
  service_id TEXT REFERENCES service (id),
  technician_id TEXT REFERENCES technician (id),
  start_at INTEGER NOT NULL,
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
  -- Until when the time is held for payment; NULL when nothing was due at once.
  hold_expires_at INTEGER,
  -- What comes back when it is given up, as it was when the order was made: domain/src/cancellation.rs.
  cancellation TEXT NOT NULL DEFAULT '[{"until_minutes_before":0,"refund_percent":100}]'
    CONSTRAINT orders_cancellation CHECK (json_valid(cancellation)),
  version INTEGER NOT NULL DEFAULT 1,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL
) STRICT;
INSERT INTO orders (id, member_id, store_id, service_id, technician_id, start_at, status, mode, payment,
    total_fen, due_fen, price_parts, change_notice_minutes, contact_name, contact_phone, note,
    hold_expires_at, cancellation, version, created_at, updated_at)
  SELECT id, member_id, store_id, service_id, technician_id, start_at, status, mode, payment,
    total_fen, due_fen, price_parts, change_notice_minutes, contact_name, contact_phone, note,
    hold_expires_at, cancellation, version, created_at, updated_at FROM orders_kept;
DROP TABLE orders_kept;
CREATE INDEX orders_member ON orders (member_id, start_at, id);
CREATE INDEX orders_member_status ON orders (member_id, status, start_at, id);
CREATE INDEX orders_store ON orders (store_id, start_at, id);
CREATE INDEX orders_store_status ON orders (store_id, status, start_at, id);
CREATE INDEX orders_technician ON orders (technician_id, start_at, id);
CREATE INDEX orders_unpaid ON orders (hold_expires_at) WHERE status = 'pending_payment';
CREATE INDEX orders_unconfirmed ON orders (updated_at) WHERE status = 'paid';

-- Every claim that a line has in a calendar.
CREATE VIEW claim (claim_id, calendar, order_id, line_id, store_id, start_at, end_at, block_start,
    block_end, quantity, status) AS
  SELECT claim_id, 'technician:' || technician_id, order_id, id, store_id, start_at, end_at, block_start,
    block_end, 1, status FROM order_line
  UNION ALL
  SELECT claim_id, calendar, order_id, line_id, store_id, start_at, end_at, block_start, block_end, quantity,
    status FROM line_claim;
