//! The few answers a hostile server writes, byte by byte: the greeting that lets a client go on, and frames that lie.
//! Written by hand from Kafka's protocol guide, so that no codec's limits stand between the lie and the client.

use super::API_VERSIONS;
use crate::proxy::frame::{Asked, FETCH};

/// A request or answer of this version and later has compact arrays (KIP-482). Of the two APIs a client asks first.
const METADATA: i16 = 3;
const METADATA_FLEXIBLE: i16 = 9;
const API_VERSIONS_FLEXIBLE: i16 = 3;
/// Metadata version 12 lists topics' ids and is what every client of today speaks.
const VERSION_MAX: i16 = 12;
/// All that we claim to have: enough for a client to go on to its next question.
const API_KEYS: std::ops::Range<i16> = 0..70;
/// No answer is so long; the product's own limit for any frame is one more.
pub(super) const ENDLESS: i32 = (256 << 20) - 1;
/// 2^32 − 1 as an unsigned varint: an array of four thousand million less two elements.
const HUGE_VARINT: [u8; 5] = [0xff, 0xff, 0xff, 0xff, 0x0f];

/// A right answer to ApiVersions: every API, from version 0 to a version of today.
pub(super) fn greeting(asked: &Asked) -> Vec<u8> {
    let flexible = asked.api_version >= API_VERSIONS_FLEXIBLE;
    let mut body = asked.correlation.to_be_bytes().to_vec();
    body.extend(0i16.to_be_bytes()); // no error
    let count = API_KEYS.len();
    if flexible {
        // A compact array's count plus one; below 128 it is one byte.
        body.push(count as u8 + 1);
    } else {
        body.extend((count as i32).to_be_bytes());
    }
    for key in API_KEYS {
        for number in [key, 0, VERSION_MAX] {
            body.extend(number.to_be_bytes());
        }
        body.extend(flexible.then_some(0)); // no tagged fields
    }
    if asked.api_version >= 1 {
        body.extend(0i32.to_be_bytes()); // throttle time
    }
    body.extend(flexible.then_some(0));
    framed(body)
}

/// A frame of a right length whose first array, where ApiVersions and Metadata have theirs, is a lie.
pub(super) fn with_huge_array(asked: &Asked) -> Vec<u8> {
    let mut body = asked.correlation.to_be_bytes().to_vec();
    let flexible = if asked.api_key == API_VERSIONS {
        body.extend(0i16.to_be_bytes());
        asked.api_version >= API_VERSIONS_FLEXIBLE
    } else {
        let flexible = asked.api_key != METADATA || asked.api_version >= METADATA_FLEXIBLE;
        body.extend(flexible.then_some(0)); // the header's tagged fields
        body.extend(0i32.to_be_bytes()); // throttle time
        flexible
    };
    if flexible {
        body.extend(HUGE_VARINT);
    } else {
        body.extend(i32::MAX.to_be_bytes());
    }
    body.extend([0; 64]);
    framed(body)
}

/// A frame that would take days at one byte per second.
pub(super) fn long(asked: &Asked) -> Vec<u8> {
    let mut body = asked.correlation.to_be_bytes().to_vec();
    body.resize(1 << 20, 0);
    framed(body)
}

/// Bytes of the largest honest answer: a batch may be as large as a request (100 MiB), metadata hardly above 32 MiB.
pub(super) fn large(asked: &Asked) -> i32 {
    if asked.api_key == FETCH { 101 << 20 } else { 32 << 20 }
}

/// Length and correlation id of an answer of `length` bytes.
pub(super) fn start(length: i32, asked: &Asked) -> Vec<u8> {
    [length.to_be_bytes(), asked.correlation.to_be_bytes()].concat()
}

fn framed(body: Vec<u8>) -> Vec<u8> {
    // Bodies here are at most a MiB.
    let mut frame = (body.len() as i32).to_be_bytes().to_vec();
    frame.extend(body);
    frame
}
