//! The sandbox and the Worker, as a user runs them.

use std::ffi::OsStr;
use std::fs;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::sync::OnceCell;

use crate::api::{Api, Reply};
use crate::port::Port;
use crate::process::Group;
use crate::random;

/// The Worker answers within this time, also when both processors are busy.
const READY_WITHIN: Duration = Duration::from_mins(2);
/// The owner's phone in every stack.
pub const OWNER_PHONE: &str = "13800000000";
/// The merchant's numbers at the payment vendors in every sandbox: also in one whose Worker does without
/// a vendor, because the test says that its number is empty.
pub const PAYMENT_NUMBERS: [(&str, &str); 3] = [
    ("WECHAT_PAY_MCHID", "1900000109"),
    ("ALIPAY_APP_ID", "2021000000000001"),
    ("ALIPAY_SELLER_ID", "2088000000000001"),
];
/// A notification that was refused comes again after 75 ms.
const SANDBOX_SPEED: &str = "200";
/// Neither required secrets nor variables of wrangler.toml, so wrangler does not take them from the file.
const NOT_TAKEN_FROM_FILE: [&str; 6] = [
    "PROXY_SECRET",
    "WECHAT_PAY_PRIVATE_KEY",
    "WECHAT_PAY_API_V3_KEY",
    "WECHAT_PAY_KEYS",
    "ALIPAY_PRIVATE_KEY",
    "ALIPAY_KEYS",
];

static SHARED: OnceCell<Stack> = OnceCell::const_new();
static STARTED: AtomicU32 = AtomicU32::new(0);

/// The sandbox and the Worker, each in its process group, with a state folder under `.state/tests`.
/// Dropping it ends both and removes the folder, unless the test fails: then the ends of their logs are
/// printed and the folder stays.
pub struct Stack {
    state: PathBuf,
    port: Port,
    _sandbox_port: Port,
    vars: Vec<(String, String)>,
    api: Api,
    sandbox: Api,
    worker: Mutex<Option<Group>>,
    _sandbox: Group,
    pub(crate) owner: OnceCell<Api>,
}

impl Stack {
    /// A stack of the test's own.
    pub async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// A stack of the test's own, some of whose variables have other values.
    pub async fn start_with(vars: &[(&str, &str)]) -> Self {
        let stack = Self::prepare(vars);
        stack.restart_worker().await;
        stack
    }

    /// As [`Stack::start_with`], for a configuration with which `/healthz` answers this status.
    pub async fn start_unwell(vars: &[(&str, &str)], status: u16) -> Self {
        let stack = Self::prepare(vars);
        stack.restart_worker_until(status).await;
        stack
    }

    fn prepare(vars: &[(&str, &str)]) -> Self {
        let root = root();
        let built = root.join("build/index.js");
        assert!(built.is_file(), "{} is missing: run tools/build first", built.display());

        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        let state = tests_folder().join(format!("{}-{number}", std::process::id()));
        let _ = fs::remove_dir_all(&state);
        copy_folder(&migrated_template(), &state.join("worker"));

        let (port, sandbox_port) = (Port::reserve(), Port::reserve());
        let vars = variables(port.number(), sandbox_port.number(), vars);
        let lines: Vec<_> = vars.iter().map(|(name, value)| format!("{name}={value}")).collect();
        fs::write(state.join("vars.env"), lines.join("\n")).expect("the variables are written");

        let mut command = leashed("node");
        command.arg("sandbox/main.mjs").envs(vars.iter().cloned());
        for (name, number) in PAYMENT_NUMBERS {
            if vars.iter().any(|(known, value)| known == name && value.is_empty()) {
                command.env(name, number);
            }
        }
        command.env("SANDBOX_PORT", sandbox_port.number().to_string());
        let sandbox = Group::start(command, &state.join("sandbox.log"));
        let secret = &vars.iter().find(|(name, _)| name == "PROXY_SECRET").expect("it is there").1;
        Self {
            api: Api::new(format!("http://127.0.0.1:{}", port.number()))
                .with_header("x-proxy-secret", secret),
            sandbox: Api::new(format!("http://127.0.0.1:{}/sandbox", sandbox_port.number())),
            state,
            port,
            _sandbox_port: sandbox_port,
            vars,
            worker: Mutex::new(None),
            _sandbox: sandbox,
            owner: OnceCell::new(),
        }
    }

