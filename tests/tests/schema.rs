//! What the document says, held against what the Worker does: schemathesis makes requests that the
//! document allows and requests that it forbids, as a member and as an owner, and no answer may be a
//! server error or one that is not in the document.
//!
//! Random ids name nothing, so most of the time they are those of a shop with orders. The seed is
//! printed; `SEED=… cargo test -p zhundian-tests --test schema` repeats a run.

use std::fmt::Write as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use std::{fs, thread};

use serde_json::{Value, json};
use zhundian_tests::world::{date, some_phone};
use zhundian_tests::{Api, Hours, Stack, random};

const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,\
    response_headers_conformance,response_schema_conformance,unsupported_method,\
    negative_data_rejection,missing_required_header";
/// Requests of the fuzzing phase for one operation; the other phases make what the schema asks for.
const EXAMPLES: &str = "30";
/// All runs together take about three minutes on two cores that have other things to do, too.
const WITHIN: Duration = Duration::from_mins(8);
/// They would void the token of the run.
const SIGN_OUTS: [&str; 2] = ["/api/v1/auth/sign-out", "/api/v1/staff/auth/sign-out"];

#[tokio::test(flavor = "multi_thread")]
async fn no_answer_is_outside_the_document() {
    let stack = Stack::start().await;
    let owner = stack.staff("owner", None).await;
    let member = stack.some_member().await;
    let facts = facts(&stack, &member).await;
    let document = stack.api().get("/openapi.json").await.expect(200).body;

    let seed = std::env::var("SEED").unwrap_or_else(|_| (random() >> 33).to_string());
    println!("SEED={seed}");
    // In parts at once: a run waits for one answer after the other. What the runs do to each other's
    // rows may happen.
    let runs = (0..6).map(|part| match part {
        0..2 => Run::start(part, &member, &part_of(&document, false, part, 2), &facts, &seed),
        _ => Run::start(part, &owner, &part_of(&document, true, part - 2, 4), &facts, &seed),
    });
    let runs: Vec<_> = runs.collect();
    let failed: Vec<String> = runs.into_iter().filter_map(Run::failure).collect();
    assert!(failed.is_empty(), "SEED={seed}\n{}", failed.join("\n"));

    // The tokens lived to the end, and the sign-outs keep to the document, too.
    member.get("/api/v1/me").await.check(200);
    owner.get("/api/v1/staff/me").await.check(200);
    for (api, path) in [(&member, SIGN_OUTS[0]), (&owner, SIGN_OUTS[1])] {
        assert!(document["paths"][path]["post"]["responses"]["204"].is_object());
        assert!(api.post(path, json!({})).await.expect(204).bytes.is_empty());
        api.post(path, json!({})).await.refused(401, "invalid_token");
    }
}

/// The document with every `of`th of the paths that are for staff, or of the others; no path has
/// operations for both.
fn part_of(document: &Value, staff: bool, part: usize, of: usize) -> String {
    let mut document = document.clone();
    let paths = document["paths"].as_object_mut().expect("paths");
    let mut number = 0;
    paths.retain(|_, operations| {
        let mut audiences = operations.as_object().expect("operations").values();
        let belongs = audiences.all(|operation| {
            staff == (operation["x-audience"].as_str().expect("an audience") == "staff")
        });
        number += usize::from(belongs);
        belongs && number % of == part
    });
    assert!(paths.len() > 5, "{}", paths.len());
    document.to_string()
}

/// Ids by the word that an operation's path or a field has for them.
struct Facts {
    shop: zhundian_tests::Shop,
    /// What may be retired, so that the rest stays alive.
    spare: zhundian_tests::Shop,
    orders: Vec<Value>,
    staff: String,
    block: String,
    time_off: String,
    starts: Vec<String>,
}

