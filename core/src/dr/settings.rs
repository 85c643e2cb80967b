//! Which settings a standby's topic gets when it is promoted (M26): those that standing by had changed (M20, M21) become
//! the source's own again. Pure. Never takes a fence's value for the source's will (M23).

use std::collections::BTreeMap;

use super::fence::Previous;
use crate::plan::owners::{FIELDS, Owner};

/// The source's settings that wait on a standby until it is compacted (M21).
const WAITING: [&str; 2] = ["segment.ms", "segment.jitter.ms"];

/// What to set (`Some`) or unset (`None`) on the promoted topic. `source`: the source topic's own values as they are now;
/// `noted`: what a fence has changed among them; `dest`: the promoted topic's own values.
pub fn promoted_settings(
    source: &BTreeMap<String, String>,
    noted: &BTreeMap<String, Previous>,
    dest: &BTreeMap<String, String>,
) -> Vec<(String, Option<String>)> {
    let names = FIELDS.iter().filter(|field| field.owner == Owner::Standby).map(|field| field.name);
    let real = |name: &str| match noted.get(name) {
        Some(previous) => previous.restored().map(str::to_owned),
        None => source.get(name).cloned(),
    };
    let changes = names.chain(WAITING).filter_map(|name| {
        let wanted = real(name);
        (dest.get(name) != wanted.as_ref()).then(|| (name.to_owned(), wanted))
    });
    changes.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::topics::standby_settings;

    fn values(list: &[(&str, &str)]) -> BTreeMap<String, String> {
        list.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn what_standing_by_changed_becomes_the_sources_own() {
        let dest: BTreeMap<_, _> = standby_settings(|_| true).into_iter().collect();
        let source = values(&[("retention.ms", "3600000"), ("cleanup.policy", "compact"), ("x.y", "z")]);
        let changes = promoted_settings(&source, &BTreeMap::new(), &dest);
        let of = |name: &str| changes.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_deref());
        assert_eq!(of("retention.ms"), Some(Some("3600000")));
        assert_eq!(of("cleanup.policy"), Some(Some("compact")));
        assert_eq!(of("compression.type"), Some(None), "the source has none of its own: the default holds");
        assert_eq!(of("x.y"), None, "standing by has not changed it");
        let mut after = dest;
        for (name, value) in &changes {
            match value {
                Some(value) => after.insert(name.clone(), value.clone()),
                None => after.remove(name),
            };
        }
        assert_eq!(promoted_settings(&source, &BTreeMap::new(), &after), [], "once is enough");
    }

    #[test]
    fn a_fences_value_is_not_the_sources_will() {
        let fenced = values(&[("max.message.bytes", "78")]);
        let noted = BTreeMap::from([("max.message.bytes".to_owned(), Previous::Set("5000000".to_owned()))]);
        let dest = values(&[("max.message.bytes", "2147483647")]);
        let wanted = [("max.message.bytes".to_owned(), Some("5000000".to_owned()))];
        assert_eq!(promoted_settings(&fenced, &noted, &dest), wanted);
        let unset = BTreeMap::from([("max.message.bytes".to_owned(), Previous::Unset)]);
        assert_eq!(promoted_settings(&fenced, &unset, &dest), [("max.message.bytes".to_owned(), None)]);
    }
}
