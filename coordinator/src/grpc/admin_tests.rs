//! Operators at the door, over real TLS on loopback: who may what, how a spec is planned and applied, how calls reach the
//! leader, and what the audit trail says of all that.

use std::time::Duration;

use lockstep_core::audit::{ActorKind, AuditEvent, Head, verify};
use lockstep_core::state::Command;
use lockstep_core::status::{PlanStatus, SystemStatus};
use lockstep_proto::admin::{
    ApplyRequest, AuditRequest, ChangeMembersRequest, FinalizeRequest, LinkRequest, MembersRequest,
    PlanRequest, ShowSpecRequest, SnapshotRequest, StatusRequest, change_members_request::Change,
};
use tonic::{Code, Request};

use super::admin_world::{SPEC, apply, code, files, member, on_behalf, world};
use crate::agreement::Agreement;
use crate::testing::Mode;

const ADA: &str = "lockstep://operator/ada";

/// The newest events of a call.
fn told(trail: &[AuditEvent], what: &str) -> Vec<(String, String, String)> {
    let of = |event: &&AuditEvent| event.draft.what == what;
    let told = trail.iter().filter(of).map(|event| &event.draft);
    told.map(|draft| {
        (draft.actor.name.clone(), draft.actor.from.clone().unwrap_or_default(), draft.outcome.clone())
    })
    .collect()
}

#[tokio::test]
async fn a_role_is_what_it_says_and_ends_at_its_links() {
    let world = world().await;
    let mut ada = world.operator("ada").await;
    ada.apply(apply(SPEC, "r1")).await.unwrap();

    let mut bob = world.operator("bob").await;
    assert_eq!(bob.show_spec(ShowSpecRequest {}).await.unwrap().into_inner().text, SPEC);
    assert!(bob.plan(PlanRequest { files: files(SPEC) }).await.is_ok());
    assert_eq!(code(bob.apply(apply(SPEC, "r2")).await), Code::PermissionDenied);
    let remove = ChangeMembersRequest { change: Some(Change::Remove("c2".to_owned())), reason: None };
    assert_eq!(code(bob.change_members(remove).await), Code::PermissionDenied);
    assert_eq!(code(bob.finalize(FinalizeRequest::default()).await), Code::PermissionDenied);
    assert_eq!(code(bob.snapshot(SnapshotRequest {}).await), Code::PermissionDenied);

    let mut pia = world.operator("pia").await;
    let seen = pia.status(StatusRequest::default()).await.unwrap().into_inner().document;
    let seen: SystemStatus = serde_json::from_str(&seen).unwrap();
    let names: Vec<_> = seen.links.iter().map(|link| link.link.as_str()).collect();
    assert_eq!((names, seen.coordinators.len()), (vec!["payments"], 0));
    let of = |link: &str| StatusRequest { link: link.to_owned() };
    assert!(pia.status(of("payments")).await.is_ok());
    assert_eq!(code(pia.status(of("claims")).await), Code::PermissionDenied);
    let claims = LinkRequest { link: "claims".to_owned() };
    assert_eq!(code(pia.ready(claims.clone()).await), Code::PermissionDenied);
    assert_eq!(code(pia.plan(PlanRequest { files: files(SPEC) }).await), Code::PermissionDenied);
    assert_eq!(code(pia.audit(AuditRequest::default()).await), Code::PermissionDenied);

    let mut zoe = world.operator("zoe").await;
    let refused = zoe.status(StatusRequest::default()).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
    assert!(refused.message().contains("operator \"zoe\" lacks the role viewer"), "{refused:?}");
    for uri in ["lockstep://agent/praha/a1", "lockstep://coordinator/c2", "lockstep://coordinator/c9"] {
        let mut nobody = world.at(&world.leader, uri).await;
        let refused = nobody.show_spec(ShowSpecRequest {}).await.unwrap_err();
        assert_eq!(refused.code(), Code::PermissionDenied);
        assert!(refused.message().contains("is no operator"), "{refused:?}");
    }
    let mut stranger = world.at(&world.leader, "https://elsewhere.test/x").await;
    assert_eq!(code(stranger.members(MembersRequest {}).await), Code::Unauthenticated);
}

