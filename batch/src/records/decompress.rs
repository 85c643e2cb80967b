//! The payload of a batch, decompressed: gzip, snappy, lz4, zstd as Kafka's clients write them.
//! Promises: the result never has more than the given bytes; memory grows with what really comes out, not with
//! what the input claims. Never passes over damage that the format lets one see, such as a missing end.
//! On failure: [`RecordError`].

use std::io::{self, Read};

use bytes::{Buf, Bytes};
use zstd::zstd_safe::{DCtx, ResetDirective};

use super::RecordError;
use crate::header::{BatchHeader, Codec};

/// Start of the framing that Kafka's Java clients put around snappy blocks (Xerial's snappy-java); two version
/// numbers follow. Clients on librdkafka write one bare block instead: both are read.
pub(super) const XERIAL_MAGIC: &[u8; 8] = b"\x82SNAPPY\0";

/// Of the versions behind the magic: int32, int32.
const XERIAL_VERSIONS_LEN: usize = 8;

/// log2 of the largest window a zstd frame may ask for: the bound of zstd's own tools and of Kafka's clients.
const ZSTD_WINDOW_LOG_MAX: u32 = 27;

/// The same where only the start of a frame of our own is looked at: level 3 asks for 2 MiB.
const ZSTD_START_WINDOW_LOG_MAX: u32 = 24;

/// First step of a result that grows as it is read: a few times the input, so that small batches take little.
const START_RATIO: usize = 4;
const START_BYTES: std::ops::RangeInclusive<usize> = 1 << 10..=1 << 20;

/// The records of a batch as plain bytes, at most `max` of them.
pub(crate) fn records(header: &BatchHeader, payload: &[u8], max: usize) -> Result<Bytes, RecordError> {
    Unpacker::default().records(header, payload, max)
}

/// Decompresses a whole `payload` into at most `max` bytes.
pub(crate) fn decompress(codec: Codec, payload: &[u8], max: usize) -> Result<Bytes, RecordError> {
    Unpacker::default().decompress(codec, payload, max)
}

/// For many batches: keeps what zstd works with, which costs more to make than a small batch takes to unpack.
#[derive(Default)]
pub(crate) struct Unpacker {
    zstd: Option<DCtx<'static>>,
}

impl Unpacker {
    /// As [`records`].
    pub(crate) fn records(
        &mut self,
        header: &BatchHeader,
        payload: &[u8],
        max: usize,
    ) -> Result<Bytes, RecordError> {
        let codec = header.codec()?;
        if header.record_count() > 0 {
            return self.decompress(codec, payload, max);
        }
        // The cleaner leaves a bare header: nothing there to decompress, whatever the codec says.
        match payload.len() {
            0 => Ok(Bytes::new()),
            bytes => Err(RecordError::TrailingBytes { bytes }),
        }
    }

    fn decompress(&mut self, codec: Codec, payload: &[u8], max: usize) -> Result<Bytes, RecordError> {
        let out = match codec {
            Codec::None if payload.len() > max => Err(Failure::TooLarge),
            Codec::None => Ok(payload.to_vec()),
            Codec::Gzip => read_bounded(flate2::bufread::MultiGzDecoder::new(payload), payload.len(), max),
            Codec::Snappy => snappy(payload, max),
            Codec::Lz4 => lz4(payload, max),
            Codec::Zstd => self.zstd(payload, max),
        };
        match out {
            Ok(out) => Ok(Bytes::from(out)),
            Err(Failure::TooLarge) => Err(RecordError::TooLarge { limit_bytes: max }),
            Err(Failure::Corrupt(cause)) => Err(RecordError::Decompress { codec, cause }),
        }
    }

    fn zstd(&mut self, payload: &[u8], max: usize) -> Result<Vec<u8>, Failure> {
        let context = match &mut self.zstd {
            Some(context) => context,
            none => none.insert(DCtx::try_create().ok_or_else(|| Failure::corrupt("no memory"))?),
        };
        // What an error left half done is forgotten.
        context.reset(ResetDirective::SessionOnly).map_err(|_| Failure::corrupt("no new start"))?;
        let mut decoder = zstd::stream::read::Decoder::with_context(payload, context);
        decoder.window_log_max(ZSTD_WINDOW_LOG_MAX).map_err(Failure::corrupt)?;
        read_bounded(decoder, payload.len(), max)
    }
}

