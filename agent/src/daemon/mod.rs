//! `lockstep agent`: the daemon of a datacenter. Carries the links of one `agent.yaml` for months.
//!
//! ```text
//! agent.yaml ─ config::load ─► AgentSpec ─► supervisor ─► one life per link ─► link::Running
//!      ▲ SIGHUP, a change          │                            │ LinkState
//!      └───────────────────────────┘            board ◄─────────┘──► http: /metrics /healthz /readyz /status
//! ```
//!
//! | file | does |
//! |---|---|
//! | [`supervisor`] | compares what is wanted with what runs, and moves only what differs |
//! | [`tasks`] | the one table of tasks: what the end of each means |
//! | `life` | one link: starts it, starts it again, stops it |
//! | `clusters` | connections that links to the same cluster share |
//! | `watch_file` | notices that the file has changed |
//! | `board` | what everybody may know: the state of every link, how the last reload went |
//! | `http` | tells it |
//! | `systemd` | ready, reloading, stopping, and the watchdog |
//!
//! A link that cannot work waits, says why and tries again; no other link hears of it.

mod board;
mod clusters;
mod http;
mod life;
pub mod supervisor;
mod systemd;
pub mod tasks;
mod watch_file;

pub use supervisor::{Ended, Order, run};
