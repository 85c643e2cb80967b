//! CPU seconds, peak memory and duration of one child process, from `/proc`, without unsafe code.
//! The child lives under the shell of a leash (it ends when we do). The shell waits for it, so the child's CPU time,
//! threads and all, is added to the shell's account; the shell stays readable until we wait for it, which is last.
//! Counted in: 2 to 4 ms of the shell becoming the child. Resolution of CPU time: one tick (10 ms), of the rest 10 ms.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use std::{fs, io, thread};

use lockstep_testkit::{Exit, Leash, Signal};

use crate::Result;
use crate::proc::{self, Stat};

const SAMPLE_EVERY: Duration = Duration::from_millis(10);
/// As much of a child's last words as a message shows.
const SHOWN_LINES: usize = 20;

/// What a process took from start to end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Usage {
    /// User and system time of all its threads.
    pub(crate) cpu_seconds: f64,
    /// The last sample before its end: what it took in its last 10 ms may be missing.
    pub(crate) peak_resident_bytes: u64,
    pub(crate) wall: Duration,
}

/// What a process has taken so far.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SoFar {
    /// User and system time of all its threads.
    pub(crate) cpu_seconds: f64,
    pub(crate) resident_bytes: u64,
    pub(crate) peak_resident_bytes: u64,
    /// How long its main thread was ready to run while others had the cores. A mirror works in that thread alone.
    pub(crate) waited_seconds: f64,
    pub(crate) at: Instant,
}

/// A running child. Dropping it kills it.
pub(crate) struct Metered {
    line: String,
    leash: Leash,
    stdout: PathBuf,
    stderr: PathBuf,
    started: Instant,
    sampling: JoinHandle<io::Result<Usage>>,
}

impl Metered {
    /// Starts a command; what it says goes to `NAME.out` and `NAME.err` in a folder.
    pub(crate) fn start(program: &Path, arguments: &[&str], folder: &Path, name: &str) -> Result<Self> {
        let ticks_per_second = ticks_per_second()?;
        let mut command = vec![program.display().to_string()];
        command.extend(arguments.iter().map(|&argument| argument.to_owned()));
        let (stdout, stderr) = (folder.join(format!("{name}.out")), folder.join(format!("{name}.err")));
        let started = Instant::now();
        let leash = Leash::run(&command, &[], &stdout, &stderr)?;
        let pid = leash.pid();
        let sampling = thread::spawn(move || sample(pid, started, ticks_per_second));
        Ok(Self { line: command.join(" "), leash, stdout, stderr, started, sampling })
    }

    /// Just before the shell was asked to start it.
    pub(crate) fn started(&self) -> Instant {
        self.started
    }

    /// A look at the running process.
    ///
    /// # Errors
    /// When it has ended: then it said why.
    pub(crate) fn so_far(&self) -> Result<SoFar> {
        let ticks_per_second = ticks_per_second()?;
        let pid = self.leash.pid();
        let stat = read(pid, "stat")?.as_deref().and_then(Stat::parse);
        let status = read(pid, "status")?.unwrap_or_default();
        let memory = (proc::resident_bytes(&status), proc::peak_resident_bytes(&status));
        let waited = read(pid, "schedstat")?.as_deref().and_then(proc::waited_for_a_core);
        match (stat, memory, waited) {
            (Some(stat), (Some(resident_bytes), Some(peak_resident_bytes)), Some(waited_seconds)) => {
                Ok(SoFar {
                    cpu_seconds: stat.own_ticks as f64 / ticks_per_second,
                    resident_bytes,
                    peak_resident_bytes,
                    waited_seconds,
                    at: Instant::now(),
                })
            }
            _ => Err(format!("`{}` has ended\n{}", self.line, self.last_words()).into()),
        }
    }

    /// SIGINT, as Ctrl-C sends it.
    pub(crate) fn interrupt(&mut self) -> Result<()> {
        Ok(self.leash.signal(Signal::Interrupt)?)
    }

