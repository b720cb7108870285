-- Payments, refunds, the ledger, and what the bills say. Additive.

-- Orders ------------------------------------------------------------------------------------------

-- Until when the time is held for payment; NULL when nothing was due at once.
ALTER TABLE orders ADD COLUMN hold_expires_at INTEGER;
-- What comes back when it is given up, as it was when the order was made: domain/src/cancellation.rs.
ALTER TABLE orders ADD COLUMN cancellation TEXT NOT NULL
  DEFAULT '[{"until_minutes_before":0,"refund_percent":100}]'
  CONSTRAINT orders_cancellation CHECK (json_valid(cancellation));
CREATE INDEX orders_unpaid ON orders (hold_expires_at) WHERE status = 'pending_payment';
CREATE INDEX orders_unconfirmed ON orders (updated_at) WHERE status = 'paid';

-- Money -------------------------------------------------------------------------------------------

-- One out_trade_no, which is its id. States: domain/src/payment.rs.
CREATE TABLE payment (
  id TEXT PRIMARY KEY NOT NULL,
  order_id TEXT NOT NULL REFERENCES orders (id),
  store_id TEXT NOT NULL REFERENCES store (id),
  provider TEXT NOT NULL CONSTRAINT payment_provider CHECK (provider IN ('wechat_pay', 'alipay', 'cash', 'at_store')),
  channel TEXT NOT NULL CONSTRAINT payment_channel CHECK (channel IN ('wechat_jsapi', 'wechat_native', 'alipay_qr', 'cash', 'at_store')),
  amount_fen INTEGER NOT NULL CONSTRAINT payment_amount CHECK (amount_fen > 0),
  status TEXT NOT NULL CONSTRAINT payment_status CHECK (status IN ('pending', 'paid', 'closed')),
  -- As the provider was given them: the same number is asked for with the same words.
  description TEXT NOT NULL,
  payer TEXT,
  -- The provider's deadline; lies before the order's hold_expires_at.
  expires_at INTEGER NOT NULL,
  transaction_id TEXT,
  paid_at INTEGER,
  -- Paid for nothing (the order was over, or paid by another): it goes back in full by itself, and is
  -- never counted as the order's.
  surplus INTEGER NOT NULL DEFAULT 0 CONSTRAINT payment_surplus CHECK (surplus IN (0, 1)),
  -- Who took it, at the store.
  taken_by TEXT REFERENCES staff (id),
  -- When the provider is asked next, while it is pending.
  check_at INTEGER NOT NULL,
  checks INTEGER NOT NULL DEFAULT 0,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL
) STRICT;
-- An order has at most one that is pending.
CREATE UNIQUE INDEX payment_pending ON payment (order_id) WHERE status = 'pending';
CREATE UNIQUE INDEX payment_transaction ON payment (provider, transaction_id) WHERE transaction_id IS NOT NULL;
CREATE INDEX payment_order ON payment (order_id);
CREATE INDEX payment_check ON payment (check_at) WHERE status = 'pending';
CREATE INDEX payment_store ON payment (store_id, created_at, id);
CREATE INDEX payment_created ON payment (created_at, id);
CREATE INDEX payment_day ON payment (provider, paid_at) WHERE status = 'paid';

-- One out_refund_no, which is its id.
CREATE TABLE refund (
  id TEXT PRIMARY KEY NOT NULL,
  payment_id TEXT NOT NULL REFERENCES payment (id),
  order_id TEXT NOT NULL REFERENCES orders (id),
  store_id TEXT NOT NULL REFERENCES store (id),
  amount_fen INTEGER NOT NULL CONSTRAINT refund_amount CHECK (amount_fen > 0),
  status TEXT NOT NULL CONSTRAINT refund_status CHECK (status IN ('requested', 'processing', 'succeeded', 'abnormal', 'closed')),
  -- 'cancelled', 'claim_lost', 'order_over', 'paid_by_another', 'appointment_begun', 'staff'
  cause TEXT NOT NULL,
  reason TEXT NOT NULL DEFAULT '',
  requested_by TEXT REFERENCES staff (id),
  -- The provider's number of it.
  provider_refund_id TEXT,
  check_at INTEGER NOT NULL,
  checks INTEGER NOT NULL DEFAULT 0,
  succeeded_at INTEGER,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL
) STRICT;
CREATE INDEX refund_order ON refund (order_id);
CREATE INDEX refund_payment ON refund (payment_id);
CREATE INDEX refund_check ON refund (check_at) WHERE status IN ('requested', 'processing');
CREATE INDEX refund_store ON refund (store_id, created_at, id);
CREATE INDEX refund_created ON refund (created_at, id);
CREATE INDEX refund_day ON refund (succeeded_at) WHERE status = 'succeeded';

-- Accounts and their entries: domain/src/ledger.rs says what they are called. A balance is the sum of
-- the account's entries, because nothing else writes it, and never below zero (I4, I5).
CREATE TABLE account (
  id TEXT PRIMARY KEY NOT NULL,
  balance_fen INTEGER NOT NULL CONSTRAINT account_balance CHECK (balance_fen >= 0)
) STRICT, WITHOUT ROWID;

