//! Two secured clusters of one realm that tests share as long as one of them uses them: their broker slots are free for
//! others afterwards. A test that holds them starts no other broker: it could wait for one that waits for these.

use std::sync::{Arc, Mutex, Weak};

use super::{CLIENT, Realm};
use crate::Kafka;
use crate::broker::start_all;

/// Fields drop in this order.
#[derive(Debug)]
pub struct SecuredPair {
    pub source: Kafka,
    pub destination: Kafka,
    pub realm: Arc<Realm>,
}

/// The pair that somebody uses, or a new one.
///
/// # Panics
/// When it does not start.
pub fn secured_pair() -> Arc<SecuredPair> {
    static PAIR: Mutex<Weak<SecuredPair>> = Mutex::new(Weak::new());
    let mut shared = PAIR.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    if let Some(pair) = shared.upgrade() {
        return pair;
    }
    match SecuredPair::start() {
        Ok(pair) => {
            let pair = Arc::new(pair);
            *shared = Arc::downgrade(&pair);
            pair
        }
        Err(cause) => panic!("the secured pair of clusters did not start: {cause}"),
    }
}

impl SecuredPair {
    fn start() -> Result<Self, crate::Error> {
        let realm = Realm::start()?;
        let of = |name| Kafka::builder(name).secured(&realm);
        let [source, destination] = start_all([of("secured-source"), of("secured-destination")])?;
        std::thread::scope(|scope| {
            let granting = [&source, &destination].map(|kafka| scope.spawn(|| grant_everything(kafka)));
            granting
                .into_iter()
                .try_for_each(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
        })?;
        Ok(Self { source, destination, realm })
    }
}

/// To [`CLIENT`], on all that a mirror needs.
fn grant_everything(kafka: &Kafka) -> Result<(), crate::Error> {
    let principal = format!("User:{}", CLIENT.0);
    let who = ["--add", "--allow-principal", &principal, "--operation", "All"];
    kafka
        .acls(&[&who[..], &["--cluster", "--topic", "*", "--group", "*", "--transactional-id", "*"]].concat())
}
