//! Groups of KIP-848 move too; whoever consumes on the standby keeps what is theirs.

use lockstep_testkit::client::{Member, Protocol, Seed, commit_offsets, committed};
use lockstep_testkit::{Exit, unique, wait_until_true};

use super::{carry, numbered, shown, there, verified};
use crate::mirror::{Ends, PATIENCE, said, stop, wait_for};

#[test]
fn a_kip_848_group_moves_and_goes_on_in_either_protocol() {
    let (ends, topic) = (Ends::shared(), unique("groups-848"));
    ends.create(&topic, 1, &[]);
    Seed::to(&ends.from).write(&topic, numbered(0, 500)).unwrap();
    let group = format!("{topic}-g");
    commit_offsets(&ends.from, &group, &[(&topic, 0, 0)], "").unwrap();
    let member = Member::join(&ends.from, &group, &topic, Protocol::Consumer).unwrap();
    assert_eq!(member.read(200).unwrap().len(), 200);
    member.commit().unwrap();
    // It is still a member at the source: that is no reason not to copy.
    carry(&ends, &topic, &group);
    assert_eq!(there(&ends, &group, &topic), Some(200));
    drop(member);
    let moved = Member::join(&ends.to, &group, &topic, Protocol::Consumer).unwrap();
    let got = moved.read(300).unwrap();
    assert_eq!((got[0].offset, got.len()), (200, 300), "KIP-848 on the standby");
    drop(moved);
    let classic = Member::join(&ends.to, &group, &topic, Protocol::Classic).unwrap();
    assert_eq!(classic.read(300).unwrap()[0].offset, 200, "and a classic one where nothing was committed");
}

#[test]
fn a_group_with_members_on_the_standby_is_left_alone() {
    let (ends, topic) = (Ends::shared(), unique("groups-members"));
    ends.create(&topic, 1, &[]);
    Seed::to(&ends.from).write(&topic, numbered(0, 300)).unwrap();
    let group = format!("{topic}-g");
    commit_offsets(&ends.from, &group, &[(&topic, 0, 50)], "").unwrap();
    let mirror = ends.mirror_with(&topic, &["--groups", &group]);
    wait_until_true("the first offset", PATIENCE, || there(&ends, &group, &topic) == Some(50));
    let member = Member::join(&ends.to, &group, &topic, Protocol::Classic).unwrap();
    assert_eq!(member.read(100).unwrap()[0].offset, 50);
    commit_offsets(&ends.from, &group, &[(&topic, 0, 120)], "").unwrap();
    let skipped = wait_for(&mirror, "group_skipped", |said| said["group"] == *group);
    assert!(skipped["reason"].as_str().unwrap().contains("members on the standby"), "{skipped}");
    member.commit().unwrap();
    let mine = there(&ends, &group, &topic);
    assert!(mine.is_some_and(|at| at >= 150), "{mine:?}");
    drop(member);
    // They have left; what they committed stays, and that is said.
    let left = |said: &serde_json::Value| said["reason"].as_str().is_some_and(|why| why.contains("not ours"));
    wait_for(&mirror, "group_skipped", left);
    assert_eq!(there(&ends, &group, &topic), mine);
    let checked = verified(&ends, &topic, &group);
    assert_eq!(checked.exit, Exit::Code(1), "{}", checked.stdout);
    assert_eq!(shown(&ends, &topic, &group)["state"], "skipped");
    stop(mirror, 0);
    // A new mirror knows nothing of what happened, and leaves it alone, too: a consumer's epoch is in it.
    let again = ends.mirror_to_the_end(&topic, &["--groups", &group]);
    assert_eq!(again.exit, Exit::Code(0), "{}", again.stdout);
    assert!(said(&again.stdout, "group_skipped").len() == 1 && there(&ends, &group, &topic) == mine);
}

#[test]
fn patterns_choose_and_an_offset_of_another_topic_is_not_touched() {
    let (ends, topic, other) = (Ends::shared(), unique("groups-chosen"), unique("groups-other"));
    for name in [&topic, &other] {
        ends.create(name, 1, &[]);
        Seed::to(&ends.from).write(name, numbered(0, 10)).unwrap();
    }
    let names: Vec<_> = ["in", "out", "else"].map(|end| format!("{topic}-{end}")).into();
    for name in &names {
        commit_offsets(&ends.from, name, &[(&topic, 0, 5), (&other, 0, 6)], "").unwrap();
    }
    let all = format!("{topic}-(in|out)");
    let finished = ends.mirror_to_the_end(&topic, &["--groups", &all, "--exclude-groups", ".*-out"]);
    assert_eq!(finished.exit, Exit::Code(0), "{}{}", finished.stdout, finished.stderr);
    let at = |name: &str, topic: &str| committed(&ends.to, name, topic, 1).unwrap()[0];
    assert_eq!(at(&names[0], &topic), Some(5));
    for (name, topic) in [(&names[0], &other), (&names[1], &topic), (&names[2], &topic)] {
        assert_eq!(at(name, topic), None, "{name} on {topic}");
    }
    let end = said(&finished.stdout, "end").pop().unwrap();
    assert_eq!((&end["groups"]["total"], &end["groups"]["in_step"]), (&1.into(), &1.into()), "{end}");
}
