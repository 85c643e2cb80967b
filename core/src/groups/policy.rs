//! What a link does with consumer groups, as its user asked.

use serde::{Deserialize, Serialize};

use crate::spec::select::GroupSelection;

/// Which groups a link copies, and how.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GroupPolicy {
    pub selection: GroupSelection,
    pub barrier: Barrier,
    pub removal: Removal,
}

/// What an offset waits for before it reaches the standby (M31).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Barrier {
    /// Until every partition of the link holds what its source held when the offset was read: input never counts as
    /// done whose output would be lost.
    #[default]
    Link,
    /// Until its own partition holds the record before it. For groups whose output is not mirrored by this link.
    None,
}

/// What happens to a copied group that is removed at the source.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Removal {
    /// Its offsets stay on the standby until they expire there.
    #[default]
    Keep,
    /// They are removed from the standby too.
    Follow,
}
