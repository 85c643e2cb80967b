//! Files of ours as text: YAML, the line of every key in it, and every fault with its place.
//!
//! ```text
//! text ─ Document ─► lines, keys ─ parse ─► raw (core::spec) ─ check ─► what is meant, or every fault with its line
//! ```
//!
//! Promises: all faults at once, in the order of the file; a key that stands twice is one; no message quotes a line of a
//! file, which might hold a secret by mistake. Never panics for what stands in a file; reads no other file than it is told.

mod document;
pub mod dr;

pub use document::{Document, NotRead};
