//! What users write, checked: patterns, names, whole files. Every fault names the line, the key, the value and the remedy.
//!
//! | file | holds |
//! |---|---|
//! | [`agent`] | `agent.yaml`: the daemon of a site, its clusters and links |
//! | [`coordinator`] | `coordinator.yaml`: one of the coordinators, and what operators may do |
//! | [`daemon`] | what both daemons' files have: log, HTTP |
//! | [`dr`] | `dr.yaml`: sites, clusters and links of the whole system |
//! | [`operator`] | `operator.yaml`: where the coordinators are, for whoever commands them |
//! | [`link`] | one link, wherever it is written |
//! | [`security`] | how a cluster is reached securely |
//! | [`tls`] | who somebody is, and whom it trusts |
//! | [`select`], [`rename`], [`pace`] | which topics and groups, under which names, how fast |
//! | [`names`], [`quantity`] | what things may be called; sizes and times |
//! | [`written`] | values of whatever shape, so that all faults are found at once |
//! | [`fault`], `faults`, [`lines`] | what is wrong, all of it, and where it stands |

pub mod agent;
pub mod coordinator;
pub mod daemon;
pub mod dr;
pub mod fault;
mod faults;
pub mod lines;
pub mod link;
pub mod names;
pub mod operator;
pub mod pace;
pub mod quantity;
pub mod rename;
pub mod security;
pub mod select;
pub mod tls;
pub mod written;
