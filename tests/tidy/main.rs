//! The shape of the tree, kept by tests: arrows between crates, sizes, openings, licences, rule ids, links.
//! Reads manifests and sources as text; builds nothing, needs no broker and no network.
//! Every check is a function from text to faults, tried on a planted fault, then run on the tree. A fault names file,
//! line and remedy.

// A failed unwrap is a failed test, with its place and cause.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod arrows;
mod errors;
mod manifests;
mod papers;
mod sources;
mod tree;
