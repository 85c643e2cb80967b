//! The agent's coordinators, and how the clusters that they name are reached: they say names, this file holds paths.
//! Promises: nobody reads two answers to one question: what coordinators say cannot stand in the file as well.

use std::collections::BTreeMap;
use std::path::Path;

use super::CoordinatorsSpec;
use super::raw::{RawAgent, RawCoordinators};
use crate::spec::faults::{Faults, join};
use crate::spec::link::check::dialled;
use crate::spec::names::name;
use crate::spec::security::SecuritySpec;
use crate::spec::tls::{TlsFiles, files};

const SECTION: &str = "the section's keys below it";
const KEYS: &[&str] = &["addresses", "ca", "certificate", "key"];

pub(super) fn read(
    faults: &mut Faults,
    raw: &RawAgent,
    folder: &Path,
) -> (Option<CoordinatorsSpec>, BTreeMap<String, SecuritySpec>) {
    if raw.coordinators.is_some() {
        let theirs = [
            ("defaults", raw.defaults.is_some()),
            ("clusters", raw.clusters.is_some()),
            ("links", raw.links.is_some()),
        ];
        for (key, _) in theirs.iter().filter(|(_, is_there)| *is_there) {
            faults.add(*key, "comes from the coordinators: leave it out, or leave out coordinators");
        }
    } else if raw.security.is_some() {
        let what = "only goes with coordinators: write it below the cluster, as in clusters.NAME.security";
        faults.add("security", what);
    }
    let given = faults.shape("coordinators", raw.coordinators.as_ref(), SECTION);
    let coordinators = given.and_then(|given| coordinators(faults, given, folder));
    (coordinators, security(faults, raw, folder))
}

fn coordinators(faults: &mut Faults, raw: &RawCoordinators, folder: &Path) -> Option<CoordinatorsSpec> {
    let at = |name: &str| join("coordinators", name);
    faults.unknown("coordinators", &raw.unknown, KEYS);
    let addresses = dialled(faults, &at("addresses"), raw.addresses.as_ref());
    let given = [raw.ca.as_ref(), raw.certificate.as_ref(), raw.key.as_ref()];
    let TlsFiles { ca, certificate, key } = files(faults, "coordinators", given, folder)?;
    Some(CoordinatorsSpec { addresses, ca, certificate, key })
}

fn security(faults: &mut Faults, raw: &RawAgent, folder: &Path) -> BTreeMap<String, SecuritySpec> {
    let expected = "a name and the keys of a security section below it";
    let sections = faults.shape("security", raw.security.as_ref(), expected).into_iter().flatten();
    let mut found = BTreeMap::new();
    for (called, section) in sections {
        let key = join("security", called);
        if let Err(why) = name(called) {
            faults.add(&key, format!("{called:?} cannot be a section's name: {why}"));
        }
        match faults.shape(&key, Some(section), SECTION).map(|raw| raw.check(&key, folder)) {
            None => {}
            Some(Ok(security)) => drop(found.insert(called.clone(), security)),
            Some(Err(more)) => faults.extend(more),
        }
    }
    found
}
