//! What agents say to a plan: for each link that is added or changed one agent of its standby's site is asked what it
//! would do to topics and groups. All together have ten seconds; who has not answered by then is said, never left out.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use lockstep_core::spec::dr::{Diff, DrSpec, Sign, ThingKind};
use lockstep_core::state::State;
use lockstep_core::status::{LinkPlan, PlanLine, PlanLines, PlanQuestion};
use lockstep_proto::agent::AskKind;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::Admin;
use super::failure::json;
use crate::dispatch::{QUESTIONS_MAX, Question, Seats};

const PATIENCE: Duration = Duration::from_secs(10);
/// At once to one agent: half of what it takes, others may ask too.
const AT_ONCE: usize = QUESTIONS_MAX / 2;
/// Of one link.
const LINES_MAX: usize = 2_000;
/// Of a plan; links beyond are named without theirs.
const LINES_TOTAL_MAX: usize = 20_000;

impl Admin {
    /// Of every link that is added or changed.
    pub(super) async fn lines(
        &self,
        state: &State,
        spec: &DrSpec,
        diff: &Diff,
    ) -> BTreeMap<String, LinkPlan> {
        let (until, here) = (Instant::now() + PATIENCE, self.desk.seats.heard());
        let mut places: BTreeMap<String, Arc<Semaphore>> = BTreeMap::new();
        let mut found = BTreeMap::new();
        let mut asking = JoinSet::new();
        let changed =
            diff.things.iter().filter(|thing| thing.kind == ThingKind::Link && thing.sign != Sign::Remove);
        for (turn, thing) in changed.enumerate() {
            let Some(question) = question(state, spec, &thing.name) else { continue };
            let site = spec.clusters.get(&question.to).map_or("", |cluster| cluster.site.as_str());
            let there: Vec<&String> = state
                .agents()
                .iter()
                .filter(|(name, agent)| agent.site == site && here.contains_key(*name))
                .map(|(name, _)| name)
                .collect();
            if there.is_empty() {
                let error = format!("no agent of {site} is here: start one there, then plan again");
                found.insert(thing.name.clone(), LinkPlan { error: Some(error), ..LinkPlan::default() });
                continue;
            }
            let agent = there[turn % there.len()].clone();
            let place = places.entry(agent.clone()).or_insert_with(|| Arc::new(Semaphore::new(AT_ONCE)));
            let (place, seats) = (Arc::clone(place), self.desk.seats.clone());
            asking.spawn(async move {
                (question.link.clone(), ask(&seats, &place, agent, &question, until).await)
            });
        }
        while let Some(answered) = asking.join_next().await {
            // A question that panicked has no lines; its link is named below.
            if let Ok((link, plan)) = answered {
                found.insert(link, plan);
            }
        }
        bounded(found)
    }
}

async fn ask(
    seats: &Seats,
    place: &Semaphore,
    agent: String,
    question: &PlanQuestion,
    until: Instant,
) -> LinkPlan {
    let outcome = async {
        let argument = json(question).map_err(|failure| failure.to_string())?;
        let late =
            || format!("agent {agent:?} has too many questions to answer within {} s", PATIENCE.as_secs());
        let _place = tokio::time::timeout_at(until, place.acquire()).await.map_err(|_| late())?;
        let patience = until.saturating_duration_since(Instant::now());
        let question = Question { kind: AskKind::PlanLines, argument, patience };
        let document = seats.ask(&agent, question).await.map_err(|fault| fault.to_string())?;
        serde_json::from_str::<PlanLines>(&document).map_err(|error| {
            format!("agent {agent:?} has answered what this version does not understand: {error}")
        })
    };
    let (lines, error) = match outcome.await {
        Ok(PlanLines { lines }) => (lines, None),
        Err(error) => (Vec::new(), Some(error)),
    };
    LinkPlan { agent: Some(agent), lines, error }
}

/// As the link would run: who is primary now stays so.
fn question(state: &State, spec: &DrSpec, name: &str) -> Option<PlanQuestion> {
    let link = spec.links.get(name)?;
    let from = match state.role(name) {
        Some(role) if link.other(&role.primary).is_some() => &role.primary,
        _ => &link.prefer,
    };
    let clusters =
        link.clusters.iter().filter_map(|name| Some((name.clone(), spec.clusters.get(name)?.clone())));
    Some(PlanQuestion {
        link: name.to_owned(),
        from: from.clone(),
        to: link.other(from)?.to_owned(),
        clusters: clusters.collect(),
        rules: link.rules.clone(),
    })
}

fn bounded(mut found: BTreeMap<String, LinkPlan>) -> BTreeMap<String, LinkPlan> {
    let mut left = LINES_TOTAL_MAX;
    for plan in found.values_mut() {
        let all = plan.lines.len();
        plan.lines.truncate(LINES_MAX.min(left));
        left -= plan.lines.len();
        let beyond = all - plan.lines.len();
        if beyond > 0 {
            let words = format!("and {beyond} more lines");
            let (what, name) = (String::new(), String::new());
            plan.lines.push(PlanLine { sign: Sign::Attention, what, name, words });
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_of_any_size_has_a_bounded_answer_that_says_so() {
        let line = PlanLine {
            sign: Sign::Add,
            what: "topic".to_owned(),
            name: "a".to_owned(),
            words: "12 partitions".to_owned(),
        };
        let plan = LinkPlan { lines: vec![line; 2_500], ..LinkPlan::default() };
        let found: BTreeMap<_, _> =
            (0..12).map(|number| (format!("link-{number:02}"), plan.clone())).collect();
        let found = bounded(found);
        let lines = |link: &str| &found[link].lines;
        assert_eq!((lines("link-00").len(), lines("link-11").len()), (2_001, 1));
        assert_eq!(lines("link-00")[2_000].words, "and 500 more lines");
        assert_eq!(lines("link-11")[0].words, "and 2500 more lines");
    }
}
