//! Tests that need every broker slot of the machine. `./dev test` runs them one by one, in a process of their own after
//! all others, so that the shared pair's brokers are gone: whoever adds a test here must not ask for the pair.
//!
//! | file | what must hold |
//! |---|---|
//! | `rolling` | both clusters are restarted broker by broker under load, and nobody has to help |
//!
//! `load` is what the applications of such a cluster do, `group` their consumers.

mod group;
mod load;
mod rolling;
