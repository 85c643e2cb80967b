//! Handshakes in memory against rustls as a server: every fault told apart, changed files used, broken ones not.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use lockstep_core::spec::security::{ClientCertificate, HostNames, SecretSpec, TlsSpec};
use pkcs8::PrivateKeyInfoRef;
use pkcs8::der::pem::LineEnding;
use pkcs8::pkcs5::pbes2;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};

use super::*;

type Authority = Issuer<'static, KeyPair>;

fn authority(name: &str) -> (Authority, rcgen::Certificate) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.distinguished_name.push(rcgen::DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let certificate = params.self_signed(&key).unwrap();
    (Issuer::new(params, key), certificate)
}

fn leaf(by: &Authority, names: &[&str], days: u64) -> (rcgen::Certificate, KeyPair) {
    let key = KeyPair::generate().unwrap();
    let mut params =
        CertificateParams::new(names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>()).unwrap();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(rcgen::DnType::CommonName, "leaf");
    params.not_before = (SystemTime::now() - Duration::from_secs(864_000)).into();
    // Ten days ago plus so many.
    params.not_after =
        (SystemTime::now() - Duration::from_secs(864_000) + Duration::from_secs(days * 86_400)).into();
    (params.signed_by(&key, by).unwrap(), key)
}

/// A broker with a certificate for localhost, and a folder with what its clients need.
struct Scene {
    folder: TempDir,
    ours: Authority,
    server: ServerConfig,
}

impl Scene {
    fn new(names: &[&str], days: u64) -> Self {
        Self::asking(names, days, false)
    }

    fn asking(names: &[&str], days: u64, for_a_certificate: bool) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (ours, root) = authority("ours");
        std::fs::write(folder.path().join("ca.pem"), root.pem()).unwrap();
        let (certificate, key) = leaf(&ours, names, days);
        let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .unwrap();
        let builder = if for_a_certificate {
            let mut roots = RootCertStore::empty();
            roots.add(root.der().clone()).unwrap();
            let verifier =
                WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
            builder.with_client_cert_verifier(verifier)
        } else {
            builder.with_no_client_auth()
        };
        let key = tokio_rustls::rustls::pki_types::PrivatePkcs8KeyDer::from(key.serialize_der());
        let server = builder.with_single_cert(vec![certificate.der().clone()], key.into()).unwrap();
        Self { folder, ours, server }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn spec(&self) -> TlsSpec {
        TlsSpec { authorities: vec![self.path("ca.pem")], client: None, host_names: HostNames::Verified }
    }

    fn with_client(&self) -> TlsSpec {
        let (chain, key) = (self.path("client.pem"), self.path("client.key"));
        TlsSpec { client: Some(ClientCertificate { chain, key, key_password: None }), ..self.spec() }
    }

    fn write_client(&self, by: &Authority) -> KeyPair {
        let (certificate, key) = leaf(by, &[], 30);
        std::fs::write(self.path("client.pem"), certificate.pem()).unwrap();
        std::fs::write(self.path("client.key"), key.serialize_pem()).unwrap();
        key
    }

    /// Shakes hands, sends a word and reads it back.
    async fn talk(&self, tls: &Tls) -> Result<(), TlsFault> {
        let (ours, theirs) = tokio::io::duplex(1 << 16);
        let acceptor = TlsAcceptor::from(Arc::new(self.server.clone()));
        let server = tokio::spawn(async move {
            if let Ok(mut stream) = acceptor.accept(theirs).await {
                let mut word = [0; 4];
                stream.read_exact(&mut word).await.unwrap();
                stream.write_all(&word).await.unwrap();
                stream.shutdown().await.unwrap();
            }
        });
        let mut stream = tls.wrap(Box::new(ours), "localhost").await?;
        let told = async {
            stream.write_all(b"word").await?;
            let mut word = [0; 4];
            stream.read_exact(&mut word).await.map(|_| word)
        };
        let told = told.await.map_err(|error| TlsFault::of(&error).unwrap_or(TlsFault::ClosedInHandshake))?;
        assert_eq!(&told, b"word");
        server.await.unwrap();
        Ok(())
    }
}

#[tokio::test]
async fn each_fault_of_the_brokers_certificate_is_told_apart() {
    let good = Scene::new(&["localhost", "127.0.0.1"], 100);
    good.talk(&Tls::load(&good.spec(), "ssl").unwrap()).await.unwrap();

    let other = Scene::new(&["kafka.example"], 100);
    let fault = other.talk(&Tls::load(&other.spec(), "ssl").unwrap()).await.unwrap_err();
    assert_eq!(fault.code(), Code::WrongHostName);
    assert!(
        fault.to_string().contains("not for localhost") && fault.to_string().contains("kafka.example"),
        "{fault}"
    );
    let lax = TlsSpec { host_names: HostNames::Ignored, ..other.spec() };
    other.talk(&Tls::load(&lax, "ssl").unwrap()).await.unwrap();

    let old = Scene::new(&["localhost"], 9);
    let fault = old.talk(&Tls::load(&old.spec(), "ssl").unwrap()).await.unwrap_err();
    assert_eq!(fault.code(), Code::BrokerCertificateExpired, "{fault}");
    let lax = TlsSpec { host_names: HostNames::Ignored, ..old.spec() };
    let fault = old.talk(&Tls::load(&lax, "ssl").unwrap()).await.unwrap_err();
    assert_eq!(fault.code(), Code::BrokerCertificateExpired, "names are ignored, times are not");

    // Another authority of the same name.
    let fault = good.talk(&Tls::load(&other.spec(), "ssl").unwrap()).await.unwrap_err();
    assert_eq!(fault.code(), Code::UnknownAuthority, "{fault}");
    let lax = TlsSpec { host_names: HostNames::Ignored, ..other.spec() };
    let fault = good.talk(&Tls::load(&lax, "ssl").unwrap()).await.unwrap_err();
    assert_eq!(fault.code(), Code::UnknownAuthority, "names are ignored, signatures are not");
}

