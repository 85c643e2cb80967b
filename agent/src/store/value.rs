//! How a value stands in a store: a version, a checksum, the value. What does not verify is no value.

/// Of this layout; another one is unreadable to this version, and so missing.
const VERSION: u8 = 1;
const HEAD: usize = 5;

pub(super) fn seal(value: &[u8]) -> Vec<u8> {
    let mut sealed = Vec::with_capacity(HEAD + value.len());
    sealed.push(VERSION);
    sealed.extend_from_slice(&checksum(value).to_be_bytes());
    sealed.extend_from_slice(value);
    sealed
}

/// `None`: another version, or damaged.
pub(super) fn unseal(sealed: &[u8]) -> Option<Vec<u8>> {
    let (head, value) = sealed.split_at_checked(HEAD)?;
    let (version, sum) = head.split_first()?;
    (*version == VERSION && sum == checksum(value).to_be_bytes()).then(|| value.to_vec())
}

/// Of the value and its version.
fn checksum(value: &[u8]) -> u32 {
    lockstep_batch::crc::checksum(value) ^ u32::from(VERSION)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_sealed_comes_back_and_nothing_else() {
        let sealed = seal(b"exposure");
        assert_eq!(unseal(&sealed).as_deref(), Some(&b"exposure"[..]));
        assert_eq!(unseal(&seal(b"")).as_deref(), Some(&b""[..]));
        for at in 0..sealed.len() {
            let mut damaged = sealed.clone();
            damaged[at] ^= 1;
            assert_eq!(unseal(&damaged), None, "byte {at}");
        }
        assert_eq!((unseal(b""), unseal(&sealed[..4]), unseal(&sealed[..8])), (None, None, None));
    }
}