#[tokio::test]
async fn fifty_faults_are_fifty_lines_and_nothing_is_done() {
    let world = world().await;
    let mut ada = world.operator("ada").await;
    let mut text = SPEC.to_owned();
    for number in 0..50 {
        text.push_str(&format!("  link-{number:02}: {{ clusters: [mi, nowhere], prefer: mi, topics: x }}\n"));
    }
    let planned = ada.plan(PlanRequest { files: files(&text) }).await.unwrap().into_inner();
    assert_eq!((planned.faults.len(), planned.is_change, planned.document.as_str()), (50, false, ""));
    for (number, fault) in planned.faults.iter().enumerate() {
        let expected =
            format!("dr.yaml: line {}: links.link-{number:02}.clusters[1]: \"nowhere\"", number + 8);
        assert!(fault.starts_with(&expected), "{fault}");
    }
    let applied = ada.apply(apply(&text, "r1")).await.unwrap().into_inner();
    assert_eq!((applied.faults, applied.revision), (planned.faults, 0));
    assert_eq!(ada.show_spec(ShowSpecRequest {}).await.unwrap().into_inner().revision, 0);
    let told = told(&world.leader.together.trail(), "apply_spec");
    assert_eq!(told.len(), 1);
    assert!(told[0].2.starts_with("refused: 50 faults, the first: dr.yaml: line 8:"), "{told:?}");
}

#[tokio::test]
async fn a_plan_changes_nothing_and_says_what_an_apply_will() {
    let world = world().await;
    let mut ada = world.operator("ada").await;
    ada.apply(apply(SPEC, "r1")).await.unwrap();
    let before = world.leader.together.entries();
    let weaker = SPEC.replace("rpo: 5s", "rpo: 9s");
    let planned = ada.plan(PlanRequest { files: files(&weaker) }).await.unwrap().into_inner();
    assert_eq!((planned.revision, planned.is_change, planned.faults.len()), (1, true, 0));
    let document: PlanStatus = serde_json::from_str(&planned.document).unwrap();
    assert_eq!(document.summary, "1 link changed. 1 line needs attention");
    assert_eq!(document.diff.things[0].lines[0].words, "5s -> 9s: more may be lost before anybody is told");
    let error = document.agents["claims"].error.as_deref();
    assert_eq!(error, Some("no agent of praha is here: start one there, then plan again"));
    assert!(planned.warnings.iter().any(|warning| warning.contains("no agent is registered in praha")));
    let same = ada.plan(PlanRequest { files: files(SPEC) }).await.unwrap().into_inner();
    assert!(!same.is_change);
    // What only the state knows: who is primary now.
    let elsewhere = SPEC
        .replace("clusters: [mi, pr], prefer: mi", "clusters: [wi, pr], prefer: pr")
        .replace("links:", "  wi: { site: milano, bootstrap: \"wi:9092\" }\nlinks:");
    let refused = ada.plan(PlanRequest { files: files(&elsewhere) }).await.unwrap().into_inner();
    assert!(refused.faults[0].contains("its primary mi is none of wi, pr"), "{refused:?}");
    assert_eq!(world.leader.together.entries(), before, "nothing was proposed");
}

