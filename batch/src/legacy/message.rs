//! One message of format 0 or 1: offset, length, CRC-32, magic, attributes, timestamp (format 1), key, value.
//! Promises: the checksum was found right before a field is believed; never reads beyond the message.
//! Never unpacks a wrapper. On failure: [`OldFault`].

use bytes::{Buf, Bytes};

use super::OldFault;
use crate::header::Codec;
use crate::records::Record;

/// Attributes, bits 0 to 2.
pub(super) const CODEC: u8 = 0b0000_0111;

/// Attributes, bit 3; in format 1 only (KIP-32).
const LOG_APPEND_TIME: u8 = 0b0000_1000;

pub(super) struct Message {
    /// As it is written: relative in the wrappers of format 1.
    offset: i64,
    magic: i8,
    pub(super) attributes: u8,
    /// Milliseconds since 1970; −1 in format 0.
    pub(super) timestamp: i64,
    key: Option<Bytes>,
    pub(super) value: Option<Bytes>,
}

impl Message {
    /// Takes the message at the start of `set`, which must have the format `magic`.
    pub(super) fn read(set: &mut Bytes, magic: i8) -> Result<Self, OldFault> {
        let offset = set.try_get_i64().map_err(|_| OldFault::Cut)?;
        let mut fields = take(set)?.ok_or(OldFault::NegativeLength(-1))?;
        let crc = fields.try_get_u32().map_err(|_| OldFault::Cut)?;
        let mut sum = flate2::Crc::new();
        sum.update(&fields);
        if sum.sum() != crc {
            return Err(OldFault::Checksum);
        }
        let found = fields.try_get_i8().map_err(|_| OldFault::Cut)?;
        if found != magic {
            return Err(OldFault::OtherMagic(found));
        }
        let attributes = fields.try_get_u8().map_err(|_| OldFault::Cut)?;
        let timestamp = match magic {
            0 => -1,
            _ => fields.try_get_i64().map_err(|_| OldFault::Cut)?,
        };
        let key = take(&mut fields)?;
        let value = take(&mut fields)?;
        match fields.len() {
            0 => Ok(Self { offset, magic, attributes, timestamp, key, value }),
            left => Err(OldFault::LongerThanItsFields(left)),
        }
    }

    /// Whether the messages in this wrapper have its timestamp instead of their own.
    pub(super) fn is_log_append_time(&self) -> bool {
        self.magic > 0 && self.attributes & LOG_APPEND_TIME != 0
    }

    pub(super) fn into_record(self) -> Record {
        let Self { offset, timestamp, key, value, .. } = self;
        Record { offset, timestamp, key, value, headers: Vec::new() }
    }
}

pub(super) fn codec(attributes: u8) -> Result<Codec, OldFault> {
    match attributes & CODEC {
        0 => Ok(Codec::None),
        1 => Ok(Codec::Gzip),
        2 => Ok(Codec::Snappy),
        3 => Ok(Codec::Lz4),
        code => Err(OldFault::UnknownCodec(code)),
    }
}

/// A length (int32), then that many bytes; −1: null.
fn take(fields: &mut Bytes) -> Result<Option<Bytes>, OldFault> {
    let length = fields.try_get_i32().map_err(|_| OldFault::Cut)?;
    match usize::try_from(length) {
        Ok(length) if length <= fields.len() => Ok(Some(fields.split_to(length))),
        Ok(_) => Err(OldFault::Cut),
        Err(_) if length == -1 => Ok(None),
        Err(_) => Err(OldFault::NegativeLength(length)),
    }
}
