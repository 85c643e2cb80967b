//! Certificates as PEM files: two authorities (ours and a stranger), and whatever a test has them issue.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose,
    IsCa, Issuer, KeyPair, KeyUsagePurpose,
};

use crate::Error;

const DAY: Duration = Duration::from_secs(24 * 3_600);

/// Files of a leaf certificate.
#[derive(Clone, Debug)]
pub struct Issued {
    /// The certificate alone.
    pub certificate: PathBuf,
    /// PKCS#8.
    pub key: PathBuf,
    /// Key, certificate and authority in one file, as a Kafka key store wants them.
    pub store: PathBuf,
}

/// Who signs.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
    /// Its certificate.
    pub file: PathBuf,
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Authority({})", self.file.display())
    }
}

/// Both authorities and the brokers' certificates.
#[derive(Debug)]
pub struct Pki {
    folder: PathBuf,
    pub ours: Authority,
    /// Nobody trusts it.
    pub stranger: Authority,
    pub(super) broker: Issued,
    pub(super) expired_broker: Issued,
}

impl Pki {
    pub(super) fn create(folder: &Path) -> Result<Self, Error> {
        fs::create_dir_all(folder).map_err(Error::io(format!("create {}", folder.display())))?;
        let ours = authority(folder, "ca", "test-ca")?;
        let stranger = authority(folder, "stranger-ca", "stranger-ca")?;
        // By name only: whoever dials the address meets another name.
        let (host, now) = (["localhost"], SystemTime::now());
        let broker = issue(folder, "broker", &ours, "broker", &host, now + 3_650 * DAY)?;
        let expired_broker = issue(folder, "expired-broker", &ours, "broker", &host, now - DAY)?;
        Ok(Self { folder: folder.to_owned(), ours, stranger, broker, expired_broker })
    }

    /// A client certificate for `O=Test, CN=name`, valid for so long from now; files are called `file…`, and written
    /// anew if they exist.
    pub fn client(&self, file: &str, name: &str, by: &Authority, valid: Duration) -> Result<Issued, Error> {
        issue(&self.folder, file, by, name, &[], SystemTime::now() + valid)
    }
}

fn failed(cause: impl std::fmt::Display) -> Error {
    Error::Refused(format!("a certificate could not be made: {cause}"))
}

fn name(common: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::OrganizationName, "Test");
    name.push(DnType::CommonName, common);
    name
}

fn authority(folder: &Path, file: &str, common: &str) -> Result<Authority, Error> {
    let key = KeyPair::generate().map_err(failed)?;
    let mut params = CertificateParams::default();
    params.distinguished_name = name(common);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let pem = params.self_signed(&key).map_err(failed)?.pem();
    let file = folder.join(format!("{file}.crt"));
    write(&file, &pem)?;
    Ok(Authority { issuer: Issuer::new(params, key), pem, file })
}

fn issue(
    folder: &Path,
    file: &str,
    by: &Authority,
    common: &str,
    hosts: &[&str],
    not_after: SystemTime,
) -> Result<Issued, Error> {
    let key = KeyPair::generate().map_err(failed)?;
    let hosts: Vec<_> = hosts.iter().map(|&host| host.to_owned()).collect();
    let mut params = CertificateParams::new(hosts).map_err(failed)?;
    params.distinguished_name = name(common);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    params.not_before = (SystemTime::now() - 30 * DAY).into();
    params.not_after = not_after.into();
    let certificate: Certificate = params.signed_by(&key, &by.issuer).map_err(failed)?;
    let at = |ending: &str| folder.join(format!("{file}.{ending}"));
    let issued = Issued { certificate: at("crt"), key: at("key"), store: at("pem") };
    let (certificate, key) = (certificate.pem(), key.serialize_pem());
    write(&issued.certificate, &certificate)?;
    write(&issued.key, &key)?;
    write(&issued.store, &format!("{key}{certificate}{}", by.pem))?;
    Ok(issued)
}

/// Beside and renamed: nobody reads half a file.
fn write(path: &Path, content: &str) -> Result<(), Error> {
    let beside = path.with_extension(format!("part-{:x}", fastrand::u32(..)));
    let written = fs::write(&beside, content).and_then(|()| fs::rename(&beside, path));
    written.map_err(Error::io(format!("write {}", path.display())))
}
