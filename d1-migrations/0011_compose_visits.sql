-- What lengthens a service, and visits of several lines.

-- [{"id", "name", "minutes", "price_fen"}, …]: what a customer may take with the service.
ALTER TABLE service ADD COLUMN add_ons TEXT NOT NULL DEFAULT '[]'
  CONSTRAINT service_add_ons CHECK (json_valid(add_ons));

-- Those that the line has, as they were when they were taken.
ALTER TABLE order_line ADD COLUMN add_ons TEXT NOT NULL DEFAULT '[]'
  CONSTRAINT order_line_add_ons CHECK (json_valid(add_ons));
-- For whom, when it is somebody else than the one who booked.
ALTER TABLE order_line ADD COLUMN guest TEXT;
