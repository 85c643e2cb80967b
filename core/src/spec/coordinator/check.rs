//! From what was written to what is meant. Promises: every fault is reported, never only the first.

use std::path::{Path, PathBuf};

use super::raw::{RawCoordinator, RawGrant, RawTls};
use super::{CoordinatorSpec, Grant, Reach, Role, TlsFiles};
use crate::spec::fault::Fault;
use crate::spec::faults::{Faults, join};
use crate::spec::names::name;
use crate::spec::select::Patterns;
use crate::spec::written::{Text, Written};

const KEYS: &[&str] = &["name", "site", "data", "listen", "tls", "access"];
const TLS_KEYS: &[&str] = &["ca", "certificate", "key"];
const GRANT_KEYS: &[&str] = &["operator", "role", "links"];

const LISTEN_DEFAULT: &str = "0.0.0.0:9470";
const SECTION: &str = "the section's keys below it";
const PEM: &str = "the path of a PEM file";
const GRANTS: &str = "a list, as in [{ operator: ada, role: admin }]";

impl RawCoordinator {
    /// What the file means. Relative paths start at `folder`, the one of the file.
    ///
    /// # Errors
    /// Every fault, without lines: whoever read the file knows them.
    pub fn check(&self, folder: &Path) -> Result<CoordinatorSpec, Vec<Fault>> {
        let mut faults = Faults::default();
        faults.unknown("", &self.unknown, KEYS);
        let called = faults.needed("name", self.name.as_ref(), "a name, as in name: c1", name);
        let site = faults.needed("site", self.site.as_ref(), "a datacenter's name, as in site: praha", name);
        let data = path(&mut faults, "data", self.data.as_ref(), "the path of a folder", folder);
        let listen = faults.parsed("listen", self.listen.as_ref(), "host:port", address);
        if self.tls.is_none() {
            faults.add("tls", format!("is missing: write {SECTION}: {}", TLS_KEYS.join(", ")));
        }
        let tls = faults.shape("tls", self.tls.as_ref(), SECTION);
        let tls = tls.and_then(|raw| tls_files(&mut faults, raw, folder));
        let access = self.grants(&mut faults);
        let faults = faults.into_vec();
        match (called, site, data, tls) {
            (Some(name), Some(site), Some(data), Some(tls)) if faults.is_empty() => Ok(CoordinatorSpec {
                name,
                site,
                data,
                listen: listen.unwrap_or_else(|| LISTEN_DEFAULT.to_owned()),
                tls,
                access,
            }),
            _ => Err(faults),
        }
    }

    fn grants(&self, faults: &mut Faults) -> Vec<Grant> {
        let Some(grants) = faults.shape("access", self.access.as_ref(), GRANTS) else { return Vec::new() };
        let mut found = Vec::new();
        for (index, grant) in grants.iter().enumerate() {
            let key = format!("access[{index}]");
            let raw = faults.shape(&key, Some(grant), "operator, role and links");
            found.extend(raw.and_then(|raw| one_grant(faults, &key, raw)));
        }
        found
    }
}

fn tls_files(faults: &mut Faults, raw: &RawTls, folder: &Path) -> Option<TlsFiles> {
    faults.unknown("tls", &raw.unknown, TLS_KEYS);
    let (ca, certificate, key) = (
        path(faults, "tls.ca", raw.ca.as_ref(), PEM, folder),
        path(faults, "tls.certificate", raw.certificate.as_ref(), PEM, folder),
        path(faults, "tls.key", raw.key.as_ref(), PEM, folder),
    );
    Some(TlsFiles { ca: ca?, certificate: certificate?, key: key? })
}

fn one_grant(faults: &mut Faults, key: &str, raw: &RawGrant) -> Option<Grant> {
    faults.unknown(key, &raw.unknown, GRANT_KEYS);
    let operator = faults.needed(&join(key, "operator"), raw.operator.as_ref(), "an operator's name", name);
    let role = faults.needed(&join(key, "role"), raw.role.as_ref(), "viewer, operator or admin", role);
    let key = join(key, "links");
    let links = match faults.shape(&key, raw.links.as_ref(), "anchored regular expressions") {
        // What cannot be read must not become everything.
        None if raw.links.is_some() => None,
        None => Some(Reach::All),
        Some(texts) => {
            let texts = faults.texts(&key, texts, "an anchored regular expression");
            match Patterns::new(texts.iter().map(|(_, text)| text.as_str())) {
                Ok(patterns) => Some(Reach::Links(patterns)),
                Err(bad) => {
                    faults.add(key, bad.to_string());
                    None
                }
            }
        }
    };
    Some(Grant { operator: operator?, role: role?, links: links? })
}

fn path(
    faults: &mut Faults,
    key: &str,
    given: Option<&Written<Text>>,
    expected: &str,
    folder: &Path,
) -> Option<PathBuf> {
    faults.needed(key, given, expected, |text| match text {
        "" => Err("is empty".to_owned()),
        text => Ok(folder.join(text)),
    })
}

fn role(text: &str) -> Result<Role, String> {
    let found = Role::ALL.into_iter().find(|role| role.word() == text);
    found.ok_or_else(|| "is no role".to_owned())
}

fn address(text: &str) -> Result<String, String> {
    match text.rsplit_once(':') {
        Some((host, port)) if !host.is_empty() && port.parse::<u16>().is_ok() => Ok(text.to_owned()),
        _ => Err("is no address".to_owned()),
    }
}
