//! The coordinators, one line each: who votes, who leads, and in which sites they stand.

use lockstep_core::spec::dr::majority_in_one_site;
use lockstep_proto::admin::{Member, MembersAnswer};
use serde_json::{Value, json};

use super::table::table;

pub(crate) fn words(answer: &MembersAnswer) -> String {
    let row = |member: &Member| {
        let kind = match (member.id == answer.leader, member.is_learner) {
            (true, _) => "leader",
            (false, true) => "joining",
            (false, false) => "voter",
        };
        [member.name.clone(), member.site.clone(), member.address.clone(), kind.to_owned()]
    };
    let rows: Vec<_> = answer.members.iter().map(row).collect();
    let mut text = table(["NAME", "SITE", "ADDRESS", "KIND"], &rows);
    if answer.leader == 0 {
        text.push_str("no leader is known to the one that answered: nothing can be changed now\n");
    }
    let voters = answer.members.iter().filter(|member| !member.is_learner);
    if let Some(warning) = majority_in_one_site(voters.map(|member| member.site.as_str())) {
        text.push_str(&format!("warning: {warning}\n"));
    }
    text.push_str(&format!(
        "system {}, incarnation {}, term {}, level {}\n",
        answer.cluster_id, answer.incarnation, answer.term, answer.level
    ));
    text
}

pub(crate) fn json(answer: &MembersAnswer) -> Value {
    let member = |member: &Member| {
        json!({ "id": member.id, "name": member.name, "site": member.site, "address": member.address,
            "is_leader": member.id == answer.leader, "is_learner": member.is_learner })
    };
    let leader = answer.members.iter().find(|member| member.id == answer.leader).map(|leader| &leader.name);
    json!({ "cluster_id": answer.cluster_id, "incarnation": answer.incarnation, "term": answer.term,
        "level": answer.level, "leader": leader, "members": answer.members.iter().map(member).collect::<Vec<_>>() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(leader: u64) -> MembersAnswer {
        let member = |id, name: &str, site: &str, is_learner| Member {
            id,
            name: name.to_owned(),
            site: site.to_owned(),
            address: format!("{name}.test:9470"),
            is_learner,
        };
        MembersAnswer {
            cluster_id: "0b6f".to_owned(),
            incarnation: 1,
            leader,
            term: 4,
            members: vec![
                member(7, "c1", "mi", false),
                member(9, "c2", "mi", false),
                member(11, "c3", "pr", true),
            ],
            level: 1,
        }
    }

    #[test]
    fn who_leads_and_who_joins_and_where_a_majority_stands() {
        assert_eq!(
            words(&answer(9)),
            "NAME  SITE  ADDRESS       KIND\nc1    mi    c1.test:9470  voter\nc2    mi    c2.test:9470  leader\nc3    pr    \
             c3.test:9470  joining\nwarning: coordinators: 2 of 2 coordinators are in mi: without it no majority is left to \
             decide anything; put some elsewhere\nsystem 0b6f, incarnation 1, term 4, level 1\n"
        );
        assert!(words(&answer(0)).contains("no leader is known"));
        let (with, without) = (json(&answer(9)), json(&answer(0)));
        assert_eq!((&with["leader"], &without["leader"]), (&json!("c2"), &Value::Null));
        assert_eq!(with["members"][2]["is_learner"], true);
    }
}
