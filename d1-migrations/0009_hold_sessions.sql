-- Classes: sessions with seats, each the calendar `session:<id>`, and those who wait for a place.

CREATE TABLE session (
  id TEXT PRIMARY KEY NOT NULL,
  store_id TEXT NOT NULL REFERENCES store (id),
  service_id TEXT NOT NULL REFERENCES service (id),
  technician_id TEXT NOT NULL REFERENCES technician (id),
  room_id TEXT REFERENCES resource (id),
  -- When it takes place, UTC milliseconds; and the store's business date of the start.
  start_at INTEGER NOT NULL,
  end_at INTEGER NOT NULL,
  date TEXT NOT NULL,
  -- Seats.
  capacity INTEGER NOT NULL CONSTRAINT session_capacity CHECK (capacity BETWEEN 1 AND 500),
  status TEXT NOT NULL CONSTRAINT session_status CHECK (status IN ('scheduled', 'cancelled')),
  made_by TEXT NOT NULL,
  version INTEGER NOT NULL DEFAULT 1,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL
) STRICT;
CREATE INDEX session_store ON session (store_id, start_at, id);
CREATE INDEX session_technician ON session (technician_id, start_at);
CREATE INDEX session_room ON session (room_id, start_at);

-- What a session itself takes: its technician's time, its room's.
CREATE TABLE session_claim (
  claim_id TEXT PRIMARY KEY NOT NULL,
  session_id TEXT NOT NULL REFERENCES session (id),
  store_id TEXT NOT NULL,
  calendar TEXT NOT NULL,
  start_at INTEGER NOT NULL,
  end_at INTEGER NOT NULL,
  block_start INTEGER NOT NULL,
  block_end INTEGER NOT NULL,
  quantity INTEGER NOT NULL,
  status TEXT NOT NULL CONSTRAINT session_claim_status CHECK (status IN ('live', 'cancelled'))
) STRICT;
CREATE INDEX session_claim_session ON session_claim (session_id);
CREATE INDEX session_claim_calendar ON session_claim (calendar, start_at);

-- A line that is seats in a session: its claim is in the session's calendar, and the technician's time is
-- the session's.
ALTER TABLE order_line ADD COLUMN session_id TEXT REFERENCES session (id);
ALTER TABLE order_line ADD COLUMN seats INTEGER NOT NULL DEFAULT 1
  CONSTRAINT order_line_seats CHECK (seats BETWEEN 1 AND 500);
CREATE INDEX order_line_session ON order_line (session_id, status) WHERE session_id IS NOT NULL;

-- Every claim of a line, and of a session, which has no order.
DROP VIEW claim;
CREATE VIEW claim (claim_id, calendar, order_id, line_id, store_id, start_at, end_at, block_start,
    block_end, quantity, status) AS
  SELECT claim_id, CASE WHEN session_id IS NULL THEN 'technician:' || technician_id
      ELSE 'session:' || session_id END, order_id, id, store_id, start_at, end_at, block_start,
    block_end, seats, status FROM order_line
  UNION ALL
  SELECT claim_id, calendar, order_id, line_id, store_id, start_at, end_at, block_start, block_end, quantity,
    status FROM line_claim
  UNION ALL
  SELECT claim_id, calendar, NULL, NULL, store_id, start_at, end_at, block_start, block_end, quantity,
    status FROM session_claim;

-- Who waits for a place, in the order of the ids: seats in a session, or an appointment within a range.
CREATE TABLE waitlist (
  id TEXT PRIMARY KEY NOT NULL,
  member_id TEXT NOT NULL REFERENCES member (id),
  store_id TEXT NOT NULL REFERENCES store (id),
  service_id TEXT NOT NULL REFERENCES service (id),
  session_id TEXT REFERENCES session (id),
  -- Of an appointment: this technician, or any who can.
  technician_id TEXT REFERENCES technician (id),
  -- The starts that would do, UTC milliseconds: of a session its own.
  from_at INTEGER NOT NULL,
  until_at INTEGER NOT NULL,
  seats INTEGER NOT NULL DEFAULT 1 CONSTRAINT waitlist_seats CHECK (seats BETWEEN 1 AND 500),
  status TEXT NOT NULL CONSTRAINT waitlist_status
    CHECK (status IN ('waiting', 'offered', 'booked', 'expired', 'left')),
  -- The place that is offered, as it is held: [[claim, calendar], …]; its start and technician, and until when.
  held TEXT CONSTRAINT waitlist_held CHECK (held IS NULL OR json_valid(held)),
  offer_start_at INTEGER,
  offer_technician_id TEXT,
  offer_expires_at INTEGER,
  order_id TEXT,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  CONSTRAINT waitlist_offer CHECK (status <> 'offered'
    OR (held IS NOT NULL AND offer_start_at IS NOT NULL AND offer_expires_at IS NOT NULL))
) STRICT;
-- Once in a list.
CREATE UNIQUE INDEX waitlist_once ON waitlist (member_id, session_id)
  WHERE status IN ('waiting', 'offered') AND session_id IS NOT NULL;
CREATE INDEX waitlist_session ON waitlist (session_id, status, id) WHERE session_id IS NOT NULL;
CREATE INDEX waitlist_store ON waitlist (store_id, id) WHERE status IN ('waiting', 'offered');
CREATE INDEX waitlist_seats ON waitlist (session_id, seats)
  WHERE status = 'waiting' AND session_id IS NOT NULL;
CREATE INDEX waitlist_appointments ON waitlist (id) WHERE status = 'waiting' AND session_id IS NULL;
CREATE INDEX waitlist_waiting ON waitlist (until_at) WHERE status = 'waiting';
CREATE INDEX waitlist_offers ON waitlist (offer_expires_at) WHERE status = 'offered';
CREATE INDEX waitlist_member ON waitlist (member_id, id);