CREATE TABLE ledger_entry (
  account_id TEXT NOT NULL,
  op_id TEXT NOT NULL,
  delta_fen INTEGER NOT NULL CONSTRAINT ledger_entry_delta CHECK (delta_fen <> 0),
  at INTEGER NOT NULL,
  PRIMARY KEY (account_id, op_id)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER ledger_entry_posted AFTER INSERT ON ledger_entry
BEGIN
  INSERT OR IGNORE INTO account (id, balance_fen) VALUES (NEW.account_id, 0);
  UPDATE account SET balance_fen = balance_fen + NEW.delta_fen WHERE id = NEW.account_id;
END;
CREATE TRIGGER ledger_entry_kept BEFORE UPDATE ON ledger_entry
BEGIN
  SELECT RAISE(ABORT, 'precondition ledger_append_only');
END;
CREATE TRIGGER ledger_entry_stays BEFORE DELETE ON ledger_entry
BEGIN
  SELECT RAISE(ABORT, 'precondition ledger_append_only');
END;

-- What a provider's word or bill and our rows say differently. Staff look at it; it moves no money.
CREATE TABLE difference (
  id TEXT PRIMARY KEY NOT NULL,
  kind TEXT NOT NULL,
  provider TEXT NOT NULL,
  -- The payment's or the refund's number.
  subject TEXT NOT NULL,
  ours TEXT NOT NULL CONSTRAINT difference_ours CHECK (json_valid(ours)),
  theirs TEXT NOT NULL CONSTRAINT difference_theirs CHECK (json_valid(theirs)),
  found_at INTEGER NOT NULL,
  resolved_at INTEGER,
  resolved_by TEXT REFERENCES staff (id),
  note TEXT NOT NULL DEFAULT ''
) STRICT;
CREATE UNIQUE INDEX difference_once ON difference (kind, provider, subject);
CREATE INDEX difference_open ON difference (found_at, id) WHERE resolved_at IS NULL;
CREATE INDEX difference_found ON difference (found_at, id);

-- Days whose bill has been compared.
CREATE TABLE bill (
  provider TEXT NOT NULL,
  date TEXT NOT NULL,
  rows INTEGER NOT NULL,
  differences INTEGER NOT NULL,
  compared_at INTEGER NOT NULL,
  PRIMARY KEY (provider, date)
) STRICT, WITHOUT ROWID;

-- Keys that a provider signs with and has handed out itself.
CREATE TABLE provider_key (
  provider TEXT NOT NULL,
  serial TEXT NOT NULL,
  pem TEXT NOT NULL,
  expires_at INTEGER NOT NULL,
  PRIMARY KEY (provider, serial)
) STRICT, WITHOUT ROWID;

-- What staff did with money or with what was given up, and why.
CREATE TABLE audit_entry (
  id TEXT PRIMARY KEY NOT NULL,
  at INTEGER NOT NULL,
  staff_id TEXT NOT NULL REFERENCES staff (id),
  action TEXT NOT NULL,
  subject TEXT NOT NULL,
  detail TEXT NOT NULL CONSTRAINT audit_entry_detail CHECK (json_valid(detail))
) STRICT;
CREATE INDEX audit_entry_subject ON audit_entry (subject, id);

-- Preconditions -----------------------------------------------------------------------------------

DROP TRIGGER precondition_holds;
CREATE TRIGGER precondition_holds INSTEAD OF INSERT ON precondition WHEN NEW.ok IS NOT 1
BEGIN
  SELECT RAISE(ABORT, 'precondition service_bookable') WHERE NEW.name = 'service_bookable';
  SELECT RAISE(ABORT, 'precondition store_open') WHERE NEW.name = 'store_open';
  SELECT RAISE(ABORT, 'precondition technician_active') WHERE NEW.name = 'technician_active';
  SELECT RAISE(ABORT, 'precondition member_active') WHERE NEW.name = 'member_active';
  SELECT RAISE(ABORT, 'precondition daily_limit') WHERE NEW.name = 'daily_limit';
  SELECT RAISE(ABORT, 'precondition order_version') WHERE NEW.name = 'order_version';
  SELECT RAISE(ABORT, 'precondition payment_known') WHERE NEW.name = 'payment_known';
  SELECT RAISE(ABORT, 'precondition refund_known') WHERE NEW.name = 'refund_known';
  SELECT RAISE(ABORT, 'precondition no_appointments') WHERE NEW.name = 'no_appointments';
  SELECT RAISE(ABORT, 'precondition last_owner') WHERE NEW.name = 'last_owner';
  SELECT RAISE(ABORT, 'precondition staff_version') WHERE NEW.name = 'staff_version';
  SELECT RAISE(ABORT, 'precondition member_phone') WHERE NEW.name = 'member_phone';
  SELECT RAISE(ABORT, 'precondition catalog_version') WHERE NEW.name = 'catalog_version';
  SELECT RAISE(ABORT, 'precondition stores_exist') WHERE NEW.name = 'stores_exist';
  SELECT RAISE(ABORT, 'precondition technicians_exist') WHERE NEW.name = 'technicians_exist';
  SELECT RAISE(ABORT, 'precondition photos_exist') WHERE NEW.name = 'photos_exist';
  SELECT RAISE(ABORT, 'precondition unknown');
END;