#[tokio::test]
async fn an_apply_for_another_revision_is_refused() {
    let world = world().await;
    let mut ada = world.operator("ada").await;
    let first = ada.apply(apply(SPEC, "r1")).await.unwrap().into_inner();
    assert_eq!((first.revision, first.is_change), (1, true));
    let again = ada.apply(apply(SPEC, "r2")).await.unwrap().into_inner();
    assert_eq!((again.revision, again.is_change), (1, false));
    let second = format!("{SPEC}# more\n");
    let expected = |revision, id: &str| ApplyRequest {
        expected_revision: Some(revision),
        reason: Some("planned".to_owned()),
        ..apply(&second, id)
    };
    let stale = ada.apply(expected(0, "r3")).await.unwrap_err();
    assert_eq!(
        (stale.code(), stale.message()),
        (Code::Aborted, "the spec is at revision 1 by now, the plan was made for 0: plan again",)
    );
    assert_eq!(ada.apply(expected(1, "r4")).await.unwrap().into_inner().revision, 2);
    let last = world.leader.together.trail().pop().unwrap().draft;
    assert_eq!((last.actor.name.as_str(), last.actor.kind), ("ada", ActorKind::Operator));
    assert!(last.actor.from.unwrap().starts_with("127.0.0.1:"));
    assert_eq!((last.reason.as_deref(), last.outcome.as_str()), (Some("planned"), "done"));
}

#[tokio::test]
async fn a_call_that_is_sent_twice_is_done_once() {
    let world = world().await;
    let (mut one, mut other) = (world.operator("ada").await, world.operator("ada").await);
    let before = world.leader.together.entries();
    let (first, second) = tokio::join!(one.apply(apply(SPEC, "r1")), other.apply(apply(SPEC, "r1")));
    let (first, second) = (first.unwrap().into_inner(), second.unwrap().into_inner());
    assert_eq!((first.revision, first.is_change, &first), (1, true, &second));
    let later = one.apply(apply(SPEC, "r1")).await.unwrap().into_inner();
    assert_eq!(later, first, "the same answer, though it would change nothing by now");
    assert_eq!(world.leader.together.entries(), before + 1);
    let reused = other.apply(apply(&format!("{SPEC}# more\n"), "r1")).await.unwrap_err();
    assert_eq!(reused.code(), Code::InvalidArgument);
}

#[tokio::test]
async fn an_answer_that_was_lost_is_found_by_asking_again() {
    let world = world().await;
    let mut ada = world.operator("ada").await;
    let request = ApplyRequest { expected_revision: Some(0), ..apply(SPEC, "r1") };
    world.leader.together.play(Mode::AnswersLost);
    assert_eq!(code(ada.apply(request.clone()).await), Code::Unknown);
    world.leader.together.play(Mode::Well);
    let before = world.leader.together.entries();
    let again = ada.apply(request).await.unwrap().into_inner();
    assert_eq!((again.revision, again.is_change), (1, true));
    assert_eq!(world.leader.together.entries(), before, "it was done, and is not done again");

    world.leader.together.play(Mode::Busy);
    assert_eq!(code(ada.apply(apply(SPEC, "r2")).await), Code::ResourceExhausted);
    world.leader.together.play(Mode::Stopped("the disk is full".to_owned()));
    let stopped = ada.apply(apply(SPEC, "r3")).await.unwrap_err();
    assert_eq!(
        (stopped.code(), stopped.message()),
        (Code::Unavailable, "this coordinator has stopped: the disk is full")
    );
}

#[tokio::test]
async fn a_follower_passes_calls_on_with_the_callers_name_and_address() {
    let world = world().await;
    let mut ada = world.at(&world.follower, ADA).await;
    let applied = ada.apply(apply(SPEC, "r1")).await.unwrap().into_inner();
    assert_eq!(applied.revision, 1);
    let last = world.leader.together.trail().pop().unwrap().draft;
    assert_eq!((last.actor.name.as_str(), last.actor.kind), ("ada", ActorKind::Operator));
    let from = last.actor.from.unwrap();
    assert!(from.starts_with("127.0.0.1:") && from != world.follower.address, "{from}");
    // Its refusals come back as they are.
    let mut bob = world.at(&world.follower, "lockstep://operator/bob").await;
    let refused = bob.apply(apply(SPEC, "r2")).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
    assert!(refused.message().starts_with("operator \"bob\" lacks the role admin"), "{refused:?}");

    world.leader.together.lead(None);
    let nobody = ada.show_spec(ShowSpecRequest {}).await.unwrap_err();
    assert_eq!(nobody.code(), Code::Unavailable);
    assert!(nobody.message().contains("have no leader"), "{nobody:?}");
    assert_eq!(ada.members(MembersRequest {}).await.unwrap().into_inner().leader, 0);
    assert!(ada.audit(AuditRequest::default()).await.unwrap().into_inner().head_seq > 0);
}

