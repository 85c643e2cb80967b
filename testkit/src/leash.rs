//! A child process that cannot outlive us. It runs under a small `sh` whose standard input is a pipe that only this
//! process holds: when the pipe closes, for whatever reason (drop, panic, SIGKILL), the shell kills its child.
//! Signals travel through the same pipe as words: the shell is the parent, so the pid it signals is its own child's
//! and cannot have been given to another process; nothing unsafe and no extra process is needed.
//! Each word is answered, so a call returns after the signal was sent.

use std::fmt;
use std::fs::OpenOptions;
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::Error;

/// `$1` receives the child's standard output; the rest is its command line. Our own standard output is the line back.
/// `env` undoes the ignored SIGINT that shells give to background commands; the child tells its pid after that, so no
/// signal can come too early. The shell's own remarks ("Killed") are not the child's. The watcher is killed as
/// soon as the child was waited for: it never signals a stranger.
const SCRIPT: &str = r#"
out=$1; shift
exec 3<&0 </dev/null
env --default-signal=INT,QUIT -- sh -c 'echo "$$" >&4; exec "$@" 4>&-' sh "$@" 4>&1 >>"$out" 3<&- &
child=$!
exec 2>/dev/null
(
  while read -r signal <&3; do
    if kill -s "$signal" "$child"; then echo sent; else echo gone; fi
  done
  kill -s KILL "$child"
) &
watcher=$!
wait "$child"
code=$?
kill -s KILL "$watcher"
exit "$code"
"#;

const PAUSE: Duration = Duration::from_millis(5);
/// After SIGKILL only a hung disk keeps a process alive.
const KILL_LIMIT: Duration = Duration::from_secs(10);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    Kill,
    Stop,
    Continue,
    Interrupt,
    Terminate,
    Hangup,
}

impl Signal {
    fn word(self) -> &'static str {
        match self {
            Self::Kill => "KILL",
            Self::Stop => "STOP",
            Self::Continue => "CONT",
            Self::Interrupt => "INT",
            Self::Terminate => "TERM",
            Self::Hangup => "HUP",
        }
    }
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    Code(i32),
    /// The number of the signal that ended it. (A program that exits with 129 or more itself is told by the same number.)
    Signal(i32),
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exit code {code}"),
            Self::Signal(signal) => write!(f, "signal {signal}"),
        }
    }
}

/// A running (or ended) child. Dropping it kills the child and waits for it.
#[derive(Debug)]
pub struct Leash {
    shell: Child,
    /// `None` once let go of.
    words: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
    pid: u32,
    exit: Option<Exit>,
}

