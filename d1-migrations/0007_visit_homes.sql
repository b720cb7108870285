-- Services at the customer's home: where stores go, members' addresses, the places of appointments.

-- How a store serves at home, {"area": …, "fees": […], "speed": {…}} as domain/src/home.rs has it; NULL when
-- it does not.
ALTER TABLE store ADD COLUMN home_service TEXT
  CONSTRAINT store_home_service CHECK (json_valid(home_service));

-- Where a technician sets out from and returns to, [latitude, longitude] in microdegrees; NULL for the store.
ALTER TABLE technician ADD COLUMN start_point TEXT
  CONSTRAINT technician_start_point CHECK (json_valid(start_point));

CREATE TABLE member_address (
  id TEXT PRIMARY KEY NOT NULL,
  member_id TEXT NOT NULL REFERENCES member (id),
  label TEXT NOT NULL DEFAULT '',
  contact_name TEXT NOT NULL,
  contact_phone TEXT NOT NULL,
  text TEXT NOT NULL,
  latitude REAL NOT NULL CONSTRAINT member_address_latitude CHECK (latitude BETWEEN -90 AND 90),
  longitude REAL NOT NULL CONSTRAINT member_address_longitude CHECK (longitude BETWEEN -180 AND 180),
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL
) STRICT;
CREATE INDEX member_address_member ON member_address (member_id, id);

-- Where the technician comes to, as it was when the order was made: {"contact_name", "contact_phone", "text",
-- "latitude", "longitude"}; NULL in the store.
ALTER TABLE orders ADD COLUMN address TEXT CONSTRAINT orders_address CHECK (json_valid(address));

-- The place that the claims of the line carry; NULL in the store.
ALTER TABLE order_line ADD COLUMN home TEXT CONSTRAINT order_line_home CHECK (json_valid(home));

-- Besides the free bits: those with ways to and from homes not counted, and those of working time, each NULL
-- where it is the same as the one before.
ALTER TABLE calendar_day ADD COLUMN room TEXT CONSTRAINT calendar_day_room CHECK (length(room) = 72);
ALTER TABLE calendar_day ADD COLUMN working TEXT
  CONSTRAINT calendar_day_working CHECK (length(working) = 72);
