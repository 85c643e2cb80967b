//! Records compressed as Kafka's Java clients do it: gzip, snappy in Xerial's framing, lz4 frames, zstd.
//! Promises: `decompress` gives back the same bytes; every client and broker that knows the codec reads them.
//! Never picks a codec. On failure: an error of the compressor (in memory: never seen).

use std::io::{self, Write};

use lz4_flex::frame::{BlockMode, BlockSize, FrameEncoder, FrameInfo};

use super::decompress::XERIAL_MAGIC;
use crate::header::Codec;

/// Both of snappy-java's, current and oldest compatible, as int32.
const XERIAL_VERSIONS: [u8; 8] = [0, 0, 0, 1, 0, 0, 0, 1];

/// As in snappy-java.
const XERIAL_BLOCK_BYTES: usize = 32 << 10;

/// How long to look for a smaller result. Of no meaning to snappy and lz4.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effort {
    /// Two to four times as fast; on JSON from 6 % smaller (zstd) to 8 % larger (gzip).
    Least,
    /// The level that Kafka's producers use by default (KIP-390).
    Usual,
}

impl Effort {
    fn gzip(self) -> flate2::Compression {
        match self {
            Self::Least => flate2::Compression::fast(),
            Self::Usual => flate2::Compression::default(),
        }
    }

    fn zstd(self) -> i32 {
        match self {
            Self::Least => 1,
            Self::Usual => 3,
        }
    }
}

/// Appends the compressed `plain` to `out` and returns that.
pub(crate) fn compress(codec: Codec, effort: Effort, plain: &[u8], mut out: Vec<u8>) -> io::Result<Vec<u8>> {
    match codec {
        Codec::None => {
            out.extend_from_slice(plain);
            Ok(out)
        }
        Codec::Gzip => {
            let mut encoder = flate2::write::GzEncoder::new(out, effort.gzip());
            encoder.write_all(plain)?;
            encoder.finish()
        }
        Codec::Snappy => snappy(plain, out),
        Codec::Lz4 => {
            // Kafka's own reader refuses blocks that depend on each other and takes one block's worth of memory
            // per batch (`Lz4BlockInputStream.java`).
            let info = FrameInfo::new().block_mode(BlockMode::Independent).block_size(BlockSize::Max64KB);
            let mut encoder = FrameEncoder::with_frame_info(info, out);
            encoder.write_all(plain)?;
            Ok(encoder.finish()?)
        }
        Codec::Zstd => {
            let mut encoder = zstd::stream::write::Encoder::new(out, effort.zstd())?;
            // Written into the frame: readers allocate once, and small inputs get small tables.
            encoder.set_pledged_src_size(Some(plain.len() as u64))?;
            encoder.write_all(plain)?;
            encoder.finish()
        }
    }
}

fn snappy(plain: &[u8], mut out: Vec<u8>) -> io::Result<Vec<u8>> {
    let mut encoder = snap::raw::Encoder::new();
    let mut packed = vec![0; snap::raw::max_compress_len(XERIAL_BLOCK_BYTES)];
    out.extend_from_slice(XERIAL_MAGIC);
    out.extend_from_slice(&XERIAL_VERSIONS);
    for block in plain.chunks(XERIAL_BLOCK_BYTES) {
        let length = encoder.compress(block, &mut packed).map_err(io::Error::other)?;
        // At most some 38 KiB: a block of 32 KiB and what incompressible bytes cost.
        out.extend_from_slice(&(length as i32).to_be_bytes());
        out.extend_from_slice(&packed[..length]);
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::decompress::decompress;
    use crate::testing::ALL_CODECS;

    #[test]
    fn what_was_compressed_comes_back_at_every_size_around_a_block() {
        let mut random = fastrand::Rng::with_seed(11);
        let mut plain: Vec<u8> =
            (0..200_000).map(|i| if i % 4 == 0 { random.u8(..) } else { b'l' }).collect();
        random.fill(&mut plain[100_000..140_000]);
        for codec in ALL_CODECS {
            for len in [0, 1, 32_767, 32_768, 32_769, 65_536, 65_537, 200_000] {
                for effort in [Effort::Least, Effort::Usual] {
                    let packed = compress(codec, effort, &plain[..len], vec![7; 3]).unwrap();
                    assert_eq!(packed[..3], [7; 3]);
                    let back = decompress(codec, &packed[3..], len).unwrap();
                    assert_eq!(back, &plain[..len], "{codec}, {len}");
                }
            }
        }
    }

    #[test]
    fn frames_start_as_kafkas_own_reader_wants_them() {
        let plain = vec![b'x'; 300_000];
        let lz4 = compress(Codec::Lz4, Effort::Usual, &plain, Vec::new()).unwrap();
        // Version 1, independent blocks, no sizes or checksums; blocks of 64 KiB; the checksum of these two.
        assert_eq!(lz4[..7], [0x04, 0x22, 0x4d, 0x18, 0x60, 0x40, 0x82]);
        let snappy = compress(Codec::Snappy, Effort::Usual, &plain, Vec::new()).unwrap();
        assert_eq!(snappy[..16], *b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01");
    }
}