enum Failure {
    TooLarge,
    Corrupt(String),
}

impl Failure {
    #[expect(clippy::needless_pass_by_value)] // so that it fits into `map_err`
    fn corrupt(cause: impl ToString) -> Self {
        Self::Corrupt(cause.to_string())
    }
}

fn snappy(payload: &[u8], max: usize) -> Result<Vec<u8>, Failure> {
    let mut out = Vec::new();
    let Some(mut rest) = payload.strip_prefix(XERIAL_MAGIC) else {
        append_snappy_block(&mut out, payload, max)?;
        return Ok(out);
    };
    rest = rest.get(XERIAL_VERSIONS_LEN..).ok_or_else(|| Failure::corrupt("the framing is cut short"))?;
    while !rest.is_empty() {
        let length = rest.try_get_i32().map_err(Failure::corrupt)?;
        let block = usize::try_from(length).ok().and_then(|length| rest.split_at_checked(length));
        let Some((block, behind)) = block else {
            return Err(Failure::corrupt(format!("a block of {length} bytes, {} are left", rest.len())));
        };
        append_snappy_block(&mut out, block, max)?;
        rest = behind;
    }
    Ok(out)
}

fn append_snappy_block(out: &mut Vec<u8>, block: &[u8], max: usize) -> Result<(), Failure> {
    let have = out.len();
    let claimed = snap::raw::decompress_len(block).map_err(Failure::corrupt)?;
    if claimed > max - have {
        return Err(Failure::TooLarge);
    }
    // No snappy element gives more than 64 bytes for 3: memory is not taken on the word of a tiny block.
    if claimed / 22 > block.len() {
        return Err(Failure::corrupt(format!("a block of {} bytes claims {claimed}", block.len())));
    }
    out.resize(have + claimed, 0);
    snap::raw::Decoder::new().decompress(block, &mut out[have..]).map_err(Failure::corrupt)?;
    Ok(())
}

fn lz4(payload: &[u8], max: usize) -> Result<Vec<u8>, Failure> {
    let mut input = Watched { rest: payload, ran_dry: false };
    let out = read_bounded(lz4_flex::frame::FrameDecoder::new(&mut input), payload.len(), max)?;
    // The decoder takes a frame without its end for a whole one. Kafka writes one frame a batch.
    if input.ran_dry {
        return Err(Failure::corrupt("the frame has no end"));
    }
    match input.rest.len() {
        0 => Ok(out),
        left => Err(Failure::corrupt(format!("{left} bytes follow the frame"))),
    }
}

/// Bytes that remember whether more was asked of them than they had.
struct Watched<'a> {
    rest: &'a [u8],
    ran_dry: bool,
}

impl Read for Watched<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let count = self.rest.read(buf)?;
        self.ran_dry |= count == 0 && !buf.is_empty();
        Ok(count)
    }
}

/// The first `length` bytes of what a zstd `payload` holds, unpacking no more than the block they lie in. `None`:
/// there are not as many, or they do not unpack.
pub(crate) fn zstd_start(payload: &[u8], length: usize) -> Option<Vec<u8>> {
    let mut decoder = zstd::stream::read::Decoder::with_buffer(payload).ok()?;
    decoder.window_log_max(ZSTD_START_WINDOW_LOG_MAX).ok()?;
    let mut start = vec![0; length];
    decoder.read_exact(&mut start).ok()?;
    Some(start)
}

