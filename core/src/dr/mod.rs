//! Disaster recovery, decided: what would be lost now, what fences and promotions take, and what
//! each cluster says of itself.

pub mod acl;
pub mod exposure;
pub mod fence;
pub mod passport;
pub mod settings;
