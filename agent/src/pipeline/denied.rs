//! What a cluster refuses, from its error codes and from connections that do not come about; kept per partition until
//! the same deed works again. A refusal is never taken from a text, and never for silence: only an answer sets it, and
//! an answer that is none takes it away.

use std::sync::Arc;

use lockstep_core::code::Code;
use lockstep_core::dr::denied::{Cause, Denied, Permission, Side};
use lockstep_kafka::{Api, Error, ErrorCode, MissingPermission, Settings};

/// A refusal's words are shown in one line of a status.
const WORDS_MAX: usize = 300;

/// What `code` in an answer to `api` about `name` refuses; `None` for codes that are about something else.
pub fn by_code(side: Side, settings: &Settings, api: Api, code: ErrorCode, name: &str) -> Option<Denied> {
    MissingPermission::new(settings, api, code, name).map(|missing| of_missing(side, &missing))
}

/// What an error as a whole refuses: an ACL, a login, a certificate; `None` for everything that may pass by itself.
pub fn by_error(side: Side, settings: &Settings, error: &Error) -> Option<Denied> {
    if let Some(missing) = MissingPermission::of(settings, error) {
        return Some(of_missing(side, &missing));
    }
    let code = error.page()?;
    let words = error.to_string().chars().take(WORDS_MAX).collect();
    Some(Denied { side, code, cause: Cause::Connection { words } })
}

fn of_missing(side: Side, missing: &MissingPermission) -> Denied {
    let permission = Permission {
        principal: missing.principal.clone(),
        operation: missing.operation,
        resource: missing.resource.to_string(),
        grant: missing.grant(),
    };
    Denied { side, code: Code::PermissionMissing, cause: Cause::Permission(permission) }
}

/// What is done for a partition, each refused or granted on its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Deed {
    Open,
    Fetch,
    /// Appends and markers.
    Write,
    SourceEnd,
    DestEnd,
}

/// The deeds that are refused at the moment.
#[derive(Clone, Debug, Default)]
pub(super) struct Refusals([Option<Arc<Denied>>; 5]);

impl Refusals {
    /// Notes how a deed went: refused, or not.
    pub(super) fn note(&mut self, deed: Deed, denied: Option<Arc<Denied>>) {
        self.0[deed as usize] = denied;
    }

    /// Notes a refusal; a failure of another kind leaves what is known.
    pub(super) fn note_if(&mut self, deed: Deed, denied: Option<&Arc<Denied>>) {
        if let Some(denied) = denied {
            self.note(deed, Some(Arc::clone(denied)));
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Arc<Denied>> {
        self.0.iter().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_stays_until_the_same_deed_works() {
        let settings = Settings::new("kafka:9092").unwrap();
        let code = ErrorCode::TOPIC_AUTHORIZATION_FAILED;
        let denied = by_code(Side::Source, &settings, Api::Fetch, code, "orders").map(Arc::new);
        let words = denied.as_ref().unwrap().to_string();
        assert!(
            words.starts_with(
                "source: needs Read on Topic orders for User:ANONYMOUS (L-103); grant: kafka-acls"
            )
        );
        let mut refusals = Refusals::default();
        refusals.note(Deed::Fetch, denied);
        refusals.note(Deed::Open, None);
        refusals.note_if(Deed::Fetch, None);
        assert_eq!(refusals.iter().count(), 1);
        refusals.note(Deed::Fetch, None);
        assert_eq!(refusals.iter().count(), 0);
    }

    #[test]
    fn only_what_somebody_has_to_act_on_is_a_refusal() {
        let settings = Settings::new("kafka:9092").unwrap();
        let by = |error| by_error(Side::Dest, &settings, &error);
        assert_eq!(by(Error::NoController), None);
        let api = Api::Produce;
        assert_eq!(by_code(Side::Dest, &settings, api, ErrorCode::CORRUPT_MESSAGE, "orders"), None);
        let about = "orders".to_owned();
        let code = ErrorCode::CLUSTER_AUTHORIZATION_FAILED;
        let refused = by(Error::Refused { api, code, detail: None, about }).unwrap();
        assert!(refused.to_string().contains("needs IdempotentWrite on Cluster"), "{refused}");
    }
}
