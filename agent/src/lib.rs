//! The daemon of a site, as far as it exists: one link at a time, and the comparison of two clusters.
//!
//! ```text
//! link (preflight → identity → topics) ─► pipeline (source → mirror → sink → receipt → report)
//! verify (both sides, offset by offset)
//! ```
//!
//! | module | does |
//! |---|---|
//! | [`link`] | starts a link: what it may touch, who it writes as, which topics it takes |
//! | [`pipeline`] | copies |
//! | [`status`] | a link in figures and words: what `/status` and `lockstep status --local` show |
//! | [`metrics`] | the same for Prometheus |
//! | [`verify`] | reads both sides and says whether they are the same |

pub mod link;
pub mod metrics;
pub mod pipeline;
pub mod status;
pub mod verify;
