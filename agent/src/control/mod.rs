//! What an agent does at the coordinators' word, and what it does without it.
//!
//! | file | does |
//! |---|---|
//! | [`division`] | whose each partition of a link is, and with what leave it may be written |

pub mod division;