async fn facts(stack: &Stack, member: &Api) -> Facts {
    let shop = stack.shop(2, Hours::Always).await;
    let spare = stack.shop(1, Hours::Always).await;
    let owner = stack.owner().await;
    let tomorrow = date(1);
    let slots = shop.slots(member, None, &tomorrow, 1).await;
    let mut orders = Vec::new();
    for slot in slots.iter().step_by(24).take(3) {
        let reply = shop.book(member, None, &slot.start_at).await.expect(201);
        orders.push(reply.body["order"].clone());
    }
    let phone = some_phone();
    let grants = json!([{"role": "cashier", "store_id": shop.store}]);
    let body = json!({"phone": phone, "name": "收银", "grants": grants});
    let staff = owner.post("/api/v1/admin/staff", body).await.expect(201);
    let technician = &shop.technicians[0];
    let (start_at, end_at) =
        (format!("{tomorrow}T20:00:00+08:00"), format!("{tomorrow}T21:00:00+08:00"));
    let body = json!({"store_id": shop.store, "start_at": start_at, "end_at": end_at});
    let path = format!("/api/v1/staff/technicians/{technician}/blocks");
    let block = owner.post(path, body).idempotent().await.expect(201);
    let (start_at, end_at) =
        (format!("{}T00:00:00+08:00", date(40)), format!("{}T00:00:00+08:00", date(41)));
    let body = json!({"start_at": start_at, "end_at": end_at, "reason": "年假"});
    let path = format!("/api/v1/admin/technicians/{technician}/windows/times-off");
    let time_off = owner.post(path, body).await.expect(201);
    let free = shop.slots(member, None, &date(2), 1).await;
    Facts {
        orders,
        staff: staff.text("/id").to_owned(),
        block: block.text("/id").to_owned(),
        time_off: time_off.text("/id").to_owned(),
        starts: free.iter().step_by(13).map(|slot| slot.start_at.clone()).collect(),
        shop,
        spare,
    }
}

impl Facts {
    /// The configuration of a run: from which words a value is taken, most of the time.
    fn config(&self) -> String {
        let text = |value: &Value| value.as_str().expect("a text").to_owned();
        let orders = self.orders.iter().map(|order| text(&order["id"])).collect();
        let lines = self.orders.iter().map(|order| text(&order["lines"][0]["id"])).collect();
        let dictionaries: [(&str, Vec<String>); 10] = [
            ("stores", vec![self.shop.store.clone()]),
            ("services", vec![self.shop.service.clone()]),
            ("technicians", self.shop.technicians.clone()),
            ("spare_stores", vec![self.spare.store.clone()]),
            ("spare_services", vec![self.spare.service.clone()]),
            ("spare_technicians", self.spare.technicians.clone()),
            ("orders", orders),
            ("lines", lines),
            ("starts", self.starts.clone()),
            ("dates", (0..20).step_by(3).map(date).collect()),
        ];
        let ids = [("blocks", &self.block), ("times_off", &self.time_off)];
        // Nothing is kept from one run to the next: a run is its seed's.
        let mut config = String::from("[cache]\nenabled = false\n");
        for (name, values) in dictionaries {
            let _ = writeln!(config, "[dictionaries.{name}]\nvalues = {values:?}");
        }
        config.push_str("[dictionaries.versions]\nvalues = [1, 2, 3, 4]\n");
        config.push_str("[dictionaries.time_zones]\nvalues = [\"Asia/Shanghai\"]\n");
        for (name, value) in ids {
            let _ = writeln!(config, "[dictionaries.{name}]\nvalues = [{value:?}]");
        }
        let bind = |field: &str, dictionary: &str| {
            format!("{field:?} = {{ dictionary = {dictionary:?}, probability = 0.7 }}\n")
        };
        config.push_str("[parameters]\n");
        for (field, dictionary) in [
            ("query.store_id", "stores"),
            ("query.service_id", "services"),
            ("query.technician_id", "technicians"),
            ("query.line_id", "lines"),
            ("query.from", "dates"),
            ("path.date", "dates"),
            ("path.time_off_id", "times_off"),
            ("body.store_id", "stores"),
            ("body.service_id", "services"),
            ("body.technician_id", "technicians"),
            ("body.line_id", "lines"),
            ("body.start_at", "starts"),
            ("body.version", "versions"),
            ("body.time_zone", "time_zones"),
            ("body.stores[*]", "stores"),
            ("body.technicians[*]", "technicians"),
        ] {
            config.push_str(&bind(field, dictionary));
        }
        for (path, dictionary) in [
            ("^/api/v1/(admin/)?stores/", "stores"),
            ("^/api/v1/(admin/)?services/", "services"),
            ("^/api/v1/(admin/|staff/)?technicians/", "technicians"),
            ("^/api/v1/(staff/)?orders/", "orders"),
            ("^/api/v1/staff/appointments/", "lines"),
            ("^/api/v1/staff/blocks/", "blocks"),
            // What comes last counts.
            ("^/api/v1/admin/stores/[^/]*/retire", "spare_stores"),
            ("^/api/v1/admin/services/[^/]*/retire", "spare_services"),
            ("^/api/v1/admin/technicians/[^/]*/retire", "spare_technicians"),
        ] {
            let _ = writeln!(config, "[[operations]]\ninclude-path-regex = {path:?}");
            let _ = writeln!(config, "parameters = {{ {} }}", bind("path.id", dictionary).trim());
        }
        // Always this one: the ids of answers are used again, and the run's own must stay as it is.
        for path in ["^/api/v1/admin/staff/[^/]*$", "^/api/v1/admin/staff/[^/]*/retire"] {
            let _ = writeln!(config, "[[operations]]\ninclude-path-regex = {path:?}");
            let _ = writeln!(config, "parameters = {{ \"path.id\" = {:?} }}", self.staff);
        }
        config
    }
}

