//! Everything that D1 and the calendar objects hold, to be compared before and after.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

use crate::stack::Stack;

/// The rows of each table, as text.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct State(BTreeMap<String, Vec<String>>);

impl State {
    /// Fails with the rows that differ.
    ///
    /// # Panics
    /// When any do.
    #[track_caller]
    pub fn assert_same(&self, after: &Self, what: &str) {
        let mut differences = Vec::new();
        let tables = self.0.keys().chain(after.0.keys().filter(|name| !self.0.contains_key(*name)));
        for table in tables {
            let empty = Vec::new();
            let (old, new) =
                (self.0.get(table).unwrap_or(&empty), after.0.get(table).unwrap_or(&empty));
            for row in old.iter().filter(|row| !new.contains(row)) {
                differences.push(format!("- {table} {row}"));
            }
            for row in new.iter().filter(|row| !old.contains(row)) {
                differences.push(format!("+ {table} {row}"));
            }
        }
        assert!(differences.is_empty(), "{what} changed something:\n{}", differences.join("\n"));
    }
}

/// What signing in and cron runs leave behind.
const COUNTERS: [&str; 3] = ["sign_in_code", "provider_token", "job"];

impl Stack {
    /// Everything, once the outbox is empty: D1's tables but for the counts of sign-ins and cron runs
    /// and the versions under which calendars repeat their days, and the calendars' claims and windows.
    pub async fn everything(&self) -> State {
        crate::eventually("an empty outbox", Duration::from_secs(30), async || {
            if self.d1("SELECT count(*) AS n FROM outbox WHERE dead = 0")[0]["n"] == 0 {
                return Some(());
            }
            let _ = self.run_cron("* * * * *").await;
            None
        })
        .await;
        let tables = self.d1(
            "SELECT m.name, group_concat('\"' || p.name || '\"') AS columns
             FROM sqlite_master m JOIN pragma_table_info(m.name) p
             WHERE m.type = 'table' AND NOT (m.name = 'calendar_day' AND p.name = 'version') AND m.name NOT LIKE 'sqlite%' AND m.name NOT LIKE '\\_cf%' ESCAPE '\\'
                AND m.name NOT LIKE 'd1\\_%' ESCAPE '\\' GROUP BY m.name",
        );
        let text = |value: &Value| value.as_str().expect("text").to_owned();
        let parts: Vec<_> = tables
            .iter()
            .map(|table| (text(&table["name"]), text(&table["columns"])))
            .filter(|(name, _)| !COUNTERS.contains(&name.as_str()))
            .map(|(name, columns)| {
                format!("SELECT '{name}' AS name, json_array({columns}) AS row FROM {name}")
            })
            .collect();
        assert!(parts.len() > 20, "{parts:?}");
        let mut state = BTreeMap::<String, Vec<String>>::new();
        for part in parts.chunks(5) {
            for row in self.d1(&part.join(" UNION ALL ")) {
                state.entry(text(&row["name"])).or_default().push(text(&row["row"]));
            }
        }
        let claims = "SELECT json_array(id, state, start_at, end_at, store_id) AS row FROM claim";
        for sql in [claims, "SELECT json_array(rules, capacity) AS row FROM window"] {
            for (calendar, rows) in self.calendars(sql) {
                state.entry(calendar).or_default().extend(rows.iter().map(|row| text(&row["row"])));
            }
        }
        for rows in state.values_mut() {
            rows.sort();
        }
        State(state)
    }
}
