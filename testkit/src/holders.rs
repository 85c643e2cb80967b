//! Certificates of a Lockstep system of its own: an authority, and whoever it says that somebody is, by a SAN URI
//! (`lockstep://coordinator/NAME`, `lockstep://agent/SITE/NAME`, `lockstep://operator/NAME`).

use std::time::SystemTime;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};

use crate::Error;

/// Who signs.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    /// Its certificate.
    pub pem: String,
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Authority")
    }
}

/// What a holder shows, and what proves it.
#[derive(Clone)]
pub struct Issued {
    pub pem: String,
    pub key_pem: String,
}

impl Authority {
    /// # Errors
    /// This machine makes no keys.
    pub fn new() -> Result<Self, Error> {
        Self::with(KeyPair::generate().map_err(failed)?, "Lockstep test authority")
    }

    /// The one with this key and common name, as somebody else made it.
    ///
    /// # Errors
    /// It is no key.
    pub fn of(key_pem: &str, common_name: &str) -> Result<Self, Error> {
        Self::with(KeyPair::from_pem(key_pem).map_err(failed)?, common_name)
    }

    fn with(key: KeyPair, common_name: &str) -> Result<Self, Error> {
        let mut params = CertificateParams::new(Vec::<String>::new()).map_err(failed)?;
        params.distinguished_name.push(DnType::CommonName, common_name);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let pem = params.self_signed(&key).map_err(failed)?.pem();
        Ok(Self { issuer: Issuer::new(params, key), pem })
    }

    /// For `holder`, reached at `hosts`, for a long time.
    ///
    /// # Errors
    /// A name that none can have.
    pub fn issue(&self, holder: &str, hosts: &[&str]) -> Result<Issued, Error> {
        self.sign(&params(holder, hosts)?)
    }

    /// The same, until a moment.
    ///
    /// # Errors
    /// As [`issue`](Self::issue).
    pub fn issue_until(&self, holder: &str, hosts: &[&str], until: SystemTime) -> Result<Issued, Error> {
        let mut params = params(holder, hosts)?;
        params.not_after = until.into();
        self.sign(&params)
    }

    fn sign(&self, params: &CertificateParams) -> Result<Issued, Error> {
        let key = KeyPair::generate().map_err(failed)?;
        let certificate = params.signed_by(&key, &self.issuer).map_err(failed)?;
        Ok(Issued { pem: certificate.pem(), key_pem: key.serialize_pem() })
    }
}

fn params(holder: &str, hosts: &[&str]) -> Result<CertificateParams, Error> {
    let hosts: Vec<_> = hosts.iter().map(|&host| host.to_owned()).collect();
    let mut params = CertificateParams::new(hosts).map_err(failed)?;
    params.subject_alt_names.push(SanType::URI(holder.try_into().map_err(failed)?));
    params.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    Ok(params)
}

fn failed(cause: impl std::fmt::Display) -> Error {
    Error::Refused(format!("a certificate could not be made: {cause}"))
}