/// A run of schemathesis; its output goes to a file.
struct Run {
    part: usize,
    child: Child,
    output: PathBuf,
    until: Instant,
}

impl Run {
    fn start(part: usize, api: &Api, document: &str, facts: &Facts, seed: &str) -> Self {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("schema-{part}"));
        fs::create_dir_all(&folder).expect("the folder is made");
        let output = folder.join("output.txt");
        let log = fs::File::create(&output).expect("the output is made");
        fs::write(folder.join("schemathesis.toml"), facts.config()).expect("it is written");
        fs::write(folder.join("openapi.json"), document).expect("it is written");

        let root =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().expect("the root");
        let mut command = Command::new(root.join("tools/leash"));
        command
            .arg(root.join("tools/schemathesis"))
            .arg("--config-file")
            .arg(folder.join("schemathesis.toml"));
        command.arg("run").arg(folder.join("openapi.json")).args(["--url", api.base()]);
        for (name, value) in api.headers() {
            command.args(["--header", &format!("{name}: {value}")]);
        }
        command.args(["--checks", CHECKS, "--max-examples", EXAMPLES, "--seed", seed]);
        command.args(["--phases", "examples,coverage,fuzzing", "--continue-on-failure"]);
        command.args(["--suppress-health-check", "all", "--generation-database", "none"]);
        command.args(["--request-timeout", "30", "--no-color", "--warnings", "off"]);
        for path in SIGN_OUTS {
            command.args(["--exclude-path", path]);
        }
        command.stdin(Stdio::piped()).stdout(log.try_clone().expect("shared")).stderr(log);
        command.process_group(0).current_dir(&folder);
        let child = command.spawn().expect("schemathesis starts");
        Self { part, child, output, until: Instant::now() + WITHIN }
    }

    /// Waits for its end; its output, if it found anything or did not end.
    fn failure(mut self) -> Option<String> {
        let status = loop {
            match self.child.try_wait().expect("our child") {
                Some(status) => break Some(status),
                None if Instant::now() > self.until => break None,
                None => thread::sleep(Duration::from_millis(100)),
            }
        };
        // The leash: what is left of it goes.
        drop(self.child.stdin.take());
        let output = fs::read_to_string(&self.output).unwrap_or_default();
        let summary = output.split("= SUMMARY =").last().unwrap_or_default();
        println!("--- part {}:{}", self.part, summary);
        // The leash ends with its group, so it says the status in words.
        let clean = status.is_some() && output.trim_end().ends_with("ended with status 0");
        (!clean).then(|| format!("--- part {}: {status:?}\n{output}", self.part))
    }
}