/// Everything that `from` gives, if that is not more than `max` bytes. The buffer doubles as it fills, up to
/// one byte above `max`. `packed_len`: bytes that `from` reads.
fn read_bounded(mut from: impl Read, packed_len: usize, max: usize) -> Result<Vec<u8>, Failure> {
    let start = packed_len.saturating_mul(START_RATIO).clamp(*START_BYTES.start(), *START_BYTES.end());
    let mut out = Vec::new();
    let mut filled = 0;
    loop {
        if filled > max {
            return Err(Failure::TooLarge);
        }
        if filled == out.len() {
            let target = (out.len().saturating_mul(2)).max(start).min(max.saturating_add(1));
            out.reserve_exact(target - filled);
            out.resize(target, 0);
        }
        match from.read(&mut out[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) => return Err(Failure::corrupt(error)),
        }
    }
    out.truncate(filled);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{ALL_CODECS, compress, compress_snappy_bare};

    const LIMIT: usize = 1 << 20;

    fn sample() -> Vec<u8> {
        let mut random = fastrand::Rng::with_seed(7);
        // Compressible, but over several blocks and not trivially so.
        (0..200_000).map(|i| if i % 3 == 0 { random.u8(..) } else { b'k' }).collect()
    }

    #[test]
    fn each_codec_gives_back_what_went_in() {
        for codec in ALL_CODECS {
            let packed = compress(codec, &sample());
            assert_eq!(decompress(codec, &packed, LIMIT).unwrap(), sample(), "{codec}");
        }
        let bare = compress_snappy_bare(&sample());
        assert_eq!(decompress(Codec::Snappy, &bare, LIMIT).unwrap(), sample());
    }

    #[test]
    fn the_limit_is_exact() {
        for codec in ALL_CODECS {
            let packed = compress(codec, &sample());
            let enough = sample().len();
            assert!(decompress(codec, &packed, enough).is_ok(), "{codec}");
            let error = decompress(codec, &packed, enough - 1).unwrap_err();
            assert_eq!(error, RecordError::TooLarge { limit_bytes: enough - 1 }, "{codec}");
        }
    }

    #[test]
    fn a_bomb_is_refused_without_being_unpacked() {
        let zeros = vec![0; 64 << 20];
        for codec in ALL_CODECS {
            let bomb = compress(codec, &zeros);
            let error = decompress(codec, &bomb, LIMIT).unwrap_err();
            assert_eq!(error, RecordError::TooLarge { limit_bytes: LIMIT }, "{codec}");
        }
        // A snappy block of a few bytes that claims to be large.
        let mut claim = vec![0x80, 0x80, 0x20]; // 512 KiB
        claim.extend([0; 8]);
        assert!(matches!(decompress(Codec::Snappy, &claim, LIMIT), Err(RecordError::Decompress { .. })));
    }

    #[test]
    fn a_cut_payload_is_an_error_at_every_length() {
        let small = &sample()[..3000];
        for codec in [Codec::Gzip, Codec::Lz4, Codec::Zstd, Codec::Snappy] {
            let packed = compress(codec, small);
            for len in 1..packed.len() {
                let cut = decompress(codec, &packed[..len], LIMIT);
                // Snappy's framing has no end of its own: cut between blocks it is whole, and records are
                // missing.
                let between_blocks =
                    codec == Codec::Snappy && len == XERIAL_MAGIC.len() + XERIAL_VERSIONS_LEN;
                assert!(cut.is_err() || between_blocks, "{codec}, first {len} bytes");
            }
        }
    }

    #[test]
    fn bytes_behind_the_end_are_an_error() {
        for codec in [Codec::Gzip, Codec::Lz4, Codec::Zstd, Codec::Snappy] {
            let mut packed = compress(codec, &sample());
            packed.extend(b"garbage");
            let result = decompress(codec, &packed, LIMIT);
            assert!(matches!(result, Err(RecordError::Decompress { .. })), "{codec}: {result:?}");
        }
    }

    #[test]
    fn gzip_members_may_follow_each_other() {
        let packed = [compress(Codec::Gzip, b"lock"), compress(Codec::Gzip, b"step")].concat();
        assert_eq!(decompress(Codec::Gzip, &packed, LIMIT).unwrap(), &b"lockstep"[..]);
    }
}
