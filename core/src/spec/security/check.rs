//! From what was written to what is meant. Promises: every fault is reported, with its key and what would be right;
//! a key that has no effect under the chosen protocol or mechanism is a fault too. Reads no file.

use std::path::{Path, PathBuf};

use super::raw::{
    Files, RawKerberos, RawOauth, RawSasl, RawSecret, RawSecurity, RawSecurityFile, RawSsl, Unknown,
};
use super::{
    ClientCertificate, EndpointSpec, HostNames, LoginSpec, Scheme, ScramHash, SecretSpec, SecuritySpec,
    TlsSpec, TokenSpec, Url,
};
use crate::spec::fault::Fault;
use crate::spec::names::unknown_key;
use crate::spec::written::Written;

/// The one section of such a file.
const SECTION: &str = "security";
const PROTOCOLS: &str = "write plaintext, ssl, sasl_plaintext or sasl_ssl";
const PROTOCOL_NAMES: &str = "plaintext, ssl, sasl_plaintext or sasl_ssl";
const MECHANISMS: &str = "write PLAIN, SCRAM-SHA-256, SCRAM-SHA-512, OAUTHBEARER or GSSAPI";
const MECHANISM_NAMES: &str = "PLAIN, SCRAM-SHA-256, SCRAM-SHA-512, OAUTHBEARER or GSSAPI";
const SECRET: &str = "write { file: PATH } or { env: NAME }; secrets do not stand in this file";
const KEYS: &str = "the section's keys below it";
/// YAML makes something else of 0123, on and null.
const TEXT: &str = "a text, in quotes where it looks like a number or a flag";
const FILES: &str = "a file, or a list of files";
const FLAG: &str = "true or false";
/// Kafka's own default (`sasl.kerberos.service.name` has none on brokers; every distribution says `kafka`).
const SERVICE: &str = "kafka";

impl RawSecurity {
    /// What the section means. Relative paths start at `folder`, the one of the file they stand in; `key` is the
    /// section's own dotted path.
    ///
    /// # Errors
    /// Every fault, in the order of the keys.
    pub fn check(&self, key: &str, folder: &Path) -> Result<SecuritySpec, Vec<Fault>> {
        let mut check = Check { folder, faults: Vec::new() };
        let spec = check.security(key, self);
        if check.faults.is_empty() { Ok(spec) } else { Err(check.faults) }
    }
}

impl RawSecurityFile {
    /// What the file means; without a section: plaintext. Relative paths start at `folder`, the one of the file.
    ///
    /// # Errors
    /// Every fault, in the order of the keys.
    pub fn check(&self, folder: &Path) -> Result<SecuritySpec, Vec<Fault>> {
        let strangers = self.unknown.keys().map(|name| Fault::new(name, unknown_key(name, [SECTION])));
        let mut faults: Vec<Fault> = strangers.collect();
        let checked = match &self.security {
            None => Ok(SecuritySpec::default()),
            Some(Written::Right(section)) => section.check(SECTION, folder),
            Some(Written::Wrong(_)) => {
                Err(vec![Fault::new(SECTION, format!("cannot be read: write {KEYS}"))])
            }
        };
        match checked {
            Ok(spec) if faults.is_empty() => return Ok(spec),
            Ok(_) => {}
            Err(more) => faults.extend(more),
        }
        Err(faults)
    }
}

struct Check<'a> {
    folder: &'a Path,
    faults: Vec<Fault>,
}

