//! The check of every answer before it is decoded: a walk over the frame along the answer's described shape.
//! Promises: after a passed walk each length lies inside the frame, each array's elements are really there, their number
//! is bounded, and the frame ends exactly where the answer does. Never allocates, never panics on hostile bytes.
//! Needed because the decoder reserves memory for any array length it reads: an 8-byte frame made it ask for 200 GB.

use crate::shapes::{Field, Kind};
use crate::versions::Api;

/// Structures (array elements and tagged fields) one answer may hold. A decoded one takes some 200 bytes;
/// the metadata of a cluster with a million partitions has two million of them.
const STRUCTURES_MAX: usize = 4 << 20;

/// What is wrong with an answer, at which byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Flaw {
    #[error("it ends in the middle of a field, at byte {at}")]
    Cut { at: usize },
    #[error("it goes on after its end, at byte {at}")]
    Trailing { at: usize },
    #[error("a length of {claimed} at byte {at} leaves the frame")]
    Length { at: usize, claimed: i64 },
    #[error("an array of {claimed} elements at byte {at} cannot be in the {remaining} bytes that follow")]
    Array { at: usize, claimed: usize, remaining: usize },
    #[error("it holds more than {STRUCTURES_MAX} structures")]
    TooMany,
    #[error("a number at byte {at} is longer than any 32-bit number")]
    Number { at: usize },
    #[error("null at byte {at} where a value is required")]
    Null { at: usize },
    #[error("the tagged field at byte {at} has another size than it says")]
    Tag { at: usize },
}

/// Walks the body of an answer (without its header). It must end exactly at the end of `body`.
pub(crate) fn walk(api: Api, version: i16, body: &[u8]) -> Result<(), Flaw> {
    let mut walker = Walker { all: body, at: 0, version, flexible: api.is_flexible(version), structures: 0 };
    walker.structure(api.answer())?;
    if walker.at == body.len() { Ok(()) } else { Err(Flaw::Trailing { at: walker.at }) }
}

/// The length of the tagged fields at the start of `bytes`, as in an answer's header.
pub(crate) fn tags_length(bytes: &[u8]) -> Result<usize, Flaw> {
    let mut walker = Walker { all: bytes, at: 0, version: 0, flexible: true, structures: 0 };
    walker.tags(&[])?;
    Ok(walker.at)
}

struct Walker<'a> {
    all: &'a [u8],
    at: usize,
    version: i16,
    flexible: bool,
    structures: usize,
}

