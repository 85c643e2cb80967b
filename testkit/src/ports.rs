//! Free TCP ports. Chosen below the range that the system gives to outgoing connections: a broker that is down for a
//! while finds its own port free again. Another process may still be faster: who starts a server on one tries again.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::Mutex;

use crate::Error;

/// Linux hands out 32768 and above by default.
const RANGE: std::ops::Range<u16> = 12_000..32_000;
const TRIES: usize = 1_000;

/// Never given twice by this process: between choosing a port and the broker's bind lie seconds.
static GIVEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());

/// A port on loopback that nobody listens at.
///
/// # Errors
/// Hardly ever: none was found.
pub fn free() -> Result<u16, Error> {
    let mut given = GIVEN.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    for _ in 0..TRIES {
        let port = fastrand::u16(RANGE);
        if !given.contains(&port) && TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            given.insert(port);
            return Ok(port);
        }
    }
    Err(Error::Refused(format!("no free port found in {RANGE:?} after {TRIES} tries")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_distinct_and_can_be_bound() {
        let ports: BTreeSet<u16> = (0..50).map(|_| free().unwrap()).collect();
        assert_eq!(ports.len(), 50);
        for port in ports {
            TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap();
        }
    }
}
