//! What an agent does at the coordinators' word, and what it does without it. Decides, and speaks to nobody yet: the session
//! that carries these words over the network is not part of this version.
//!
//! | file | does |
//! |---|---|
//! | [`assigned`] | what the coordinators want: links, shares, clusters; words that were overtaken are refused |
//! | [`lease`] | how long the agent may believe in what it was given |
//! | [`division`] | whose each partition of a link is, and with what leave it may be written |

pub mod assigned;
pub mod division;
pub mod lease;
