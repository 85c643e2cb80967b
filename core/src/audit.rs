//! The audit trail: one event for every change of state and every refused call, chained by hashes.
//! Promises: an event that was changed, taken out, moved or put in is found by [`verify`], a cut end too where the head
//! is known. What is hashed is spelt out byte by byte and pinned by test: it outlives encodings and versions.

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use thiserror::Error;

const DOMAIN: &[u8] = b"lockstep-audit-1";

/// SHA-256, shown and stored in hexadecimal.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Hash(pub [u8; 32]);

/// Milliseconds since 1970 by the clock of whoever proposed it: for people, never compared across machines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct WallMillis(pub u64);

/// Who did it, as their certificate says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Actor {
    pub name: String,
    pub kind: ActorKind,
    /// The address the call came from; `None` for what a coordinator did by itself.
    #[serde(default)]
    pub from: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ActorKind {
    Operator,
    Agent,
    Coordinator,
}

/// What is to be chained.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Draft {
    pub at: WallMillis,
    pub actor: Actor,
    /// One stable word: `apply_spec`.
    pub what: String,
    /// What it was done to: a link, an agent, a member; empty for the whole system.
    pub subject: String,
    #[serde(default)]
    pub reason: Option<String>,
    /// In words; `None`: there was nothing.
    #[serde(default)]
    pub before: Option<String>,
    #[serde(default)]
    pub after: Option<String>,
    /// `done`, `unchanged`, or `refused: ` and why.
    pub outcome: String,
}

/// One link of the chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditEvent {
    /// From 1, without a gap.
    pub seq: u64,
    #[serde(flatten)]
    pub draft: Draft,
    /// Of the event before; zeros for the first.
    pub previous: Hash,
    /// Of this event, with `previous` in it.
    pub hash: Hash,
}

/// Where a chain ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// 0 before the first event.
    pub seq: u64,
    pub hash: Hash,
}

/// The first thing that is wrong with a chain.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Broken {
    #[error("event {expected} is missing: event {found} stands in its place")]
    Gap { expected: u64, found: u64 },
    #[error(
        "event {seq} does not follow the one before it: an event was changed, removed, put in or moved there"
    )]
    Unchained { seq: u64 },
    #[error("event {seq} was changed: its content does not have its hash")]
    Changed { seq: u64 },
    #[error("the chain ends with event {found}, {expected} are known to be in it: its end was cut off")]
    Cut { expected: u64, found: u64 },
    #[error("event {seq} is not the one that is known to be the last: the chain was written anew")]
    OtherHead { seq: u64 },
}

impl Head {
    /// Puts an event behind all others.
    pub fn chain(&mut self, draft: Draft) -> AuditEvent {
        let (seq, previous) = (self.seq + 1, self.hash);
        let hash = hash(seq, &draft, &previous);
        *self = Self { seq, hash };
        AuditEvent { seq, draft, previous, hash }
    }
}

/// Looks at events in their order. `start`: where the chain stood before the first of them (the default for a whole
/// trail). `end`: the head that somebody else knows, as the coordinators' state does.
///
/// # Errors
/// The first thing that is wrong.
pub fn verify<'a>(
    events: impl IntoIterator<Item = &'a AuditEvent>,
    start: Head,
    end: Option<Head>,
) -> Result<Head, Broken> {
    let mut head = start;
    for event in events {
        let (expected, found) = (head.seq + 1, event.seq);
        if found != expected {
            return Err(Broken::Gap { expected, found });
        }
        if event.previous != head.hash {
            return Err(Broken::Unchained { seq: found });
        }
        if hash(found, &event.draft, &event.previous) != event.hash {
            return Err(Broken::Changed { seq: found });
        }
        head = Head { seq: found, hash: event.hash };
    }
    match end {
        Some(known) if known.seq > head.seq => Err(Broken::Cut { expected: known.seq, found: head.seq }),
        Some(known) if known != head => Err(Broken::OtherHead { seq: head.seq }),
        _ => Ok(head),
    }
}

/// SHA-256 over the domain and, in the order of the fields: numbers with 64 bits, big-endian; texts behind their length;
/// what may be missing behind one byte, 0 or 1.
fn hash(seq: u64, draft: &Draft, previous: &Hash) -> Hash {
    let mut hash = Sha256::new();
    hash.update(DOMAIN);
    hash.update(seq.to_be_bytes());
    hash.update(draft.at.0.to_be_bytes());
    text(&mut hash, &draft.actor.name);
    text(&mut hash, draft.actor.kind.name());
    maybe(&mut hash, draft.actor.from.as_deref());
    text(&mut hash, &draft.what);
    text(&mut hash, &draft.subject);
    maybe(&mut hash, draft.reason.as_deref());
    maybe(&mut hash, draft.before.as_deref());
    maybe(&mut hash, draft.after.as_deref());
    text(&mut hash, &draft.outcome);
    hash.update(previous.0);
    Hash(hash.finalize().into())
}

fn text(hash: &mut Sha256, text: &str) {
    hash.update((text.len() as u64).to_be_bytes());
    hash.update(text.as_bytes());
}

fn maybe(hash: &mut Sha256, given: Option<&str>) {
    hash.update([u8::from(given.is_some())]);
    if let Some(given) = given {
        text(hash, given);
    }
}

