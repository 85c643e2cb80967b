//! From what was written to what is meant. Promises: every fault is reported, never only the first.

use std::path::Path;

use super::raw::{RawCoordinator, RawGrant};
use super::{CoordinatorSpec, Grant, Reach, Role};
use crate::spec::daemon::{self, Listen};
use crate::spec::fault::Fault;
use crate::spec::faults::{Faults, join};
use crate::spec::names::{address, name};
use crate::spec::select::Patterns;
use crate::spec::tls;

const KEYS: &[&str] = &["name", "site", "data", "listen", "http", "log", "tls", "access"];
const GRANT_KEYS: &[&str] = &["operator", "role", "links"];

const LISTEN_DEFAULT: &str = "0.0.0.0:9470";
const HTTP_DEFAULT: &str = "127.0.0.1:9480";
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
        let data = faults.needed("data", self.data.as_ref(), "the path of a folder", |text| match text {
            "" => Err("is empty".to_owned()),
            text => Ok(folder.join(text)),
        });
        let listen = faults.parsed("listen", self.listen.as_ref(), "host:port", listen);
        let http = faults.parsed("http", self.http.as_ref(), "host:port, or off", daemon::listen);
        let log = faults.shape("log", self.log.as_ref(), "the section's keys below it");
        let log = daemon::log_spec(&mut faults, log);
        let tls = tls::section(&mut faults, self.tls.as_ref(), folder);
        let access = self.grants(&mut faults);
        let faults = faults.into_vec();
        match (called, site, data, tls) {
            (Some(name), Some(site), Some(data), Some(tls)) if faults.is_empty() => Ok(CoordinatorSpec {
                name,
                site,
                data,
                listen: listen.unwrap_or_else(|| LISTEN_DEFAULT.to_owned()),
                http: http.unwrap_or_else(|| Listen::At(HTTP_DEFAULT.to_owned())),
                log,
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

fn role(text: &str) -> Result<Role, String> {
    let found = Role::ALL.into_iter().find(|role| role.word() == text);
    found.ok_or_else(|| "is no role".to_owned())
}

/// Port 0 leaves the choice to the system.
fn listen(text: &str) -> Result<String, String> {
    match text.strip_suffix(":0") {
        Some(host) if !host.is_empty() => Ok(text.to_owned()),
        _ => address(text).map_err(str::to_owned),
    }
}
