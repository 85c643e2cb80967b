//! Certificates for coordinators, agents and an operator that live as long as a measurement: an authority of its own.

use std::path::{Path, PathBuf};
use std::{fs, io};

use rcgen::{
    BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    SanType,
};

use crate::Result;

const HOST: &str = "127.0.0.1";

pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    folder: PathBuf,
}

/// Files of one holder.
#[derive(Clone, Debug)]
pub(crate) struct Papers {
    pub(crate) ca: PathBuf,
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

impl Authority {
    /// Its files stand in `folder`.
    pub(crate) fn new(folder: &Path) -> Result<Self> {
        let mut params = CertificateParams::new(Vec::<String>::new())?;
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let key = KeyPair::generate()?;
        fs::write(folder.join("ca.pem"), params.self_signed(&key)?.pem())?;
        Ok(Self { issuer: Issuer::new(params, key), folder: folder.to_owned() })
    }

    /// For whoever `holder` names (`lockstep://…`), on loopback.
    pub(crate) fn issue(&self, name: &str, holder: &str) -> Result<Papers> {
        let mut params = CertificateParams::new(vec![HOST.to_owned()])?;
        params.subject_alt_names.push(SanType::URI(holder.try_into()?));
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        let write = |suffix: &str, text: &str| -> io::Result<PathBuf> {
            let path = self.folder.join(format!("{name}{suffix}"));
            fs::write(&path, text)?;
            Ok(path)
        };
        Ok(Papers {
            ca: self.folder.join("ca.pem"),
            certificate: write(".pem", &certificate.pem())?,
            key: write(".key", &key.serialize_pem())?,
        })
    }
}
