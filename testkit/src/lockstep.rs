//! The product as a child process: `lockstep mirror …`, killed, interrupted, waited for, its words read.
//! It is the binary beside the test's own (`target/debug/lockstep`); it runs on a leash and ends with the test.
//! When a test fails, what it said is printed.

use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{env, fs, thread};

use crate::folder::Folder;
use crate::{Error, Exit, Leash, Signal};

/// The last lines that a failing test shows of each stream.
const SHOWN_LINES: usize = 40;

/// A running `lockstep`. Dropping it kills it.
#[derive(Debug)]
pub struct Lockstep {
    line: String,
    leash: Leash,
    folder: Folder,
}

/// A `lockstep` that has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finished {
    pub exit: Exit,
    pub stdout: String,
    pub stderr: String,
}

impl Lockstep {
    /// Starts `lockstep` with arguments.
    ///
    /// # Panics
    /// When the binary is not built.
    pub fn spawn(arguments: &[&str]) -> Result<Self, Error> {
        Self::spawn_with(arguments, &[])
    }

    /// As [`Lockstep::spawn`], with environment variables.
    ///
    /// # Panics
    /// When the binary is not built.
    pub fn spawn_with(arguments: &[&str], env: &[(&str, &str)]) -> Result<Self, Error> {
        Self::spawn_of(&binary(), arguments, env)
    }

    /// As [`Lockstep::spawn_with`], with another build's binary.
    pub fn spawn_of(program: &Path, arguments: &[&str], env: &[(&str, &str)]) -> Result<Self, Error> {
        let folder = Folder::new("lockstep")?;
        let mut command = vec![program.display().to_string()];
        command.extend(arguments.iter().map(|&argument| argument.to_owned()));
        let env: Vec<_> = env.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
        let leash = Leash::run(&command, &env, &folder.path().join("stdout"), &folder.path().join("stderr"))?;
        Ok(Self { line: format!("lockstep {}", arguments.join(" ")), leash, folder })
    }

    /// Runs `lockstep` to its end.
    ///
    /// # Errors
    /// When it has not ended within `limit`; it is killed.
    ///
    /// # Panics
    /// When the binary is not built.
    pub fn run(arguments: &[&str], limit: Duration) -> Result<Finished, Error> {
        let mut child = Self::spawn(arguments)?;
        let exit = child.wait(limit)?;
        Ok(Finished { exit, stdout: child.stdout(), stderr: child.stderr() })
    }

    pub fn pid(&self) -> u32 {
        self.leash.pid()
    }

    /// SIGKILL; gone when it returns.
    pub fn kill(&mut self) -> Result<(), Error> {
        self.leash.kill().map(drop)
    }

    /// SIGINT, as Ctrl-C sends it.
    pub fn interrupt(&mut self) -> Result<(), Error> {
        self.leash.signal(Signal::Interrupt)
    }

    /// Any other signal.
    pub fn signal(&mut self, signal: Signal) -> Result<(), Error> {
        self.leash.signal(signal)
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// When it still runs after `limit`, with the end of what it said; it is left running.
    pub fn wait(&mut self, limit: Duration) -> Result<Exit, Error> {
        self.leash.wait(limit).map_err(|cause| match cause {
            Error::TimedOut { .. } => Error::TimedOut {
                what: format!("the end of `{}`", self.line),
                limit,
                detail: format!("; it said:\n{}{}", last_lines(&self.stdout()), last_lines(&self.stderr())),
            },
            other => other,
        })
    }

    pub fn is_running(&mut self) -> Result<bool, Error> {
        Ok(self.leash.try_exit()?.is_none())
    }

    /// Everything it wrote to standard output until now.
    pub fn stdout(&self) -> String {
        read(&self.folder.path().join("stdout"))
    }

    /// Everything it wrote to standard error until now.
    pub fn stderr(&self) -> String {
        read(&self.folder.path().join("stderr"))
    }
}

impl Drop for Lockstep {
    fn drop(&mut self) {
        if thread::panicking() {
            let (out, err) = (last_lines(&self.stdout()), last_lines(&self.stderr()));
            eprintln!("`{}` had said:\n--- stdout\n{out}--- stderr\n{err}---", self.line);
        }
    }
}

/// The product's binary: beside this one, or one folder up (tests lie in `deps`).
fn binary() -> PathBuf {
    let here = env::current_exe().unwrap_or_default();
    let found =
        here.ancestors().skip(1).take(2).map(|folder| folder.join("lockstep")).find(|path| path.is_file());
    match found {
        Some(path) => path,
        None => panic!(
            "no `lockstep` beside {}: `cargo build -p lockstep-cli` makes it (`./dev test` does so first)",
            here.display()
        ),
    }
}

fn read(path: &Path) -> String {
    fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
}

fn last_lines(text: &str) -> String {
    let lines: Vec<_> = text.lines().collect();
    let from = lines.len().saturating_sub(SHOWN_LINES);
    lines[from..].iter().map(|line| format!("{line}\n")).collect()
}
