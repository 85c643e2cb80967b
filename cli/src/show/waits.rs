//! Why a partition waits, as one kind of wait: words about the same thing differ in offsets.

/// How the words begin of a partition that waits for another owner of the link.
pub(super) const ANOTHER_MIRROR: &str = "another mirror of this link is copying";

/// The offset in these words moves; that somebody waits is one thing.
pub(super) fn kind_of_wait(trouble: &str) -> &str {
    if trouble.starts_with(ANOTHER_MIRROR) { ANOTHER_MIRROR } else { trouble }
}
