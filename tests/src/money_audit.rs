//! Reads the money from outside and says what is off (invariants I3 to I5): D1's rows, the calendar
//! objects' rows, and the books of the payment vendors themselves.
//!
//! It shares nothing with the Worker: it reads the databases' files while the Worker is stopped, asks
//! the sandbox, and adds up with plain loops.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde_json::Value;

use crate::money::{Money, Payment, Provider};
use crate::now_ms;
use crate::stack::Stack;

/// What an audit has read, and what it found.
#[derive(Debug)]
pub struct MoneyAudit {
    /// Orders read.
    pub orders: usize,
    /// Orders that keep their time and what was due for it, by what became of them.
    pub fates: BTreeMap<&'static str, usize>,
    /// Fen that each vendor has taken and not given back, by its own book.
    pub held: BTreeMap<&'static str, i64>,
    /// What does not hold, in words.
    pub off: Vec<String>,
}

impl MoneyAudit {
    /// Stops the Worker, reads and adds up.
    pub async fn of(stack: &Stack, as_of: i64) -> Self {
        stack.kill_worker();
        let vendors = stack.vendors();
        let mut reader = Reader::read(stack, now_ms(), as_of);
        (reader.theirs, reader.money) = (vendors.payments().await, vendors.money().await);
        reader.look();
        let held = reader.money.iter().map(|one| (name(one.provider), one.paid - one.refunded));
        Self {
            orders: reader.orders.len(),
            held: held.collect(),
            fates: reader.fates,
            off: reader.off,
        }
    }
}

struct Claim {
    calendar: String,
    id: String,
    state: String,
    expires_at: i64,
    times: [i64; 4],
}

struct Reader {
    /// When it was read.
    now: i64,
    /// When the jobs began to run for the last time: what was over by then, they have ended.
    as_of: i64,
    claims: Vec<Claim>,
    orders: Vec<Value>,
    lines: Vec<Value>,
    /// What classes take themselves.
    classes: Vec<Value>,
    events: Vec<Value>,
    payments: Vec<Value>,
    refunds: Vec<Value>,
    accounts: Vec<Value>,
    entries: Vec<Value>,
    outbox: Vec<Value>,
    differences: Vec<Value>,
    drift: Vec<Value>,
    theirs: Vec<Payment>,
    money: Vec<Money>,
    fates: BTreeMap<&'static str, usize>,
    off: Vec<String>,
}

fn text<'a>(row: &'a Value, name: &str) -> &'a str {
    row[name].as_str().unwrap_or_default()
}

fn int(row: &Value, name: &str) -> i64 {
    row[name].as_i64().unwrap_or_else(|| panic!("no number {name} in {row}"))
}

const fn name(provider: Provider) -> &'static str {
    match provider {
        Provider::WechatPay => "wechat_pay",
        Provider::Alipay => "alipay",
    }
}

fn is_online(payment: &Value) -> bool {
    matches!(text(payment, "provider"), "wechat_pay" | "alipay")
}

fn by<'a>(rows: &'a [Value], column: &str) -> HashMap<&'a str, Vec<&'a Value>> {
    let mut map: HashMap<&str, Vec<&Value>> = HashMap::new();
    for row in rows {
        map.entry(text(row, column)).or_default().push(row);
    }
    map
}

fn sum<'a>(rows: impl IntoIterator<Item = &'a Value>) -> i64 {
    rows.into_iter().map(|row| int(row, "amount_fen")).sum()
}

