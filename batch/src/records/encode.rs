//! One record of a v2 batch as bytes (`DefaultRecord.java` in Apache Kafka), and Kafka's variable-length numbers.
//! Promises: null and empty stay different, headers keep order and repetition; [`super::decode`] reads the same.
//! Never looks at what key and value mean. On failure (a length that no int32 holds): [`Oversized`].

use super::{Fault, Record, RecordError};

/// The records as the payload of an uncompressed batch with this base offset and base timestamp: what
/// [`super::decode`] reads. Gaps are written as they are; whole batches are made by `crate::build`.
///
/// An offset that is not within 31 bits of the base: [`Fault::OffsetDelta`], with the nearest number that int32 holds.
pub fn encode(records: &[Record], base_offset: i64, base_timestamp: i64) -> Result<Vec<u8>, RecordError> {
    let oversized = |Oversized| RecordError::TooLarge { limit_bytes: i32::MAX as usize };
    let (mut out, mut tail) = (Vec::new(), Vec::new());
    for (index, record) in (0..).zip(records) {
        let delta = record.offset.saturating_sub(base_offset);
        let nearest = delta.clamp(i32::MIN.into(), i32::MAX.into()) as i32;
        if delta < 0 || delta != i64::from(nearest) {
            return Err(RecordError::Malformed { index, fault: Fault::OffsetDelta(nearest) });
        }
        let timestamp_delta = record.timestamp.wrapping_sub(base_timestamp);
        tail.clear();
        put_tail(&mut tail, record).map_err(oversized)?;
        let prefix = Prefix { attributes: 0, timestamp_delta, offset_delta: nearest };
        put_record(&mut out, prefix, &tail).map_err(oversized)?;
    }
    Ok(out)
}

/// A key, value or header, or the whole record, is longer than 2 GiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Oversized;

/// What stands before the key of a record.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Prefix {
    pub(crate) attributes: u8,
    /// Milliseconds after the batch's base timestamp.
    pub(crate) timestamp_delta: i64,
    pub(crate) offset_delta: i32,
}

/// Appends a record: its length, the prefix, and `tail` as [`put_tail`] writes it.
pub(crate) fn put_record(out: &mut Vec<u8>, prefix: Prefix, tail: &[u8]) -> Result<(), Oversized> {
    let offset_delta = i64::from(prefix.offset_delta);
    let length = 1 + varlong_len(prefix.timestamp_delta) + varlong_len(offset_delta) + tail.len();
    put_varint(out, i32::try_from(length).map_err(|_| Oversized)?);
    out.push(prefix.attributes);
    put_varlong(out, prefix.timestamp_delta);
    put_varlong(out, offset_delta);
    out.extend_from_slice(tail);
    Ok(())
}

/// Appends key, value and headers of `record`.
pub(crate) fn put_tail(out: &mut Vec<u8>, record: &Record) -> Result<(), Oversized> {
    put_nullable(out, record.key.as_deref())?;
    put_nullable(out, record.value.as_deref())?;
    put_varint(out, i32::try_from(record.headers.len()).map_err(|_| Oversized)?);
    for header in &record.headers {
        put_nullable(out, Some(&header.key))?;
        put_nullable(out, header.value.as_deref())?;
    }
    Ok(())
}

fn put_nullable(out: &mut Vec<u8>, bytes: Option<&[u8]>) -> Result<(), Oversized> {
    match bytes {
        None => put_varint(out, -1),
        Some(bytes) => {
            put_varint(out, i32::try_from(bytes.len()).map_err(|_| Oversized)?);
            out.extend_from_slice(bytes);
        }
    }
    Ok(())
}

/// Zigzag, 1 to 5 bytes.
pub(crate) fn put_varint(out: &mut Vec<u8>, number: i32) {
    put_varlong(out, i64::from(number));
}

/// Zigzag, 1 to 10 bytes: seven bits a byte, the lowest first.
pub(crate) fn put_varlong(out: &mut Vec<u8>, number: i64) {
    let mut rest = zigzag(number);
    while rest > 0x7f {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

fn varlong_len(number: i64) -> usize {
    let bits = 64 - (zigzag(number) | 1).leading_zeros() as usize;
    bits.div_ceil(7)
}

fn zigzag(number: i64) -> u64 {
    ((number << 1) ^ (number >> 63)) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::header::Codec;
    use crate::testing::{any_batch, some_records};
    use proptest::prelude::*;

    #[test]
    fn offsets_far_from_the_base_are_refused() {
        for (offset, base_offset, nearest) in [(4, 5, -1), (i64::MAX, 0, i32::MAX), (0, i64::MAX, i32::MIN)] {
            let fault = Fault::OffsetDelta(nearest);
            let error = RecordError::Malformed { index: 0, fault };
            assert_eq!(encode(&some_records(offset, 1), base_offset, 0), Err(error));
        }
    }

    #[test]
    fn the_length_of_a_number_is_known_before_it_is_written() {
        let edges = (0..64).flat_map(|bit| [i64::MIN >> bit, !(i64::MIN >> bit), (i64::MIN >> bit) + 1]);
        for number in edges.chain([0, 1, -1]) {
            let mut out = Vec::new();
            put_varlong(&mut out, number);
            assert_eq!(varlong_len(number), out.len(), "{number}");
        }
    }

    proptest! {
        #[test]
        fn any_records_are_written_as_the_tests_own_encoder_does(mut batch in any_batch()) {
            batch.codec = Codec::None;
            let encoded = encode(&batch.records, batch.base_offset, batch.base_timestamp);
            prop_assert_eq!(encoded, Ok(batch.payload()));
        }

        #[test]
        fn any_number_has_the_length_foretold(number: i64) {
            let mut out = Vec::new();
            put_varlong(&mut out, number);
            prop_assert_eq!(varlong_len(number), out.len());
        }
    }
}