#[tokio::test]
async fn a_leader_that_does_not_answer_was_not_asked() {
    let world = world().await;
    let gone = "127.0.0.1:1";
    let _third = world.leader.together.joined(member(3, gone));
    world.leader.together.lead(Some(3));
    let mut ada = world.at(&world.follower, ADA).await;
    let refused = ada.apply(apply(SPEC, "r1")).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable, "{refused:?}");
    assert!(refused.message().contains("the leader c3 at 127.0.0.1:1 does not answer"), "{refused:?}");
    assert!(refused.message().contains("nothing was done"), "{refused:?}");
}

/// Story: the leader's site was cut off, and calls that had been passed on to it hung until their connection was given up.
#[tokio::test]
async fn a_leader_that_vanished_is_not_waited_for_once_another_one_leads() {
    let world = world().await;
    let mut ada = world.at(&world.follower, ADA).await;
    world.leader.together.play(Mode::Silent);
    let moved = async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        world.leader.together.lead(Some(2));
    };
    let (answer, ()) = tokio::join!(ada.show_spec(ShowSpecRequest {}), moved);
    let unknown = answer.unwrap_err();
    assert_eq!(unknown.code(), Code::Unknown, "{unknown:?}");
    assert!(unknown.message().contains("leads no more and has not answered"), "{unknown:?}");
    assert!(ada.show_spec(ShowSpecRequest {}).await.is_ok(), "the follower leads by now");
}

#[tokio::test]
async fn an_election_is_waited_for_and_no_longer() {
    let world = world().await;
    let mut ada = world.at(&world.follower, ADA).await;
    world.leader.together.lead(None);
    let elected = async {
        tokio::time::sleep(Duration::from_millis(600)).await;
        world.leader.together.lead(Some(1));
    };
    let (answer, ()) = tokio::join!(ada.show_spec(ShowSpecRequest {}), elected);
    assert!(answer.is_ok(), "{answer:?}");
    world.leader.together.nobody_leads_for(Duration::from_secs(3_600));
    // Nobody is likely to be elected in a moment.
    let elected = async {
        tokio::time::sleep(Duration::from_millis(2_000)).await;
        world.leader.together.lead(Some(1));
    };
    let (answer, ()) = tokio::join!(ada.show_spec(ShowSpecRequest {}), elected);
    assert_eq!(code(answer), Code::Unavailable);
}

#[tokio::test]
async fn only_a_coordinator_with_a_seat_speaks_for_others_and_once() {
    let world = world().await;
    let trail = || world.leader.together.trail();
    // Anybody can write metadata; it means nothing from them.
    for uri in ["lockstep://operator/bob", "lockstep://agent/praha/a1", "lockstep://coordinator/c9"] {
        let mut liar = world.at(&world.leader, uri).await;
        assert_eq!(code(liar.apply(on_behalf(apply(SPEC, "r1"), ADA)).await), Code::PermissionDenied);
        let last = trail().pop().unwrap().draft;
        assert!(last.actor.name != "ada" && last.actor.from.as_deref() != Some("10.9.8.7:6"), "{last:?}");
    }
    let mut c2 = world.at(&world.leader, "lockstep://coordinator/c2").await;
    let odd = c2.apply(on_behalf(apply(SPEC, "r1"), "somebody")).await;
    assert_eq!(code(odd), Code::Unauthenticated);
    c2.apply(on_behalf(apply(SPEC, "r1"), ADA)).await.unwrap();
    let last = trail().pop().unwrap().draft;
    assert_eq!((last.actor.name.as_str(), last.actor.from.as_deref()), ("ada", Some("10.9.8.7:6")));
    // Who is not the leader does not pass on what was passed on to it.
    let mut c1 = world.at(&world.follower, "lockstep://coordinator/c1").await;
    let twice = c1.show_spec(on_behalf(ShowSpecRequest {}, ADA)).await.unwrap_err();
    assert_eq!(twice.code(), Code::Unavailable);
    world.leader.together.unseat("c2");
    assert_eq!(code(c2.apply(on_behalf(apply(SPEC, "r2"), ADA)).await), Code::PermissionDenied);
}

