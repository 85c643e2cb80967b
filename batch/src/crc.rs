//! CRC-32C, the checksum of a v2 batch, and its combination: how the checksum of a whole changes when
//! only its first part changes. Used by `rewrite` to derive a checksum (M4).
//! Promises: [`shift`] takes time logarithmic in the length and needs no byte of the shifted part.
//! Never looks at what the bytes mean; nothing here can fail.

/// The Castagnoli polynomial, bit-reflected: bit 31 is the coefficient of x^0, bit 0 that of x^31.
const POLYNOMIAL: u32 = 0x82f6_3b78;

/// The polynomial 1 in the reflected form.
const ONE: u32 = 1 << 31;

/// x^8 in the reflected form: what appending one byte multiplies by.
const ONE_BYTE: u32 = ONE >> 8;

/// `POWERS[k][d]` = x^(8·d·16^k): what appending d·16^k bytes multiplies by; one row for each hexadecimal digit
/// of a length. Digits and not bits (squarings alone): a length near 1 MiB then takes five products at most
/// and not twenty.
const POWERS: [[u32; 16]; 16] = {
    let mut table = [[ONE; 16]; 16];
    let mut base = ONE_BYTE;
    let mut k = 0;
    while k < 16 {
        let mut d = 1;
        while d < 16 {
            table[k][d] = multiply(table[k][d - 1], base);
            d += 1;
        }
        base = multiply(table[k][15], base);
        k += 1;
    }
    table
};

/// The CRC-32C of `bytes` (RFC 3720, appendix B.4), as Kafka stores it in a batch.
#[must_use]
pub fn checksum(bytes: &[u8]) -> u32 {
    crc32c::crc32c(bytes)
}

/// The difference (exclusive or) between two checksums, carried past `len` bytes equal in both:
/// `checksum(a ++ z) ^ checksum(b ++ z) == shift(checksum(a) ^ checksum(b), z.len())`
/// for `a` and `b` of one length. The initial and the final inversion of the checksum cancel out.
///
/// It is the product with x^(8·len) modulo the polynomial. Every length is allowed; one up to 4 GiB, and no batch
/// is longer, takes at most eight products of some 30 ns.
#[must_use]
pub fn shift(crc_difference: u32, len: u64) -> u32 {
    let mut product = crc_difference;
    let mut rest = len;
    for row in &POWERS {
        if rest == 0 {
            break;
        }
        let digit = (rest & 15) as usize;
        if digit != 0 {
            product = multiply(product, row[digit]);
        }
        rest >>= 4;
    }
    product
}

/// The product of two polynomials modulo the Castagnoli polynomial, all reflected.
const fn multiply(a: u32, b: u32) -> u32 {
    let mut product = 0;
    let mut shifted = b; // b·x^i
    let mut i = 0;
    while i < 32 {
        // Masks instead of branches: the bits are as good as random, so a branch would be mispredicted
        // every second time.
        product ^= shifted & 0u32.wrapping_sub((a >> (31 - i)) & 1);
        shifted = (shifted >> 1) ^ (POLYNOMIAL & 0u32.wrapping_sub(shifted & 1));
        i += 1;
    }
    product
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn joined(head: &[u8], tail: &[u8]) -> Vec<u8> {
        [head, tail].concat()
    }

    #[test]
    fn the_checksum_is_crc_32c() {
        // The check value of the CRC catalogue, and two vectors of RFC 3720, B.4.
        assert_eq!(checksum(b"123456789"), 0xe306_9283);
        assert_eq!(checksum(&[0; 32]), 0x8a91_36aa);
        assert_eq!(checksum(&[0xff; 32]), 0x62a8_ab43);
    }

    #[test]
    fn one_is_neutral_and_nothing_appended_changes_nothing() {
        assert_eq!(multiply(ONE, 0x1234_5678), 0x1234_5678);
        assert_eq!(multiply(0x1234_5678, ONE), 0x1234_5678);
        assert_eq!(shift(0xdead_beef, 0), 0xdead_beef);
        assert_eq!(shift(0, u64::MAX), 0);
    }

    #[test]
    fn shifts_add_up_far_beyond_what_fits_in_memory() {
        let mut random = fastrand::Rng::with_seed(3);
        for _ in 0..1000 {
            let (crc, a, b) = (random.u32(..), random.u64(..) / 2, random.u64(..) / 2);
            assert_eq!(shift(shift(crc, a), b), shift(crc, a + b));
        }
    }

    #[test]
    fn a_changed_header_shifts_past_payloads_of_every_length() {
        let mut random = fastrand::Rng::with_seed(40);
        let payload: Vec<u8> = (0..4200).map(|_| random.u8(..)).collect();
        let (old, new): (Vec<u8>, Vec<u8>) = (0..40).map(|_| (random.u8(..), random.u8(..))).unzip();
        let difference = checksum(&old) ^ checksum(&new);
        for len in 0..payload.len() {
            let tail = &payload[..len];
            let derived = checksum(&joined(&old, tail)) ^ shift(difference, len as u64);
            assert_eq!(derived, checksum(&joined(&new, tail)), "payload of {len} bytes");
        }
    }

    proptest! {
        #[test]
        fn any_change_of_the_head_shifts_past_any_tail(
            heads in prop::collection::vec((any::<u8>(), any::<u8>()), 0..100),
            seed in any::<u64>(),
            len in prop_oneof![0usize..300, 0usize..200_000],
        ) {
            let (old, new): (Vec<u8>, Vec<u8>) = heads.into_iter().unzip();
            let mut tail = vec![0; len];
            fastrand::Rng::with_seed(seed).fill(&mut tail);
            let derived =
                checksum(&joined(&old, &tail)) ^ shift(checksum(&old) ^ checksum(&new), len as u64);
            prop_assert_eq!(derived, checksum(&joined(&new, &tail)));
        }
    }
}
