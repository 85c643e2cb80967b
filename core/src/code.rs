//! The codes of what an operator has to act on: `L-102`. Each has a page in `docs/errors/`: cause, checks, remedy.
//! Promises: a number never changes its meaning and is never given again. `tests/tidy` keeps table and pages equal.

use std::fmt;

/// What an operator has to act on. The number is the one on its page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u16)]
pub enum Code {
    /// A setting of the `security` section cannot be meant.
    SecuritySettings = 101,
    /// No right to write control records on the destination (M12).
    MarkersNotAllowed = 102,
    /// An ACL is missing.
    PermissionMissing = 103,
    /// A file of ours cannot be meant.
    Configuration = 104,
    /// TLS was spoken to a port that does not speak it.
    NotTls = 110,
    /// Plaintext was spoken to a port that speaks TLS.
    SpeaksTls = 111,
    /// The broker's certificate comes from an authority that the truststore does not hold.
    UnknownAuthority = 112,
    /// The broker's certificate is outside its time.
    BrokerCertificateExpired = 113,
    /// The broker's certificate does not name the host that was dialled.
    WrongHostName = 114,
    /// The broker demands a client certificate and got none.
    ClientCertificateRequired = 115,
    /// The broker does not accept our client certificate.
    ClientCertificateRefused = 116,
    /// A certificate in use expires soon.
    CertificateExpiresSoon = 117,
    /// PEM files that changed cannot be used.
    CertificateFiles = 118,
    /// TLS failed for another reason.
    TlsFailed = 119,
    /// Wrong user or password.
    LoginRefused = 120,
    /// The listener does not offer our SASL mechanism.
    MechanismNotOffered = 121,
    /// The listener does not ask for SASL.
    SaslNotExpected = 122,
    /// The listener demands SASL and we sent none.
    SaslDemanded = 123,
    /// The token was refused, or has expired.
    TokenRefused = 124,
    /// No token could be had.
    TokenUnavailable = 125,
    /// The broker did not prove that it knows the password.
    BrokerNotAuthentic = 126,
    /// No Kerberos ticket, or none that the broker takes.
    KerberosFailed = 127,
    /// Clocks differ by more than Kerberos allows.
    KerberosClockSkew = 128,
    /// A password or key file cannot be read.
    SecretUnreadable = 129,
}

impl Code {
    pub const ALL: [Self; 24] = [
        Self::SecuritySettings,
        Self::MarkersNotAllowed,
        Self::PermissionMissing,
        Self::Configuration,
        Self::NotTls,
        Self::SpeaksTls,
        Self::UnknownAuthority,
        Self::BrokerCertificateExpired,
        Self::WrongHostName,
        Self::ClientCertificateRequired,
        Self::ClientCertificateRefused,
        Self::CertificateExpiresSoon,
        Self::CertificateFiles,
        Self::TlsFailed,
        Self::LoginRefused,
        Self::MechanismNotOffered,
        Self::SaslNotExpected,
        Self::SaslDemanded,
        Self::TokenRefused,
        Self::TokenUnavailable,
        Self::BrokerNotAuthentic,
        Self::KerberosFailed,
        Self::KerberosClockSkew,
        Self::SecretUnreadable,
    ];

    /// The page of this code, from the root of the repository.
    #[must_use]
    pub fn page(self) -> String {
        format!("docs/errors/{self}.md")
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "L-{}", *self as u16)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_listed_once_and_in_order() {
        assert!(Code::ALL.windows(2).all(|pair| pair[0] < pair[1]));
        assert_eq!(Code::MarkersNotAllowed.to_string(), "L-102");
        assert_eq!(Code::MarkersNotAllowed.page(), "docs/errors/L-102.md");
    }
}