    /// The stack that the tests of one binary share. What a test finds in it, others may have put
    /// there; what it makes must not stand in their way.
    pub async fn shared() -> Shared {
        Shared(SHARED.get_or_init(Self::start).await)
    }

    /// A client without a token. Each has an address of its own, so that limits per address, which are
    /// against abuse, count what one test's actor does and not all tests together.
    pub fn api(&self) -> Api {
        let bits = random().to_be_bytes();
        let address = format!("10.{}.{}.{}", bits[0], bits[1], bits[2]);
        self.api.clone().with_header("x-real-ip", &address)
    }

    /// Where the Worker listens, on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port.number()
    }

    /// A variable of the Worker's.
    pub fn var(&self, name: &str) -> &str {
        let var = self.vars.iter().find(|(known, _)| known == name);
        var.map_or_else(|| panic!("no variable {name}"), |(_, value)| value.as_str())
    }

    /// The sandbox's control calls, without their `/sandbox`.
    pub fn sandbox(&self) -> &Api {
        &self.sandbox
    }

    /// SIGKILL for wrangler and workerd, which are gone when this returns.
    pub fn kill_worker(&self) {
        if let Some(mut worker) = self.worker().take() {
            worker.kill();
        }
    }

    /// Starts the Worker on the same port and state, after killing it if it runs; it answers when this
    /// returns.
    pub async fn restart_worker(&self) {
        self.restart_worker_until(200).await;
    }

    /// As [`Stack::restart_worker`], when something is broken so that `/healthz` answers this status.
    pub async fn restart_worker_until(&self, status: u16) {
        self.kill_worker();
        let port = self.port().to_string();
        let mut command = leashed("wrangler");
        command.args(["dev", "--local", "--ip", "127.0.0.1", "--port", port.as_str()]);
        command.args(["--inspector-port", "0", "--show-interactive-dev-session=false"]);
        command.arg("--persist-to").arg(self.state.join("worker"));
        command.arg("--env-file").arg(self.state.join("vars.env"));
        for (name, value) in &self.vars {
            if NOT_TAKEN_FROM_FILE.contains(&name.as_str()) {
                command.arg("--var").arg(format!("{name}:{value}"));
            }
        }
        command.envs(self.vars.iter().cloned());
        command.env("ZHUNDIAN_BUILD", "none");
        *self.worker() = Some(Group::start(command, &self.log("worker")));

        let until = Instant::now() + READY_WITHIN;
        let mut last = String::new();
        while Instant::now() < until {
            let asked = self.api.get("/healthz").within(Duration::from_secs(10));
            match asked.attempt().await {
                Ok(reply) if reply.status == status => return,
                Ok(reply) => last = format!("{} {}", reply.status, reply.body),
                Err(none) => last = none.to_string(),
            }
            let ended = self.worker().as_mut().is_none_or(Group::has_ended);
            assert!(!ended, "the Worker ended:\n{}", self.log_tail());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("the Worker does not answer: {last}\n{}", self.log_tail());
    }

    /// Runs the jobs of a cron of `wrangler.toml`, such as `"* * * * *"`.
    pub async fn run_cron(&self, cron: &str) -> Reply {
        let cron: String = cron
            .chars()
            .map(|c| match c {
                ' ' => "+".into(),
                '*' | '/' => format!("%{:02X}", u32::from(c)),
                c => c.to_string(),
            })
            .collect();
        let path = format!("/cdn-cgi/local/scheduled?cron={cron}&format=json");
        let reply = self.api.get(path).within(Duration::from_mins(2)).await.expect(200);
        assert_eq!(reply.body["outcome"], "ok", "{}", reply.body);
        reply
    }

    /// Runs SQL on D1's file, whether or not the Worker runs: the rows as JSON objects. Reads only.
    pub fn d1(&self, sql: &str) -> Vec<Value> {
        let mut tables = read(&[self.d1_file()], sql);
        tables.pop().expect("one file, one table").1
    }

    /// Runs SQL statements on D1's file as no client can, while the Worker is down.
    pub fn write_d1(&self, sql: &str) {
        assert!(self.worker().is_none(), "the Worker has the file open");
        node(WRITE, sql, &[self.d1_file()]);
    }

    /// As [`Stack::write_d1`], on the file of one calendar object.
    pub fn write_calendar(&self, name: &str, sql: &str) {
        assert!(self.worker().is_none(), "the Worker has the file open");
        let files = self.sqlite_files("do/zhundian-Calendar");
        let names = read(&files, "SELECT 1");
        let at = names.iter().position(|(known, _)| known == name);
        let at = at.unwrap_or_else(|| panic!("no calendar {name} in {names:?}"));
        node(WRITE, sql, &files[at..=at]);
    }

    /// D1's file.
    pub fn d1_file(&self) -> PathBuf {
        let mut files = self.sqlite_files("d1/miniflare-D1DatabaseObject");
        assert_eq!(files.len(), 1, "one database: {files:?}");
        files.pop().expect("just counted")
    }

    /// Changes D1's rows as no client can, such as when something was done, and starts the Worker again:
    /// it must not run meanwhile.
    pub async fn change_d1(&self, sql: &str) {
        self.kill_worker();
        self.write_d1(sql);
        self.restart_worker().await;
    }

    /// Runs SQL on the file of every calendar object that there is, whether or not the Worker runs: the
    /// object's name with its rows. Reads only.
    pub fn calendars(&self, sql: &str) -> Vec<(String, Vec<Value>)> {
        let files = self.sqlite_files("do/zhundian-Calendar");
        if files.is_empty() { Vec::new() } else { read(&files, sql) }
    }

    /// What the Worker printed: wrangler's words and a JSON line for each request.
    pub fn worker_log(&self) -> String {
        fs::read_to_string(self.log("worker")).unwrap_or_default()
    }

    /// The ends of both logs.
    pub fn log_tail(&self) -> String {
        let tail = |name: &str| {
            let text = fs::read_to_string(self.log(name)).unwrap_or_default();
            let lines: Vec<_> = text.lines().collect();
            let from = lines.len().saturating_sub(60);
            format!("--- {}\n{}\n", self.log(name).display(), lines[from..].join("\n"))
        };
        tail("sandbox") + &tail("worker")
    }

    fn worker(&self) -> std::sync::MutexGuard<'_, Option<Group>> {
        self.worker.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn log(&self, name: &str) -> PathBuf {
        self.state.join(format!("{name}.log"))
    }

    fn sqlite_files(&self, folder: &str) -> Vec<PathBuf> {
        let folder = self.state.join("worker/v3").join(folder);
        let Ok(files) = fs::read_dir(&folder) else { return Vec::new() };
        let mut files: Vec<_> = files
            .map(|file| file.expect("the folder is read").path())
            .filter(|path| path.extension() == Some(OsStr::new("sqlite")))
            .filter(|path| path.file_stem() != Some(OsStr::new("metadata")))
            .collect();
        files.sort();
        files
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        self.kill_worker();
        if std::thread::panicking() {
            eprintln!("{}", self.log_tail());
        } else {
            let _ = fs::remove_dir_all(&self.state);
        }
    }
}