#[tokio::test]
async fn a_port_without_tls_is_named_as_such() {
    let scene = Scene::new(&["localhost"], 100);
    let tls = Tls::load(&scene.spec(), "ssl").unwrap();
    let (ours, mut theirs) = tokio::io::duplex(1 << 16);
    theirs.write_all(b"HTTP/1.1 400 Bad Request\r\n").await.unwrap();
    assert_eq!(tls.wrap(Box::new(ours), "localhost").await.err(), Some(TlsFault::NotTls));
    let (ours, theirs) = tokio::io::duplex(1 << 16);
    drop(theirs);
    assert_eq!(tls.wrap(Box::new(ours), "localhost").await.err(), Some(TlsFault::ClosedInHandshake));
}

#[tokio::test]
async fn a_missing_and_a_strangers_client_certificate_are_told_apart() {
    let scene = Scene::asking(&["localhost"], 100, true);
    let fault = scene.talk(&Tls::load(&scene.spec(), "ssl").unwrap()).await.unwrap_err();
    assert_eq!(fault.for_client(false), TlsFault::CertificateRequired);
    scene.write_client(&authority("strangers").0);
    let fault = scene.talk(&Tls::load(&scene.with_client(), "ssl").unwrap()).await.unwrap_err();
    assert_eq!(fault.for_client(true).code(), Code::ClientCertificateRefused);
    scene.write_client(&scene.ours);
    let tls = Tls::load(&scene.with_client(), "ssl").unwrap();
    scene.talk(&tls).await.unwrap();
    assert_eq!(tls.subject().as_deref(), Some("CN=leaf"));
}

#[tokio::test]
async fn changed_files_are_used_and_broken_ones_are_not() {
    let scene = Scene::asking(&["localhost"], 100, true);
    scene.write_client(&authority("strangers").0);
    let tls = Tls::load(&scene.with_client(), "ssl").unwrap();
    assert!(scene.talk(&tls).await.is_err());
    scene.write_client(&scene.ours);
    scene.talk(&tls).await.unwrap();
    // Half a rotation: a key that does not fit its certificate.
    std::fs::write(scene.path("client.key"), KeyPair::generate().unwrap().serialize_pem()).unwrap();
    scene.talk(&tls).await.unwrap();
    assert!(tls.current().refused.as_ref().unwrap().contains("cannot be used together"));
    std::fs::remove_file(scene.path("ca.pem")).unwrap();
    scene.talk(&tls).await.unwrap();
    assert!(tls.current().refused.as_ref().unwrap().contains("ca.pem cannot be read"));
}

#[test]
fn encrypted_keys_open_with_their_password_only() {
    let scene = Scene::new(&["localhost"], 100);
    let key = scene.write_client(&scene.ours);
    let der = key.serialize_der();
    let params =
        pbes2::Parameters::generate_pbkdf2_sha256_aes256cbc(2_048, b"salt of sixteen.", [7; 16]).unwrap();
    let sealed =
        PrivateKeyInfoRef::try_from(der.as_slice()).unwrap().encrypt_with_params(params, "keypw").unwrap();
    std::fs::write(
        scene.path("client.key"),
        sealed.to_pem("ENCRYPTED PRIVATE KEY", LineEnding::LF).unwrap().as_str(),
    )
    .unwrap();
    let load = |password: Option<&str>| {
        let mut spec = scene.with_client();
        spec.client.as_mut().unwrap().key_password = password.map(|password| {
            std::fs::write(scene.path("password"), password).unwrap();
            SecretSpec::File(scene.path("password"))
        });
        Tls::load(&spec, "security.ssl").map(drop).map_err(|faults| faults[0].to_string())
    };
    assert_eq!(load(Some("keypw\n")), Ok(()));
    let wrong = load(Some("hunter2")).unwrap_err();
    assert!(
        wrong.starts_with("security.ssl.key_password: does not open") && !wrong.contains("hunter2"),
        "{wrong}"
    );
    assert!(load(None).unwrap_err().contains("is encrypted: name its password"));
}

#[test]
fn all_faults_of_the_files_are_listed_at_once() {
    let scene = Scene::new(&["localhost"], 100);
    let mut spec = scene.with_client();
    spec.authorities.push(scene.path("none.pem"));
    let keys = |spec: &TlsSpec| -> Vec<String> {
        Tls::load(spec, "ssl").err().unwrap().into_iter().map(|fault| fault.key).collect()
    };
    assert_eq!(keys(&spec), ["ssl.truststore", "ssl.keystore", "ssl.key"]);
    for name in ["client.pem", "client.key", "none.pem"] {
        std::fs::write(scene.path(name), "no PEM").unwrap();
    }
    assert_eq!(keys(&spec), ["ssl.truststore", "ssl.keystore"]);
}
