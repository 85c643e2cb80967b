//! The agent's coordinators, and how the clusters that they name are reached: they say names, this file holds paths.
//! Promises: nobody reads two answers to one question: what coordinators say cannot stand in the file as well.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::CoordinatorsSpec;
use super::raw::{RawAgent, RawCoordinators};
use crate::spec::faults::{Faults, join};
use crate::spec::link::check::addresses;
use crate::spec::names::name;
use crate::spec::security::SecuritySpec;
use crate::spec::written::{Text, Written};

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
    let addresses = addresses(faults, &at("addresses"), raw.addresses.as_ref());
    for address in &addresses {
        if let Err(why) = host_and_port(address) {
            faults.add(at("addresses"), format!("{address:?}: {why}; write host:port"));
        }
    }
    let mut file = |name: &str, given: Option<&Written<Text>>| -> Option<PathBuf> {
        faults.needed(&at(name), given, "the path of a PEM file", |text| match text {
            "" => Err("is empty".to_owned()),
            text => Ok(folder.join(text)),
        })
    };
    let (ca, certificate, key) = (
        file("ca", raw.ca.as_ref()),
        file("certificate", raw.certificate.as_ref()),
        file("key", raw.key.as_ref()),
    );
    Some(CoordinatorsSpec { addresses, ca: ca?, certificate: certificate?, key: key? })
}

pub(in crate::spec) fn host_and_port(text: &str) -> Result<(), &'static str> {
    let (host, port) = text.rsplit_once(':').ok_or("the port is missing")?;
    if host.is_empty() || host.contains(|c: char| c.is_whitespace() || c == '/') {
        return Err("the host is missing or contains a character no host name has");
    }
    match port.parse::<u16>() {
        Ok(1..) => Ok(()),
        _ => Err("the port must be a number from 1 to 65535"),
    }
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
