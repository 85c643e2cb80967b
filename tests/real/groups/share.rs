//! Share groups (KIP-932): what they have acknowledged is no committed offset, and is not copied; that is said.

use lockstep_testkit::client::{Seed, commit_offsets};
use lockstep_testkit::{Exit, pair, unique};

use super::{numbered, shown, there};
use crate::mirror::{Ends, said};

#[test]
fn a_share_group_is_seen_and_said_not_to_be_copied() {
    let (ends, topic) = (Ends::shared(), unique("groups-share"));
    ends.create(&topic, 1, &[]);
    Seed::to(&ends.from).write(&topic, numbered(0, 50)).unwrap();
    let [share, usual] = ["share", "usual"].map(|name| format!("{topic}-{name}"));
    pair().source.console_share_consumer(&topic, &share).unwrap();
    commit_offsets(&ends.from, &usual, &[(&topic, 0, 30)], "").unwrap();
    let finished = ends.mirror_to_the_end(&topic, &["--groups", &format!("{topic}-.*")]);
    assert_eq!(finished.exit, Exit::Code(0), "{}{}", finished.stdout, finished.stderr);
    let skipped = said(&finished.stdout, "group_skipped");
    assert_eq!(skipped.len(), 1, "{skipped:?}");
    let why = skipped[0]["reason"].as_str().unwrap();
    assert!(
        skipped[0]["group"] == *share
            && why.contains("a share group")
            && why.contains("share.auto.offset.reset")
    );
    assert_eq!(there(&ends, &usual, &topic), Some(30), "the others are");
    let listed = shown(&ends, &topic, &share);
    assert_eq!((&listed["state"], &listed["type"]), (&"skipped".into(), &"share".into()), "{listed}");
}
