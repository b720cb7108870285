-- What comes back when an appointment is given up: [{"until_minutes_before": 1440, "refund_percent": 100}, …].
-- A service without tiers has its store's; a store without them gives everything back until the start.
ALTER TABLE store ADD COLUMN cancellation TEXT
  CONSTRAINT store_cancellation CHECK (cancellation IS NULL OR json_valid(cancellation));
ALTER TABLE service ADD COLUMN cancellation TEXT
  CONSTRAINT service_cancellation CHECK (cancellation IS NULL OR json_valid(cancellation));
