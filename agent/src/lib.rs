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
//! | [`driver`] | changes sides: freeze, settle, promote, reverse, each a library call |
//! | [`passport`] | what each cluster says of itself about a link (M27) |
//! | [`verify`] | reads both sides and says whether they are the same |

pub mod driver;
pub mod link;
pub mod passport;
pub mod pipeline;
pub mod verify;