impl Walker<'_> {
    fn structure(&mut self, fields: &[Field]) -> Result<(), Flaw> {
        let version = self.version;
        for field in fields.iter().filter(|field| field.tag.is_none() && field.exists_in(version)) {
            self.value(&field.kind)?;
        }
        if self.flexible { self.tags(fields) } else { Ok(()) }
    }

    fn value(&mut self, kind: &Kind) -> Result<(), Flaw> {
        match *kind {
            Kind::Fixed(size) => self.skip(size),
            Kind::Text => self.text(false),
            Kind::TextOrNull => self.text(true),
            Kind::BytesOrNull => self.bytes(),
            Kind::Numbers(size) => {
                let count = self.count(size)?.ok_or(Flaw::Null { at: self.at })?;
                self.skip(count * size)
            }
            Kind::Texts => {
                let least = if self.flexible { 1 } else { 2 };
                let count = self.count(least)?.ok_or(Flaw::Null { at: self.at })?;
                (0..count).try_for_each(|_| self.text(false))
            }
            Kind::List(fields) => {
                let at = self.at;
                let count = self.count(self.least(fields))?.ok_or(Flaw::Null { at })?;
                self.list(fields, count)
            }
            Kind::ListOrNull(fields) => {
                let count = self.count(self.least(fields))?.unwrap_or(0);
                self.list(fields, count)
            }
            Kind::Struct(fields) => self.structure(fields),
        }
    }

    fn list(&mut self, fields: &[Field], count: usize) -> Result<(), Flaw> {
        self.admit(count)?;
        for _ in 0..count {
            self.structure(fields)?;
        }
        Ok(())
    }

    /// Tagged fields (KIP-482): known ones must have the size they say, unknown ones are skipped.
    fn tags(&mut self, fields: &[Field]) -> Result<(), Flaw> {
        let count = self.varint()? as usize;
        self.fits(count, 2)?;
        self.admit(count)?;
        for _ in 0..count {
            let tag = self.varint()?;
            let at = self.at;
            let size = self.varint()? as usize;
            let start = self.at;
            let known = fields.iter().find(|field| field.tag == Some(tag) && field.exists_in(self.version));
            match known {
                None => self.skip(size)?,
                Some(field) => {
                    self.value(&field.kind)?;
                    if self.at - start != size {
                        return Err(Flaw::Tag { at });
                    }
                }
            }
        }
        Ok(())
    }

    /// The fewest bytes a structure of these fields can take in this version.
    fn least(&self, fields: &[Field]) -> usize {
        let own = fields.iter().filter(|field| field.tag.is_none() && field.exists_in(self.version));
        let size = own.map(|field| match field.kind {
            Kind::Fixed(size) => size,
            Kind::Struct(inner) => self.least(inner),
            _ if self.flexible => 1,
            Kind::Text | Kind::TextOrNull => 2,
            _ => 4,
        });
        size.sum::<usize>() + usize::from(self.flexible)
    }

    /// The length of an array whose elements take at least `least` bytes each.
    fn count(&mut self, least: usize) -> Result<Option<usize>, Flaw> {
        let at = self.at;
        let count = if self.flexible { i64::from(self.varint()?) - 1 } else { i64::from(self.int32()?) };
        match usize::try_from(count) {
            Ok(count) => self.fits(count, least).map(|()| Some(count)),
            Err(_) if count == -1 => Ok(None),
            Err(_) => Err(Flaw::Length { at, claimed: count }),
        }
    }

    fn fits(&self, count: usize, least: usize) -> Result<(), Flaw> {
        let remaining = self.all.len() - self.at;
        match count.checked_mul(least.max(1)) {
            Some(bytes) if bytes <= remaining => Ok(()),
            _ => Err(Flaw::Array { at: self.at, claimed: count, remaining }),
        }
    }

    fn admit(&mut self, structures: usize) -> Result<(), Flaw> {
        self.structures += structures;
        if self.structures > STRUCTURES_MAX { Err(Flaw::TooMany) } else { Ok(()) }
    }

    fn text(&mut self, nullable: bool) -> Result<(), Flaw> {
        let at = self.at;
        let length = if self.flexible {
            i64::from(self.varint()?) - 1
        } else {
            let [a, b] = self.take()?;
            i64::from(i16::from_be_bytes([a, b]))
        };
        if length == -1 && !nullable {
            return Err(Flaw::Null { at });
        }
        self.skip_claimed(at, length)
    }

    fn bytes(&mut self) -> Result<(), Flaw> {
        let at = self.at;
        let length = if self.flexible { i64::from(self.varint()?) - 1 } else { i64::from(self.int32()?) };
        self.skip_claimed(at, length)
    }

    fn skip_claimed(&mut self, at: usize, claimed: i64) -> Result<(), Flaw> {
        match usize::try_from(claimed) {
            Ok(length) => self.skip(length).map_err(|_| Flaw::Length { at, claimed }),
            Err(_) if claimed == -1 => Ok(()),
            Err(_) => Err(Flaw::Length { at, claimed }),
        }
    }

    fn skip(&mut self, length: usize) -> Result<(), Flaw> {
        if length > self.all.len() - self.at {
            return Err(Flaw::Cut { at: self.at });
        }
        self.at += length;
        Ok(())
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], Flaw> {
        let rest = &self.all[self.at..];
        let taken = *rest.first_chunk::<N>().ok_or(Flaw::Cut { at: self.at })?;
        self.at += N;
        Ok(taken)
    }

    fn int32(&mut self) -> Result<i32, Flaw> {
        self.take().map(i32::from_be_bytes)
    }

    fn varint(&mut self) -> Result<u32, Flaw> {
        let start = self.at;
        let mut value = 0u32;
        for shift in [0, 7, 14, 21, 28] {
            let [byte] = self.take()?;
            // The fifth byte has room for four bits, and none may follow it.
            if shift == 28 && byte > 0x0f {
                return Err(Flaw::Number { at: start });
            }
            value |= u32::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                break;
            }
        }
        Ok(value)
    }
}

#[cfg(test)]
mod tests;
