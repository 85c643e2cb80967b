//! A call that is sent twice is done once: by the id its caller chose. Who sends it again while it is on its way waits
//! for the same answer; the work goes on though its caller goes away. What was certainly not done is not remembered.
//! Remembers the last 1,000, in this process only: after a change of leaders the state itself tells (see `apply`).

use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lockstep_core::spec::names::name;
use lockstep_proto::admin::{ApplyAnswer, ApplyRequest};
use tokio::sync::watch;

use super::Failure;
use crate::agreement::NotDone;
use crate::holder::Holder;

const REMEMBERED_MAX: usize = 1_000;

type Outcome = Result<ApplyAnswer, Failure>;
type Key = (Holder, String);

#[derive(Clone, Default)]
pub(super) struct Once(Arc<Mutex<Known>>);

#[derive(Default)]
struct Known {
    calls: BTreeMap<Key, Call>,
    /// The oldest first.
    order: VecDeque<Key>,
}

struct Call {
    /// Of what was asked.
    content: u64,
    /// `None` while it is being done.
    outcome: watch::Receiver<Option<Outcome>>,
}

impl Once {
    /// # Errors
    /// What the work says; an id that cannot be one, or that had another content.
    pub(super) async fn run<F>(&self, holder: &Holder, request: &ApplyRequest, work: F) -> Outcome
    where
        F: Future<Output = Outcome> + Send + 'static,
    {
        let wrong = |why: String| Failure::Wrong(format!("request_id {:?}: {why}", request.request_id));
        let key = (holder.clone(), name(&request.request_id).map_err(wrong)?);
        let content = content(request);
        let mut outcome = {
            let mut known = self.known();
            match known.calls.get(&key) {
                Some(call) if call.content != content => {
                    return Err(wrong("it was used for another call: choose a new one".to_owned()));
                }
                Some(call) => call.outcome.clone(),
                None => {
                    known.make_room()?;
                    let (told, outcome) = watch::channel(None);
                    known.calls.insert(key.clone(), Call { content, outcome: outcome.clone() });
                    known.order.push_back(key.clone());
                    // It ends with the work, whether somebody still waits or not.
                    tokio::spawn(self.clone().finish(key, work, told));
                    outcome
                }
            }
        };
        let told = outcome.wait_for(Option::is_some).await.map(|outcome| outcome.clone());
        // Without a word its work has panicked.
        told.ok().flatten().unwrap_or(Err(Failure::NotDone(NotDone::Unknown)))
    }

    async fn finish<F>(self, key: Key, work: F, told: watch::Sender<Option<Outcome>>)
    where
        F: Future<Output = Outcome>,
    {
        let outcome = work.await;
        if outcome.is_err() {
            let mut known = self.known();
            known.calls.remove(&key);
            known.order.retain(|each| *each != key);
        }
        told.send_replace(Some(outcome));
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        // A panic elsewhere leaves at worst a call in one of the two: it is done anew, as after a change of leaders.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    /// The oldest that is done goes.
    fn make_room(&mut self) -> Result<(), Failure> {
        if self.order.len() < REMEMBERED_MAX {
            return Ok(());
        }
        let is_done = |key: &Key| self.calls.get(key).is_none_or(|call| call.outcome.borrow().is_some());
        let Some(at) = self.order.iter().position(is_done) else { return Err(NotDone::Busy.into()) };
        if let Some(key) = self.order.remove(at) {
            self.calls.remove(&key);
        }
        Ok(())
    }
}

fn content(request: &ApplyRequest) -> u64 {
    let mut hasher = DefaultHasher::new();
    for file in &request.files {
        (&file.name, &file.text).hash(&mut hasher);
    }
    (request.expected_revision, &request.reason).hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::time::Duration;

    use super::*;

    fn ada() -> Holder {
        Holder::Operator { name: "ada".to_owned() }
    }

    fn request(id: &str) -> ApplyRequest {
        ApplyRequest { request_id: id.to_owned(), ..ApplyRequest::default() }
    }

    fn done(revision: u64) -> Outcome {
        Ok(ApplyAnswer { revision, ..ApplyAnswer::default() })
    }

    #[tokio::test]
    async fn one_id_is_one_call_whoever_still_waits() {
        let (once, count) = (Once::default(), Arc::new(AtomicU64::new(0)));
        let call = |id: &'static str| {
            let (once, count) = (once.clone(), count.clone());
            let work = async move {
                tokio::time::sleep(Duration::from_millis(20)).await;
                done(count.fetch_add(1, Ordering::SeqCst))
            };
            async move { once.run(&ada(), &request(id), work).await }
        };
        let (first, second) = tokio::join!(call("r1"), call("r1"));
        assert_eq!((first, second), (done(0), done(0)));
        let gone = tokio::time::timeout(Duration::from_millis(1), call("r2")).await;
        assert!(gone.is_err(), "its caller goes away");
        assert_eq!(call("r2").await, done(1), "and the work goes on");
        assert_eq!(count.load(Ordering::SeqCst), 2);
        let other = Holder::Operator { name: "bob".to_owned() };
        let theirs = once.run(&other, &request("r1"), std::future::ready(done(7))).await;
        assert_eq!(theirs, done(7), "another caller's id is another call");
    }

    #[tokio::test]
    async fn what_failed_may_be_tried_again_and_an_id_has_one_content() {
        let once = Once::default();
        let busy = Err(Failure::NotDone(NotDone::Busy));
        assert_eq!(once.run(&ada(), &request("r1"), std::future::ready(busy.clone())).await, busy);
        assert_eq!(once.run(&ada(), &request("r1"), std::future::ready(done(3))).await, done(3));
        let changed = ApplyRequest { expected_revision: Some(4), ..request("r1") };
        let refused = once.run(&ada(), &changed, std::future::ready(done(4))).await.unwrap_err();
        assert!(refused.to_string().contains("used for another call"), "{refused}");
        let odd = once.run(&ada(), &request("no good"), std::future::ready(done(4))).await.unwrap_err();
        assert!(odd.to_string().starts_with("request_id \"no good\": use 1 to 200"), "{odd}");
    }

    #[tokio::test]
    async fn the_oldest_is_forgotten_and_what_is_on_its_way_never() {
        let once = Once::default();
        let (_hold, wait) = tokio::sync::oneshot::channel::<()>();
        let slow = once.clone();
        let stuck = async move {
            let _ = wait.await;
            done(0)
        };
        tokio::spawn(async move { slow.run(&ada(), &request("slow"), stuck).await });
        tokio::task::yield_now().await;
        for number in 0..REMEMBERED_MAX {
            let id = format!("r{number}");
            once.run(&ada(), &request(&id), std::future::ready(done(1))).await.unwrap();
        }
        let again = |id: &'static str| {
            let once = once.clone();
            async move { once.run(&ada(), &request(id), std::future::ready(done(2))).await }
        };
        assert_eq!(again("r999").await, done(1));
        assert_eq!(again("r0").await, done(2), "forgotten");
        let known = once.known();
        assert_eq!((known.calls.len(), known.order.len()), (REMEMBERED_MAX, REMEMBERED_MAX));
        assert!(known.calls.contains_key(&(ada(), "slow".to_owned())));
    }
}