impl Check<'_> {
    fn fault(&mut self, key: impl Into<String>, what: impl Into<String>) {
        self.faults.push(Fault::new(key, what));
    }

    /// What is of the right shape; `None` with a fault if it has another one, without if it is absent.
    fn shape<'r, T>(&mut self, key: String, given: Option<&'r Written<T>>, write: &str) -> Option<&'r T> {
        let given = given?;
        if given.right().is_none() {
            self.fault(key, format!("cannot be read: write {write}"));
        }
        given.right()
    }

    fn security(&mut self, key: &str, raw: &RawSecurity) -> SecuritySpec {
        self.unknown(key, &raw.unknown, "protocol, ssl, sasl");
        let plaintext = Written::Right("plaintext".to_owned());
        let given = raw.protocol.as_ref().unwrap_or(&plaintext);
        let given = self.shape(format!("{key}.protocol"), Some(given), PROTOCOL_NAMES);
        let given = given.map(|text| text.to_ascii_lowercase());
        // Of what is no protocol the sections are looked at all the same: all faults at once.
        let both = (raw.ssl.is_some(), raw.sasl.is_some());
        let (tls, login) = match given.as_deref() {
            None => both,
            Some("plaintext") => (false, false),
            Some("ssl") => (true, false),
            Some("sasl_plaintext") => (false, true),
            Some("sasl_ssl") => (true, true),
            Some(given) => {
                self.fault(format!("{key}.protocol"), format!("{given:?} is no protocol: {PROTOCOLS}"));
                both
            }
        };
        let given = given.unwrap_or_default();
        let (ssl_key, sasl_key) = (format!("{key}.ssl"), format!("{key}.sasl"));
        if !tls && raw.ssl.is_some() {
            self.fault(&ssl_key, format!("has no effect with protocol {given}: use ssl or sasl_ssl"));
        }
        if !login && raw.sasl.is_some() {
            self.fault(
                &sasl_key,
                format!("has no effect with protocol {given}: use sasl_plaintext or sasl_ssl"),
            );
        }
        // A section that is not there lacks its keys; one of another shape is one fault.
        let (no_ssl, no_sasl) = (Written::Right(RawSsl::default()), Written::Right(RawSasl::default()));
        let ssl = self.shape(ssl_key.clone(), Some(raw.ssl.as_ref().unwrap_or(&no_ssl)), KEYS);
        let sasl = self.shape(sasl_key.clone(), Some(raw.sasl.as_ref().unwrap_or(&no_sasl)), KEYS);
        let truststore =
            ssl.and_then(|ssl| self.files(&format!("{ssl_key}.truststore"), ssl.truststore.as_ref()));
        let tls = match ssl {
            Some(ssl) if tls => Some(self.tls(&ssl_key, ssl, truststore.clone())),
            _ => None,
        };
        let login = match sasl {
            Some(sasl) if login => self.login(&sasl_key, sasl, truststore.as_deref().unwrap_or_default()),
            _ => None,
        };
        SecuritySpec { tls, login }
    }

    fn tls(&mut self, key: &str, raw: &RawSsl, truststore: Option<Vec<String>>) -> TlsSpec {
        self.unknown(key, &raw.unknown, "truststore, keystore, key, key_password, verify_hostname");
        if truststore.as_ref().map_or(raw.truststore.is_none(), Vec::is_empty) {
            self.fault(
                format!("{key}.truststore"),
                "is missing: name the PEM file of the authority that signs the brokers' certificates \
                 (Debian keeps the public ones in /etc/ssl/certs/ca-certificates.crt)",
            );
        }
        let key_password = self.optional_secret(format!("{key}.key_password"), raw.key_password.as_ref());
        let chain = self.shape(format!("{key}.keystore"), raw.keystore.as_ref(), TEXT);
        let own_key = self.shape(format!("{key}.key"), raw.key.as_ref(), TEXT);
        let client = chain.map(|chain| ClientCertificate {
            chain: self.path(chain),
            key: self.path(own_key.unwrap_or(chain)),
            key_password,
        });
        if raw.keystore.is_none() {
            for (name, given) in [("key", raw.key.is_some()), ("key_password", raw.key_password.is_some())] {
                if given {
                    let what = "has no effect without keystore: name the client certificate's PEM file there";
                    self.fault(format!("{key}.{name}"), what);
                }
            }
        }
        let verified = self.shape(format!("{key}.verify_hostname"), raw.verify_hostname.as_ref(), FLAG);
        let host_names = if *verified.unwrap_or(&true) { HostNames::Verified } else { HostNames::Ignored };
        TlsSpec { authorities: self.paths(&truststore.unwrap_or_default()), client, host_names }
    }

    fn login(&mut self, key: &str, raw: &RawSasl, truststore: &[String]) -> Option<LoginSpec> {
        self.unknown(key, &raw.unknown, "mechanism, username, password, oauthbearer, kerberos");
        let given = match &raw.mechanism {
            None => "",
            given => self.shape(format!("{key}.mechanism"), given.as_ref(), MECHANISM_NAMES)?,
        };
        let given = given.to_ascii_uppercase();
        let hash = match given.as_str() {
            "PLAIN" => None,
            "SCRAM-SHA-256" => Some(ScramHash::Sha256),
            "SCRAM-SHA-512" => Some(ScramHash::Sha512),
            "OAUTHBEARER" => return self.oauth(key, raw, truststore),
            "GSSAPI" => return self.kerberos(key, raw),
            "" => {
                self.fault(format!("{key}.mechanism"), format!("is missing: {MECHANISMS}"));
                return None;
            }
            _ => {
                self.fault(format!("{key}.mechanism"), format!("{given:?} is not supported: {MECHANISMS}"));
                return None;
            }
        };
        self.without_effect(key, &given, &[("oauthbearer", raw.oauthbearer.is_some())]);
        self.without_effect(key, &given, &[("kerberos", raw.kerberos.is_some())]);
        let username = self.text(format!("{key}.username"), raw.username.as_ref());
        let password = self.secret(format!("{key}.password"), raw.password.as_ref());
        let (username, password) = (username?, password?);
        Some(match hash {
            None => LoginSpec::Plain { username, password },
            Some(hash) => LoginSpec::Scram { hash, username, password },
        })
    }

    fn kerberos(&mut self, key: &str, raw: &RawSasl) -> Option<LoginSpec> {
        let strangers = [
            ("username", raw.username.is_some()),
            ("password", raw.password.is_some()),
            ("oauthbearer", raw.oauthbearer.is_some()),
        ];
        self.without_effect(key, "GSSAPI", &strangers);
        let key = format!("{key}.kerberos");
        let none = Written::Right(RawKerberos::default());
        let kerberos = self.shape(key.clone(), Some(raw.kerberos.as_ref().unwrap_or(&none)), KEYS)?;
        self.unknown(&key, &kerberos.unknown, "service_name");
        let service = self.shape(format!("{key}.service_name"), kerberos.service_name.as_ref(), TEXT);
        Some(LoginSpec::Gssapi { service: service.cloned().unwrap_or_else(|| SERVICE.to_owned()) })
    }

    fn oauth(&mut self, key: &str, raw: &RawSasl, truststore: &[String]) -> Option<LoginSpec> {
        let strangers = [
            ("username", raw.username.is_some()),
            ("password", raw.password.is_some()),
            ("kerberos", raw.kerberos.is_some()),
        ];
        self.without_effect(key, "OAUTHBEARER", &strangers);
        let key = format!("{key}.oauthbearer");
        let none = Written::Right(RawOauth::default());
        let oauth = self.shape(key.clone(), Some(raw.oauthbearer.as_ref().unwrap_or(&none)), KEYS)?;
        let known = "token, token_endpoint_url, client_id, client_secret, scope, truststore";
        self.unknown(&key, &oauth.unknown, known);
        match (&oauth.token, &oauth.token_endpoint_url) {
            (Some(_), Some(_)) => {
                self.fault(key, "token and token_endpoint_url exclude each other: keep one");
                None
            }
            (None, None) => {
                self.fault(key, "says not where the token comes from: write token or token_endpoint_url");
                None
            }
            (Some(token), None) => {
                let strangers = [
                    ("client_id", oauth.client_id.is_some()),
                    ("client_secret", oauth.client_secret.is_some()),
                    ("scope", oauth.scope.is_some()),
                    ("truststore", oauth.truststore.is_some()),
                ];
                for (name, _) in strangers.iter().filter(|(_, given)| *given) {
                    self.fault(format!("{key}.{name}"), "has no effect beside token");
                }
                let token = self.secret(format!("{key}.token"), Some(token))?;
                Some(LoginSpec::OauthBearer(TokenSpec::Given(token)))
            }
            (None, Some(url)) => self.endpoint(&key, oauth, url, truststore),
        }
    }

    fn endpoint(
        &mut self,
        key: &str,
        raw: &RawOauth,
        url: &Written<String>,
        truststore: &[String],
    ) -> Option<LoginSpec> {
        let url_key = format!("{key}.token_endpoint_url");
        let url = self.shape(url_key.clone(), Some(url), TEXT).and_then(|url| match Url::parse(url) {
            Ok(parsed) => Some(parsed),
            Err(why) => {
                self.fault(url_key, format!("{url:?} {why}"));
                None
            }
        });
        let client_id = self.text(format!("{key}.client_id"), raw.client_id.as_ref());
        let client_secret = self.secret(format!("{key}.client_secret"), raw.client_secret.as_ref());
        let scope = self.shape(format!("{key}.scope"), raw.scope.as_ref(), TEXT).cloned();
        let own = self.files(&format!("{key}.truststore"), raw.truststore.as_ref());
        let is_unreadable = raw.truststore.is_some() && own.is_none();
        let own = own.filter(|own| !own.is_empty()).unwrap_or_else(|| truststore.to_vec());
        let is_secure = url.as_ref().is_some_and(|url| url.scheme == Scheme::Https);
        if own.is_empty() && is_secure && !is_unreadable {
            let what = "is missing: name the PEM file of the authority that signs the endpoint's certificate";
            self.fault(format!("{key}.truststore"), what);
        }
        let authorities = self.paths(&own);
        Some(LoginSpec::OauthBearer(TokenSpec::Endpoint(EndpointSpec {
            url: url?,
            client_id: client_id?,
            client_secret: client_secret?,
            scope,
            authorities,
        })))
    }

    /// `None` if it is absent or any of it is no text, which is a fault.
    fn files(&mut self, key: &str, given: Option<&Written<Files>>) -> Option<Vec<String>> {
        match self.shape(key.to_owned(), given, FILES)? {
            Files::One(file) => Some(vec![file.clone()]),
            Files::Many(many) => {
                let all: Vec<_> = many
                    .iter()
                    .enumerate()
                    .map(|(at, file)| self.shape(format!("{key}[{at}]"), Some(file), TEXT).cloned())
                    .collect();
                all.into_iter().collect()
            }
        }
    }

    fn unknown(&mut self, key: &str, unknown: &Unknown, known: &str) {
        for name in unknown.keys() {
            self.fault(format!("{key}.{name}"), unknown_key(name, known.split(", ")));
        }
    }

    fn without_effect(&mut self, key: &str, mechanism: &str, keys: &[(&str, bool)]) {
        for (name, _) in keys.iter().filter(|(_, given)| *given) {
            self.fault(format!("{key}.{name}"), format!("has no effect with mechanism {mechanism}"));
        }
    }

    fn text(&mut self, key: String, given: Option<&Written<String>>) -> Option<String> {
        let text = match given {
            None => "",
            given => self.shape(key.clone(), given, TEXT)?,
        };
        if text.is_empty() {
            self.fault(key, "is missing");
            return None;
        }
        Some(text.to_owned())
    }

    fn secret(&mut self, key: String, given: Option<&RawSecret>) -> Option<SecretSpec> {
        match given {
            None => {
                self.fault(key, format!("is missing: {SECRET}"));
                None
            }
            some => self.optional_secret(key, some),
        }
    }

    fn optional_secret(&mut self, key: String, given: Option<&RawSecret>) -> Option<SecretSpec> {
        match given? {
            RawSecret::File(path) => Some(SecretSpec::File(self.path(path))),
            RawSecret::Env(name) => Some(SecretSpec::Env(name.clone())),
            RawSecret::Inline => {
                self.fault(key, SECRET);
                None
            }
        }
    }

    fn path(&self, given: &str) -> PathBuf {
        self.folder.join(given)
    }

    fn paths(&self, given: &[String]) -> Vec<PathBuf> {
        given.iter().map(|each| self.path(each)).collect()
    }
}

