//! A fetched batch opened for building: its checksum found right, its records as plain bytes, one by one.
//! Promises: no byte of a damaged batch gets through; each record is checked to its end; bounded memory.
//! Never copies what is not compressed. On failure: [`BuildError`].

use bytes::Bytes;

use super::BuildError;
use crate::header::{BatchHeader, Codec};
use crate::records::decompress::Unpacker;
use crate::records::walk::{RawRecord, Walk};
use crate::view::FetchedBatch;

pub(super) struct Source {
    header: BatchHeader,
    codec: Codec,
    body: Bytes,
    walk: Walk,
}

impl Source {
    /// At most `bytes_max` bytes of records, uncompressed.
    pub(super) fn open(
        batch: &FetchedBatch,
        unpacker: &mut Unpacker,
        bytes_max: usize,
    ) -> Result<Self, BuildError> {
        let header = *batch.header();
        let base_offset = header.base_offset();
        if !batch.view().checksum_holds() {
            return Err(BuildError::Checksum { base_offset });
        }
        if header.is_control() {
            return Err(BuildError::Control { base_offset });
        }
        let codec = header.codec()?;
        let body = match codec {
            Codec::None if header.payload_len() <= bytes_max => batch.payload(),
            _ => unpacker.records(&header, batch.view().payload(), bytes_max)?,
        };
        Ok(Self { header, codec, body, walk: Walk::new(&header) })
    }

    pub(super) fn codec(&self) -> Codec {
        self.codec
    }

    /// Bytes of the records.
    pub(super) fn plain_len(&self) -> usize {
        self.body.len()
    }

    pub(super) fn next(&mut self) -> Option<Result<SourceRecord<'_>, BuildError>> {
        let header = &self.header;
        let record = self.walk.next(&self.body)?;
        Some(record.and_then(|raw| raw.check().map(|()| SourceRecord::new(&raw, header))).map_err(Into::into))
    }
}

/// What moves from a batch to another.
pub(super) struct SourceRecord<'a> {
    pub(super) offset: i64,
    /// The one that consumers see.
    pub(super) timestamp: i64,
    pub(super) attributes: u8,
    /// Key, value and headers as they were written.
    pub(super) tail: &'a [u8],
}

impl<'a> SourceRecord<'a> {
    fn new(raw: &RawRecord<'a>, header: &BatchHeader) -> Self {
        Self {
            offset: raw.offset(header),
            timestamp: raw.timestamp(header),
            attributes: raw.attributes,
            tail: raw.tail,
        }
    }
}
