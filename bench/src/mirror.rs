//! The process that is measured: the product's binary beside this one, and its command line.

use std::env;
use std::path::PathBuf;

use crate::Result;
use crate::meter::Metered;
use crate::site::Site;

/// When the mirror leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Leave {
    CaughtUp,
    WhenTold,
}

/// `lockstep` as it was built with this program.
///
/// # Errors
/// When it was not.
pub(crate) fn program() -> Result<PathBuf> {
    let path = env::current_exe()?.with_file_name("lockstep");
    if path.is_file() {
        Ok(path)
    } else {
        Err(format!("no {}: `./dev bench` builds it", path.display()).into())
    }
}

/// Starts a mirror from the site's source to its destination.
pub(crate) fn start(site: &Site, topics: &str, link: &str, leave: Leave) -> Result<Metered> {
    start_with(site, topics, link, leave, &[])
}

/// The same, with more to its command line.
pub(crate) fn start_with(
    site: &Site,
    topics: &str,
    link: &str,
    leave: Leave,
    more: &[&str],
) -> Result<Metered> {
    let (from, to) = (site.source.bootstrap(), site.dest.bootstrap());
    let mut arguments = vec!["mirror", "--from", &from, "--to", &to, "--topics", topics, "--link", link];
    if leave == Leave::CaughtUp {
        arguments.push("--until-caught-up");
    }
    arguments.extend(more);
    Metered::start(&site.program, &arguments, site.scratch.path(), link)
}
