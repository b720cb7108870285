//! Process groups that do not outlive us.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group, test_kill_process_group};

/// How long a killed group may take to be gone.
const GONE_WITHIN: Duration = Duration::from_secs(10);

/// A command and all that it started, under `tools/leash`: the group goes when this is dropped, and
/// when the test process dies, by whatever death.
pub struct Group {
    child: Child,
}

impl Group {
    /// Starts it with its output going to the end of `log`.
    pub fn start(mut command: Command, log: &Path) -> Self {
        use std::os::unix::process::CommandExt as _;
        let log = File::options().create(true).append(true).open(log).expect("the log opens");
        let errors = log.try_clone().expect("the log is shared");
        command.stdin(Stdio::piped()).stdout(log).stderr(errors).process_group(0);
        let child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        Self { child }
    }

    /// Whether it ended by itself.
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("our child").is_some()
    }

    /// SIGKILL for every process of the group; they are gone when this returns.
    pub fn kill(&mut self) {
        let group = Pid::from_child(&self.child);
        // It may be gone by itself.
        let _ = kill_process_group(group, Signal::KILL);
        let _ = self.child.wait();
        let until = Instant::now() + GONE_WITHIN;
        while is_there(group) {
            assert!(Instant::now() < until, "process group {group:?} survived SIGKILL");
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Whether a process of the group runs. One that has died and that nobody asked for, as happens where
/// process 1 does not care for orphans, holds no file and no port any more: it does not count.
fn is_there(group: Pid) -> bool {
    if test_kill_process_group(group).is_err() {
        return false;
    }
    let Ok(processes) = fs::read_dir("/proc") else { return true };
    processes
        .filter_map(Result::ok)
        .filter_map(|process| fs::read_to_string(process.path().join("stat")).ok())
        .any(|stat| {
            // pid (name) state parent group …; the name may hold anything, also brackets.
            let mut fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
            let state = fields.next();
            let its_group = fields.nth(1).and_then(|group| group.parse().ok());
            its_group == Some(group.as_raw_pid()) && state != Some("Z")
        })
}
