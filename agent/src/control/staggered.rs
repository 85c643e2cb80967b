//! Attempts one after the other, without waiting for one that has vanished without a word, as everybody behind a network that
//! was cut has. Used towards coordinators, by agents and by the command line.

use std::ops::ControlFlow;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::time::timeout;

/// The next attempt begins beside one that has been silent for so long (RFC 8305 recommends as much).
const STAGGER: Duration = Duration::from_millis(250);

/// Begins one attempt after the other, the next when one has ended or says nothing; `heard` judges what comes back. `None`:
/// all have ended, and none was the end.
pub async fn staggered<F, End>(
    attempts: impl IntoIterator<Item = F>,
    mut heard: impl FnMut(F::Output) -> ControlFlow<End>,
) -> Option<End>
where
    F: Future,
{
    let mut attempts = attempts.into_iter();
    let mut running = FuturesUnordered::new();
    loop {
        let next = attempts.next();
        let is_last = next.is_none();
        running.extend(next);
        let ended = match timeout(STAGGER, running.next()).await {
            Ok(ended) => ended,
            Err(_) if is_last => running.next().await,
            Err(_) => continue,
        };
        match ended {
            Some(output) => {
                if let ControlFlow::Break(end) = heard(output) {
                    return Some(end);
                }
            }
            // Every attempt there is has been begun, and has ended.
            None => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use tokio::time::{Instant, sleep};

    use super::*;

    /// When each attempt began, in ms, and what came back.
    async fn tried(attempts: &[(u64, bool)]) -> (Vec<u64>, Option<usize>) {
        let (began, start) = (Mutex::new(Vec::new()), Instant::now());
        let futures = attempts.iter().enumerate().map(|(at, &(takes_ms, is_good))| {
            let began = &began;
            async move {
                began.lock().unwrap().push(u64::try_from(start.elapsed().as_millis()).unwrap());
                sleep(Duration::from_millis(takes_ms)).await;
                (at, is_good)
            }
        });
        let end = staggered(futures, |(at, is_good)| match is_good {
            true => ControlFlow::Break(at),
            false => ControlFlow::Continue(()),
        });
        let end = end.await;
        (began.into_inner().unwrap(), end)
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_silent_is_not_waited_for_and_who_fails_is_followed_at_once() {
        assert_eq!(tried(&[(10, true), (10, true)]).await, (vec![0], Some(0)));
        assert_eq!(tried(&[(86_400_000, true), (10, true)]).await, (vec![0, 250], Some(1)));
        assert_eq!(tried(&[(10, false), (10, true)]).await, (vec![0, 10], Some(1)));
        assert_eq!(tried(&[(5_000, true), (6_000, true)]).await, (vec![0, 250], Some(0)));
        assert_eq!(tried(&[(5_000, false), (10, false)]).await, (vec![0, 250], None));
        assert_eq!(tried(&[]).await, (vec![], None));
    }
}