impl Reader {
    fn read(stack: &Stack, now: i64, as_of: i64) -> Self {
        let tables = stack.calendars("SELECT * FROM claim").into_iter();
        let claims = tables.flat_map(|(calendar, rows)| {
            rows.into_iter().map(move |row| Claim {
                calendar: calendar.clone(),
                id: text(&row, "id").to_owned(),
                state: text(&row, "state").to_owned(),
                expires_at: row["expires_at"].as_i64().unwrap_or_default(),
                times: ["start_at", "end_at", "block_start", "block_end"]
                    .map(|name| int(&row, name)),
            })
        });
        Self {
            now,
            as_of,
            claims: claims.collect(),
            orders: stack.d1("SELECT * FROM orders"),
            lines: stack.d1("SELECT * FROM order_line"),
            classes: stack.d1("SELECT claim_id FROM session_claim WHERE status = 'live'"),
            events: stack.d1("SELECT * FROM order_event ORDER BY id"),
            payments: stack.d1("SELECT * FROM payment"),
            refunds: stack.d1("SELECT * FROM refund"),
            accounts: stack.d1("SELECT * FROM account"),
            entries: stack.d1("SELECT * FROM ledger_entry"),
            outbox: stack.d1("SELECT id, topic, payload, dead, attempts, last_error FROM outbox"),
            differences: stack.d1("SELECT kind, provider, subject, ours, theirs FROM difference"),
            drift: stack.d1("SELECT kind, count, last_detail FROM drift"),
            theirs: Vec::new(),
            money: Vec::new(),
            fates: BTreeMap::new(),
            off: Vec::new(),
        }
    }

    fn look(&mut self) {
        let found = [
            self.room(),
            self.both_ways(),
            self.ledger(),
            self.refunds(),
            self.vendors(),
            self.machinery(),
        ];
        self.off.extend(found.into_iter().flatten());
        self.fates();
    }

    /// I1, for technicians who take one at a time: no two live claims touch.
    fn room(&self) -> Vec<String> {
        let mut off = Vec::new();
        let live = |claim: &&Claim| {
            claim.state == "confirmed" || (claim.state == "held" && self.now < claim.expires_at)
        };
        let technicians = |claim: &&Claim| claim.calendar.starts_with("technician:");
        let mut claims: Vec<&Claim> = self.claims.iter().filter(live).filter(technicians).collect();
        claims.sort_by_key(|claim| (&claim.calendar, claim.times[2]));
        for pair in claims.windows(2) {
            if pair[0].calendar == pair[1].calendar && pair[1].times[2] < pair[0].times[3] {
                off.push(format!(
                    "I1 {}: claims {} and {} at once",
                    pair[0].calendar, pair[0].id, pair[1].id
                ));
            }
        }
        off
    }

    /// I3: an appointment that stands has its confirmed claim, with its times; one that waits for its
    /// money has its hold; a confirmed claim has an appointment.
    fn both_ways(&self) -> Vec<String> {
        let mut off = Vec::new();
        let claims: HashMap<&str, &Claim> =
            self.claims.iter().map(|claim| (claim.id.as_str(), claim)).collect();
        let lines = by(&self.lines, "order_id");
        let mut wanted: HashSet<&str> =
            self.classes.iter().map(|row| text(row, "claim_id")).collect();
        for order in &self.orders {
            let (id, status) = (text(order, "id"), text(order, "status"));
            let Some([line]) = lines.get(id).map(Vec::as_slice) else {
                // Of a wish nothing is known before a proposal is accepted, and nothing is taken.
                let wish = text(order, "mode") == "express" && !lines.contains_key(id);
                if wish && !matches!(status, "in_service" | "completed" | "no_show") {
                    continue;
                }
                off.push(format!("I3 order {id}: not one line"));
                continue;
            };
            let keeps = !matches!(status, "cancelled" | "closed");
            if (text(line, "status") == "live") != keeps {
                off.push(format!("I3 order {id}: {status}, its line {}", line["status"]));
            }
            if !keeps {
                continue;
            }
            let claim_id = text(line, "claim_id");
            let state = if status == "pending_payment" { "held" } else { "confirmed" };
            if state == "confirmed" && !wanted.insert(claim_id) {
                off.push(format!("I3 claim {claim_id}: two appointments stand on it"));
            }
            let over = state == "held" && int(order, "hold_expires_at") <= self.now;
            let Some(claim) = claims.get(claim_id) else {
                if over {
                    continue;
                }
                off.push(format!("I3 order {id}: {status}, and no claim {claim_id}"));
                continue;
            };
            if claim.state != state {
                off.push(format!("I3 order {id}: {status}, its claim is {}", claim.state));
            }
            let times = ["start_at", "end_at", "block_start", "block_end"];
            let calendar = line["session_id"].as_str().map_or_else(
                || format!("technician:{}", text(line, "technician_id")),
                |session| format!("session:{session}"),
            );
            if claim.times != times.map(|name| int(line, name)) || claim.calendar != calendar {
                off.push(format!("I3 order {id}: its claim is for another time or technician"));
            }
            if state == "held" && claim.expires_at < int(order, "hold_expires_at") {
                off.push(format!("I3 order {id}: its hold ends before it says"));
            }
        }
        for claim in self.claims.iter().filter(|claim| claim.state == "confirmed") {
            if !wanted.contains(claim.id.as_str()) {
                off.push(format!("I3 claim {}: confirmed, and no order has it", claim.id));
            }
        }
        off
    }