    /// # Errors
    /// When it has ended: then it said why.
    pub(crate) fn must_run(&self) -> Result<()> {
        if self.sampling.is_finished() {
            return Err(format!("`{}` has ended\n{}", self.line, self.last_words()).into());
        }
        Ok(())
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// When it has not ended well within `limit`, with its last words; it is killed.
    pub(crate) fn finish(mut self, limit: Duration) -> Result<Usage> {
        let deadline = Instant::now() + limit;
        // Not the leash's own wait: that would wait for the shell, and with it goes the account.
        while !self.sampling.is_finished() {
            if Instant::now() > deadline {
                return Err(
                    format!("`{}` still runs after {limit:?}\n{}", self.line, self.last_words()).into()
                );
            }
            thread::sleep(SAMPLE_EVERY);
        }
        let exit = self.leash.wait(deadline.saturating_duration_since(Instant::now()) + SAMPLE_EVERY)?;
        if exit != Exit::Code(0) {
            return Err(format!("`{}` ended with {exit}\n{}", self.line, self.last_words()).into());
        }
        let usage = self.sampling.join().map_err(|_| "the sampling thread panicked")?;
        Ok(usage.map_err(|cause| format!("`{}` could not be measured: {cause}", self.line))?)
    }

    fn last_words(&self) -> String {
        let mut words = String::new();
        for path in [&self.stdout, &self.stderr] {
            let text = fs::read_to_string(path).unwrap_or_default();
            let lines: Vec<_> = text.lines().collect();
            for line in &lines[lines.len().saturating_sub(SHOWN_LINES)..] {
                words.push_str(&format!("  {line}\n"));
            }
        }
        words
    }
}

fn sample(pid: u32, started: Instant, ticks_per_second: f64) -> io::Result<Usage> {
    let missing = |what: &str| io::Error::other(format!("{what} is not to be found in /proc"));
    let stat = |pid: u32| -> io::Result<Option<Stat>> {
        read(pid, "stat")?.map(|text| Stat::parse(&text).ok_or_else(|| missing("its stat"))).transpose()
    };
    let shell = stat(pid)?.ok_or_else(|| missing("a process that ended at once"))?.parent;
    let mut peak = None;
    while let Some(status) = read(pid, "status")? {
        peak = peak.max(proc::peak_resident_bytes(&status));
        thread::sleep(SAMPLE_EVERY);
    }
    let wall = started.elapsed();
    // The child is gone because the shell has waited for it: its time is in the shell's account.
    let ticks = stat(shell)?.ok_or_else(|| missing("its shell"))?.waited_children_ticks;
    Ok(Usage {
        cpu_seconds: ticks as f64 / ticks_per_second,
        peak_resident_bytes: peak.ok_or_else(|| missing("VmHWM"))?,
        wall,
    })
}

/// `None` when there is no such process.
fn read(pid: u32, name: &str) -> io::Result<Option<String>> {
    const NO_SUCH_PROCESS: i32 = 3; // ESRCH: it ended between open and read
    match fs::read_to_string(format!("/proc/{pid}/{name}")) {
        Ok(text) => Ok(Some(text)),
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(cause) if cause.raw_os_error() == Some(NO_SUCH_PROCESS) => Ok(None),
        Err(cause) => Err(cause),
    }
}

fn ticks_per_second() -> Result<f64> {
    let answer =
        Command::new("getconf").arg("CLK_TCK").output().map_err(|cause| format!("getconf: {cause}"))?;
    let text = String::from_utf8_lossy(&answer.stdout);
    match text.trim().parse::<u32>() {
        Ok(ticks) if ticks > 0 => Ok(f64::from(ticks)),
        _ => Err(format!("getconf CLK_TCK answers {text:?}").into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(60);

    fn start(folder: &Path, script: &str) -> Metered {
        Metered::start(Path::new("sh"), &["-c", script], folder, "child").unwrap()
    }

    #[test]
    fn a_busy_child_has_its_cpu_time_counted() {
        let folder = tempfile::tempdir().unwrap();
        let busy = start(folder.path(), "i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done");
        let usage = busy.finish(LIMIT).unwrap();
        assert!(usage.cpu_seconds > 0.0 && usage.peak_resident_bytes > 0, "{usage:?}");
        assert!(usage.wall.as_secs_f64() > 0.0);
    }

    #[test]
    fn a_running_child_can_be_looked_at() {
        let folder = tempfile::tempdir().unwrap();
        let busy = start(folder.path(), "while :; do :; done");
        let first = busy.so_far().unwrap();
        thread::sleep(Duration::from_millis(300));
        let later = busy.so_far().unwrap();
        assert!(later.cpu_seconds > first.cpu_seconds && later.at > first.at, "{first:?} {later:?}");
        assert!(later.resident_bytes > 0 && later.peak_resident_bytes >= later.resident_bytes);
        assert!(later.waited_seconds >= first.waited_seconds);
    }

    #[test]
    fn a_child_that_fails_is_an_error_with_its_last_words() {
        let folder = tempfile::tempdir().unwrap();
        let failing = start(folder.path(), "sleep 0.1; echo alas >&2; exit 3");
        let error = failing.finish(LIMIT).unwrap_err().to_string();
        assert!(error.contains("exit code 3") && error.contains("alas"), "{error}");
    }

    #[test]
    fn a_child_that_does_not_end_is_killed() {
        let folder = tempfile::tempdir().unwrap();
        let endless = start(folder.path(), "exec sleep 1000");
        let pid = endless.leash.pid();
        let error = endless.finish(Duration::from_millis(50)).unwrap_err().to_string();
        assert!(error.contains("still runs"), "{error}");
        assert_eq!(read(pid, "stat").unwrap(), None);
    }
}
