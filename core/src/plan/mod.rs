//! What has to change on the destination so that a link can run. Shown before it is applied.

pub mod names;
pub mod permissions;
pub mod topics;