/// The shared stack, in the hands of one test.
pub struct Shared(&'static Stack);

impl Deref for Shared {
    type Target = Stack;

    fn deref(&self) -> &Stack {
        self.0
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.0.log_tail());
        }
    }
}

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

fn tests_folder() -> PathBuf {
    root().join(".state/tests")
}

/// A program of `node_modules`, on the leash.
fn leashed(program: &str) -> Command {
    let mut command = Command::new("tools/leash");
    command.arg(program);
    with_tools(&mut command);
    command
}

fn with_tools(command: &mut Command) {
    let bin = root().canonicalize().expect("the root is there").join("node_modules/.bin");
    let path = std::env::var("PATH").unwrap_or_default();
    command.current_dir(root());
    command.env("PATH", format!("{}:{path}", bin.display()));
    command.env("WRANGLER_SEND_METRICS", "false").env("CLOUDFLARE_CF_FETCH_ENABLED", "false");
}

fn variables(port: u16, sandbox_port: u16, others: &[(&str, &str)]) -> Vec<(String, String)> {
    let secret = || format!("{:016x}{:016x}", random(), random());
    let sandbox = format!("http://127.0.0.1:{sandbox_port}");
    let mut vars: Vec<(String, String)> = [
        ("ENVIRONMENT", "development".into()),
        // 43 digits of base64url are 32 bytes; the last two bits of the last digit mean nothing.
        ("TOKEN_KEYS", format!("test:{}{}A", secret(), &secret()[..10])),
        ("PUBLIC_URL", format!("http://127.0.0.1:{port}")),
        ("HOLD_MINUTES", "15".into()),
        ("WAITLIST_OFFER_MINUTES", "15".into()),
        ("WECHAT_BASE_URL", sandbox.clone()),
        ("WECHAT_APPID", "wx0000000000000001".into()),
        ("WECHAT_SECRET", secret()),
        ("SMS_BASE_URL", sandbox.clone()),
        ("SMS_SECRET_ID", secret()),
        ("SMS_SECRET_KEY", secret()),
        ("SMS_SDK_APP_ID", "1400000001".into()),
        ("SMS_SIGN_NAME", "准点".into()),
        ("SMS_CODE_TEMPLATE", "1000001".into()),
        ("SMS_MESSAGES", "lost=1000002 store start".into()),
        ("QUIET_HOURS", "none".into()),
        ("OWNER_PHONE", OWNER_PHONE.into()),
        ("PROXY_SECRET", secret()),
        ("WECHAT_PAY_BASE_URL", sandbox.clone()),
        ("WECHAT_PAY_FALLBACK_URL", sandbox.clone()),
        ("ALIPAY_BASE_URL", format!("{sandbox}/gateway.do")),
        ("SANDBOX_SPEED", SANDBOX_SPEED.into()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into();
    vars.extend(PAYMENT_NUMBERS.map(|(name, value)| (name.to_owned(), value.to_owned())));
    let alipay_mode = others.iter().find(|(name, _)| *name == "ALIPAY_MODE");
    vars.extend(key_variables(alipay_mode.map_or("key", |(_, mode)| mode)));
    for (name, value) in others {
        vars.retain(|(known, _)| known != name);
        vars.push(((*name).to_owned(), (*value).to_owned()));
    }
    vars
}

/// What the Worker and the sandbox are told of the payment keys, with Alipay's in this mode. All stacks
/// share one folder of keys: to make them takes as long as the rest of a start.
fn key_variables(alipay_mode: &str) -> Vec<(String, String)> {
    static VARIABLES: OnceLock<Value> = OnceLock::new();
    let variables = VARIABLES.get_or_init(|| {
        let makers = ["sandbox/keys.mjs", "sandbox/x509.mjs", "tools/payment-vars.mjs"];
        let hash = hash_of(&makers.map(|file| root().join(file)));
        let folder = tests_folder().join(format!("keys-{hash:016x}"));
        let file = folder.join("variables.json");
        let read = || fs::read(&file).ok().map(|text| serde_json::from_slice(&text).expect("JSON"));
        // The keys' maker lets several come at once; the file appears whole, with the same in it.
        read().unwrap_or_else(|| {
            let text = node(KEY_VARIABLES, &folder.to_string_lossy(), &[]);
            let partial = folder.join(format!("variables-partial-{:016x}", random()));
            fs::write(&partial, text).expect("the file is written");
            fs::rename(&partial, &file).expect("the file gets its name");
            read().expect("just written")
        })
    });
    let of_mode = variables[alipay_mode].as_object();
    let of_mode = of_mode.unwrap_or_else(|| panic!("ALIPAY_MODE is no {alipay_mode}"));
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    of_mode.iter().map(|(name, value)| (name.clone(), text(value))).collect()
}

/// What these files are, by name and content.
fn hash_of(files: &[PathBuf]) -> u64 {
    use std::hash::{DefaultHasher, Hasher as _};
    let mut hasher = DefaultHasher::new();
    for file in files {
        hasher.write(file.as_os_str().as_encoded_bytes());
        hasher.write(&fs::read(file).expect("the file is read"));
    }
    hasher.finish()
}

/// A state folder whose D1 has the migrations of now, made once for as long as they stay as they are.
fn migrated_template() -> PathBuf {
    let mut files: Vec<_> = fs::read_dir(root().join("d1-migrations"))
        .expect("the migrations are there")
        .map(|file| file.expect("the folder is read").path())
        .chain([root().join("wrangler.toml"), root().join("package-lock.json")])
        .collect();
    files.sort();
    let template = tests_folder().join(format!("template-{:016x}", hash_of(&files)));
    if template.is_dir() {
        return template;
    }
    // Made beside its place and renamed into it; another process may be first.
    let partial = tests_folder().join(format!("template-partial-{:016x}", random()));
    fs::create_dir_all(&partial).expect("the folder is made");
    let mut command = Command::new("wrangler");
    with_tools(&mut command);
    command.args(["d1", "migrations", "apply", "zhundian", "--local", "--persist-to"]);
    let output = command.arg(&partial).stdin(Stdio::null()).output().expect("wrangler runs");
    assert!(
        output.status.success(),
        "migrations: {}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    if fs::rename(&partial, &template).is_err() {
        let _ = fs::remove_dir_all(&partial);
    }
    template
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("the folder is made");
    for entry in fs::read_dir(from).expect("the folder is read") {
        let entry = entry.expect("the folder is read");
        let target = to.join(entry.file_name());
        if entry.file_type().expect("its kind").is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).expect("the file is copied");
        }
    }
}