    /// I4: the entries are those that the payments and refunds call for, each once; a balance is the
    /// sum of its entries and never below zero.
    fn ledger(&self) -> Vec<String> {
        let mut off = Vec::new();
        let mut wanted: BTreeMap<(String, String), i64> = BTreeMap::new();
        for payment in self.payments.iter().filter(|row| text(row, "status") == "paid") {
            let op = format!("paid:{}", text(payment, "id"));
            let fen = int(payment, "amount_fen");
            wanted.insert((format!("order:{}", text(payment, "order_id")), op.clone()), fen);
            wanted.insert((format!("provider:{}", text(payment, "provider")), op), fen);
        }
        let payments = by(&self.payments, "id");
        for refund in &self.refunds {
            let (id, fen) = (text(refund, "id"), int(refund, "amount_fen"));
            let order = format!("order:{}", text(refund, "order_id"));
            wanted.insert((order.clone(), format!("refund:{id}")), -fen);
            let Some(payment) = payments.get(text(refund, "payment_id")) else {
                off.push(format!("I4 refund {id}: of no payment"));
                continue;
            };
            match text(refund, "status") {
                "succeeded" => {
                    let provider = format!("provider:{}", text(payment[0], "provider"));
                    wanted.insert((provider, format!("refund-paid:{id}")), -fen);
                }
                "closed" => {
                    wanted.insert((order, format!("refund-closed:{id}")), fen);
                }
                _ => {}
            }
        }
        let mut sums: BTreeMap<&str, i64> = BTreeMap::new();
        for entry in &self.entries {
            let (account, op) = (text(entry, "account_id"), text(entry, "op_id"));
            let fen = int(entry, "delta_fen");
            *sums.entry(account).or_default() += fen;
            match wanted.remove(&(account.to_owned(), op.to_owned())) {
                Some(expected) if expected == fen => {}
                Some(expected) => {
                    off.push(format!("I4 {account}: {op} is {fen}, should be {expected}"));
                }
                None => off.push(format!("I4 {account}: {op} of {fen} has no reason, or is twice")),
            }
        }
        for ((account, op), fen) in wanted {
            off.push(format!("I4 {account}: {op} of {fen} is missing"));
        }
        for account in &self.accounts {
            let (id, balance) = (text(account, "id"), int(account, "balance_fen"));
            let entries = sums.remove(id).unwrap_or_default();
            if balance != entries {
                off.push(format!("I4 {id}: balance {balance}, its entries sum to {entries}"));
            }
            if balance < 0 {
                off.push(format!("I4 {id}: {balance} is below zero"));
            }
        }
        off.extend(sums.keys().map(|id| format!("I4 {id}: entries without an account")));
        off
    }

    /// I5: nothing is given back that was not paid: of an order, and of each payment.
    fn refunds(&self) -> Vec<String> {
        let mut off = Vec::new();
        let paid = |row: &&Value| text(row, "status") == "paid";
        for column in ["order_id", "id"] {
            let payments = by(&self.payments, column);
            let of = if column == "id" { "payment_id" } else { column };
            for (id, refunds) in by(&self.refunds, of) {
                let back = sum(refunds.into_iter().filter(|row| text(row, "status") != "closed"));
                let came = payments.get(id).into_iter().flatten().copied().filter(paid);
                let came = sum(came);
                if back > came {
                    off.push(format!("I5 {of} {id}: {back} given back of {came}"));
                }
            }
        }
        for refund in &self.refunds {
            if !matches!(text(refund, "status"), "succeeded" | "closed") {
                let (id, status) = (&refund["id"], &refund["status"]);
                off.push(format!("I5 refund {id}: still {status}"));
            }
        }
        off
    }

