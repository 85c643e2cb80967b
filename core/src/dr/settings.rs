//! Which settings a standby's topic gets when it is promoted (M26): those that standing by had changed (M20, M21) become
//! the source's own again. Pure. Never takes a fence's value for the source's will (M23).

use std::collections::BTreeMap;

use super::fence::Previous;
use crate::plan::configs::{Own, WITH_COMPACTION, kept};
use crate::plan::owners::{FIELDS, Owner, TopicSettingsPolicy};

/// What to set (`Some`) or unset (`None`) on the promoted topic. `source`: the source topic's own values as they are now;
/// `noted`: what a fence has changed among them; `dest`: the promoted topic's own values; `policy`: whose word counts for
/// the settings that wait on a standby until it is compacted (M21).
pub fn promoted_settings(
    source: &Own,
    noted: &BTreeMap<String, Previous>,
    dest: &Own,
    policy: &TopicSettingsPolicy,
) -> Vec<(String, Option<String>)> {
    let before = noted.iter().filter_map(|(name, was)| Some((name.clone(), was.restored()?.to_owned())));
    let real = kept(source, &before.collect());
    let standing_by = FIELDS.iter().filter(|field| field.owner == Owner::Standby).map(|field| field.name);
    let waiting = WITH_COMPACTION.into_iter().filter(|name| policy.owner(name) == Owner::Source);
    let wanted =
        standing_by.map(|name| (name, real.get(name))).chain(waiting.map(|name| (name, source.get(name))));
    let changes = wanted.filter(|(name, value)| dest.get(*name) != *value);
    changes.map(|(name, value)| (name.to_owned(), value.cloned())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::topics::standby_settings;

    fn values(list: &[(&str, &str)]) -> BTreeMap<String, String> {
        list.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    fn promoted(
        source: &Own,
        noted: &BTreeMap<String, Previous>,
        dest: &Own,
    ) -> Vec<(String, Option<String>)> {
        promoted_settings(source, noted, dest, &TopicSettingsPolicy::default())
    }

    #[test]
    fn what_standing_by_changed_becomes_the_sources_own() {
        let dest: BTreeMap<_, _> = standby_settings(|_| true).into_iter().collect();
        let source = values(&[("retention.ms", "3600000"), ("cleanup.policy", "compact"), ("x.y", "z")]);
        let changes = promoted(&source, &BTreeMap::new(), &dest);
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
        assert_eq!(promoted(&source, &BTreeMap::new(), &after), [], "once is enough");
    }

    #[test]
    fn a_fences_value_is_not_the_sources_will() {
        let fenced = values(&[("max.message.bytes", "78")]);
        let noted = BTreeMap::from([("max.message.bytes".to_owned(), Previous::Set("5000000".to_owned()))]);
        let dest = values(&[("max.message.bytes", "2147483647")]);
        let wanted = [("max.message.bytes".to_owned(), Some("5000000".to_owned()))];
        assert_eq!(promoted(&fenced, &noted, &dest), wanted);
        let unset = BTreeMap::from([("max.message.bytes".to_owned(), Previous::Unset)]);
        let not_noted = promoted(&fenced, &BTreeMap::new(), &dest);
        assert_eq!(not_noted, [("max.message.bytes".to_owned(), None)], "whoever fenced it");
        assert_eq!(promoted(&fenced, &unset, &dest), [("max.message.bytes".to_owned(), None)]);
    }

    #[test]
    fn what_waited_for_compaction_follows_the_source_unless_the_user_said_otherwise() {
        let source = values(&[("segment.ms", "600000")]);
        let (none, dest) = (BTreeMap::new(), values(&[("segment.jitter.ms", "5")]));
        let changes = promoted(&source, &none, &dest);
        let wanted = [("segment.jitter.ms", None), ("segment.ms", Some("600000"))];
        assert_eq!(changes, wanted.map(|(name, value)| (name.to_owned(), value.map(str::to_owned))));
        let local = ["segment.ms", "segment.jitter.ms"].map(|name| (name.to_owned(), Owner::Local));
        let policy = TopicSettingsPolicy::new(Own::new(), BTreeMap::from(local)).unwrap();
        assert_eq!(promoted_settings(&source, &none, &dest, &policy), []);
    }
}
