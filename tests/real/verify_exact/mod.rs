//! `lockstep verify` on everything that takes an offset. The destination is written by hand, so that verify is judged
//! on its own, without the mirror.
//!
//! | file | what is compared |
//! |---|---|
//! | `transactions` | commits, rollbacks, open transactions, on either side |
//! | `compaction` | two sides whose cleaners worked at different times |
//! | `shapes` | fillers, merged batches, damage on the way, topics of the destination alone |
//!
//! `handmade` writes the destination.

mod compaction;
mod handmade;
mod shapes;
mod transactions;

use lockstep_testkit::lockstep::Finished;
use lockstep_testkit::{Exit, Lockstep};
use serde_json::Value;

use crate::mirror::{Ends, PATIENCE};

fn verify(ends: &Ends, topics: &str) -> (Exit, Value) {
    let arguments =
        ["verify", "--from", &ends.from, "--to", &ends.to, "--topics", topics, "-o", "json", "--wait", "0s"];
    let Finished { exit, stdout, stderr } = Lockstep::run(&arguments, PATIENCE).unwrap();
    let said = serde_json::from_str(&stdout).unwrap_or_else(|cause| panic!("{cause}: {stdout}{stderr}"));
    (exit, said)
}

/// What a note of the first topic says; `None` without one of this kind.
fn note(said: &Value, kind: &str) -> Option<(u64, String)> {
    let note = said["topics"][0]["notes"].as_array()?.iter().find(|note| note["kind"] == kind)?;
    Some((note["offsets"].as_u64()?, note["text"].as_str()?.to_owned()))
}

fn first_difference(said: &Value) -> (i64, String) {
    let first = &said["topics"][0]["differences"][0];
    (first["offset"].as_i64().unwrap(), first["what"].as_str().unwrap().to_owned())
}
