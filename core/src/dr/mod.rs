//! Disaster recovery, decided: what would be lost now, what fences and promotions take, and what each cluster says of
//! itself.
//!
//! | file | decides |
//! |---|---|
//! | [`exposure`] | what one partition of the standby lacks, and since when |
//! | [`estimate`] | what may have come since the source was last heard: peak rates, bytes; the labels of a loss |
//! | [`total`] | the same for a topic and a link: sums that never hide what is not known |
//! | [`runway`] | how long until the source deletes what is not copied yet |
//! | [`denied`] | a right or a login that a cluster refuses |
//! | [`posture`] | one word for a link, with every reason |
//! | [`acl`] | entries of an access control list |
//! | [`fence`] | what stops a side's clients, and what lifting that needs (M23, M25) |
//! | [`settings`] | what a topic is set to when it is promoted (M26) |
//! | [`lease`] | which agent copies which partitions, and what it may do unheard |
//! | [`passport`] | what each cluster says of itself about a link (M27) |

pub mod acl;
pub mod denied;
pub mod estimate;
pub mod exposure;
pub mod fence;
pub mod lease;
pub mod passport;
pub mod posture;
pub mod runway;
pub mod settings;
pub mod total;
