-- Service plans: staff book a member's sessions ahead, each an order of its own with its line and claims.
-- Additive.

-- What HQ has turned on: {"plans": true} is the whole of it so far. One row.
CREATE TABLE feature (
  one INTEGER PRIMARY KEY CONSTRAINT feature_one CHECK (one = 1),
  plans INTEGER NOT NULL DEFAULT 0 CONSTRAINT feature_plans CHECK (plans IN (0, 1)),
  version INTEGER NOT NULL DEFAULT 1,
  updated_at INTEGER NOT NULL DEFAULT 0
) STRICT;
INSERT INTO feature (one) VALUES (1);

CREATE TABLE plan (
  id TEXT PRIMARY KEY NOT NULL,
  member_id TEXT NOT NULL REFERENCES member (id),
  store_id TEXT NOT NULL REFERENCES store (id),
  service_id TEXT NOT NULL REFERENCES service (id),
  -- As they were chosen; a session may have moved to another technician since.
  technician_id TEXT NOT NULL REFERENCES technician (id),
  room_id TEXT REFERENCES resource (id),
  -- How it was asked for: {"rhythm": "weekly", "starts": [instant, …], "times": n, "until": date, "on_closed": "move"}
  repetition TEXT NOT NULL CONSTRAINT plan_repetition CHECK (json_valid(repetition)),
  -- The member's count card that gives a use for each session.
  card_id TEXT,
  note TEXT NOT NULL DEFAULT '',
  made_by TEXT NOT NULL REFERENCES staff (id),
  created_at INTEGER NOT NULL
) STRICT;
CREATE INDEX plan_store ON plan (store_id, id);
CREATE INDEX plan_member ON plan (member_id, id);

ALTER TABLE orders ADD COLUMN plan_id TEXT REFERENCES plan (id);
-- From 1 on, in order of time as the plan was made.
ALTER TABLE orders ADD COLUMN session_number INTEGER;
-- When the session was found to be over; NULL until then, and for good when it did not take place.
ALTER TABLE orders ADD COLUMN session_done_at INTEGER;
CREATE INDEX orders_plan ON orders (plan_id, start_at) WHERE plan_id IS NOT NULL;
CREATE INDEX orders_session_due ON orders (start_at) WHERE plan_id IS NOT NULL AND session_done_at IS NULL
  AND status IN ('confirmed', 'in_service', 'completed');

-- Uses of count cards that sessions have earned: what takes them from the card sets taken_at.
CREATE TABLE card_use_due (
  order_id TEXT PRIMARY KEY NOT NULL REFERENCES orders (id),
  plan_id TEXT NOT NULL REFERENCES plan (id),
  member_id TEXT NOT NULL REFERENCES member (id),
  card_id TEXT NOT NULL,
  due_at INTEGER NOT NULL,
  taken_at INTEGER
) STRICT;
CREATE INDEX card_use_due_open ON card_use_due (due_at, order_id) WHERE taken_at IS NULL;
CREATE INDEX card_use_due_card ON card_use_due (card_id, due_at);
