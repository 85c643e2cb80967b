//! Why a coordinator could not be reached, in words: who has to renew which certificate, or that nobody listens.
//! Told by types where the layers between keep them; HTTP/2 keeps only the words of an alert, so those are compared
//! with what the TLS library itself says of it.

use std::error::Error;
use std::io;

use tokio_rustls::rustls;
use tokio_rustls::rustls::{AlertDescription, CertificateError};
use tonic::Status;

/// What the other side may say about our certificate.
const ABOUT_US: [AlertDescription; 9] = [
    AlertDescription::CertificateExpired,
    AlertDescription::CertificateRequired,
    AlertDescription::BadCertificate,
    AlertDescription::UnknownCA,
    AlertDescription::CertificateUnknown,
    AlertDescription::CertificateRevoked,
    AlertDescription::UnsupportedCertificate,
    AlertDescription::DecryptError,
    AlertDescription::AccessDenied,
];

/// A connection that did not come about.
pub(super) fn words(error: &(dyn Error + 'static)) -> String {
    let mut last = error.to_string();
    for cause in chain(error) {
        last = cause.to_string();
        if let Some(words) = cause.downcast_ref::<rustls::Error>().map(of_tls) {
            return words;
        }
        let Some(io) = cause.downcast_ref::<io::Error>() else { continue };
        if let Some(tls) = io.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            return of_tls(tls);
        }
        match io.kind() {
            io::ErrorKind::ConnectionRefused => return "nobody listens there".to_owned(),
            io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset => {
                return "it closed the connection; perhaps no coordinator listens there".to_owned();
            }
            _ => {}
        }
    }
    last
}

/// What the other side said about our certificate behind the handshake.
pub(super) fn alert(status: &Status) -> Option<String> {
    chain(status).find_map(|cause| {
        let said = cause.to_string();
        let meant =
            |alert: &&AlertDescription| said.contains(&rustls::Error::AlertReceived(**alert).to_string());
        ABOUT_US.iter().find(meant).map(|alert| of_alert(*alert))
    })
}

/// The connection was closed before the call went out: whoever dislikes a certificate may close before its alert is read.
pub(super) fn closed_before(status: &Status) -> Option<String> {
    let is_unsent = |cause: &(dyn Error + 'static)| {
        cause.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_canceled)
    };
    chain(status).any(is_unsent).then(|| {
        "it closed the connection: perhaps it does not take our certificate (tls.certificate: of another authority, or \
         expired), or it is stopping"
            .to_owned()
    })
}

/// A call that broke off: its words, and the cause behind them.
pub(super) fn of_status(status: &Status) -> String {
    let words = status.message();
    let Some(cause) = status.source().and_then(|source| chain(source).last()) else {
        return words.to_owned();
    };
    let cause = cause.to_string();
    if words.is_empty() || cause.contains(words) { cause } else { format!("{words} ({cause})") }
}

fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error: &&'a (dyn Error + 'static)| (*error).source())
}

fn of_tls(error: &rustls::Error) -> String {
    match error {
        rustls::Error::AlertReceived(alert) => of_alert(*alert),
        rustls::Error::InvalidCertificate(reason) => of_certificate(reason),
        // What came first was no TLS record.
        rustls::Error::InvalidMessage(_) => "it does not speak TLS: no coordinator listens there".to_owned(),
        other => format!("TLS failed: {other}"),
    }
}

fn of_alert(alert: AlertDescription) -> String {
    match alert {
        AlertDescription::CertificateExpired => {
            "our certificate has expired: have a new one issued for tls.certificate".to_owned()
        }
        alert if ABOUT_US.contains(&alert) => format!(
            "it does not take our certificate (it said {alert:?}): have tls.certificate signed by the system's authority"
        ),
        alert => format!("it refused the handshake: {alert:?}"),
    }
}

fn of_certificate(reason: &CertificateError) -> String {
    match reason {
        CertificateError::Expired
        | CertificateError::ExpiredContext { .. }
        | CertificateError::NotValidYet
        | CertificateError::NotValidYetContext { .. } => {
            format!("its certificate is outside its time ({reason}): renew it, or set this machine's clock")
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            format!("its certificate is not for the name dialled ({reason}): dial a name it bears, or have it issued for this one")
        }
        // An authority of the same name with another key shows as a bad signature.
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            "its certificate comes from another authority than tls.ca: one of the two belongs to another system".to_owned()
        }
        other => format!("its certificate cannot be used: {other}"),
    }
}
