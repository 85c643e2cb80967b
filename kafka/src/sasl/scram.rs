//! SCRAM-SHA-256 and SCRAM-SHA-512 (RFC 5802, RFC 7677; Kafka: `ScramSaslClient`).
//! Promises: the broker's nonce extends ours, its iterations are within bounds, its signature proves that it knows the
//! password. User and password are sent as given: Kafka stores them without SASLprep, so preparing would lock out.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use lockstep_core::spec::security::ScramHash;
use ring::rand::{SecureRandom, SystemRandom};
use ring::{digest, hmac, pbkdf2};

use super::{LoginFault, Next};
use crate::secret::Secret;

/// Below: a downgrade. RFC 7677 asks for at least so many, and Kafka refuses to store fewer.
const ITERATIONS_MIN: u32 = 4_096;
/// Above: an impostor could keep us computing for minutes.
const ITERATIONS_MAX: u32 = 1_000_000;
const NONCE_BYTES: usize = 24;
/// Base64 of `n,,`: no channel binding.
const CHANNEL: &str = "c=biws";

pub(super) fn name(hash: ScramHash) -> &'static str {
    match hash {
        ScramHash::Sha256 => "SCRAM-SHA-256",
        ScramHash::Sha512 => "SCRAM-SHA-512",
    }
}

/// A nonce nobody can guess, of printable characters.
pub(super) fn nonce() -> Result<String, LoginFault> {
    let mut bytes = [0; NONCE_BYTES];
    let filled = SystemRandom::new().fill(&mut bytes);
    filled.map_err(|_| LoginFault::Secret { detail: "the system gives no random numbers".to_owned() })?;
    Ok(STANDARD.encode(bytes))
}

/// Our side of one dialogue.
pub(super) struct Client {
    hash: ScramHash,
    user: String,
    password: Secret,
    nonce: String,
    first_bare: String,
    /// Once the proof is sent: the signature that the broker has to answer.
    expected: Option<Vec<u8>>,
}

/// Carries the dialogue on. The derivation of the key takes milliseconds to a second: not on the runtime's thread.
pub(super) async fn answer(
    client: Option<Client>,
    message: &[u8],
) -> Result<(Option<Client>, Next), LoginFault> {
    let Some(mut client) = client else { return Err(strange("it speaks after the end")) };
    let message = std::str::from_utf8(message).map_err(|_| strange("its message is not text"))?.to_owned();
    if client.expected.is_some() {
        client.check_signature(&message)?;
        return Ok((None, Next::Finished));
    }
    let proven = tokio::task::spawn_blocking(move || {
        let last = client.prove(&message)?;
        Ok((Some(client), Next::Send(Secret::new(last.into_bytes()))))
    });
    proven.await.unwrap_or_else(|_| Err(strange("the computation was cut off")))
}

fn strange(why: &str) -> LoginFault {
    LoginFault::NotAuthentic { why: why.to_owned() }
}

impl Client {
    /// The first message with it.
    pub(super) fn new(hash: ScramHash, user: &str, password: Secret, nonce: &str) -> (Self, String) {
        let first_bare = format!("n={},r={nonce}", user.replace('=', "=3D").replace(',', "=2C"));
        let first = format!("n,,{first_bare}");
        let (user, nonce) = (user.to_owned(), nonce.to_owned());
        (Self { hash, user, password, nonce, first_bare, expected: None }, first)
    }

    pub(super) fn user(&self) -> &str {
        &self.user
    }

    /// The last message, with the proof that we know the password.
    fn prove(&mut self, server_first: &str) -> Result<String, LoginFault> {
        let (nonce, salt, iterations) = self.read_first(server_first)?;
        let (hash, derivation, digest) = match self.hash {
            ScramHash::Sha256 => (hmac::HMAC_SHA256, pbkdf2::PBKDF2_HMAC_SHA256, &digest::SHA256),
            ScramHash::Sha512 => (hmac::HMAC_SHA512, pbkdf2::PBKDF2_HMAC_SHA512, &digest::SHA512),
        };
        let mut salted = zeroize::Zeroizing::new(vec![0; digest.output_len()]);
        pbkdf2::derive(derivation, iterations, &salt, self.password.reveal(), &mut salted);
        let salted = hmac::Key::new(hash, &salted);
        let without_proof = format!("{CHANNEL},r={nonce}");
        let spoken = format!("{},{server_first},{without_proof}", self.first_bare);
        let client_key = hmac::sign(&salted, b"Client Key");
        let stored_key = hmac::Key::new(hash, digest::digest(digest, client_key.as_ref()).as_ref());
        let signature = hmac::sign(&stored_key, spoken.as_bytes());
        let proof: Vec<u8> =
            client_key.as_ref().iter().zip(signature.as_ref()).map(|(key, sign)| key ^ sign).collect();
        let server_key = hmac::Key::new(hash, hmac::sign(&salted, b"Server Key").as_ref());
        self.expected = Some(hmac::sign(&server_key, spoken.as_bytes()).as_ref().to_vec());
        Ok(format!("{without_proof},p={}", STANDARD.encode(proof)))
    }

