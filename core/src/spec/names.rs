//! Names that users give: links, sites, clusters; and which known word was meant by an unknown one.

use std::fmt::Display;

/// The longest name of a link, a site or a cluster; a link's becomes a part of a transactional id.
const NAME_BYTES_MAX: usize = 200;

/// Whether something may be called so: 1 to 200 letters, digits, `.`, `_` or `-`.
///
/// # Errors
/// In words, with what would be right.
pub fn name(text: &str) -> Result<String, String> {
    let good = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    if text.is_empty() || text.len() > NAME_BYTES_MAX || !text.chars().all(good) {
        return Err("use 1 to 200 letters, digits, '.', '_' or '-'".to_owned());
    }
    Ok(text.to_owned())
}

/// Whether somebody may be dialled there: `host:port`.
///
/// # Errors
/// In words.
pub fn address(text: &str) -> Result<String, &'static str> {
    let (host, port) = text.rsplit_once(':').ok_or("the port is missing")?;
    if host.is_empty() || host.contains(|c: char| c.is_whitespace() || c == '/') {
        return Err("the host is missing or contains a character no host name has");
    }
    match port.parse::<u16>() {
        Ok(1..) => Ok(text.to_owned()),
        _ => Err("the port must be a number from 1 to 65535"),
    }
}

/// What to say about a key that means nothing. `known`: the keys that may stand there.
pub(super) fn unknown_key<'a>(given: &str, known: impl IntoIterator<Item = &'a str> + Clone) -> String {
    let meant = meant(given, known.clone());
    let known = known.into_iter().collect::<Vec<_>>().join(", ");
    format!("is no key of ours{meant}; known here: {known}")
}

/// `: did you mean "…"?`, if a candidate is near enough to have been meant.
pub(super) fn meant<'a>(given: &str, candidates: impl IntoIterator<Item = &'a str>) -> String {
    let near = candidates.into_iter().map(|candidate| (distance(given, candidate), candidate)).min();
    match near {
        Some((distance, candidate)) if distance <= 1 + given.chars().count() / 4 => {
            format!(": did you mean {candidate:?}?")
        }
        _ => String::new(),
    }
}

/// Names joined as people list them; a word for none.
pub(super) fn listed<T: Display>(names: impl IntoIterator<Item = T>) -> String {
    let names: Vec<String> = names.into_iter().map(|name| name.to_string()).collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

/// Letters to insert, drop or change until one word is the other (Levenshtein). Words are short: keys of ours.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let changed = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_letters_digits_and_three_signs() {
        assert!(name("claims-1.a_b").is_ok());
        for wrong in ["", "a b", "a/b", "ä", &"a".repeat(201)] {
            assert!(name(wrong).unwrap_err().contains("letters"), "{wrong}");
        }
    }

    #[test]
    fn a_slip_of_the_pen_is_recognised_and_another_word_is_not() {
        assert_eq!(distance("kitten", "sitting"), 3);
        let known = ["topics", "groups", "throttle"];
        assert!(unknown_key("topic", known).contains("did you mean \"topics\"?"));
        assert!(unknown_key("trottle", known).contains("\"throttle\""));
        let words = unknown_key("password", known);
        assert!(!words.contains("did you mean") && words.contains("topics, groups, throttle"), "{words}");
    }
}
