//! The secured listeners of a broker, and the lines of `server.properties` that make them. Beside them stay the plain
//! listener, whose clients (ANONYMOUS) are super users here, and the brokers' own.

use super::tokens::{AUDIENCE, ISSUER};
use super::{CLIENT, LIMITED, Realm};

/// A way into a secured broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listener {
    /// TLS, clients stay anonymous.
    Tls,
    /// TLS, clients have to show a certificate.
    Mtls,
    /// TLS with a certificate that has expired.
    Expired,
    /// TLS, then SCRAM-SHA-256, SCRAM-SHA-512 or PLAIN. Sessions of SCRAM-SHA-256 end after [`SESSION_MS`].
    Scram,
    /// Kerberos without TLS. Sessions end after twice [`SESSION_MS`].
    Kerberos,
    /// TLS, then OAUTHBEARER with signed tokens.
    Oauth,
}

/// How long a login with SCRAM-SHA-256 lasts on secured brokers.
pub const SESSION_MS: u32 = 2_500;

const ALL: [(Listener, &str, &str); 6] = [
    (Listener::Tls, "TLS", "SSL"),
    (Listener::Mtls, "MTLS", "SSL"),
    (Listener::Expired, "EXPIRED", "SSL"),
    (Listener::Scram, "SCRAM", "SASL_SSL"),
    (Listener::Kerberos, "KRB", "SASL_PLAINTEXT"),
    (Listener::Oauth, "OAUTH", "SASL_SSL"),
];

/// A port for each listener, in the order of [`ALL`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct SecuredPorts([u16; ALL.len()]);

impl SecuredPorts {
    pub(crate) fn choose() -> Result<Self, crate::Error> {
        let mut ports = [0; ALL.len()];
        for port in &mut ports {
            *port = crate::ports::free()?;
        }
        Ok(Self(ports))
    }

    pub(crate) fn of(self, listener: Listener) -> u16 {
        let found = ALL.iter().zip(self.0).find(|((each, ..), _)| *each == listener);
        found.map_or(0, |(_, port)| port)
    }

    /// Name and port of each that this realm can serve.
    pub(crate) fn named(self, realm: &Realm) -> Vec<(&'static str, u16)> {
        let served = |listener| listener != Listener::Kerberos || realm.kdc().is_some();
        let all = ALL.iter().zip(self.0).filter(|((listener, ..), _)| served(*listener));
        all.map(|((_, name, _), port)| (*name, port)).collect()
    }
}

/// The value of `listener.security.protocol.map` for them.
pub(crate) fn protocols(realm: &Realm) -> String {
    let served = |listener| listener != Listener::Kerberos || realm.kdc().is_some();
    let all = ALL.iter().filter(|(listener, ..)| served(*listener));
    all.map(|(_, name, protocol)| format!(",{name}:{protocol}")).collect()
}

/// The lines for a broker of this realm.
pub(crate) fn properties(realm: &Realm) -> Vec<(String, String)> {
    let scram = |name: &str| {
        (format!("listener.name.scram.{name}.sasl.jaas.config"), module("scram.ScramLoginModule", ""))
    };
    let users: String =
        [CLIENT, LIMITED].iter().map(|(user, password)| format!(" user_{user}=\"{password}\"")).collect();
    let mut lines: Vec<(String, String)> = [
        ("super.users", "User:broker;User:ANONYMOUS".to_owned()),
        ("ssl.keystore.type", "PEM".to_owned()),
        ("ssl.keystore.location", realm.pki.broker.store.display().to_string()),
        ("ssl.truststore.type", "PEM".to_owned()),
        ("ssl.truststore.location", realm.pki.ours.file.display().to_string()),
        ("ssl.client.auth", "none".to_owned()),
        ("listener.name.mtls.ssl.client.auth", "required".to_owned()),
        ("listener.name.expired.ssl.keystore.type", "PEM".to_owned()),
        ("listener.name.expired.ssl.keystore.location", realm.pki.expired_broker.store.display().to_string()),
        ("ssl.principal.mapping.rules", "RULE:^CN=([^,]+).*$/$1/,DEFAULT".to_owned()),
        ("listener.name.scram.sasl.enabled.mechanisms", "SCRAM-SHA-256,SCRAM-SHA-512,PLAIN".to_owned()),
        ("listener.name.scram.scram-sha-256.connections.max.reauth.ms", SESSION_MS.to_string()),
        ("listener.name.scram.plain.sasl.jaas.config", module("plain.PlainLoginModule", &users)),
        ("listener.name.oauth.sasl.enabled.mechanisms", "OAUTHBEARER".to_owned()),
        (
            "listener.name.oauth.oauthbearer.sasl.jaas.config",
            module("oauthbearer.OAuthBearerLoginModule", ""),
        ),
        (
            "listener.name.oauth.oauthbearer.sasl.server.callback.handler.class",
            "org.apache.kafka.common.security.oauthbearer.OAuthBearerValidatorCallbackHandler".to_owned(),
        ),
        (
            "listener.name.oauth.oauthbearer.sasl.oauthbearer.jwks.endpoint.url",
            format!("file://{}", realm.tokens.keys().display()),
        ),
        ("listener.name.oauth.oauthbearer.sasl.oauthbearer.expected.audience", AUDIENCE.to_owned()),
        ("listener.name.oauth.oauthbearer.sasl.oauthbearer.expected.issuer", ISSUER.to_owned()),
        // By default a token lives half a minute longer.
        ("listener.name.oauth.oauthbearer.sasl.oauthbearer.clock.skew.seconds", "0".to_owned()),
        // Sessions end when the token does, at the latest after this.
        ("listener.name.oauth.oauthbearer.connections.max.reauth.ms", "3600000".to_owned()),
    ]
    .map(|(key, value)| (key.to_owned(), value))
    .into();
    lines.extend([scram("scram-sha-256"), scram("scram-sha-512")]);
    if let Some(kdc) = realm.kdc() {
        let login = format!(
            "com.sun.security.auth.module.Krb5LoginModule required useKeyTab=true storeKey=true isInitiator=false \
             keyTab=\"{}\" principal=\"kafka/localhost@TEST.LOCAL\";",
            kdc.keytab("kafka").display()
        );
        for (key, value) in [
            ("listener.name.krb.sasl.enabled.mechanisms", "GSSAPI"),
            ("listener.name.krb.sasl.kerberos.service.name", "kafka"),
            ("listener.name.krb.gssapi.sasl.jaas.config", &login),
            ("listener.name.krb.gssapi.connections.max.reauth.ms", &(2 * SESSION_MS).to_string()),
            ("sasl.kerberos.principal.to.local.rules", "RULE:[1:$1@$0](.*@TEST.LOCAL)s/@.*//,DEFAULT"),
        ] {
            lines.push((key.to_owned(), value.to_owned()));
        }
    }
    lines
}

fn module(class: &str, options: &str) -> String {
    format!("org.apache.kafka.common.security.{class} required{options};")
}
