//! Kafka's variable-length numbers and length-prefixed bytes, read one after the other.
//! Promises: never reads beyond its bytes, never copies, allocates nothing.
//! On failure: a [`Fault`]; the position is then of no more use.

use super::Fault;

/// What has not been read yet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cursor<'a> {
    bytes: &'a [u8],
}

impl<'a> Cursor<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    /// What is still there.
    pub(super) fn rest(&self) -> &'a [u8] {
        self.bytes
    }

    pub(super) fn remaining(&self) -> usize {
        self.bytes.len()
    }

    pub(super) fn byte(&mut self) -> Result<u8, Fault> {
        let (byte, rest) = self.bytes.split_first().ok_or(Fault::Cut)?;
        self.bytes = rest;
        Ok(*byte)
    }

    /// Zigzag, 1 to 5 bytes.
    pub(super) fn varint(&mut self) -> Result<i32, Fault> {
        let raw = self.varint_bits(32)? as u32; // at most 32 bits, checked there
        Ok((raw >> 1) as i32 ^ -((raw & 1) as i32))
    }

    /// Zigzag, 1 to 10 bytes.
    pub(super) fn varlong(&mut self) -> Result<i64, Fault> {
        let raw = self.varint_bits(64)?;
        Ok((raw >> 1) as i64 ^ -((raw & 1) as i64))
    }

    /// Seven bits a byte, the lowest first; the top bit says that another byte follows. Padding with zero bits
    /// is allowed, as in Kafka; a bit beyond `width` is not.
    fn varint_bits(&mut self, width: u32) -> Result<u64, Fault> {
        let mut value = 0;
        let mut position = 0;
        loop {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if width - position < 7 && bits >> (width - position) != 0 {
                return Err(Fault::LongVarint);
            }
            value |= bits << position;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
            position += 7;
            if position >= width {
                return Err(Fault::LongVarint);
            }
        }
    }

    /// A length or count that must not be negative.
    pub(super) fn length(&mut self) -> Result<usize, Fault> {
        let length = self.varint()?;
        usize::try_from(length).map_err(|_| Fault::NegativeLength(length))
    }

    pub(super) fn take(&mut self, length: usize) -> Result<&'a [u8], Fault> {
        let (taken, rest) = self.bytes.split_at_checked(length).ok_or(Fault::Cut)?;
        self.bytes = rest;
        Ok(taken)
    }

    /// A length, then that many bytes; −1: null.
    pub(super) fn nullable(&mut self) -> Result<Option<&'a [u8]>, Fault> {
        let length = self.varint()?;
        match usize::try_from(length) {
            Ok(length) => self.take(length).map(Some),
            Err(_) if length == -1 => Ok(None),
            Err(_) => Err(Fault::NegativeLength(length)),
        }
    }

    /// How many headers follow. A header is two bytes at least: more than fit are a fault.
    pub(super) fn header_count(&mut self) -> Result<usize, Fault> {
        let count = self.length()?;
        if count > self.remaining() / 2 { Err(Fault::Cut) } else { Ok(count) }
    }

    /// Key and value of a header of a record.
    pub(super) fn header(&mut self) -> Result<(&'a [u8], Option<&'a [u8]>), Fault> {
        let length = self.length()?;
        let key = self.take(length)?;
        Ok((key, self.nullable()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::encode::{put_varint, put_varlong};
    use proptest::prelude::*;

    fn cursor(bytes: &[u8]) -> Cursor<'_> {
        Cursor::new(bytes)
    }

    #[test]
    fn numbers_known_from_the_protocol() {
        for (bytes, number) in [
            (&[0x00][..], 0),
            (&[0x01], -1),
            (&[0x02], 1),
            (&[0x7f], -64),
            (&[0x80, 0x01], 64),
            (&[0xfe, 0xff, 0xff, 0xff, 0x0f], i32::MAX),
            (&[0xff, 0xff, 0xff, 0xff, 0x0f], i32::MIN),
            (&[0x82, 0x00], 1), // padded
        ] {
            assert_eq!(cursor(bytes).varint(), Ok(number));
            assert_eq!(cursor(bytes).varlong(), Ok(i64::from(number)));
        }
        let longest = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
        assert_eq!(cursor(&longest).varlong(), Ok(i64::MIN));
    }

    #[test]
    fn numbers_too_long_or_cut_are_faults() {
        assert_eq!(cursor(&[0xff, 0xff, 0xff, 0xff, 0x1f]).varint(), Err(Fault::LongVarint));
        assert_eq!(cursor(&[0x80, 0x80, 0x80, 0x80, 0x80, 0x00]).varint(), Err(Fault::LongVarint));
        assert_eq!(cursor(&[0x80; 4]).varint(), Err(Fault::Cut));
        let mut long = [0xff; 10];
        long[9] = 0x02;
        assert_eq!(cursor(&long).varlong(), Err(Fault::LongVarint));
        assert_eq!(cursor(&[0x80; 11]).varlong(), Err(Fault::LongVarint));
        assert_eq!(cursor(&[]).varlong(), Err(Fault::Cut));
    }

    #[test]
    fn null_is_not_empty_and_minus_two_is_neither() {
        assert_eq!(cursor(&[0x01]).nullable(), Ok(None));
        assert_eq!(cursor(&[0x00]).nullable(), Ok(Some(&[][..])));
        assert_eq!(cursor(&[0x03, 0, 0]).nullable(), Err(Fault::NegativeLength(-2)));
        assert_eq!(cursor(&[0x06, 0, 0]).nullable(), Err(Fault::Cut));
        assert_eq!(cursor(&[0x01]).length(), Err(Fault::NegativeLength(-1)));
    }

    proptest! {
        #[test]
        fn numbers_come_back(int in any::<i32>(), long in any::<i64>()) {
            let mut bytes = Vec::new();
            put_varint(&mut bytes, int);
            put_varlong(&mut bytes, long);
            let mut cursor = cursor(&bytes);
            prop_assert_eq!(cursor.varint(), Ok(int));
            prop_assert_eq!(cursor.varlong(), Ok(long));
            prop_assert_eq!(cursor.remaining(), 0);
        }
    }
}
