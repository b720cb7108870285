-- Each line of an order has answers of its own, and they are deleted some time after it.

-- As before, by line; nothing refers to it. An order's answers are those of its first line of that service.
CREATE TABLE order_intake_new (
  line_id TEXT PRIMARY KEY NOT NULL REFERENCES order_line (id),
  order_id TEXT NOT NULL REFERENCES orders (id),
  service_id TEXT NOT NULL REFERENCES service (id),
  form TEXT NOT NULL CONSTRAINT order_intake_form CHECK (json_valid(form)),
  answers TEXT NOT NULL CONSTRAINT order_intake_answers CHECK (json_valid(answers)),
  answered_at INTEGER NOT NULL,
  answered_by_kind TEXT NOT NULL CONSTRAINT order_intake_answered_by_kind
    CHECK (answered_by_kind IN ('member', 'staff')),
  answered_by TEXT NOT NULL,
  -- When the text of the form was agreed to; NULL when it has none.
  agreed_at INTEGER,
  -- When the line ends: answers are kept for so long after it.
  end_at INTEGER NOT NULL
) STRICT;
INSERT INTO order_intake_new (line_id, order_id, service_id, form, answers, answered_at, answered_by_kind,
    answered_by, agreed_at, end_at)
  SELECT l.id, i.order_id, l.service_id, i.form, i.answers, i.answered_at, i.answered_by_kind, i.answered_by,
    i.agreed_at, l.end_at
  FROM order_intake i JOIN order_line l ON l.id = (SELECT id FROM order_line
    WHERE order_id = i.order_id AND service_id = i.service_id ORDER BY start_at, rowid LIMIT 1);
DROP TABLE order_intake;
ALTER TABLE order_intake_new RENAME TO order_intake;
CREATE INDEX order_intake_order ON order_intake (order_id);
CREATE INDEX order_intake_end ON order_intake (end_at);

-- Whatever moves a line, its answers end with it.
CREATE TRIGGER order_intake_follows AFTER UPDATE OF end_at ON order_line
BEGIN
  UPDATE order_intake SET end_at = NEW.end_at WHERE line_id = NEW.id;
END;
