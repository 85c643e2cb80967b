//! The lz4 frames of message format 0: their header has a wrong checksum, which the first Java clients wrote and
//! all others then had to (KAFKA-3160). It is made right, so that an ordinary reader takes the frame.
//! Never looks behind the frame's header; nothing here can fail: what is no frame stays what it is.

use std::borrow::Cow;

const MAGIC: [u8; 4] = [0x04, 0x22, 0x4d, 0x18];

/// Of the flags (first byte behind the magic): an int64 with the content's size follows; an int32 with the
/// dictionary's id follows.
const CONTENT_SIZE: u8 = 0b0000_1000;
const DICTIONARY: u8 = 0b0000_0001;

/// `payload` with a right checksum in the header of its frame.
pub(super) fn mended(payload: &[u8]) -> Cow<'_, [u8]> {
    let Some((descriptor, found)) = payload.strip_prefix(&MAGIC).and_then(|rest| {
        let flags = *rest.first()?;
        let length =
            2 + if flags & CONTENT_SIZE != 0 { 8 } else { 0 } + if flags & DICTIONARY != 0 { 4 } else { 0 };
        Some((rest.get(..length)?, *rest.get(length)?))
    }) else {
        return Cow::Borrowed(payload);
    };
    let right = (hash(descriptor) >> 8) as u8;
    if found == right {
        return Cow::Borrowed(payload);
    }
    let mut mended = payload.to_vec();
    mended[MAGIC.len() + descriptor.len()] = right;
    Cow::Owned(mended)
}

/// xxHash32 with seed 0 of less than 16 bytes (lz4's frame format, "Header Checksum"; xxHash's specification).
fn hash(bytes: &[u8]) -> u32 {
    const PRIME: [u32; 5] = [0x9e37_79b1, 0x85eb_ca77, 0xc2b2_ae3d, 0x27d4_eb2f, 0x1656_67b1];
    let mut hash = PRIME[4].wrapping_add(bytes.len() as u32);
    let (words, rest) = bytes.as_chunks::<4>();
    for word in words {
        let mixed = hash.wrapping_add(u32::from_le_bytes(*word).wrapping_mul(PRIME[2]));
        hash = mixed.rotate_left(17).wrapping_mul(PRIME[3]);
    }
    for byte in rest {
        let mixed = hash.wrapping_add(u32::from(*byte).wrapping_mul(PRIME[4]));
        hash = mixed.rotate_left(11).wrapping_mul(PRIME[0]);
    }
    hash = (hash ^ hash >> 15).wrapping_mul(PRIME[1]);
    hash = (hash ^ hash >> 13).wrapping_mul(PRIME[2]);
    hash ^ hash >> 16
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn headers_of_every_length_get_the_checksum_that_lz4_gives_them() {
        for size in [None, Some(3u64)] {
            for checksum in [false, true] {
                let info = lz4_flex::frame::FrameInfo::new().content_size(size).content_checksum(checksum);
                let mut encoder = lz4_flex::frame::FrameEncoder::with_frame_info(info, Vec::new());
                encoder.write_all(b"abc").unwrap();
                let right = encoder.finish().unwrap();
                assert!(matches!(mended(&right), Cow::Borrowed(_)));
                let at = if size.is_some() { 14 } else { 6 };
                let mut wrong = right.clone();
                wrong[at] ^= 0x55;
                assert_eq!(mended(&wrong)[..], right[..]);
            }
        }
    }

    #[test]
    fn what_is_no_frame_stays_as_it_is() {
        for bytes in
            [&b""[..], b"abc", &MAGIC, &[4, 0x22, 0x4d, 0x18, 0x60], &[4, 0x22, 0x4d, 0x18, 0x68, 0x40, 1]]
        {
            assert!(matches!(mended(bytes), Cow::Borrowed(same) if same == bytes));
        }
    }
}
