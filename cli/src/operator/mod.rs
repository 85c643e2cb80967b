//! The way to the coordinators: `operator.yaml`, and a call to whichever of them answers.
//!
//! ```text
//! flag, variable or home ─ find ─► operator.yaml ─ load ─► Coordinators ─ call ─► answer, or Refused (words, remedy, exit code)
//! ```
//!
//! Promises: a call that changes something is never sent twice; where it is not known whether it was done, that is said.

mod client;
mod refused;
#[cfg(test)]
pub(crate) mod testing;
mod transport;
mod turns;

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use lockstep_core::code::Code;
use lockstep_core::spec::operator::OperatorSpec;

use crate::cmd::failure::Failure;
use crate::files;
pub(crate) use client::{Coordinators, Nature};

const VARIABLE: &str = "LOCKSTEP_OPERATOR";

/// Which coordinators are asked, and as whom.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct Operator {
    /// Where the coordinators are, and who you are to them [default: $LOCKSTEP_OPERATOR, or lockstep/operator.yaml below
    /// $XDG_CONFIG_HOME or ~/.config]
    #[arg(long, value_name = "FILE")]
    operator: Option<PathBuf>,
}

/// Where the file was looked for.
#[derive(Debug, PartialEq, Eq)]
enum Place {
    /// Somebody named it: it has to be there.
    Named(PathBuf),
    /// The usual place.
    Usual(PathBuf),
    /// There is no home to look in.
    Nowhere,
}

impl Operator {
    /// # Errors
    /// There is no such file, or it cannot be used: every fault with its line.
    pub(crate) fn connect(&self) -> Result<Coordinators, Failure> {
        match self.place() {
            Place::Usual(path) if !path.exists() => {
                Err(nobody_named(&format!("{} is not there", path.display())))
            }
            Place::Named(path) | Place::Usual(path) => load(&path),
            Place::Nowhere => Err(nobody_named("there is no home folder to look in")),
        }
    }

    fn place(&self) -> Place {
        place(self.operator.clone(), |name| std::env::var_os(name).filter(|value| !value.is_empty()))
    }
}

fn place(flag: Option<PathBuf>, variable: impl Fn(&str) -> Option<OsString>) -> Place {
    if let Some(path) = flag.or_else(|| variable(VARIABLE).map(PathBuf::from)) {
        return Place::Named(path);
    }
    let home = || variable("HOME").map(|home| PathBuf::from(home).join(".config"));
    let folder = variable("XDG_CONFIG_HOME").map(PathBuf::from).or_else(home);
    folder.map_or(Place::Nowhere, |folder| Place::Usual(folder.join("lockstep").join("operator.yaml")))
}

fn nobody_named(why: &str) -> Failure {
    format!(
        "no coordinators to ask: {why}\n  remedy  write operator.yaml (docs/OPERATIONS.md, Three sites from nothing), or name it \
         with --operator; --local asks the agent of this machine instead"
    )
    .into()
}

fn load(path: &Path) -> Result<Coordinators, Failure> {
    let spec: OperatorSpec =
        files::operator(path).map_err(|unusable| Failure::with(Some(unusable.page()), unusable))?;
    Coordinators::new(&spec, path).map_err(|words| Failure::coded(Code::Configuration, words))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flag_comes_before_the_variable_and_the_variable_before_home() {
        let set = |pairs: &'static [(&str, &str)]| {
            move |name: &str| {
                pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| OsString::from(value))
            }
        };
        let all = &[("LOCKSTEP_OPERATOR", "/v.yaml"), ("XDG_CONFIG_HOME", "/x"), ("HOME", "/h")];
        assert_eq!(place(Some("/f.yaml".into()), set(all)), Place::Named("/f.yaml".into()));
        assert_eq!(place(None, set(all)), Place::Named("/v.yaml".into()));
        assert_eq!(place(None, set(&all[1..])), Place::Usual("/x/lockstep/operator.yaml".into()));
        assert_eq!(place(None, set(&all[2..])), Place::Usual("/h/.config/lockstep/operator.yaml".into()));
        assert_eq!(place(None, set(&[])), Place::Nowhere);
    }
}
