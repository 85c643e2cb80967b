//! What may be written. Unknown keys are kept by name, so that all of them are reported with the other faults.
//! Promises: an inline secret is dropped while it is read; no value here, and so no message, can show one.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// Keys that mean nothing.
pub(super) type Unknown = BTreeMap<String, IgnoredAny>;

/// The `security` section as written. [`check`](RawSecurity::check) says what it means.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct RawSecurity {
    pub(super) protocol: Option<String>,
    pub(super) ssl: Option<RawSsl>,
    pub(super) sasl: Option<RawSasl>,
    #[serde(flatten)]
    pub(super) unknown: Unknown,
}

#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct RawSsl {
    #[serde(default, deserialize_with = "one_or_many")]
    pub(super) truststore: Vec<String>,
    pub(super) keystore: Option<String>,
    pub(super) key: Option<String>,
    pub(super) key_password: Option<RawSecret>,
    pub(super) verify_hostname: Option<bool>,
    #[serde(flatten)]
    pub(super) unknown: Unknown,
}

#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct RawSasl {
    pub(super) mechanism: Option<String>,
    pub(super) username: Option<String>,
    pub(super) password: Option<RawSecret>,
    pub(super) oauthbearer: Option<RawOauth>,
    pub(super) kerberos: Option<RawKerberos>,
    #[serde(flatten)]
    pub(super) unknown: Unknown,
}

#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct RawOauth {
    pub(super) token: Option<RawSecret>,
    pub(super) token_endpoint_url: Option<String>,
    pub(super) client_id: Option<String>,
    pub(super) client_secret: Option<RawSecret>,
    pub(super) scope: Option<String>,
    #[serde(default, deserialize_with = "one_or_many")]
    pub(super) truststore: Vec<String>,
    #[serde(flatten)]
    pub(super) unknown: Unknown,
}

#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct RawKerberos {
    pub(super) service_name: Option<String>,
    #[serde(flatten)]
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
                "file" => RawSecret::File(map.next_value()?),
                "env" => RawSecret::Env(map.next_value()?),
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

/// A file, or a list of files.
fn one_or_many<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    struct Files;
    impl<'de> Visitor<'de> for Files {
        type Value = Vec<String>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a file, or a list of files")
        }

        fn visit_str<E>(self, one: &str) -> Result<Vec<String>, E> {
            Ok(vec![one.to_owned()])
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Vec<String>, A::Error> {
            let mut all = Vec::new();
            while let Some(one) = seq.next_element()? {
                all.push(one);
            }
            Ok(all)
        }
    }
    deserializer.deserialize_any(Files)
}
