//! As much of Kafka's frames as the proxy needs, read in place: which request it is, and where record batches lie.
//! Batches are found by their checksum, not by decoding answers, whose layout changes with every version.

use std::ops::Range;

/// The api key of Fetch.
pub const FETCH: i16 = 1;
/// A v2 batch's header; its payload follows.
pub const BATCH_HEADER: usize = 61;
/// Base offset and length, which the length does not count.
const PREFIX: usize = 12;
const MAGIC_AT: usize = 16;
const CHECKSUM_AT: usize = 17;
/// What the checksum covers starts here.
const COVERED_FROM: usize = 21;

/// The start of a request's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked {
    pub api_key: i16,
    pub api_version: i16,
    pub correlation: i32,
}

/// Reads a request (without its length); `None` when it is too short.
pub fn asked(request: &[u8]) -> Option<Asked> {
    Some(Asked {
        api_key: i16::from_be_bytes(field(request, 0)?),
        api_version: i16::from_be_bytes(field(request, 2)?),
        correlation: i32::from_be_bytes(field(request, 4)?),
    })
}

/// The correlation id that an answer begins with.
pub fn correlation(answer: &[u8]) -> Option<i32> {
    field(answer, 0).map(i32::from_be_bytes)
}

/// Where whole, undamaged v2 batches with a payload lie in a frame, first to last.
pub fn batches(frame: &[u8]) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut at = 0;
    while at + BATCH_HEADER < frame.len() {
        match batch_length(&frame[at..]) {
            Some(length) => {
                found.push(at..at + length);
                at += length;
            }
            None => at += 1,
        }
    }
    found
}

/// The checksum is compared last: few places get so far.
fn batch_length(bytes: &[u8]) -> Option<usize> {
    if *bytes.get(MAGIC_AT)? != 2 {
        return None;
    }
    let length = PREFIX + usize::try_from(i32::from_be_bytes(field(bytes, 8)?)).ok()?;
    let covered = bytes.get(COVERED_FROM..length).filter(|_| length > BATCH_HEADER)?;
    let checksum = u32::from_be_bytes(field(bytes, CHECKSUM_AT)?);
    (crc32c::crc32c(covered) == checksum).then_some(length)
}

fn field<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at + N)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(payload: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0; BATCH_HEADER];
        bytes.extend_from_slice(payload);
        let length = i32::try_from(bytes.len() - PREFIX).unwrap();
        bytes[8..12].copy_from_slice(&length.to_be_bytes());
        bytes[MAGIC_AT] = 2;
        let checksum = crc32c::crc32c(&bytes[COVERED_FROM..]);
        bytes[CHECKSUM_AT..COVERED_FROM].copy_from_slice(&checksum.to_be_bytes());
        bytes
    }

    #[test]
    fn batches_are_found_between_other_bytes_and_damaged_ones_are_not() {
        let mut frame = vec![2; 40];
        frame.extend(batch(b"first"));
        frame.extend(batch(b"second"));
        frame.extend([9; 70]);
        assert_eq!(batches(&frame), [40..106, 106..173]);
        frame[105] ^= 1;
        assert_eq!(batches(&frame).first(), Some(&(106..173)));
        assert_eq!(batches(&[]), []);
    }

    #[test]
    fn a_request_header_is_read_and_a_short_one_refused() {
        let request = [0, 1, 0, 12, 0, 0, 0, 7, 0xff];
        let expected = Asked { api_key: FETCH, api_version: 12, correlation: 7 };
        assert_eq!(asked(&request), Some(expected));
        assert_eq!(asked(&request[..7]), None);
        assert_eq!(correlation(&[0, 0, 1]), None);
    }
}
