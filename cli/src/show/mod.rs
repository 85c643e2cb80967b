//! One file per noun: figures in, words out. Numbers carry units and the age of what they rest on.

pub(crate) mod mirror;
pub(crate) mod units;
pub(crate) mod verify;
