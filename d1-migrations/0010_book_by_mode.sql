-- Orders that a store assigns, that a technician accepts, and that begin with a wish.

-- How the store takes bookings: src/catalog/ways.rs. What is not said has its usual value.
ALTER TABLE store ADD COLUMN ways TEXT NOT NULL DEFAULT '{}' CONSTRAINT store_ways CHECK (json_valid(ways));

-- When the technician was last given an order by turn; UTC milliseconds.
ALTER TABLE technician ADD COLUMN turn_at INTEGER NOT NULL DEFAULT 0;

-- How the line came to its technician, domain/src/staffing.rs: `assigned` is settled, `provisional` waits
-- for staff, `asked` for the technician, `declined` for the next one, `offered` for whoever grabs it.
ALTER TABLE order_line ADD COLUMN assignment TEXT NOT NULL DEFAULT 'assigned' CONSTRAINT order_line_assignment
  CHECK (assignment IN ('assigned', 'provisional', 'asked', 'declined', 'offered'));
-- Until when that is waited for; NULL as long as the order waits for its payment, and when nothing is.
ALTER TABLE order_line ADD COLUMN answer_by INTEGER;
-- Technicians who have declined it: ids.
ALTER TABLE order_line ADD COLUMN declined_by TEXT NOT NULL DEFAULT '[]'
  CONSTRAINT order_line_declined_by CHECK (json_valid(declined_by));
CREATE INDEX order_line_answer ON order_line (answer_by)
  WHERE status = 'live' AND assignment IN ('asked', 'declined', 'offered');
CREATE INDEX order_line_open ON order_line (store_id, start_at, id)
  WHERE status = 'live' AND assignment IN ('asked', 'offered');

-- What an order of mode `express` wishes for, and what is proposed for it. Its times are UTC milliseconds.
CREATE TABLE express (
  order_id TEXT PRIMARY KEY NOT NULL REFERENCES orders (id),
  store_id TEXT NOT NULL REFERENCES store (id),
  category TEXT NOT NULL,
  from_at INTEGER NOT NULL,
  until_at INTEGER NOT NULL CONSTRAINT express_until CHECK (until_at > from_at),
  state TEXT NOT NULL CONSTRAINT express_state CHECK (state IN ('waiting', 'proposed', 'accepted', 'ended')),
  -- Until when a proposal, or its answer, is waited for; NULL before the order is paid and at the end.
  due_at INTEGER,
  -- How long each is waited for, as it was when the order was made.
  propose_minutes INTEGER NOT NULL,
  answer_minutes INTEGER NOT NULL,
  -- src/express/proposal.rs; NULL when there is none.
  proposal TEXT CONSTRAINT express_proposal CHECK (json_valid(proposal))
) STRICT;
CREATE INDEX express_due ON express (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX express_store ON express (store_id, due_at, order_id) WHERE due_at IS NOT NULL;
