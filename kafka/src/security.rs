//! A cluster's security settings, ready to be used: files were readable once, secrets could be resolved.
//! Promises: all faults at once; `Debug` shows no secret. Certificates and secrets are read anew at every connection.

use std::fmt;
use std::sync::Arc;

use lockstep_core::spec::fault::Fault;
use lockstep_core::spec::security::SecuritySpec;

use crate::sasl::Login;
use crate::tls::{Certificate, Tls};

/// How a cluster's brokers are spoken to. Cheap to clone; plaintext by default.
#[derive(Clone, Default)]
pub struct Security {
    tls: Option<Arc<Tls>>,
    login: Option<Arc<Login>>,
}

impl Security {
    /// Reads every file and secret once, so that what cannot work is said before anything is dialled.
    ///
    /// # Errors
    /// Every fault, with its key below `security`.
    pub fn resolve(spec: &SecuritySpec) -> Result<Self, Vec<Fault>> {
        let mut faults = Vec::new();
        let mut keep = |found: Result<Option<Arc<Tls>>, Vec<Fault>>| match found {
            Ok(tls) => tls,
            Err(more) => {
                faults.extend(more);
                None
            }
        };
        let tls = keep(spec.tls.as_ref().map(|tls| Tls::load(tls, "security.ssl").map(Arc::new)).transpose());
        let login = match spec.login.as_ref().map(|login| Login::resolve(login).map(Arc::new)).transpose() {
            Ok(login) => login,
            Err(more) => {
                faults.extend(more);
                None
            }
        };
        if faults.is_empty() { Ok(Self { tls, login }) } else { Err(faults) }
    }

    pub(crate) fn tls(&self) -> Option<&Tls> {
        self.tls.as_deref()
    }

    pub(crate) fn login(&self) -> Option<&Arc<Login>> {
        self.login.as_ref()
    }

    /// Who we are to the brokers' authorizer, as far as we can tell: they may map names
    /// (`ssl.principal.mapping.rules`, `sasl.kerberos.principal.to.local.rules`).
    #[must_use]
    pub fn principal(&self) -> String {
        if let Some(login) = &self.login {
            return login.principal();
        }
        let subject = self.tls.as_ref().and_then(|tls| tls.subject());
        subject.map_or_else(|| "User:ANONYMOUS".to_owned(), |subject| format!("User:{subject}"))
    }

    /// The certificates that connections under these settings have met so far, and until when they are valid.
    #[must_use]
    pub fn certificates(&self) -> Vec<Certificate> {
        self.tls.as_ref().map_or_else(Vec::new, |tls| tls.certificates())
    }

    /// As `security.protocol` spells it.
    #[must_use]
    pub fn protocol(&self) -> &'static str {
        match (&self.tls, &self.login) {
            (None, None) => "plaintext",
            (Some(_), None) => "ssl",
            (None, Some(_)) => "sasl_plaintext",
            (Some(_), Some(_)) => "sasl_ssl",
        }
    }
}

impl fmt::Debug for Security {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Security({}", self.protocol())?;
        if let Some(login) = &self.login {
            write!(f, ", {}", login.mechanism())?;
        }
        f.write_str(")")
    }
}
