//! Sizes, durations and what is either of the two, as people write them in files and flags.
//! Promises: every refusal says what would be right; nothing overflows in silence.

use std::num::NonZeroU64;
use std::time::Duration;

use crate::mirror::cost::AlignmentBudget;

/// Bytes: a whole number, alone or with KB, MB, GB, TB (powers of 1000) or KiB, MiB, GiB, TiB (powers of 1024).
///
/// # Errors
/// In words, with the units that are known.
pub fn size(text: &str) -> Result<u64, String> {
    let (digits, unit) = parts(text);
    let unit = unit.to_ascii_lowercase();
    let factor: u64 = match unit.as_str() {
        "" | "b" => 1,
        "k" | "kb" => 1_000,
        "m" | "mb" => 1_000_000,
        "g" | "gb" => 1_000_000_000,
        "tb" => 1_000_000_000_000,
        "kib" => 1 << 10,
        "mib" => 1 << 20,
        "gib" => 1 << 30,
        "tib" => 1 << 40,
        _ => return Err(format!("{unit:?} is not a unit of size: use KB, MB, GB, KiB, MiB or GiB")),
    };
    let number: u64 = digits.parse().map_err(|_| format!("{digits:?} is not a whole number"))?;
    number.checked_mul(factor).ok_or_else(|| "larger than a machine can count".to_owned())
}

/// Bytes per second: a size above 0, with or without `/s`.
///
/// # Errors
/// In words.
pub fn throttle(text: &str) -> Result<NonZeroU64, String> {
    let bytes = size(text.strip_suffix("/s").unwrap_or(text))?;
    NonZeroU64::new(bytes).ok_or_else(|| "would copy nothing: leave it out for no limit".to_owned())
}

/// A time: whole numbers, each with ms, s, m, h or d, one behind the other: `10s`, `1h 30m`.
///
/// # Errors
/// In words, with the units that are known.
pub fn duration(text: &str) -> Result<Duration, String> {
    let mut rest = text.trim();
    if rest.is_empty() {
        return Err("is empty: write a time such as 10s, 5m or 1h 30m".to_owned());
    }
    let mut total: u64 = 0;
    while !rest.is_empty() {
        let digits_end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let (digits, behind) = rest.split_at(digits_end);
        let behind = behind.trim_start();
        let unit_end = behind.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(behind.len());
        let (unit, behind) = behind.split_at(unit_end);
        let factor: u64 = match unit {
            "ms" | "millis" => 1,
            "s" | "sec" | "second" | "seconds" => 1_000,
            "m" | "min" | "minute" | "minutes" => 60_000,
            "h" | "hour" | "hours" => 3_600_000,
            "d" | "day" | "days" => 86_400_000,
            _ => return Err(format!("{unit:?} is not a unit of time: use ms, s, m, h or d, as in 10s")),
        };
        let number: u64 = digits.parse().map_err(|_| format!("{digits:?} is not a whole number"))?;
        let sum = number.checked_mul(factor).and_then(|part| total.checked_add(part));
        total = sum.ok_or_else(|| "longer than a machine can count".to_owned())?;
        rest = behind.trim_start();
    }
    Ok(Duration::from_millis(total))
}

/// What may be spent on one hole (M14): a size bounds bytes and leaves the time open, a time the other way round.
///
/// # Errors
/// In words.
pub fn alignment_budget(text: &str) -> Result<AlignmentBudget, String> {
    if let Ok(time) = duration(text) {
        let milliseconds = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        return Ok(AlignmentBudget { bytes: u64::MAX, milliseconds });
    }
    let bytes =
        size(text).map_err(|_| "give a size (512MiB, 2GiB) or a time (90s, 10m), as in 30m".to_owned())?;
    Ok(AlignmentBudget { bytes, milliseconds: u64::MAX })
}

/// The number and what stands behind it.
fn parts(text: &str) -> (&str, &str) {
    let text = text.trim();
    let at = text.trim_end_matches(|c: char| c.is_ascii_alphabetic()).len();
    (text[..at].trim(), &text[at..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_with_their_units() {
        assert_eq!(size("48MiB"), Ok(48 << 20));
        assert_eq!(size("5 MB"), Ok(5_000_000));
        assert_eq!(size("123"), Ok(123));
        assert!(size("5 parsecs").unwrap_err().contains("unit"));
        assert!(size("MB").is_err() && size("-1").is_err() && size("").is_err());
        assert!(size("99999999999999GB").is_err());
    }

    #[test]
    fn durations_are_read_with_their_units() {
        assert_eq!(duration("10s"), Ok(Duration::from_secs(10)));
        assert_eq!(duration("1h 30m"), Ok(Duration::from_secs(5_400)));
        assert_eq!(duration("1h30m500ms"), Ok(Duration::from_millis(5_400_500)));
        assert!(duration("10").unwrap_err().contains("unit"));
        assert!(duration("s").is_err() && duration("").is_err() && duration("1.5h").is_err());
        assert!(duration("99999999999999999d").is_err());
    }

    #[test]
    fn a_budget_is_a_size_or_a_time() {
        let budget = alignment_budget("2GiB").unwrap();
        assert_eq!((budget.bytes, budget.milliseconds), (2 << 30, u64::MAX));
        let budget = alignment_budget("10m").unwrap();
        assert_eq!((budget.bytes, budget.milliseconds), (u64::MAX, 600_000));
        assert!(alignment_budget("plenty").unwrap_err().contains("2GiB"));
    }
}