impl Url {
    /// Reads `http://host[:port][/path]` or `https://…`.
    ///
    /// # Errors
    /// What is wrong, to stand behind the address.
    pub fn parse(given: &str) -> Result<Self, &'static str> {
        let (scheme, rest) = match given.split_once("://") {
            Some(("https", rest)) => (Scheme::Https, rest),
            Some(("http", rest)) => (Scheme::Http, rest),
            _ => return Err("is no address: write https://host/path or http://host/path"),
        };
        let (authority, path) = match rest.find('/') {
            Some(at) => (&rest[..at], &rest[at..]),
            None => (rest, "/"),
        };
        if authority.contains('@') || given.contains('#') {
            return Err("may hold neither a user nor a fragment");
        }
        if given.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return Err("holds a character that no address has");
        }
        let default = if scheme == Scheme::Https { 443 } else { 80 };
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => {
                (host, port.parse().map_err(|_| "has no port from 1 to 65535 behind the colon")?)
            }
            _ => (authority, default),
        };
        let host = host.trim_start_matches('[').trim_end_matches(']');
        if host.is_empty() || port == 0 {
            return Err("names no host and port");
        }
        Ok(Self { scheme, host: host.to_owned(), port, path: path.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn check(section: Value) -> Result<SecuritySpec, Vec<String>> {
        let raw: RawSecurity = serde_json::from_value(section).expect("a section");
        raw.check("security", Path::new("/etc/lockstep"))
            .map_err(|faults| faults.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn paths_start_at_the_file_that_names_them() {
        let spec = check(json!({
            "protocol": "SASL_SSL",
            "ssl": { "truststore": "ca.pem", "keystore": "/abs/client.pem" },
            "sasl": { "mechanism": "scram-sha-512", "username": "dr", "password": { "file": "secret" } },
        }))
        .unwrap();
        let tls = spec.tls.unwrap();
        assert_eq!(tls.authorities, [PathBuf::from("/etc/lockstep/ca.pem")]);
        assert_eq!(tls.host_names, HostNames::Verified);
        let client = tls.client.unwrap();
        assert_eq!(client.key, PathBuf::from("/abs/client.pem"), "the key may stand in the same file");
        let password = SecretSpec::File("/etc/lockstep/secret".into());
        assert_eq!(
            spec.login,
            Some(LoginSpec::Scram { hash: ScramHash::Sha512, username: "dr".to_owned(), password })
        );
        assert_eq!(check(json!({})).unwrap(), SecuritySpec::default(), "plaintext is the default");
    }

    #[test]
    fn all_faults_are_listed_at_once_and_no_inline_secret_is_shown() {
        let faults = check(json!({
            "protocol": "sasl_ssl",
            "protcol": "ssl",
            "ssl": { "trust_store": "x", "key": "k.pem", "key_password": "hunter2" },
            "sasl": { "mechanism": "PLAIN", "password": "hunter2", "kerberos": {}, "user": "u" },
        }))
        .unwrap_err();
        let keys: Vec<_> = faults.iter().map(|fault| fault.split(": ").next().unwrap()).collect();
        assert_eq!(
            keys,
            [
                "security.protcol",
                "security.ssl.trust_store",
                "security.ssl.truststore",
                "security.ssl.key_password",
                "security.ssl.key",
                "security.ssl.key_password",
                "security.sasl.user",
                "security.sasl.kerberos",
                "security.sasl.username",
                "security.sasl.password",
            ]
        );
        assert!(!faults.iter().any(|fault| fault.contains("hunter2")), "{faults:?}");
        for inline in [json!(12345), json!(["a"]), json!({ "file": "a", "env": "b" }), json!(true)] {
            let raw: RawSecret = serde_json::from_value(inline).unwrap();
            assert_eq!(raw, RawSecret::Inline);
        }
    }

    #[test]
    fn what_has_no_effect_is_a_fault() {
        let faults = check(json!({ "ssl": { "truststore": "a" }, "sasl": {} })).unwrap_err();
        assert_eq!(faults.len(), 2, "{faults:?}");
        let both = json!({ "mechanism": "OAUTHBEARER", "username": "u",
            "oauthbearer": { "token": { "env": "T" }, "token_endpoint_url": "https://x" } });
        let faults = check(json!({ "protocol": "sasl_plaintext", "sasl": both })).unwrap_err();
        assert_eq!(faults.len(), 2, "{faults:?}");
        let endpoint =
            json!({ "mechanism": "OAUTHBEARER", "oauthbearer": { "token_endpoint_url": "ftp://x" } });
        let faults = check(json!({ "protocol": "sasl_plaintext", "sasl": endpoint })).unwrap_err();
        assert_eq!(faults.len(), 3, "address, client_id, client_secret: {faults:?}");
        assert_eq!(check(json!({ "protocol": "tls" })).unwrap_err().len(), 1);
    }

    /// Story: one number in a section of twenty keys, and the whole section was said to be unreadable.
    #[test]
    fn a_value_of_the_wrong_shape_is_one_fault_and_hides_no_other() {
        let faults = check(json!({
            "protocol": "sasl_ssl",
            "ssl": { "truststore": ["a.pem", 5], "keystore": 7, "key": "k.pem", "verify_hostname": "perhaps", "x": 1 },
            "sasl": { "mechanism": "PLAIN", "username": 12, "password": { "file": [] } },
        }))
        .unwrap_err();
        let keys: Vec<_> = faults.iter().map(|fault| fault.split(':').next().unwrap()).collect();
        let ssl =
            ["truststore[1]", "x", "keystore", "verify_hostname"].map(|key| format!("security.ssl.{key}"));
        let sasl = ["username", "password"].map(|key| format!("security.sasl.{key}"));
        let mut expected: Vec<_> = ssl.into_iter().chain(sasl).collect();
        expected.sort();
        let mut found = keys.clone();
        found.sort_unstable();
        assert_eq!(found, expected, "{faults:#?}");

        let whole = check(json!({ "protocol": 1, "ssl": "ca.pem", "sasl": ["PLAIN"] })).unwrap_err();
        assert_eq!(whole.len(), 3, "{whole:#?}");
        let oauth = json!({ "mechanism": "oauthbearer", "oauthbearer": { "token_endpoint_url": 1, "scope": 2,
            "client_id": 3, "client_secret": 4, "truststore": 5 } });
        let faults = check(json!({ "protocol": "sasl_plaintext", "sasl": oauth })).unwrap_err();
        assert_eq!(faults.len(), 5, "{faults:#?}");
        let kerberos = json!({ "mechanism": "gssapi", "kerberos": 5 });
        assert_eq!(check(json!({ "protocol": "sasl_plaintext", "sasl": kerberos })).unwrap_err().len(), 1);
        assert_eq!(
            check(json!({ "protocol": "sasl_plaintext", "sasl": { "mechanism": [] } })).unwrap_err().len(),
            1
        );
        let file: RawSecurityFile = serde_json::from_value(json!({ "security": 5, "other": 1 })).unwrap();
        assert_eq!(file.check(Path::new("/")).unwrap_err().len(), 2);
    }

    #[test]
    fn addresses_of_endpoints_are_read() {
        let url = Url::parse("https://idp.example/oauth2/token?x=1").unwrap();
        assert_eq!(
            (url.host.as_str(), url.port, url.path.as_str()),
            ("idp.example", 443, "/oauth2/token?x=1")
        );
        let url = Url::parse("http://[::1]:8080").unwrap();
        assert_eq!((url.host.as_str(), url.port, url.path.as_str()), ("::1", 8080, "/"));
        for wrong in ["idp", "https://", "https://u@h/", "http://h:0/", "http://h:x/", "http://h/ x"] {
            assert!(Url::parse(wrong).is_err(), "{wrong}");
        }
    }
}
