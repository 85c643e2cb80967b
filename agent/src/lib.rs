//! The daemon of a site, as far as it exists: one link at a time, and the comparison of two clusters.
//!
//! ```text
//! link (preflight → identity → topics) ─► pipeline (source → mirror → sink → receipt → report)
//! verify (both sides, offset by offset)
//! ```
//!
//! | module | does |
//! |---|---|
//! | [`config`] | reads `agent.yaml` and files with a `security` section: all faults at once, with their lines |
//! | [`link`] | starts a link: what it may touch, who it writes as, which topics it takes |
//! | [`pipeline`] | copies |
//! | [`preflight`] | asks the clusters of a file whether its links could run, and lists every right that is missing |
//! | [`verify`] | reads both sides and says whether they are the same |

pub mod config;
pub mod link;
pub mod pipeline;
pub mod preflight;
pub mod verify;
