//! What a control batch says: how a transaction of its producer ended.
//! Promises: reads one record and no more. Never checks the batch's checksum (`BatchView::checksum_holds` does).
//! On failure: [`RecordError`]; then nothing is known about the transaction.

use super::{Limits, RecordError, decode};
use crate::view::BatchView;

/// The type of a control record (`ControlRecordType.java` in Apache Kafka).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ControlKind {
    /// The producer's transaction was rolled back.
    Abort,
    /// The producer's transaction was committed.
    Commit,
    /// It ends no transaction: raft's own records, types of later versions, keys too short to say.
    Other,
}

/// A control batch holds one record of a few bytes, never compressed.
const LIMITS: Limits = Limits { decompressed_bytes_max: 1 << 20 };

/// The kind of `view`. `None`: it is no control batch, or the cleaner has taken its record.
///
/// # Errors
/// Its record cannot be decoded.
pub fn kind(view: &BatchView<'_>) -> Result<Option<ControlKind>, RecordError> {
    if !view.is_control() || view.record_count() == 0 {
        return Ok(None);
    }
    match decode(view, LIMITS)?.next() {
        None => Ok(None),
        Some(record) => Ok(Some(of_key(record?.key.as_deref()))),
    }
}

/// The key is a version and a type, 16 bits each; later versions may append to it.
fn of_key(key: Option<&[u8]>) -> ControlKind {
    match key {
        Some([_, _, 0, 0, ..]) => ControlKind::Abort,
        Some([_, _, 0, 1, ..]) => ControlKind::Commit,
        _ => ControlKind::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::header::Codec;
    use crate::records::Record;
    use crate::testing::{TestBatch, some_records};
    use bytes::Bytes;

    const CONTROL: i16 = 0x20;

    fn told(attributes: i16, key: Option<&'static [u8]>) -> Result<Option<ControlKind>, RecordError> {
        let record = Record { key: key.map(Bytes::from_static), value: None, ..some_records(7, 1).remove(0) };
        let bytes = TestBatch { attributes, ..TestBatch::new(7, Codec::None, vec![record]) }.encode();
        kind(&BatchView::parse(&bytes).unwrap())
    }

    #[test]
    fn the_key_says_how_a_transaction_ended() {
        assert_eq!(told(CONTROL, Some(&[0, 0, 0, 0])), Ok(Some(ControlKind::Abort)));
        assert_eq!(told(CONTROL, Some(&[0, 0, 0, 1])), Ok(Some(ControlKind::Commit)));
        // A later version of the key, with more in it.
        assert_eq!(told(CONTROL, Some(&[0, 1, 0, 1, 9, 9])), Ok(Some(ControlKind::Commit)));
    }

    #[test]
    fn other_control_records_end_nothing() {
        for key in [None, Some(&[][..]), Some(&[0, 0, 0]), Some(&[0, 0, 0, 2]), Some(&[0, 0, 1, 0])] {
            assert_eq!(told(CONTROL, key), Ok(Some(ControlKind::Other)), "{key:?}");
        }
    }

    #[test]
    fn data_and_emptied_control_batches_say_nothing() {
        assert_eq!(told(0, Some(&[0, 0, 0, 1])), Ok(None));
        let emptied = TestBatch {
            attributes: CONTROL,
            last_offset_delta: Some(0),
            ..TestBatch::new(7, Codec::None, Vec::new())
        };
        assert_eq!(kind(&BatchView::parse(&emptied.encode()).unwrap()), Ok(None));
    }

    #[test]
    fn a_record_that_cannot_be_decoded_is_an_error() {
        let record = Record { key: Some(Bytes::from_static(&[0, 0, 0, 1])), ..some_records(7, 1).remove(0) };
        let batch = TestBatch { attributes: CONTROL, ..TestBatch::new(7, Codec::None, vec![record]) };
        let mut bytes = batch.encode();
        bytes[61] = 0x7e; // the record's length
        assert!(kind(&BatchView::parse(&bytes).unwrap()).is_err());
    }
}
