//! Everything that needs real Kafka, in one binary so that its tests share one pair of clusters.
//! Run it with `./dev test real [FILTER]`, which builds the product first.

// A failed unwrap is a failed test, with its place and cause.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod driver;
mod facts;
mod harness;
mod mirror;
mod secure;
mod verify_exact;
