//! Settings of topics: MirrorMaker 2 copies them on a timer and overwrites what it finds; here each has one owner, the
//! standby's own needs come first, and what somebody else set is said instead of overwritten (M20).

use super::Family;
use crate::mirror::rules::alter_topic;
use crate::mirror::settings::{own, unset, wait_for_drift, wait_until_set};
use crate::mirror::{stop, wait_for};

/// *Topic settings are synchronised*: one that an operator changes on the target comes back there, an excluded one stays.
/// Stricter: the source's is followed; what the mirror depends on is put back; what somebody changed by hand stays; and
/// both are said.
#[test]
fn settings_of_a_topic_each_have_one_owner() {
    let family = Family::new("mm2-settings");
    let (ends, topic) = (&family.ends, family.topic("1"));
    ends.create(&topic, 1, &[("delete.retention.ms", "1000"), ("retention.bytes", "1000")]);
    let mirror = family.mirror(ends, "link", &[]);
    wait_until_set(&ends.to, &topic, "delete.retention.ms", Some("1000"));
    wait_until_set(&ends.to, &topic, "retention.bytes", Some("-1"));
    wait_for(&mirror, "progress", |said| said["caught_up"] == true);

    alter_topic(&ends.from, &topic, "delete.retention.ms", "1500");
    wait_until_set(&ends.to, &topic, "delete.retention.ms", Some("1500"));
    alter_topic(&ends.to, &topic, "retention.bytes", "2000");
    let put_back = wait_for_drift(&mirror, "retention.bytes", "put_back");
    assert_eq!((&put_back["standby"], &put_back["wanted"]), (&"2000".into(), &"-1".into()), "{put_back}");
    wait_until_set(&ends.to, &topic, "retention.bytes", Some("-1"));
    alter_topic(&ends.to, &topic, "delete.retention.ms", "2000");
    let left = wait_for_drift(&mirror, "delete.retention.ms", "left_alone");
    assert_eq!((&left["standby"], &left["wanted"]), (&"2000".into(), &"1500".into()), "{left}");
    assert_eq!(own(&ends.to, &topic)["delete.retention.ms"], "2000");
    stop(mirror, 0);
}

/// *Defaults of the target*: what is taken back at the source goes back to the target's default. The same here, and no
/// default is written down as a value, neither the source's (*defaults of the source*) nor the target's.
#[test]
fn what_the_source_does_not_set_is_not_set() {
    let family = Family::new("mm2-defaults");
    let (ends, topic) = (&family.ends, family.topic("1"));
    ends.create(&topic, 1, &[("segment.bytes", "2097152")]);
    let mirror = family.mirror(ends, "link", &[]);
    wait_until_set(&ends.to, &topic, "segment.bytes", Some("2097152"));
    unset(&ends.from, &topic, "segment.bytes");
    wait_until_set(&ends.to, &topic, "segment.bytes", None);
    stop(mirror, 0);
    let set = own(&ends.to, &topic);
    let owned_by_the_source = ["delete.retention.ms", "min.compaction.lag.ms", "segment.bytes", "segment.ms"];
    for name in owned_by_the_source {
        assert_eq!(set.get(name), None, "{set:?}");
    }
}
