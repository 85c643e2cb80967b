//! Where in a file a key stands: dotted path → line. Filled by whoever reads the file, asked when faults are shown.

use std::collections::BTreeMap;

use super::fault::Fault;

/// The lines of a document's keys. Elements of a list count from 0: `topics.include[1]`.
#[derive(Clone, Debug, Default)]
pub struct Lines(BTreeMap<String, u32>);

impl Lines {
    /// The first line is 1. Of a path given twice the first one counts.
    pub fn insert(&mut self, path: String, line: u32) {
        self.0.entry(path).or_insert(line);
    }

    /// The line of `path`; of what is missing, the line of the nearest thing around it that is there.
    #[must_use]
    pub fn of(&self, path: &str) -> Option<u32> {
        let mut path = path;
        loop {
            if let Some(line) = self.0.get(path) {
                return Some(*line);
            }
            path = &path[..path.rfind(['.', '['])?];
        }
    }

    /// Gives each fault its line, and puts them in the order of the file.
    #[must_use]
    pub fn place(&self, mut faults: Vec<Fault>) -> Vec<Fault> {
        for fault in &mut faults {
            fault.line = fault.line.or_else(|| self.of(&fault.key));
        }
        faults.sort_by(|a, b| (a.line, &a.key).cmp(&(b.line, &b.key)));
        faults
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_looked_for_where_it_would_stand() {
        let mut lines = Lines::default();
        for (path, line) in [("links", 3), ("links.a.b", 4), ("links.a.b.topics[1]", 6), ("site", 1)] {
            lines.insert(path.to_owned(), line);
        }
        assert_eq!(lines.of("links.a.b.topics[1]"), Some(6));
        assert_eq!(lines.of("links.a.b.from"), Some(4));
        assert_eq!(lines.of("links.c"), Some(3));
        assert_eq!(lines.of("listen"), None);
        let faults = ["links.c.to", "links.a.b.from", "site", "listen"].map(|key| Fault::new(key, "x"));
        let placed = lines.place(faults.to_vec());
        let order: Vec<_> = placed.iter().map(|fault| (fault.line, fault.key.as_str())).collect();
        assert_eq!(
            order,
            [(None, "listen"), (Some(1), "site"), (Some(3), "links.c.to"), (Some(4), "links.a.b.from")]
        );
    }
}
