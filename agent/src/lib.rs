//! The daemon of a site, its links, and the comparison of two clusters.
//!
//! ```text
//! daemon (agent.yaml, one life per link) ─► link
//! link (preflight → identity → topics) ─► pipeline (source → mirror → sink → receipt → report)
//! verify (both sides, offset by offset)
//! ```
//!
//! | module | does |
//! |---|---|
//! | [`config`] | reads `agent.yaml` and files with a `security` section: all faults at once, with their lines |
//! | [`daemon`] | carries the links of a file: starts, reloads, stops, tells over HTTP |
//! | [`link`] | starts a link: what it may touch, who it writes as, which topics it takes |
//! | [`pipeline`] | copies |
//! | [`preflight`] | asks the clusters of a file whether its links could run, and lists every right that is missing |
//! | [`driver`] | changes sides: freeze, settle, promote, reverse, each a library call |
//! | [`passport`] | what each cluster says of itself about a link (M27) |
//! | [`status`] | a link in figures and words: what `/status` and `lockstep status --local` show |
//! | [`control`] | works at the coordinators' word, and knows what it may do without it |
//! | [`store`] | what is kept on disk between runs, and could be made again: a day of history |
//! | [`metrics`] | the same for Prometheus |
//! | [`verify`] | reads both sides and says whether they are the same |

pub mod config;
pub mod control;
pub mod daemon;
pub mod driver;
pub mod link;
pub mod metrics;
pub mod passport;
pub mod pipeline;
pub mod preflight;
pub mod status;
pub mod store;
pub mod verify;
