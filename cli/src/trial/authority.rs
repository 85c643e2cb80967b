//! Certificates of a trial on one machine: an authority of its own, and one certificate for each holder.
//! Never for production: the authority's key lies beside what it signed.

use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, Error, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};

const DAY: Duration = Duration::from_secs(24 * 3_600);
/// How long everything is valid.
pub(crate) const VALID_DAYS: u32 = 365;

/// Signs for one system.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub(crate) pem: String,
    pub(crate) key_pem: String,
}

/// A certificate with its key, both PEM.
pub(crate) struct Issued {
    pub(crate) pem: String,
    pub(crate) key_pem: String,
}

impl Authority {
    /// # Errors
    /// No key can be made.
    pub(crate) fn new() -> Result<Self, Error> {
        let mut params = CertificateParams::new(Vec::<String>::new())?;
        params.distinguished_name.push(DnType::CommonName, "Lockstep trial authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        valid(&mut params, a_year_on());
        let key = KeyPair::generate()?;
        let pem = params.self_signed(&key)?.pem();
        let key_pem = key.serialize_pem();
        Ok(Self { issuer: Issuer::new(params, key), pem, key_pem })
    }

    /// For whoever `holder` (`lockstep://…`) names, at these hosts: names or addresses.
    ///
    /// # Errors
    /// A name that no certificate can bear.
    pub(crate) fn issue(&self, holder: &str, hosts: &[&str]) -> Result<Issued, Error> {
        self.issue_until(holder, hosts, a_year_on())
    }

    /// As [`issue`](Self::issue), with another end.
    ///
    /// # Errors
    /// As there.
    pub(crate) fn issue_until(&self, holder: &str, hosts: &[&str], end: SystemTime) -> Result<Issued, Error> {
        let hosts: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
        let mut params = CertificateParams::new(hosts)?;
        params.distinguished_name.push(DnType::CommonName, holder);
        params.subject_alt_names.push(SanType::URI(holder.try_into()?));
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        // A coordinator is dialled and dials.
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        valid(&mut params, end);
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        Ok(Issued { pem: certificate.pem(), key_pem: key.serialize_pem() })
    }
}

fn a_year_on() -> SystemTime {
    SystemTime::now() + DAY * VALID_DAYS
}

/// From yesterday on: clocks differ.
fn valid(params: &mut CertificateParams, end: SystemTime) {
    params.not_before = (SystemTime::now() - DAY).into();
    params.not_after = end.into();
}
