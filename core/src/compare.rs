//! Whether two records are the same, and the first difference in words. Same: timestamp, key, value, and the
//! headers in their order, duplicates and nulls included. Null and empty are different things.

use lockstep_batch::records::{Header, Record};

/// How two records at the same offset differ; `None` if they do not.
/// `a` and `b` are called "here" and "there".
pub fn difference(a: &Record, b: &Record) -> Option<String> {
    if a.timestamp != b.timestamp {
        return Some(format!("timestamp {} here, {} there", a.timestamp, b.timestamp));
    }
    bytes_differ("key", a.key.as_deref(), b.key.as_deref())
        .or_else(|| bytes_differ("value", a.value.as_deref(), b.value.as_deref()))
        .or_else(|| headers_differ(&a.headers, &b.headers))
}

fn bytes_differ(what: &str, a: Option<&[u8]>, b: Option<&[u8]>) -> Option<String> {
    if a == b {
        return None;
    }
    let size = |bytes: Option<&[u8]>| bytes.map_or("null".to_owned(), |b| format!("{} bytes", b.len()));
    let mut text = format!("{what} {} here, {} there", size(a), size(b));
    if let (Some(a), Some(b)) = (a, b) {
        let common = a.iter().zip(b).take_while(|(x, y)| x == y).count();
        text.push_str(&format!(", first difference at byte {common}"));
    }
    Some(text)
}

fn headers_differ(a: &[Header], b: &[Header]) -> Option<String> {
    for (i, (x, y)) in a.iter().zip(b).enumerate() {
        if x.key != y.key {
            let name = |h: &Header| String::from_utf8_lossy(&h.key).into_owned();
            return Some(format!("header {i} is {:?} here, {:?} there", name(x), name(y)));
        }
        if let Some(text) = bytes_differ(&format!("header {i} value"), x.value.as_deref(), y.value.as_deref())
        {
            return Some(text);
        }
    }
    (a.len() != b.len()).then(|| format!("{} headers here, {} there", a.len(), b.len()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn record() -> Record {
        Record {
            offset: 5,
            timestamp: 1_000,
            key: Some(Bytes::from_static(b"k")),
            value: Some(Bytes::from_static(b"hello")),
            headers: vec![
                Header { key: Bytes::from_static(b"a"), value: None },
                Header { key: Bytes::from_static(b"b"), value: Some(Bytes::new()) },
            ],
        }
    }

    #[test]
    fn equal_records_have_no_difference() {
        assert_eq!(difference(&record(), &record()), None);
    }

    #[test]
    fn every_kind_of_difference_is_said() {
        let said = |change: fn(&mut Record)| {
            let mut other = record();
            change(&mut other);
            difference(&record(), &other).expect("a difference")
        };
        assert_eq!(said(|r| r.timestamp = 999), "timestamp 1000 here, 999 there");
        assert_eq!(said(|r| r.key = None), "key 1 bytes here, null there");
        assert_eq!(
            said(|r| r.value = Some(Bytes::from_static(b"helLo"))),
            "value 5 bytes here, 5 bytes there, first difference at byte 3"
        );
        assert_eq!(
            said(|r| r.headers[0].value = Some(Bytes::new())),
            "header 0 value null here, 0 bytes there"
        );
        assert_eq!(said(|r| r.headers.swap(0, 1)), "header 0 is \"a\" here, \"b\" there");
        assert_eq!(
            said(|r| {
                r.headers.pop();
            }),
            "2 headers here, 1 there"
        );
    }
}
