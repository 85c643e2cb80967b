//! Disaster recovery, decided: what would be lost now, and (with later issues) who may write.

pub mod acl;
pub mod exposure;
pub mod fence;
pub mod passport;
pub mod settings;
