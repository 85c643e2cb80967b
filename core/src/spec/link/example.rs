//! A name that a pattern takes, so that two patterns can be judged without a cluster: `claims\..*` takes `claims.any`.
//! Promises: what is answered is matched by the pattern and could be a topic's name; for patterns that are too clever
//! the answer is none. That no example is found proves nothing.

use crate::spec::rename::is_topic_name;
use crate::spec::select::Patterns;

/// Where a pattern takes anything.
const ANYTHING: &str = "any";
/// Groups in groups.
const DEPTH_MAX: usize = 8;

/// A topic's name that the pattern takes.
#[must_use]
pub fn example(pattern: &str) -> Option<String> {
    let found = alternatives(pattern).iter().find_map(|each| spell(each, 0))?;
    let matches = Patterns::new([pattern]).is_ok_and(|patterns| patterns.matches(&found));
    (matches && is_topic_name(&found)).then_some(found)
}

/// The one name that the pattern takes, if it is no more than a name.
#[must_use]
pub fn literal(pattern: &str) -> Option<String> {
    let mut name = String::new();
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => name.push(chars.next().filter(|c| "._-".contains(*c))?),
            // A dot takes any character; whoever writes one means a dot all the same, so it is no pattern for us either.
            c if c.is_ascii_alphanumeric() || "._-".contains(c) => name.push(c),
            _ => return None,
        }
    }
    is_topic_name(&name).then_some(name)
}

/// Split at the bars outside of brackets.
fn alternatives(pattern: &str) -> Vec<&str> {
    let (mut parts, mut start, mut depth, mut escaped) = (Vec::new(), 0, 0i32, false);
    for (at, c) in pattern.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '(' | '[' => depth += 1,
            ')' | ']' => depth -= 1,
            '|' if depth == 0 => {
                parts.push(&pattern[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&pattern[start..]);
    parts
}

fn spell(pattern: &str, depth: usize) -> Option<String> {
    let mut out = String::new();
    let mut rest = pattern;
    while let Some(c) = rest.chars().next() {
        let (piece, used) = match c {
            '^' | '$' => (String::new(), 1),
            '\\' => escaped(rest)?,
            '.' => ((if rest[1..].starts_with(['*', '+']) { ANYTHING } else { "a" }).to_owned(), 1),
            '[' => class(rest)?,
            '(' if depth < DEPTH_MAX => {
                let end = closing(rest)?;
                let inner = rest[1..end].strip_prefix("?:").unwrap_or(&rest[1..end]);
                let spelt = alternatives(inner).iter().find_map(|each| spell(each, depth + 1))?;
                (spelt, end + 1)
            }
            c if c.is_ascii_alphanumeric() || "_-".contains(c) => (c.to_string(), 1),
            _ => return None,
        };
        out.push_str(&piece);
        rest = rest[used..].trim_start_matches(['*', '+', '?']);
    }
    Some(out)
}

fn escaped(rest: &str) -> Option<(String, usize)> {
    let spelt = match rest[1..].chars().next()? {
        'd' => '1',
        'w' => 'a',
        c if "._-".contains(c) => c,
        _ => return None,
    };
    Some((spelt.to_string(), 2))
}

fn class(rest: &str) -> Option<(String, usize)> {
    let end = rest.find(']')?;
    let first = rest[1..end].chars().next()?;
    (first.is_ascii_alphanumeric() || "._-".contains(first)).then(|| (first.to_string(), end + 1))
}

/// Where the bracket that opens `rest` closes.
fn closing(rest: &str) -> Option<usize> {
    let mut depth = 0;
    let mut escaped = false;
    for (at, c) in rest.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '(' => depth += 1,
            ')' => {
                depth -= 1;
                if depth == 0 {
                    return Some(at);
                }
            }
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_spelt() {
        let spelt = [
            ("orders", "orders"),
            ("claims\\..*", "claims.any"),
            (".*", "any"),
            ("(a|b)-[0-9]+\\.x?", "a-0.x"),
            ("(?:pay|bill)\\d\\d", "pay11"),
            ("a{3}|b", "b"),
            ("^whole.$", "wholea"),
        ];
        for (pattern, name) in spelt {
            assert_eq!(example(pattern).as_deref(), Some(name), "{pattern}");
        }
        for clever in ["[^a]", "\\p{Greek}", "a{3}", "(", "a b", "\\bx"] {
            assert_eq!(example(clever), None, "{clever}");
        }
    }

    #[test]
    fn a_name_alone_is_a_name() {
        assert_eq!(literal("orders").as_deref(), Some("orders"));
        assert_eq!(literal("a\\.b").as_deref(), Some("a.b"));
        assert_eq!(literal("a.b").as_deref(), Some("a.b"));
        assert!(literal("a.*").is_none() && literal("a|b").is_none() && literal("\\d").is_none());
    }
}
