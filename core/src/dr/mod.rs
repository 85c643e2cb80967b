//! Disaster recovery, decided: what would be lost now, and (with later issues) who may write.
//!
//! | file | decides |
//! |---|---|
//! | [`exposure`] | what one partition of the standby lacks, and since when |
//! | [`estimate`] | what may have come since the source was last heard: peak rates, bytes; the labels of a loss |
//! | [`total`] | the same for a topic and a link: sums that never hide what is not known |
//! | [`runway`] | how long until the source deletes what is not copied yet |
//! | [`denied`] | a right or a login that a cluster refuses |
//! | [`posture`] | one word for a link, with every reason |

pub mod denied;
pub mod estimate;
pub mod exposure;
pub mod posture;
pub mod runway;
pub mod total;
