//! A secret that cannot show itself, and where it is read from.
//! Promises: neither `Debug` nor an error prints a byte of it; its memory is overwritten when it goes.
//! Files are read anew at every use, so that a changed password needs no restart.

use std::fmt;
use std::io::Read;

use lockstep_core::spec::security::SecretSpec;
use zeroize::Zeroizing;

/// No password, token or key file is longer.
const SECRET_BYTES_MAX: u64 = 1 << 20;

/// Bytes that only the code that sends them may see.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    #[must_use]
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }

    pub(crate) fn reveal(&self) -> &[u8] {
        &self.0
    }

    /// As text, for mechanisms that know text only.
    pub(crate) fn reveal_text(&self) -> Result<&str, String> {
        std::str::from_utf8(&self.0).map_err(|_| "it is not UTF-8 text".to_owned())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(not shown)")
    }
}

/// Reads a secret from where it is. One line break at the end of a file does not count.
///
/// # Errors
/// In words, naming file or variable: it cannot be read, or is empty.
pub(crate) fn read(spec: &SecretSpec) -> Result<Secret, String> {
    let (place, secret) = match spec {
        SecretSpec::File(path) => {
            let place = path.display().to_string();
            let mut bytes = read_file(path)?;
            if bytes.last() == Some(&b'\n') {
                bytes.pop();
                if bytes.last() == Some(&b'\r') {
                    bytes.pop();
                }
            }
            (place, Secret(bytes))
        }
        SecretSpec::Env(name) => {
            let place = format!("the environment variable {name}");
            // Not UTF-8 on Unix is fine: bytes are bytes.
            let value = std::env::var_os(name).ok_or_else(|| format!("{place} is not set"))?;
            (place, Secret::new(value.into_encoded_bytes()))
        }
    };
    if secret.0.is_empty() { Err(format!("{place} is empty")) } else { Ok(secret) }
}

/// A whole file, within bounds, in memory that is overwritten when it goes.
pub(crate) fn read_file(path: &std::path::Path) -> Result<Zeroizing<Vec<u8>>, String> {
    let wrong = |error: std::io::Error| format!("{} cannot be read: {error}", path.display());
    let file = std::fs::File::open(path).map_err(wrong)?;
    let mut bytes = Zeroizing::new(Vec::new());
    file.take(SECRET_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(wrong)?;
    if bytes.len() as u64 > SECRET_BYTES_MAX {
        return Err(format!("{} is longer than {SECRET_BYTES_MAX} bytes", path.display()));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_never_shows_itself() {
        let secret = Secret::new(b"hunter2".to_vec());
        assert!(!format!("{secret:?} {:#?}", Some(&secret)).contains("hunter"));
        assert_eq!(secret.reveal(), b"hunter2");
    }

    #[test]
    fn one_line_break_at_the_end_of_a_file_does_not_count() {
        let path = std::env::temp_dir().join(format!("lockstep-secret-{}", fastrand::u64(..)));
        for (written, read_back) in [("pw\n", "pw"), ("pw\r\n", "pw"), ("pw", "pw"), (" p w \n\n", " p w \n")]
        {
            std::fs::write(&path, written).unwrap();
            let secret = read(&SecretSpec::File(path.clone())).unwrap();
            assert_eq!(secret.reveal_text().unwrap(), read_back);
        }
        std::fs::write(&path, "\n").unwrap();
        let spec = SecretSpec::File(path.clone());
        assert!(read(&spec).unwrap_err().ends_with("is empty"));
        std::fs::remove_file(&path).unwrap();
        assert!(read(&spec).unwrap_err().contains("cannot be read"));
        let unset = SecretSpec::Env("LOCKSTEP_NO_SUCH_VARIABLE".to_owned());
        assert!(read(&unset).unwrap_err().contains("LOCKSTEP_NO_SUCH_VARIABLE is not set"));
    }
}