impl Leash {
    /// Starts a command, appending what it writes to two files. It gets a process group of its own: a Ctrl-C at the
    /// terminal reaches it only through us.
    ///
    /// # Errors
    /// When the shell cannot be started. A command that does not exist ends with exit code 127.
    pub fn run(
        command: &[String],
        env: &[(String, String)],
        stdout: &Path,
        stderr: &Path,
    ) -> Result<Self, Error> {
        let what = || format!("run {}", command.join(" "));
        let errors = OpenOptions::new().create(true).append(true).open(stderr).map_err(Error::io(what()))?;
        let mut shell = Command::new("sh")
            .args(["-c", SCRIPT, "sh"])
            .arg(stdout)
            .args(command)
            .envs(env.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(errors)
            .process_group(0)
            .spawn()
            .map_err(Error::io(what()))?;
        // Taken out at once: `Child::wait` would close it, and closing it kills.
        let (words, answers) = match (shell.stdin.take(), shell.stdout.take()) {
            (Some(words), Some(answers)) => (words, answers),
            _ => return Err(Error::Refused(format!("{}: the shell came without pipes", what()))),
        };
        let mut leash =
            Self { shell, words: Some(words), answers: BufReader::new(answers), pid: 0, exit: None };
        let line = leash.answer().map_err(Error::io(what()))?;
        leash.pid = line.parse().map_err(|_| Error::Refused(format!("{}: no pid but `{line}`", what())))?;
        Ok(leash)
    }

    /// The process id of the command itself, not of its shell.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Sends a signal and returns when it was sent. To a process that has ended it is nothing.
    ///
    /// # Errors
    /// When the shell is gone although the child was not seen to end.
    pub fn signal(&mut self, signal: Signal) -> Result<(), Error> {
        if self.try_exit()?.is_some() {
            return Ok(());
        }
        let sent = self.say(signal.word()).and_then(|()| self.answer());
        match sent {
            Ok(_) => Ok(()),
            // It ended by itself between the look and the word.
            Err(_) if self.wait(Duration::from_secs(1)).is_ok() => Ok(()),
            Err(cause) => {
                Err(Error::Io { what: format!("signal {signal:?} to {}", self.pid), source: cause })
            }
        }
    }

    /// How it ended, or `None` while it runs.
    pub fn try_exit(&mut self) -> Result<Option<Exit>, Error> {
        if self.exit.is_none()
            && let Some(status) =
                self.shell.try_wait().map_err(Error::io(format!("wait for {}", self.pid)))?
        {
            // The shell reports a signal as 128 plus its number; killed itself, it has none.
            self.exit = Some(match status.code() {
                Some(code) if code > 128 => Exit::Signal(code - 128),
                Some(code) => Exit::Code(code),
                None => Exit::Signal(9),
            });
        }
        Ok(self.exit)
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// When it still runs after `limit`; it is left running.
    pub fn wait(&mut self, limit: Duration) -> Result<Exit, Error> {
        let deadline = Instant::now() + limit;
        loop {
            if let Some(exit) = self.try_exit()? {
                return Ok(exit);
            }
            if Instant::now() >= deadline {
                let what = format!("the end of process {}", self.pid);
                return Err(Error::TimedOut { what, limit, detail: String::new() });
            }
            thread::sleep(PAUSE);
        }
    }

    /// SIGKILL, and waits until it is gone.
    pub fn kill(&mut self) -> Result<Exit, Error> {
        self.signal(Signal::Kill)?;
        self.wait(KILL_LIMIT)
    }

    fn say(&mut self, word: &str) -> io::Result<()> {
        match &mut self.words {
            Some(pipe) => writeln!(pipe, "{word}").and_then(|()| pipe.flush()),
            None => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }

    fn answer(&mut self) -> io::Result<String> {
        let mut line = String::new();
        match self.answers.read_line(&mut line)? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(line.trim().to_owned()),
        }
    }
}

impl Drop for Leash {
    fn drop(&mut self) {
        self.words = None; // the shell reads the end of the pipe and kills
        if let Err(cause) = self.wait(KILL_LIMIT) {
            eprintln!("process {} did not end: {cause}", self.pid);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;

    use super::*;
    use crate::folder::Folder;

    struct Run {
        leash: Leash,
        folder: Folder,
    }

    fn run(script: &str) -> Run {
        let folder = Folder::new("leash").unwrap();
        let command: Vec<String> = ["sh", "-c", script].map(str::to_owned).into();
        let env = [("GREETING".to_owned(), "ciao".to_owned())];
        let leash =
            Leash::run(&command, &env, &folder.path().join("out"), &folder.path().join("err")).unwrap();
        Run { leash, folder }
    }

    impl Run {
        fn read(&self, name: &str) -> String {
            fs::read_to_string(self.folder.path().join(name)).unwrap_or_default()
        }
        fn said(&self, word: &str) {
            crate::wait_until_true(word, Duration::from_secs(5), || self.read("out").contains(word));
        }
    }

    const SECONDS: Duration = Duration::from_secs(5);

    #[test]
    fn exit_code_and_output_come_back() {
        let mut run = run("echo $GREETING; echo oops >&2; exit 3");
        assert_eq!(run.leash.wait(SECONDS).unwrap(), Exit::Code(3));
        assert_eq!((run.read("out").as_str(), run.read("err").as_str()), ("ciao\n", "oops\n"));
        run.leash.signal(Signal::Kill).unwrap();
    }

    #[test]
    fn signals_reach_the_child_and_not_only_the_shell() {
        let mut killed = run("exec sleep 100");
        assert_eq!(killed.leash.kill().unwrap(), Exit::Signal(9));
        assert_eq!(killed.read("err"), "", "the shell keeps out of it");
        let mut interrupted = run("exec sleep 100");
        interrupted.leash.signal(Signal::Interrupt).unwrap();
        assert_eq!(interrupted.leash.wait(SECONDS).unwrap(), Exit::Signal(2), "SIGINT is not ignored");
        let mut trapped = run("trap 'echo trapped; exit 7' TERM; echo ready; while :; do sleep 0.05; done");
        trapped.said("ready");
        trapped.leash.signal(Signal::Terminate).unwrap();
        assert_eq!(trapped.leash.wait(SECONDS).unwrap(), Exit::Code(7));
        trapped.said("trapped");
    }

    fn state(pid: u32) -> Option<char> {
        let stat = fs::read_to_string(PathBuf::from(format!("/proc/{pid}/stat"))).ok()?;
        stat.rsplit(") ").next()?.chars().next()
    }

    #[test]
    fn stop_and_continue() {
        let mut run = run("exec sleep 100");
        let pid = run.leash.pid();
        run.leash.signal(Signal::Stop).unwrap();
        crate::wait_until_true("a stopped process", SECONDS, || state(pid) == Some('T'));
        assert!(run.leash.wait(Duration::from_millis(50)).is_err(), "a stopped process has not ended");
        run.leash.signal(Signal::Continue).unwrap();
        crate::wait_until_true("a running process", SECONDS, || state(pid) == Some('S'));
    }

    #[test]
    fn dropping_kills_even_a_stopped_process_that_ignores_signals() {
        let mut run = run("trap '' TERM INT HUP; echo ready; while :; do sleep 0.05; done");
        run.said("ready");
        let pid = run.leash.pid();
        run.leash.signal(Signal::Stop).unwrap();
        drop(run);
        assert!(!PathBuf::from(format!("/proc/{pid}")).exists());
    }
}