/// Reads by Node's own SQLite: a binding of ours would compile SQLite for a minute.
const READ: &str = r#"
const { DatabaseSync } = require("node:sqlite");
const [sql, ...files] = process.argv.slice(1);
const value = (_, value) => (value instanceof Uint8Array ? Buffer.from(value).toString("hex") : value);
const name = (db) => {
  try {
    return db.prepare("SELECT name FROM __miniflare_do_name").get()?.name;
  } catch {}
};
const tables = files.map((file) => {
  const db = new DatabaseSync(file, { readOnly: true, timeout: 5000 });
  return [name(db) ?? file, db.prepare(sql).all()];
});
process.stdout.write(JSON.stringify(tables, value));
"#;

/// Nothing of what was written stays in the journal beside the file.
const WRITE: &str = r#"
const { DatabaseSync } = require("node:sqlite");
const [sql, file] = process.argv.slice(1);
const db = new DatabaseSync(file, { enableForeignKeyConstraints: false, timeout: 5000 });
db.exec("PRAGMA legacy_alter_table = ON");
db.exec(sql);
db.exec("PRAGMA wal_checkpoint(TRUNCATE)");
db.close();
"#;

/// The variables of both modes of Alipay.
const KEY_VARIABLES: &str = r#"
const [folder] = process.argv.slice(1);
import("./tools/payment-vars.mjs").then(({ keyVars }) => {
  const modes = ["key", "certificate"].map((mode) => [mode, keyVars(folder, mode)]);
  process.stdout.write(JSON.stringify(Object.fromEntries(modes)));
});
"#;

pub(crate) fn node(script: &str, argument: &str, files: &[PathBuf]) -> Vec<u8> {
    let mut command = Command::new("node");
    with_tools(&mut command);
    let output = command.args(["-e", script, argument]).args(files).output().expect("node runs");
    assert!(output.status.success(), "{argument}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

fn read(files: &[PathBuf], sql: &str) -> Vec<(String, Vec<Value>)> {
    let output = node(READ, sql, files);
    let Ok(Value::Array(tables)) = serde_json::from_slice(&output) else {
        panic!("{sql}: {}", String::from_utf8_lossy(&output));
    };
    tables
        .into_iter()
        .map(|mut table| {
            let name = table[0].as_str().unwrap_or_default().to_owned();
            let Value::Array(rows) = table[1].take() else { panic!("{sql}: no rows") };
            (name, rows)
        })
        .collect()
}
