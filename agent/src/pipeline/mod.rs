//! The data path of one link, in the standby's site: pulls from the source, writes locally.
//!
//! ```text
//! source ─► FetchedBatch ─► engine (core::mirror) ─► MirroredBatch ─► sink ─► AppendReceipt ─► report
//!    ▲                        │  ▲                                                                │
//!    └──── FetchJob ──────────┘  └── open (facts), probe (ends of both sides)          LinkReport ▼
//! ```
//!
//! | file | does |
//! |---|---|
//! | [`engine`] | owns every partition's state machine; the only place that decides what goes out |
//! | [`names`] | the two names of a partition, and which side takes which |
//! | [`routes`] | which broker each partition is fetched from and written to |
//! | [`source`] | one task per source broker: long-poll fetches in an incremental session |
//! | `fitting` | asks the source for whole batches, so that what comes is used |
//! | [`sink`] | one task per destination broker: pipelined appends |
//! | [`lane`] | what is live never waits behind what catches up |
//! | [`markers`] | one task per destination broker: offsets that no record takes (M12, M15) |
//! | [`open_transactions`] | what holds a source's last stable offset back (M16) |
//! | [`open`] | reads the facts a partition is opened with, in the one safe order (M8) |
//! | `peek`, `tail` | a few batches of a log by themselves; both ends compared (M8) |
//! | [`probe`] | asks both sides for their ends every second: exposure, and the link's heartbeat |
//! | `desks`, `slot` | what the engine keeps per broker and per partition |
//! | `gauge`, [`latency`] | what is measured per partition and per link: exposure, rates, what a runway rests on |
//! | [`denied`] | what a cluster refuses, until it works again |
//! | [`retention`] | follows the source's log starts (M20) |
//! | [`groups`] | one task: consumer groups read at the source and carried behind the records (M30 to M33) |
//! | [`position`] | how far a partition is, for whoever must not get ahead of it |
//! | [`budget`] | bytes of records in memory, for the whole process |
//! | [`report`] | what the link says of itself |
//!
//! The engine never waits for a task: it hands out at most one job per fetcher and a few per sink, and takes
//! answers as events. So a stuck broker holds up its own partitions and nothing else.

pub mod budget;
pub mod denied;
mod desks;
pub mod engine;
pub mod event;
mod fitting;
mod gauge;
pub mod groups;
pub mod lane;
pub mod latency;
pub mod markers;
pub mod names;
pub mod open;
pub mod open_transactions;
pub mod owned;
pub mod peek;
pub mod position;
pub mod probe;
pub mod report;
pub mod retention;
pub mod routes;
pub mod sink;
mod slot;
pub mod source;
pub mod tail;