    /// Ours and the vendors' books say the same, payment by payment and in sum.
    fn vendors(&self) -> Vec<String> {
        let mut off = Vec::new();
        let payments = by(&self.payments, "id");
        let refunds = by(&self.refunds, "id");
        let mut paid_there: HashSet<&str> = HashSet::new();
        let mut refunded_there: HashSet<&str> = HashSet::new();
        for theirs in &self.theirs {
            let no = theirs.out_trade_no.as_str();
            let Some(ours) = payments.get(no).map(|rows| rows[0]) else {
                off.push(format!("vendor {no}: no payment of ours"));
                continue;
            };
            if text(ours, "provider") != name(theirs.provider)
                || int(ours, "amount_fen") != theirs.amount
            {
                off.push(format!("vendor {no}: {} at {:?}", theirs.amount, theirs.provider));
            }
            if theirs.is_paid() {
                paid_there.insert(no);
                if text(ours, "status") != "paid" {
                    off.push(format!("vendor {no}: paid there, {} here", ours["status"]));
                } else if theirs.transaction_id.as_deref() != ours["transaction_id"].as_str() {
                    off.push(format!("vendor {no}: another transaction than ours"));
                }
                if theirs.provider == Provider::WechatPay
                    && ours["payer"].is_string()
                    && theirs.shipping.is_none()
                {
                    off.push(format!("vendor {no}: WeChat was not told of its delivery"));
                }
            }
            for refund in &theirs.refunds {
                let number = refund.out_refund_no.as_str();
                let Some(ours) = refunds.get(number).map(|rows| rows[0]) else {
                    off.push(format!("vendor refund {number}: none of ours"));
                    continue;
                };
                if int(ours, "amount_fen") != refund.amount || text(ours, "payment_id") != no {
                    off.push(format!("vendor refund {number}: {} of {no}", refund.amount));
                }
                if (refund.status == "SUCCESS") != (text(ours, "status") == "succeeded") {
                    let (there, here) = (&refund.status, &ours["status"]);
                    off.push(format!("vendor refund {number}: {there} there, {here} here"));
                }
                refunded_there.insert(number);
            }
        }
        for payment in self.payments.iter().filter(|row| is_online(row)) {
            let id = text(payment, "id");
            if text(payment, "status") == "paid" && !paid_there.contains(id) {
                off.push(format!("vendor {id}: paid here, not there"));
            }
            let refunds = self.refunds.iter().filter(|row| text(row, "payment_id") == id);
            for refund in refunds.filter(|row| text(row, "status") == "succeeded") {
                if !refunded_there.contains(text(refund, "id")) {
                    off.push(format!("vendor refund {}: done here, not there", refund["id"]));
                }
            }
        }
        let accounts = by(&self.accounts, "id");
        for provider in [Provider::WechatPay, Provider::Alipay] {
            let of = self.money.iter().filter(|one| one.provider == provider);
            let theirs: i64 = of.map(|one| one.paid - one.refunded).sum();
            let account = format!("provider:{}", name(provider));
            let ours = accounts.get(account.as_str());
            let ours = ours.map_or(0, |rows| int(rows[0], "balance_fen"));
            if ours != theirs {
                off.push(format!("{account}: {ours} here, {theirs} there"));
            }
        }
        off
    }

    /// Nothing is left to do, and nothing had to be repaired or looked at by staff. That the projection
    /// was brought along is no fault: holds whose end is set back in the rows look like one.
    fn machinery(&self) -> Vec<String> {
        let outbox = self.outbox.iter().map(|row| format!("outbox: {row}"));
        let differences = self.differences.iter().map(|row| format!("difference: {row}"));
        let drift = self.drift.iter().filter(|row| text(row, "kind") != "projection");
        outbox.chain(differences).chain(drift.map(|row| format!("drift: {row}"))).collect()
    }

