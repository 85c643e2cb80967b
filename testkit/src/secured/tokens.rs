//! Signed tokens (JWT, ES256) as an identity provider would give them, and the key file that brokers check them with.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use serde_json::json;

use crate::Error;

pub(super) const ISSUER: &str = "https://idp.test";
pub(super) const AUDIENCE: &str = "kafka";

/// Issues tokens.
pub struct Tokens {
    key: EcdsaKeyPair,
    random: SystemRandom,
    keys: PathBuf,
}

impl std::fmt::Debug for Tokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Tokens({})", self.keys.display())
    }
}

impl Tokens {
    pub(super) fn create(folder: &Path) -> Result<Self, Error> {
        let failed = |what: &str| Error::Refused(format!("a key for tokens could not be made: {what}"));
        fs::create_dir_all(folder).map_err(Error::io(format!("create {}", folder.display())))?;
        let random = SystemRandom::new();
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random)
            .map_err(|cause| failed(&cause.to_string()))?;
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.as_ref(), &random)
            .map_err(|cause| failed(&cause.to_string()))?;
        // 0x04, then both coordinates.
        let point = key.public_key().as_ref();
        let [x, y] = [&point[1..33], &point[33..65]].map(|half| URL_SAFE_NO_PAD.encode(half));
        let keys = folder.join("jwks.json");
        let set = json!({ "keys": [{ "kty": "EC", "crv": "P-256", "kid": "k1", "use": "sig", "alg": "ES256", "x": x, "y": y }] });
        fs::write(&keys, set.to_string()).map_err(Error::io(format!("write {}", keys.display())))?;
        Ok(Self { key, random, keys })
    }

    /// The brokers' key file.
    pub(super) fn keys(&self) -> &Path {
        &self.keys
    }

    /// A token for a user, good from now on for so long.
    ///
    /// # Panics
    /// When the system gives no random numbers.
    pub fn issue(&self, user: &str, lifetime: Duration) -> String {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let header = json!({ "alg": "ES256", "typ": "JWT", "kid": "k1" });
        let claims = json!({
            "iss": ISSUER, "aud": AUDIENCE, "sub": user, "scope": "kafka", "iat": now, "exp": now + lifetime.as_secs(),
        });
        let signed = [header, claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string())).join(".");
        match self.key.sign(&self.random, signed.as_bytes()) {
            Ok(signature) => format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref())),
            Err(cause) => panic!("a token could not be signed: {cause}"),
        }
    }
}
