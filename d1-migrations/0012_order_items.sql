-- What a service asks before the visit, what was answered, and what is ordered with a booking.

-- domain/src/intake.rs; NULL when nothing is asked.
ALTER TABLE service ADD COLUMN intake TEXT CONSTRAINT service_intake CHECK (json_valid(intake));

-- An order's answers, with the form as it was when they were given.
CREATE TABLE order_intake (
  order_id TEXT PRIMARY KEY NOT NULL REFERENCES orders (id),
  service_id TEXT NOT NULL REFERENCES service (id),
  form TEXT NOT NULL CONSTRAINT order_intake_form CHECK (json_valid(form)),
  answers TEXT NOT NULL CONSTRAINT order_intake_answers CHECK (json_valid(answers)),
  answered_at INTEGER NOT NULL,
  answered_by_kind TEXT NOT NULL CONSTRAINT order_intake_answered_by_kind
    CHECK (answered_by_kind IN ('member', 'staff')),
  answered_by TEXT NOT NULL,
  -- When the text of the form was agreed to; NULL when it has none.
  agreed_at INTEGER
) STRICT;

-- What a store sells with a booking.
CREATE TABLE item (
  id TEXT PRIMARY KEY NOT NULL,
  store_id TEXT NOT NULL REFERENCES store (id),
  category TEXT NOT NULL,
  name TEXT NOT NULL,
  description TEXT NOT NULL,
  photo TEXT,
  price_fen INTEGER NOT NULL CONSTRAINT item_price_fen CHECK (price_fen >= 0),
  max_per_order INTEGER NOT NULL CONSTRAINT item_max_per_order CHECK (max_per_order BETWEEN 1 AND 99),
  status TEXT NOT NULL CONSTRAINT item_status CHECK (status IN ('active', 'retired')),
  version INTEGER NOT NULL DEFAULT 1,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL
) STRICT;
CREATE INDEX item_store ON item (store_id, category, name, id);
CREATE INDEX item_active ON item (store_id, category, name, id) WHERE status = 'active';
CREATE INDEX item_photo ON item (photo) WHERE photo IS NOT NULL;

-- What was ordered, as it was called and cost then.
CREATE TABLE order_item (
  order_id TEXT NOT NULL REFERENCES orders (id),
  position INTEGER NOT NULL,
  item_id TEXT NOT NULL REFERENCES item (id),
  name TEXT NOT NULL,
  price_fen INTEGER NOT NULL,
  quantity INTEGER NOT NULL CONSTRAINT order_item_quantity CHECK (quantity BETWEEN 1 AND 99),
  PRIMARY KEY (order_id, position)
) STRICT, WITHOUT ROWID;