impl ActorKind {
    /// As in files and JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Operator => "operator",
            Self::Agent => "agent",
            Self::Coordinator => "coordinator",
        }
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Hash {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Hash {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let wrong = || serde::de::Error::custom("a hash has 64 lower-case hexadecimal digits");
        let digit = |byte: u8| match byte {
            b'0'..=b'9' => Some(byte - b'0'),
            b'a'..=b'f' => Some(byte - b'a' + 10),
            _ => None,
        };
        let mut bytes = [0; 32];
        if text.len() != 64 {
            return Err(wrong());
        }
        for (into, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            *into =
                digit(pair[0]).zip(digit(pair[1])).map(|(high, low)| high << 4 | low).ok_or_else(wrong)?;
        }
        Ok(Self(bytes))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn draft(number: u64) -> Draft {
        Draft {
            at: WallMillis(1_700_000_000_000 + number),
            actor: Actor {
                name: "anna".to_owned(),
                kind: ActorKind::Operator,
                from: Some("10.0.0.1:5".to_owned()),
            },
            what: "apply_spec".to_owned(),
            subject: format!("claims-{number}"),
            reason: None,
            before: Some("revision 1".to_owned()),
            after: Some("revision 2".to_owned()),
            outcome: "done".to_owned(),
        }
    }

    fn trail(events: u64) -> (Vec<AuditEvent>, Head) {
        let mut head = Head::default();
        let events = (0..events).map(|number| head.chain(draft(number))).collect();
        (events, head)
    }

    /// Computed by another program from the words above `hash`.
    #[test]
    fn the_hash_of_an_event_never_changes_with_a_version() {
        let (events, _) = trail(2);
        assert_eq!(
            events[0].hash.to_string(),
            "68269c30e772bb69a95c201dbf7e1395b04473868cbbfc74fba5da30b0fc9ca7"
        );
        assert_eq!(
            events[1].hash.to_string(),
            "e162178024aa9822b1d484e560fa50d1bc688159ac83125bd858c0e9ffb30ab0"
        );
    }

    #[test]
    fn an_event_survives_json_and_a_wrong_hash_does_not() {
        let (events, head) = trail(3);
        let lines: Vec<_> = events.iter().map(|event| serde_json::to_string(event).unwrap()).collect();
        let read: Vec<AuditEvent> = lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(read, events);
        assert_eq!(verify(&read, Head::default(), Some(head)), Ok(head));
        let short = lines[0].replace(&events[0].hash.to_string(), "ab");
        assert!(serde_json::from_str::<AuditEvent>(&short).is_err());
    }

    #[test]
    fn what_is_wrong_is_said() {
        let (events, head) = trail(4);
        let start = Head::default();
        assert_eq!(verify(&events[..3], start, Some(head)), Err(Broken::Cut { expected: 4, found: 3 }));
        assert_eq!(verify(&events[1..], start, None), Err(Broken::Gap { expected: 1, found: 2 }));
        let from_2 = Head { seq: 2, hash: events[1].hash };
        assert_eq!(verify(&events[2..], from_2, Some(head)), Ok(head), "a part, from a known point");
        let (mut other, _) = (events.clone(), ());
        other[1].draft.subject = "bills".to_owned();
        assert_eq!(verify(&other, start, None), Err(Broken::Changed { seq: 2 }));
        other[1].hash = hash(2, &other[1].draft, &other[1].previous);
        assert_eq!(verify(&other, start, None), Err(Broken::Unchained { seq: 3 }));
        let mut anew = Head::default();
        let rewritten: Vec<_> = (10..14).map(|number| anew.chain(draft(number))).collect();
        assert_eq!(verify(&rewritten, start, Some(head)), Err(Broken::OtherHead { seq: 4 }));
    }

    /// One way to tamper with one event.
    fn tamper(event: &mut AuditEvent, field: usize) {
        let draft = &mut event.draft;
        match field {
            0 => event.seq += 1,
            1 => draft.at.0 ^= 1,
            2 => draft.actor.name.push('a'),
            3 => draft.actor.kind = ActorKind::Agent,
            4 => draft.actor.from = None,
            5 => draft.what.push('x'),
            6 => drop(draft.subject.pop()),
            7 => draft.reason = Some(String::new()),
            8 => draft.before = None,
            9 => draft.after = Some("revision 3".to_owned()),
            10 => draft.outcome = "refused: no".to_owned(),
            11 => event.previous.0[7] ^= 1,
            12 => event.hash.0[31] ^= 0x80,
            // A letter that moves from one field to the next.
            _ => {
                let letter = draft.what.pop().unwrap();
                draft.subject.insert(0, letter);
            }
        }
    }

    proptest! {
        #[test]
        fn every_single_mutation_is_found(count in 2_u64..12, at in any::<prop::sample::Index>(),
            to in any::<prop::sample::Index>(), kind in 0_usize..18) {
            let (mut events, head) = trail(count);
            let (at, to) = (at.index(events.len()), to.index(events.len()));
            match kind {
                0..14 => tamper(&mut events[at], kind),
                14 => drop(events.remove(at)),
                15 => {
                    prop_assume!(at != to);
                    events.swap(at, to);
                }
                16 => events.insert(at, events[to].clone()),
                _ => events.truncate(at),
            }
            prop_assert!(verify(&events, Head::default(), Some(head)).is_err());
        }
    }
}
