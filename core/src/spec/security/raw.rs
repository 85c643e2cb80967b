//! What may be written. Unknown keys are kept by name, so that all of them are reported with the other faults.
//! Promises: a value of the wrong shape never ends the reading, it is one fault of its own; an inline secret is dropped while it is read; no value here, and so no message, can show one.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::spec::written::Written;

/// Keys that mean nothing.
pub(super) type Unknown = BTreeMap<String, IgnoredAny>;

/// A file that says how one cluster is reached (`--from-config`, `--to-config`).
#[derive(Clone, Debug, Default, Deserialize)]
pub struct RawSecurityFile {
    pub(super) security: Option<Written<RawSecurity>>,
    #[serde(flatten)]
    pub(super) unknown: Unknown,
}

/// The `security` section as written. [`check`](RawSecurity::check) says what it means.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields, rename = "Security")]
pub struct RawSecurity {
    /// plaintext, ssl, sasl_plaintext or sasl_ssl. Default: plaintext.
    pub(super) protocol: Option<Written<String>>,
    /// Certificates, with ssl and sasl_ssl.
    pub(super) ssl: Option<Written<RawSsl>>,
    /// The login, with sasl_plaintext and sasl_ssl.
    pub(super) sasl: Option<Written<RawSasl>>,
    #[serde(flatten)]
    #[schemars(skip)]
    pub(super) unknown: Unknown,
}

/// Certificates, as PEM files.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields, rename = "Ssl")]
pub(super) struct RawSsl {
    /// PEM: who may sign certificates; a file or a list of files.
    pub(super) truststore: Option<Written<Files>>,
    /// PEM: our certificate, where brokers demand one.
    pub(super) keystore: Option<Written<String>>,
    /// PEM: our key. Default: in the keystore file.
    pub(super) key: Option<Written<String>>,
    /// What opens the key.
    pub(super) key_password: Option<RawSecret>,
    /// false: any certificate of a trusted authority passes for any broker. Default: true.
    pub(super) verify_hostname: Option<Written<bool>>,
    #[serde(flatten)]
    #[schemars(skip)]
    pub(super) unknown: Unknown,
}

/// Who we are to the brokers.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields, rename = "Sasl")]
pub(super) struct RawSasl {
    /// PLAIN, SCRAM-SHA-256, SCRAM-SHA-512, OAUTHBEARER or GSSAPI.
    pub(super) mechanism: Option<Written<String>>,
    /// With PLAIN and SCRAM.
    pub(super) username: Option<Written<String>>,
    /// With PLAIN and SCRAM.
    pub(super) password: Option<RawSecret>,
    /// With OAUTHBEARER.
    pub(super) oauthbearer: Option<Written<RawOauth>>,
    /// With GSSAPI.
    pub(super) kerberos: Option<Written<RawKerberos>>,
    #[serde(flatten)]
    #[schemars(skip)]
    pub(super) unknown: Unknown,
}

/// Where the token comes from.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields, rename = "Oauth")]
pub(super) struct RawOauth {
    /// A token that somebody else keeps fresh.
    pub(super) token: Option<RawSecret>,
    /// Where a token is got: http or https.
    pub(super) token_endpoint_url: Option<Written<String>>,
    /// With token_endpoint_url.
    pub(super) client_id: Option<Written<String>>,
    /// With token_endpoint_url.
    pub(super) client_secret: Option<RawSecret>,
    /// With token_endpoint_url.
    pub(super) scope: Option<Written<String>>,
    /// PEM: who may sign certificates; a file or a list of files.
    pub(super) truststore: Option<Written<Files>>,
    #[serde(flatten)]
    #[schemars(skip)]
    pub(super) unknown: Unknown,
}

/// Kerberos; the keytab comes from the environment.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields, rename = "Kerberos")]
pub(super) struct RawKerberos {
    /// The first part of the brokers' principals. Default: kafka.
    pub(super) service_name: Option<Written<String>>,
    #[serde(flatten)]
    #[schemars(skip)]
    pub(super) unknown: Unknown,
}

/// Where a secret is, as written: `{ file: PATH }` or `{ env: NAME }`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RawSecret {
    File(String),
    Env(String),
    /// The secret itself, or something else that may hold it: dropped unread.
    Inline,
}

impl<'de> Deserialize<'de> for RawSecret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SecretVisitor)
    }
}

impl JsonSchema for RawSecret {
    fn schema_name() -> Cow<'static, str> {
        "Secret".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "Where a secret is; the secret itself never stands here.",
            "type": "object",
            "properties": { "file": { "type": "string" }, "env": { "type": "string" } },
            "additionalProperties": false,
            "minProperties": 1,
            "maxProperties": 1
        })
    }
}

/// A file, or a list of files.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Files {
    One(String),
    Many(Vec<Written<String>>),
}

impl JsonSchema for Files {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Files".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["string", "array"], "items": { "type": "string" } })
    }
}

fn written(given: Written<String>, kind: fn(String) -> RawSecret) -> RawSecret {
    match given {
        Written::Right(text) => kind(text),
        Written::Wrong(_) => RawSecret::Inline,
    }
}

struct SecretVisitor;

impl<'de> Visitor<'de> for SecretVisitor {
    type Value = RawSecret;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{ file: PATH } or { env: NAME }")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<RawSecret, A::Error> {
        let mut found = RawSecret::Inline;
        let mut keys = 0;
        while let Some(key) = map.next_key::<String>()? {
            keys += 1;
            found = match key.as_str() {
                "file" => written(map.next_value()?, RawSecret::File),
                "env" => written(map.next_value()?, RawSecret::Env),
                _ => {
                    map.next_value::<IgnoredAny>()?;
                    RawSecret::Inline
                }
            };
        }
        Ok(if keys == 1 { found } else { RawSecret::Inline })
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<RawSecret, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(RawSecret::Inline)
    }

    fn visit_str<E>(self, _: &str) -> Result<RawSecret, E> {
        Ok(RawSecret::Inline)
    }

    fn visit_u64<E>(self, _: u64) -> Result<RawSecret, E> {
        Ok(RawSecret::Inline)
    }

    fn visit_i64<E>(self, _: i64) -> Result<RawSecret, E> {
        Ok(RawSecret::Inline)
    }

    fn visit_f64<E>(self, _: f64) -> Result<RawSecret, E> {
        Ok(RawSecret::Inline)
    }

    fn visit_bool<E>(self, _: bool) -> Result<RawSecret, E> {
        Ok(RawSecret::Inline)
    }

    fn visit_unit<E>(self) -> Result<RawSecret, E> {
        Ok(RawSecret::Inline)
    }
}
