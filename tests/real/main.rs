//! Everything that needs real Kafka, in one binary so that its tests share one pair of clusters.
//! Run it with `./dev test real [FILTER]`, which builds the product first and runs `alone` after all others.

// A failed unwrap is a failed test, with its place and cause.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod agent;
mod alone;
mod check;
mod driver;
mod facts;
mod groups;
mod harness;
mod migrating;
mod mirror;
mod secure;
mod sharing;
mod trial;
mod verify_exact;