    fn read_first<'a>(
        &self,
        message: &'a str,
    ) -> Result<(&'a str, Vec<u8>, std::num::NonZeroU32), LoginFault> {
        if let Some(error) = message.strip_prefix("e=") {
            return Err(self.refusal(error));
        }
        let mut parts = message.split(',');
        let mut part = |name: &str| parts.next().and_then(|part| part.strip_prefix(name));
        let nonce = part("r=").ok_or_else(|| strange("its first message has no nonce"))?;
        let salt = part("s=").and_then(|salt| STANDARD.decode(salt).ok());
        let salt = salt.filter(|salt| !salt.is_empty());
        let salt = salt.ok_or_else(|| strange("its first message has no salt"))?;
        let iterations: Option<u32> = part("i=").and_then(|iterations| iterations.parse().ok());
        if !nonce.starts_with(&self.nonce) || nonce.len() == self.nonce.len() {
            return Err(strange("its nonce does not extend ours"));
        }
        match iterations {
            Some(count) if (ITERATIONS_MIN..=ITERATIONS_MAX).contains(&count) => {
                let count = std::num::NonZeroU32::new(count).ok_or_else(|| strange("no iterations"))?;
                Ok((nonce, salt, count))
            }
            Some(count) => Err(strange(&format!(
                "it asks for {count} iterations, outside {ITERATIONS_MIN} to {ITERATIONS_MAX}"
            ))),
            None => Err(strange("its first message has no iterations")),
        }
    }

    fn check_signature(&self, message: &str) -> Result<(), LoginFault> {
        if let Some(error) = message.strip_prefix("e=") {
            return Err(self.refusal(error));
        }
        let first = message.split(',').next().and_then(|part| part.strip_prefix("v="));
        let given = first.and_then(|given| STANDARD.decode(given).ok());
        let given = given.ok_or_else(|| strange("its last message has no signature"))?;
        let same = self.expected.as_ref().is_some_and(|expected| same(expected, &given));
        if same { Ok(()) } else { Err(strange("its signature is not the one of this password")) }
    }

    fn refusal(&self, error: &str) -> LoginFault {
        LoginFault::Refused { mechanism: name(self.hash), user: self.user.clone(), detail: error.to_owned() }
    }
}

/// Compares without telling by time where the difference is.
fn same(left: &[u8], right: &[u8]) -> bool {
    left.len() == right.len()
        && left.iter().zip(right).fold(0, |seen, (left, right)| seen | (left ^ right)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONCE: &str = "rOprNGfwEbeRWgbNEkqO";
    const SERVER_FIRST: &str =
        "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";

    fn client(hash: ScramHash) -> Client {
        Client::new(hash, "user", Secret::new(b"pencil".to_vec()), NONCE).0
    }

    /// The example of RFC 7677, section 3.
    #[tokio::test]
    async fn the_rfcs_dialogue_is_ours() {
        let (ours, first) = Client::new(ScramHash::Sha256, "user", Secret::new(b"pencil".to_vec()), NONCE);
        assert_eq!(first, "n,,n=user,r=rOprNGfwEbeRWgbNEkqO");
        let (ours, next) = answer(Some(ours), SERVER_FIRST.as_bytes()).await.unwrap();
        let Next::Send(last) = next else { panic!("the proof is due") };
        assert_eq!(
            last.reveal_text().unwrap(),
            "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
        );
        let signature = b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";
        let (_, next) = answer(ours, signature).await.unwrap();
        assert!(matches!(next, Next::Finished));
    }

    #[tokio::test]
    async fn an_impostor_is_found_out() {
        let long = format!("r={NONCE}x,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=");
        for (message, words) in [
            (SERVER_FIRST.replace("rOpr", "xOpr"), "does not extend"),
            (format!("r={NONCE},s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"), "does not extend"),
            (format!("{long}4095"), "4095 iterations"),
            (format!("{long}1000001"), "1000001 iterations"),
            (format!("{long}-1"), "no iterations"),
            (format!("r={NONCE}x,s=,i=4096"), "no salt"),
            (format!("m=ext,{SERVER_FIRST}"), "no nonce"),
            (String::new(), "no nonce"),
        ] {
            let fault = answer(Some(client(ScramHash::Sha512)), message.as_bytes()).await.err().unwrap();
            let said = fault.to_string();
            assert!(matches!(fault, LoginFault::NotAuthentic { .. }) && said.contains(words), "{said}");
        }
        for (last, words) in [("v=AAAA", "signature is not"), ("x", "no signature"), ("v=!", "no signature")]
        {
            let (ours, _) = answer(Some(client(ScramHash::Sha256)), SERVER_FIRST.as_bytes()).await.unwrap();
            let said = answer(ours, last.as_bytes()).await.err().unwrap().to_string();
            assert!(said.contains(words), "{said}");
        }
    }

    #[tokio::test]
    async fn a_refusal_is_the_users_to_put_right() {
        let fault = answer(Some(client(ScramHash::Sha256)), b"e=unknown-user").await.err().unwrap();
        assert!(matches!(fault, LoginFault::Refused { .. }), "{fault}");
    }

    #[test]
    fn names_are_escaped_and_nonces_differ() {
        let (_, first) = Client::new(ScramHash::Sha256, "a=b,c", Secret::new(vec![1]), "n");
        assert_eq!(first, "n,,n=a=3Db=2Cc,r=n");
        let (one, two) = (nonce().unwrap(), nonce().unwrap());
        assert!(one != two && one.len() == 32 && !one.contains(','));
    }
}