    /// Each order is paid with its time, or given back as it should be, or was never paid.
    fn fates(&mut self) {
        let (payments, refunds) = (by(&self.payments, "order_id"), by(&self.refunds, "order_id"));
        let events = by(&self.events, "order_id");
        for order in &self.orders {
            let id = text(order, "id");
            let mut paid = payments.get(id).cloned().unwrap_or_default();
            paid.retain(|row| text(row, "status") == "paid");
            let mut refunds = refunds.get(id).cloned().unwrap_or_default();
            refunds.retain(|row| text(row, "status") != "closed");
            let events = events.get(id).cloned().unwrap_or_default();
            let story = Story { as_of: self.as_of, order, paid, refunds, events };
            match story.fate() {
                Ok(fate) => *self.fates.entry(fate).or_default() += 1,
                Err(why) => self.off.push(format!("order {id}: {}, {why}", text(order, "status"))),
            }
        }
    }
}

/// One order with all that was paid for it and given back.
struct Story<'a> {
    as_of: i64,
    order: &'a Value,
    paid: Vec<&'a Value>,
    refunds: Vec<&'a Value>,
    events: Vec<&'a Value>,
}

impl Story<'_> {
    fn back(&self, wanted: impl Fn(&Value) -> bool) -> i64 {
        sum(self.refunds.iter().copied().filter(|row| wanted(row)))
    }

    /// What became of it, or why that cannot be.
    fn fate(&self) -> Result<&'static str, String> {
        let online: Vec<_> = self.paid.iter().copied().filter(|row| is_online(row)).collect();
        let told = |row: &&&Value| matches!(text(row, "kind"), "paid" | "paid_in_vain");
        let told = self.events.iter().filter(told).count();
        if told != online.len() {
            return Err(format!("{} payments, told of {told}", online.len()));
        }
        let (due, status) = (int(self.order, "due_fen"), text(self.order, "status"));
        let came = sum(self.paid.iter().copied());
        let left = came - self.back(|_| true);
        match status {
            "pending_payment" if came > 0 => Err(format!("{came} was paid")),
            "pending_payment" if int(self.order, "hold_expires_at") <= self.as_of => {
                Err("and its hold is over".into())
            }
            "pending_payment" => Ok("waits to be paid"),
            "closed" | "cancelled" if came == 0 => Ok("never paid"),
            "closed" if left == 0 => Ok("refunded"),
            "closed" => Err(format!("{left} of {came} is left")),
            "cancelled" => self.cancelled(left),
            "confirmed" | "in_service" | "completed" | "no_show" => {
                // What came twice has gone back by itself; staff may give back what they like.
                let staff = |row: &Value| text(row, "cause") == "staff";
                let of_counter = |row: &Value| {
                    self.paid.iter().any(|one| one["id"] == row["payment_id"] && !is_online(one))
                };
                let kept = sum(online) - self.back(|row| !staff(row) && !of_counter(row));
                if kept != due {
                    return Err(format!("{due} was due, {kept} was taken online"));
                }
                if self.back(|row| !staff(row) && of_counter(row)) > 0 {
                    return Err("what was paid at the counter went back by itself".into());
                }
                let total = int(self.order, "total_fen");
                if left > total || (status == "completed" && left != total && self.back(staff) == 0)
                {
                    return Err(format!("it costs {total}, and {left} was taken"));
                }
                Ok(if due > 0 { "paid, with its time" } else { "nothing due, with its time" })
            }
            _ => Err("which no order is in the end".into()),
        }
    }

    fn cancelled(&self, left: i64) -> Result<&'static str, String> {
        let is_end = |row: &&Value| matches!(text(row, "kind"), "cancelled" | "claim_lost");
        let ends: Vec<_> = self.events.iter().copied().filter(is_end).collect();
        let [end] = ends.as_slice() else {
            return Err(format!("given up {} times", ends.len()));
        };
        let cause = if text(end, "kind") == "claim_lost" { "claim_lost" } else { "cancelled" };
        let went = self.back(|row| text(row, "cause") == cause);
        let later =
            self.back(|row| text(row, "cause") == "staff" && text(row, "id") > text(end, "id"));
        let had = left + went + later;
        let detail: Value = serde_json::from_str(text(end, "detail")).unwrap_or_default();
        if detail["refund_fen"].as_i64() != Some(went) {
            return Err(format!("told of {} back, {went} went", detail["refund_fen"]));
        }
        // Its time was promised: then, if the member gives it up, the tiers decide.
        let promised = self
            .events
            .iter()
            .take_while(|row| text(row, "id") != text(end, "id"))
            .any(|row| text(row, "kind") == "confirmed")
            || int(self.order, "due_fen") == 0;
        let percent = if text(end, "actor_kind") == "member" && promised {
            self.percent(int(end, "at"))
        } else {
            100
        };
        let should = (had * percent + 50) / 100;
        if went != should {
            return Err(format!("{went} of {had} went back, {percent} in a hundred should"));
        }
        Ok(if percent == 100 { "refunded" } else { "refunded by its tiers" })
    }

    /// The share that comes back when it is given up at this instant.
    fn percent(&self, at: i64) -> i64 {
        let tiers: Value =
            serde_json::from_str(text(self.order, "cancellation")).unwrap_or_default();
        let minutes = (int(self.order, "start_at") - at).div_euclid(60_000);
        let tiers = tiers.as_array().into_iter().flatten();
        let held = tiers.into_iter().find(|tier| minutes >= int(tier, "until_minutes_before"));
        held.map_or(0, |tier| int(tier, "refund_percent"))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NOW: i64 = 1_800_000_000_000;
    /// Three hours from now.
    const START: i64 = NOW + 3 * 3_600_000;
    const HOUR: i64 = 3_600_000;

    fn order(id: &str, status: &str, due: i64, start: i64) -> [Value; 2] {
        let order = json!({
            "id": id, "status": status, "total_fen": 1_000, "due_fen": due, "start_at": start,
            "hold_expires_at": NOW + 60_000,
            "cancellation": r#"[{"until_minutes_before":60,"refund_percent":50}]"#,
        });
        let over = matches!(status, "cancelled" | "closed");
        let line = json!({
            "id": format!("l{id}"), "order_id": id, "claim_id": format!("c{id}"),
            "status": if over { "cancelled" } else { "live" }, "technician_id": "t",
            "start_at": start, "end_at": start + HOUR, "block_start": start, "block_end": start + HOUR,
        });
        [order, line]
    }

    fn claim(id: &str, state: &str, start: i64) -> Claim {
        Claim {
            calendar: "technician:t".into(),
            id: id.into(),
            state: state.into(),
            expires_at: NOW + 60_000,
            times: [start, start + HOUR, start, start + HOUR],
        }
    }

    fn payment(id: &str, order: &str, fen: i64, status: &str) -> Value {
        json!({
            "id": id, "order_id": order, "provider": "wechat_pay", "amount_fen": fen, "status": status,
            "transaction_id": (status == "paid").then(|| format!("x{id}")), "payer": "o",
        })
    }

    fn theirs(id: &str, fen: i64, paid: bool) -> Payment {
        serde_json::from_value(json!({
            "provider": "wechat_pay", "merchant": "m", "out_trade_no": id, "trade_type": "JSAPI",
            "amount": fen, "state": "SUCCESS", "transaction_id": paid.then(|| format!("x{id}")),
            "created_at": NOW, "expires_at": NOW, "paid_at": paid.then_some(NOW), "refunds": [],
            "notifications": [], "shipping": {},
        }))
        .expect("a payment")
    }

    fn event(id: &str, order: &str, kind: &str, actor: &str, detail: &Value) -> Value {
        let detail = detail.to_string();
        json!({
            "id": id, "order_id": order, "kind": kind, "actor_kind": actor, "at": NOW, "detail": detail,
        })
    }

    fn entry(account: &str, op: &str, fen: i64) -> Value {
        json!({"account_id": account, "op_id": op, "delta_fen": fen})
    }

    /// One order that is paid, one that a member gave up for half of it, one that waits.
    fn whole() -> Reader {
        let orders = [
            order("1", "confirmed", 300, START),
            order("2", "cancelled", 1_000, START),
            order("3", "pending_payment", 300, START + HOUR),
        ];
        let mut given_up = theirs("p2", 1_000, true);
        given_up.refunds = serde_json::from_value(json!([{
            "out_refund_no": "r2", "refund_id": "y2", "amount": 500, "status": "SUCCESS",
            "created_at": NOW, "ended_at": NOW,
        }]))
        .expect("a refund");
        Reader {
            now: NOW,
            as_of: NOW,
            claims: vec![
                claim("c1", "confirmed", START),
                claim("c2", "released", START),
                claim("c3", "held", START + HOUR),
            ],
            lines: orders.iter().map(|[_, line]| line.clone()).collect(),
            classes: Vec::new(),
            orders: orders.into_iter().map(|[order, _]| order).collect(),
            events: vec![
                event("e1", "1", "paid", "system", &json!({})),
                event("e2", "1", "confirmed", "system", &json!({})),
                event("e3", "2", "paid", "system", &json!({})),
                event("e4", "2", "confirmed", "system", &json!({})),
                event("e5", "2", "cancelled", "member", &json!({"refund_fen": 500})),
            ],
            payments: vec![
                payment("p1", "1", 300, "paid"),
                payment("p2", "2", 1_000, "paid"),
                payment("p3", "3", 300, "pending"),
            ],
            refunds: vec![json!({
                "id": "r2", "payment_id": "p2", "order_id": "2", "amount_fen": 500,
                "status": "succeeded", "cause": "cancelled",
            })],
            accounts: vec![
                json!({"id": "order:1", "balance_fen": 300}),
                json!({"id": "order:2", "balance_fen": 500}),
                json!({"id": "provider:wechat_pay", "balance_fen": 800}),
            ],
            entries: vec![
                entry("order:1", "paid:p1", 300),
                entry("provider:wechat_pay", "paid:p1", 300),
                entry("order:2", "paid:p2", 1_000),
                entry("provider:wechat_pay", "paid:p2", 1_000),
                entry("order:2", "refund:r2", -500),
                entry("provider:wechat_pay", "refund-paid:r2", -500),
            ],
            outbox: Vec::new(),
            differences: Vec::new(),
            drift: Vec::new(),
            theirs: vec![theirs("p1", 300, true), given_up, theirs("p3", 300, false)],
            money: serde_json::from_value(json!([{
                "provider": "wechat_pay", "merchant": "m", "payments": 2, "paid": 1_300, "refunds": 1,
                "refunded": 500, "refunding": 0,
            }]))
            .expect("money"),
            fates: BTreeMap::new(),
            off: Vec::new(),
        }
    }

    #[test]
    fn what_is_whole_passes_and_money_that_is_off_is_named() {
        type Break = fn(&mut Reader);
        let breaks: &[(&str, Break)] = &[
            ("", |_| {}),
            // Appointments and claims.
            ("I1 technician:t", |world| world.claims.push(claim("x", "held", START + HOUR / 2))),
            ("and no claim c1", |world| drop(world.claims.remove(0))),
            ("confirmed, its claim is held", |world| world.claims[0].state = "held".into()),
            ("another time", |world| world.claims[0].times[0] += 300_000),
            ("its claim is confirmed", |world| world.claims[2].state = "confirmed".into()),
            ("its hold ends before", |world| world.claims[2].expires_at -= 1),
            ("and no order has it", |world| world.claims[1].state = "confirmed".into()),
            ("its line \"live\"", |world| world.lines[1]["status"] = "live".into()),
            ("not one line", |world| drop(world.lines.remove(0))),
            // Seats in a class are in its calendar; a class has its technician's time; a wish has nothing.
            ("for another time or technician", |world| world.lines[0]["session_id"] = "k".into()),
            ("", |world| {
                world.lines[0]["session_id"] = "k".into();
                world.claims[0].calendar = "session:k".into();
            }),
            ("", |world| {
                (world.claims[1].state, world.claims[1].calendar) =
                    ("confirmed".into(), "technician:u".into());
                world.classes.push(json!({"claim_id": "c2"}));
            }),
            ("and no order has it", |world| {
                world.orders[0]["mode"] = "express".into();
                world.lines.remove(0);
            }),
            ("two appointments", |world| {
                world.orders[2]["status"] = "confirmed".into();
                world.lines[2]["claim_id"] = "c1".into();
            }),
            // The ledger.
            ("is missing", |world| drop(world.entries.remove(0))),
            ("has no reason, or is twice", |world| {
                world.entries.push(entry("order:1", "paid:p1", 300));
            }),
            ("should be 300", |world| world.entries[0]["delta_fen"] = 299.into()),
            ("its entries sum to 300", |world| world.accounts[0]["balance_fen"] = 301.into()),
            ("below zero", |world| world.accounts[0]["balance_fen"] = (-1).into()),
            ("without an account", |world| drop(world.accounts.remove(0))),
            ("of no payment", |world| world.refunds[0]["payment_id"] = "p9".into()),
            // Refunds.
            ("I5 payment_id p2: 1001", |world| world.refunds[0]["amount_fen"] = 1_001.into()),
            ("I5 order_id 2: 1001", |world| world.refunds[0]["amount_fen"] = 1_001.into()),
            ("still \"processing\"", |world| world.refunds[0]["status"] = "processing".into()),
            // The vendors.
            ("no payment of ours", |world| world.theirs.push(theirs("p9", 1, false))),
            ("301 at WechatPay", |world| world.theirs[0].amount = 301),
            ("300 at Alipay", |world| world.theirs[0].provider = Provider::Alipay),
            ("paid there, \"pending\" here", |world| world.theirs[2].paid_at = Some(NOW)),
            ("another transaction", |world| world.theirs[0].transaction_id = Some("z".into())),
            ("paid here, not there", |world| world.theirs[0].paid_at = None),
            ("not told of its delivery", |world| world.theirs[0].shipping = None),
            ("refund r2: 499", |world| world.theirs[1].refunds[0].amount = 499),
            ("none of ours", |world| world.theirs[1].refunds[0].out_refund_no = "r9".into()),
            ("ABNORMAL there", |world| world.theirs[1].refunds[0].status = "ABNORMAL".into()),
            ("done here, not there", |world| world.theirs[1].refunds.clear()),
            ("800 here, 799 there", |world| world.money[0].paid -= 1),
            // What became of the orders.
            ("300 was paid", |world| {
                world.payments[2]["status"] = "paid".into();
                world.events.push(event("e6", "3", "paid", "system", &json!({})));
            }),
            ("its hold is over", |world| world.orders[2]["hold_expires_at"] = NOW.into()),
            ("2 payments, told of 1", |world| {
                world.payments.push(payment("p4", "1", 300, "paid"));
            }),
            ("300 was due, 600 was taken", |world| {
                world.payments.push(payment("p4", "1", 300, "paid"));
                world.events.push(event("e6", "1", "paid", "system", &json!({})));
            }),
            ("300 was due, 0 was taken", |world| {
                world.payments[0]["status"] = "closed".into();
                world.events.remove(0);
            }),
            ("it costs 1000, and 300", |world| world.orders[0]["status"] = "completed".into()),
            ("which no order is in the end", |world| world.orders[0]["status"] = "paid".into()),
            ("300 of 300 is left", |world| world.orders[0]["status"] = "closed".into()),
            ("given up 0 times", |world| drop(world.events.pop())),
            ("told of 501 back", |world| {
                world.events[4]["detail"] = r#"{"refund_fen":501}"#.into();
            }),
            // By the store, or before it was confirmed, or too late for any tier.
            ("100 in a hundred", |world| world.events[4]["actor_kind"] = "staff".into()),
            ("100 in a hundred", |world| drop(world.events.remove(3))),
            ("0 in a hundred", |world| world.orders[1]["start_at"] = (NOW + HOUR - 1).into()),
            // The machinery.
            ("outbox: ", |world| world.outbox.push(json!({"id": "r", "dead": 1}))),
            ("difference: ", |world| world.differences.push(json!({"kind": "unknown_payment"}))),
            ("drift: ", |world| world.drift.push(json!({"kind": "paid_without_claim"}))),
            ("", |world| world.drift.push(json!({"kind": "projection"}))),
        ];
        for (index, (found, damage)) in breaks.iter().enumerate() {
            let mut world = whole();
            damage(&mut world);
            world.look();
            if found.is_empty() {
                assert!(world.off.is_empty(), "{index}: {:?}", world.off);
            } else {
                let is_named = world.off.iter().any(|off| off.contains(found));
                assert!(is_named, "{index} {found}: {:?}", world.off);
            }
        }
    }
}
