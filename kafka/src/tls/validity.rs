//! Until when a certificate is valid, and the warning before its end: 14 days ahead, once a day for each.
//! An unreadable certificate is not warned about: the handshake judges it.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use lockstep_core::code::Code;
use tokio_rustls::rustls::pki_types::CertificateDer;
use x509_cert::der::Decode;

use super::NOTICES;

const AHEAD: Duration = Duration::from_secs(14 * DAY_SECONDS);
const AGAIN: Duration = Duration::from_secs(DAY_SECONDS);
const DAY_SECONDS: u64 = 24 * 3_600;
/// Certificates remembered: those of a large cluster and ours.
const WARNED_MAX: usize = 256;

/// What a certificate says of itself.
pub(super) struct Validity {
    /// The subject, most specific part first, as Java writes it.
    pub(super) subject: String,
    pub(super) not_after: SystemTime,
}

pub(super) fn of(certificate: &CertificateDer<'_>) -> Option<Validity> {
    let parsed = x509_cert::Certificate::from_der(certificate).ok()?;
    let body = parsed.tbs_certificate();
    Some(Validity {
        subject: body.subject().to_string(),
        not_after: body.validity().not_after.to_system_time(),
    })
}

/// A certificate in use, and until when it is valid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// `our client certificate`, `the certificate of broker kafka-mi`, `an authority of ca.pem`.
    pub what: String,
    /// Most specific part first, as Java writes it.
    pub subject: String,
    pub not_after: SystemTime,
}

/// Who has been warned about, and when; and which certificates were met at all.
#[derive(Default)]
pub(super) struct ExpiryWatch {
    warned: Mutex<BTreeMap<String, SystemTime>>,
    met: Mutex<BTreeMap<(String, String), SystemTime>>,
}

impl ExpiryWatch {
    /// Warns if the certificate ends soon. `what` completes "… expires in".
    pub(super) fn look(&self, what: &str, certificate: &CertificateDer<'_>) {
        let Some(found) = of(certificate) else { return };
        self.remember(what, &found);
        if let Some(words) = self.due(what, &found, SystemTime::now()) {
            tracing::warn!(target: NOTICES, "{}: {words}", Code::CertificateExpiresSoon);
        }
    }

    fn remember(&self, what: &str, found: &Validity) {
        let mut met = self.met.lock().unwrap_or_else(PoisonError::into_inner);
        if met.len() >= WARNED_MAX {
            met.clear();
        }
        met.insert((what.to_owned(), found.subject.clone()), found.not_after);
    }

    /// Every certificate met so far, by what it is.
    pub(super) fn met(&self) -> Vec<Certificate> {
        let met = self.met.lock().unwrap_or_else(PoisonError::into_inner);
        let certificates = met.iter();
        certificates
            .map(|((what, subject), not_after)| Certificate {
                what: what.clone(),
                subject: subject.clone(),
                not_after: *not_after,
            })
            .collect()
    }

    fn due(&self, what: &str, found: &Validity, now: SystemTime) -> Option<String> {
        let left = found.not_after.duration_since(now).unwrap_or_default();
        if left > AHEAD {
            return None;
        }
        let mut warned = self.warned.lock().unwrap_or_else(PoisonError::into_inner);
        let name = format!("{what} ({})", found.subject);
        let recent = warned.get(&name).and_then(|at| now.duration_since(*at).ok());
        if recent.is_some_and(|since| since < AGAIN) {
            return None;
        }
        if warned.len() >= WARNED_MAX {
            warned.clear();
        }
        let words = match left.as_secs() {
            0 => format!("{name} has expired"),
            seconds if seconds < 2 * DAY_SECONDS => format!("{name} expires in {} hours", seconds / 3_600),
            seconds => format!("{name} expires in {} days", seconds / DAY_SECONDS),
        };
        warned.insert(name, now);
        Some(words)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warns_two_weeks_ahead_and_once_a_day() {
        let watch = ExpiryWatch::default();
        let start = SystemTime::UNIX_EPOCH + Duration::from_secs(2_000_000_000);
        let days = |days: u64| Duration::from_secs(days * DAY_SECONDS);
        let found = Validity { subject: "CN=a".to_owned(), not_after: start + days(20) };
        let at = |now| watch.due("our client certificate", &found, now);
        assert_eq!(at(start), None, "20 days left");
        assert_eq!(at(start + days(6)).unwrap(), "our client certificate (CN=a) expires in 14 days");
        assert_eq!(at(start + days(6) + Duration::from_secs(5)), None, "said today");
        assert!(at(start + days(19)).unwrap().ends_with("expires in 24 hours"));
        assert!(at(start + days(21)).unwrap().ends_with("has expired"));
    }
}
