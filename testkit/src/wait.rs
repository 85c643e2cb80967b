//! Bounded waiting on a condition. Tests never sleep and hope: they say what they wait for, and a wait that ends in
//! vain panics with exactly that.

use std::thread;
use std::time::{Duration, Instant};

const PAUSE: Duration = Duration::from_millis(20);

/// The first `Some` that `look` returns. `what` completes the sentence "waited 3 s for …".
///
/// # Panics
/// When `limit` has passed without one. `look` is asked at least once.
#[track_caller]
pub fn wait_until<T>(what: &str, limit: Duration, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited {limit:?} for {what}: it never came true");
        thread::sleep(PAUSE);
    }
}

/// As [`wait_until`], for a plain yes.
#[track_caller]
pub fn wait_until_true(what: &str, limit: Duration, mut look: impl FnMut() -> bool) {
    wait_until(what, limit, || look().then_some(()));
}

/// As [`wait_until`], inside a runtime. `look` itself must be bounded.
///
/// # Panics
/// When `limit` has passed in vain.
pub async fn wait_until_async<T>(what: &str, limit: Duration, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = tokio::time::Instant::now() + limit;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(tokio::time::Instant::now() < deadline, "waited {limit:?} for {what}: it never came true");
        tokio::time::sleep(PAUSE).await;
    }
}

/// How often a test that draws lots repeats itself: `usual` times, `long` times under `./dev test long`.
pub fn rounds(usual: u32, long: u32) -> u32 {
    if is_long() { long } else { usual }
}

/// Whether tests run in their long form (`./dev test long`).
pub fn is_long() -> bool {
    std::env::var_os("LOCKSTEP_LONG").is_some_and(|value| value == "1")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn returns_what_was_found() {
        let mut asked = 0;
        let found = wait_until("the third look", Duration::from_secs(5), || {
            asked += 1;
            (asked == 3).then_some(asked)
        });
        assert_eq!(found, 3);
    }

    #[tokio::test]
    async fn waits_inside_a_runtime_too() {
        let (answer, asked) = tokio::sync::oneshot::channel();
        tokio::spawn(async move {
            tokio::time::sleep(PAUSE).await;
            answer.send(7)
        });
        let mut asked = asked;
        let found =
            wait_until_async("an answer", Duration::from_secs(5), async || asked.try_recv().ok()).await;
        assert_eq!(found, 7);
    }

    #[test]
    #[should_panic(expected = "for pigs to fly: it never came true")]
    fn a_wait_in_vain_names_what_it_waited_for() {
        wait_until_true("pigs to fly", Duration::from_millis(30), || false);
    }
}
