//! What would be lost if a whole site vanished now: all links together whose primary it has. A disaster is a site, not a link.

use serde::{Deserialize, Serialize};

use super::merge::plus;
use super::{ExposureStatus, LinkStatus};
use crate::dr::posture::Posture;

/// A site, by its links.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SiteStatus {
    /// It has no cluster: a coordinator, and agents that only probe.
    pub is_witness: bool,
    /// Links whose primary is here: what follows is of these.
    pub primary_links: u64,
    pub standby_links: u64,
    /// The worst one, and whose it is; null: there is no such link.
    pub posture: Option<String>,
    pub worst_link: Option<String>,
    /// Records and bytes of all of them, and the longest of their times; null: there is no such link.
    pub exposure: Option<ExposureStatus>,
    /// Of how many nothing is known: the sums are of the others only.
    pub unknown_links: u64,
}

/// What a site has of a link.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HasSide {
    pub primary: bool,
    pub standby: bool,
}

impl SiteStatus {
    /// `links`: all there are. `side`: which side of the link of this name the site has.
    #[must_use]
    pub fn of(is_witness: bool, links: &[LinkStatus], side: impl Fn(&str) -> HasSide) -> Self {
        let primary: Vec<_> = links.iter().filter(|link| side(&link.link).primary).collect();
        // The first of several that are as bad.
        let worst = primary.iter().min_by_key(|link| Posture::of_word(&link.posture));
        Self {
            is_witness,
            primary_links: primary.len() as u64,
            standby_links: links.iter().filter(|link| side(&link.link).standby).count() as u64,
            posture: worst.map(|link| link.posture.clone()),
            worst_link: worst.map(|link| link.link.clone()),
            exposure: primary.iter().map(|link| &link.exposure).fold(None, plus),
            unknown_links: primary.iter().filter(|link| link.exposure.seen_records.is_none()).count() as u64,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{About, LinkState, not_running};
    use super::*;
    use crate::dr::posture::{Role, WriteProtection};

    fn link(name: &str, posture: Posture, seen: Option<(u64, f64)>) -> LinkStatus {
        let about = About {
            link: name.to_owned(),
            from: "mi".to_owned(),
            to: "pr".to_owned(),
            rpo_ms: 5_000,
            role: Role::Standby,
            write_protection: WriteProtection::NotLooked,
            groups: None,
            drift: None,
        };
        let exposure = ExposureStatus {
            seen_records: seen.map(|(records, _)| records),
            seen_seconds: seen.map(|(_, seconds)| seconds),
            datum_age_seconds: seen.map(|_| 0.2),
            is_fresh: seen.is_some(),
            ..ExposureStatus::default()
        };
        let posture = posture.word().to_owned();
        LinkStatus { posture, exposure, ..not_running(&about, LinkState::Running, "x", Vec::new()) }
    }

    #[test]
    fn a_site_is_as_exposed_as_all_links_whose_primary_it_has() {
        let links = [
            link("claims", Posture::WithinRpo, Some((41, 0.3))),
            link("quotes", Posture::OverRpo, Some((2_911, 8.1))),
            link("bills", Posture::WithinRpo, Some((7, 0.1))),
        ];
        let side = |link: &str| HasSide { primary: link != "bills", standby: link == "bills" };
        let milano = SiteStatus::of(false, &links, side);
        assert_eq!((milano.primary_links, milano.standby_links), (2, 1));
        assert_eq!(
            (milano.posture.as_deref(), milano.worst_link.as_deref()),
            (Some("OVER_RPO"), Some("quotes"))
        );
        let exposure = milano.exposure.unwrap();
        assert_eq!((exposure.seen_records, exposure.seen_seconds), (Some(2_952), Some(8.1)));
        assert!(exposure.is_fresh);
        let wien = SiteStatus::of(true, &links, |_| HasSide::default());
        assert_eq!((wien.posture, wien.exposure, wien.primary_links), (None, None, 0));
    }

    #[test]
    fn a_link_that_nothing_is_known_of_is_no_zero() {
        let links =
            [link("claims", Posture::WithinRpo, Some((41, 0.3))), link("quotes", Posture::Unknown, None)];
        let milano = SiteStatus::of(false, &links, |_| HasSide { primary: true, standby: false });
        assert_eq!((milano.posture.as_deref(), milano.unknown_links), (Some("UNKNOWN"), 1));
        let exposure = milano.exposure.unwrap();
        assert_eq!(
            (exposure.seen_records, exposure.is_fresh, exposure.datum_age_seconds),
            (Some(41), false, None)
        );
    }
}
