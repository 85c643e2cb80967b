//! A realm of trust for secured clusters: certificates, signed tokens, and a real MIT Kerberos.
//! realm → folder { pki/, tokens, krb/ } → properties (listeners of a broker) ; brokers of one realm trust each other's clients.
//! Promises: the KDC is private, on the loopback address, and ends with the realm.

mod kdc;
mod listeners;
mod pair;
mod pki;
mod tokens;

use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use kdc::Kdc;
pub use listeners::{Listener, SESSION_MS};
pub(crate) use listeners::{SecuredPorts, properties, protocols};
pub use pair::{SecuredPair, secured_pair};
pub use pki::{Authority, Issued, Pki};
pub use tokens::Tokens;

use crate::Error;
use crate::folder::Folder;

/// Users that every secured cluster knows under this name, whatever the mechanism; its password for PLAIN and SCRAM.
pub const CLIENT: (&str, &str) = ("drclient", "dr-secret-7a1");
/// A user without any right.
pub const LIMITED: (&str, &str) = ("limited", "limited-secret-9c4");

/// What secured clusters share. Fields drop in this order.
#[derive(Debug)]
pub struct Realm {
    kdc: Option<Kdc>,
    pub pki: Pki,
    pub tokens: Tokens,
    folder: Folder,
}

impl Realm {
    /// Takes a second. Without Kerberos where its packages are not installed, unless `CI=true`: then that is an error.
    ///
    /// # Errors
    /// When a file cannot be written or the KDC does not start.
    pub fn start() -> Result<Arc<Self>, Error> {
        let folder = Folder::new("realm")?;
        let pki = Pki::create(&folder.path().join("pki"))?;
        let tokens = Tokens::create(&folder.path().join("tokens"))?;
        let kdc = if Kdc::is_installed() {
            Some(Kdc::start(&folder.path().join("krb"))?)
        } else if std::env::var_os("CI").is_some_and(|ci| ci == "true") {
            return Err(Error::Refused("no Kerberos on this machine: `./dev setup` installs it".to_owned()));
        } else {
            eprintln!("no Kerberos on this machine (`./dev setup` installs it): tests of it are not run");
            None
        };
        Ok(Arc::new(Self { kdc, pki, tokens, folder }))
    }

    /// `None` where Kerberos is not installed.
    pub fn kdc(&self) -> Option<&Kdc> {
        self.kdc.as_ref()
    }

    /// For files of a test.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Writes a file of a test and returns where.
    pub fn write(&self, name: &str, content: &str) -> Result<PathBuf, Error> {
        let path = self.folder.path().join(name);
        std::fs::write(&path, content).map_err(Error::io(format!("write {}", path.display())))?;
        Ok(path)
    }

    pub(crate) fn jvm_options(&self) -> Vec<String> {
        let mut options = vec![format!(
            "-Dorg.apache.kafka.sasl.oauthbearer.allowed.urls=file://{}",
            self.tokens.keys().display()
        )];
        if let Some(kdc) = &self.kdc {
            options.push(format!("-Djava.security.krb5.conf={}", kdc.client_config().display()));
        }
        options
    }
}