#[tokio::test]
async fn refused_calls_stand_in_the_trail_and_do_not_fill_it() {
    let world = world().await;
    let mut bob = world.operator("bob").await;
    for _ in 0..30 {
        let request = ApplyRequest { reason: Some("because".to_owned()), ..apply(SPEC, "r1") };
        assert_eq!(code(bob.apply(request).await), Code::PermissionDenied);
    }
    let told = told(&world.leader.together.trail(), "apply_spec");
    assert_eq!(told.len(), 10, "{told:?}");
    let (name, from, outcome) = &told[0];
    assert!(name == "bob" && from.starts_with("127.0.0.1:"), "{told:?}");
    assert!(outcome.starts_with("refused: operator \"bob\" lacks the role admin"), "{outcome}");
}

#[tokio::test]
async fn the_trail_comes_in_pages_that_verify() {
    let world = world().await;
    for number in 0..2_500 {
        let refused =
            Command::RefusedCall { call: "x".to_owned(), subject: number.to_string(), why: "no".to_owned() };
        world.leader.together.agree(refused);
    }
    let mut bob = world.at(&world.follower, "lockstep://operator/bob").await;
    let (mut next, mut pages, mut events, mut head) = (0, 0, Vec::new(), Head::default());
    loop {
        let page = bob.audit(AuditRequest { from_seq: next }).await.unwrap().into_inner();
        events.extend(page.events.iter().map(|text| serde_json::from_str::<AuditEvent>(text).unwrap()));
        (pages, next, head.seq) = (pages + 1, page.next_seq, page.head_seq);
        head.hash = serde_json::from_str(&format!("\"{}\"", page.head)).unwrap();
        if next == 0 {
            break;
        }
    }
    assert_eq!((pages, events.len()), (3, 2_503));
    assert_eq!(verify(&events, Head::default(), Some(head)), Ok(world.leader.together.state().audit()));
    let beyond = bob.audit(AuditRequest { from_seq: 9_999 }).await.unwrap().into_inner();
    assert_eq!((beyond.events.len(), beyond.next_seq), (0, 0));
}

#[tokio::test]
async fn members_are_shown_and_changed_with_a_word_in_the_trail() {
    let world = world().await;
    let mut ada = world.at(&world.follower, ADA).await;
    let shown = ada.members(MembersRequest {}).await.unwrap().into_inner();
    assert_eq!(
        (shown.cluster_id.as_str(), shown.leader, shown.level, shown.members.len()),
        ("0b6f", 1, 1, 2)
    );
    let change = |change| {
        Request::new(ChangeMembersRequest { change: Some(change), reason: Some("moved".to_owned()) })
    };
    let gone = ada.change_members(change(Change::Remove("c7".to_owned()))).await.unwrap_err();
    assert_eq!((gone.code(), gone.message()), (Code::FailedPrecondition, "no coordinator is called \"c7\""));
    let told = told(&world.leader.together.trail(), "change_members");
    assert_eq!(told[0].2, "refused: no coordinator is called \"c7\"");
    let nothing = ada.change_members(ChangeMembersRequest::default()).await;
    assert_eq!(code(nothing), Code::InvalidArgument);
    let left = ada.change_members(change(Change::Remove("c2".to_owned()))).await.unwrap().into_inner();
    assert_eq!(left.members.len(), 1);
    let snapshot = ada.snapshot(SnapshotRequest {}).await.unwrap().into_inner();
    assert_eq!(snapshot.path, "snapshots/2", "of the member that was asked");
}
