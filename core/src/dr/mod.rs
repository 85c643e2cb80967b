//! Disaster recovery, decided: what would be lost now, and (with later issues) who may write.

pub mod exposure;
