//! The one table of the daemon's tasks. Nothing is spawned elsewhere in this folder, and each kind says what its end
//! means. A link's own tasks belong to the link and end with it.

use std::collections::HashMap;
use std::future::Future;

use tokio::task::{Id, JoinError, JoinSet};
use tracing::{Instrument, Span};

/// Who ended, and what that means:
///
/// | task | told to stop | ends by itself | panics |
/// |---|---|---|---|
/// | link | drains, within the deadline | never | started again after a pause; the other links go on |
/// | file | ends at once | the process ends loudly | the process ends loudly |
/// | control | ends at once | the process ends loudly | the process ends loudly |
/// | http | ends at once | the process ends loudly, unless a reload has opened another | the process ends loudly |
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Task {
    Link(String),
    /// Looks at the configuration file.
    File,
    /// What is done for the coordinators, by its name: `session`, `divisions`, `probes`.
    Control(&'static str),
    /// The listener with this number: a reload may open another one.
    Http(u32),
}

impl Task {
    fn span(&self) -> Span {
        match self {
            Self::Link(name) => tracing::info_span!("link", name),
            Self::File => tracing::info_span!("file"),
            Self::Control(what) => tracing::info_span!("control", what),
            Self::Http(_) => tracing::info_span!("http"),
        }
    }
}

/// How a task ended.
#[derive(Debug)]
pub enum End {
    Returned,
    /// A defect; what it said.
    Panicked(String),
    Aborted,
}

/// Every task of the daemon.
#[derive(Default)]
pub struct Tasks {
    set: JoinSet<()>,
    who: HashMap<Id, Task>,
}

impl Tasks {
    /// Starts one, in a span that names it.
    pub fn spawn(&mut self, task: Task, work: impl Future<Output = ()> + Send + 'static) {
        let handle = self.set.spawn(work.instrument(task.span()));
        self.who.insert(handle.id(), task);
    }

    /// The next one to end; waits for ever when there is none.
    pub async fn ended(&mut self) -> (Task, End) {
        loop {
            match self.set.join_next_with_id().await {
                None => std::future::pending().await,
                Some(Ok((id, ()))) => {
                    if let Some(task) = self.who.remove(&id) {
                        return (task, End::Returned);
                    }
                }
                Some(Err(error)) => {
                    if let Some(task) = self.who.remove(&error.id()) {
                        return (task, reason(error));
                    }
                }
            }
        }
    }

    pub fn is_empty(&self) -> bool {
        self.set.is_empty()
    }

    /// Ends everything at once.
    pub fn abort_all(&mut self) {
        self.set.abort_all();
    }
}

fn reason(error: JoinError) -> End {
    match error.try_into_panic() {
        Ok(panic) => {
            let words = panic.downcast_ref::<&str>().map(ToString::to_string);
            let words = words.or_else(|| panic.downcast_ref::<String>().cloned());
            End::Panicked(words.unwrap_or_else(|| "without words".to_owned()))
        }
        Err(_) => End::Aborted,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_end_says_who_and_how() {
        let mut tasks = Tasks::default();
        tasks.spawn(Task::Link("a".to_owned()), async { panic!("a defect") });
        let (task, end) = tasks.ended().await;
        assert_eq!(task, Task::Link("a".to_owned()));
        assert!(matches!(end, End::Panicked(words) if words == "a defect"));
        tasks.spawn(Task::Http(1), async {});
        assert!(matches!(tasks.ended().await, (Task::Http(1), End::Returned)));
        assert!(tasks.is_empty());
    }
}
