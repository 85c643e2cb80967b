//! One file per verb. A verb parses its flags, calls one crate below, and hands figures to `show`.

mod between;
mod config;
mod failure;
mod grouping;
mod groups;
mod mirror;
mod signals;
mod verify;

use clap::Subcommand;

use crate::exit::Exit;
use failure::Failure;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Mirror topics from one cluster to another with identical offsets
    Mirror(mirror::Args),
    /// Compare topics of two clusters offset by offset
    Verify(verify::Args),
    /// Show where consumer groups stand on both clusters, and where they would resume
    Groups(groups::Args),
}

pub(crate) async fn run(command: Command) -> Exit {
    match command {
        Command::Mirror(args) => mirror::run(args).await,
        Command::Verify(args) => verify::run(args).await,
        Command::Groups(args) => groups::run(args).await,
    }
}

/// Says an error the way every verb does.
fn fail(error: impl Into<Failure>) -> Exit {
    eprintln!("{}", error.into());
    Exit::Error
}

/// A size as typed: bytes, or with KB, MB, GB (powers of 1000) or KiB, MiB, GiB (powers of 1024).
fn parse_size(text: &str) -> Result<usize, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic()).trim();
    let unit = text[text.trim_end_matches(|c: char| c.is_ascii_alphabetic()).len()..].to_ascii_lowercase();
    let factor: usize = match unit.as_str() {
        "" | "b" => 1,
        "k" | "kb" => 1_000,
        "m" | "mb" => 1_000_000,
        "g" | "gb" => 1_000_000_000,
        "kib" => 1 << 10,
        "mib" => 1 << 20,
        "gib" => 1 << 30,
        _ => return Err(format!("{unit:?} is not a unit of size: use KB, MB, GB, KiB, MiB or GiB")),
    };
    let number: usize = digits.parse().map_err(|_| format!("{digits:?} is not a whole number"))?;
    number.checked_mul(factor).ok_or_else(|| "larger than this machine can count".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_with_their_units() {
        assert_eq!(parse_size("48MiB"), Ok(48 << 20));
        assert_eq!(parse_size("5 MB"), Ok(5_000_000));
        assert_eq!(parse_size("123"), Ok(123));
        assert!(parse_size("5 parsecs").unwrap_err().contains("unit"));
        assert!(parse_size("MB").is_err());
        assert!(parse_size("99999999999999GB").is_err());
    }
}
