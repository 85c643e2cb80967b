//! Which APIs we use and in which versions: the one table, and the choice of a version both sides speak.
//! Promises: the highest version in (ours ∩ the broker's); none in common is an error that names both ranges.
//! Raising a maximum here needs the answer's new fields in `shapes`, or its test fails.

use std::collections::BTreeMap;
use std::fmt;

/// A Kafka API this crate calls. Its number on the wire is Kafka's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(i16)]
pub enum Api {
    Produce = 0,
    Fetch = 1,
    ListOffsets = 2,
    Metadata = 3,
    OffsetCommit = 8,
    OffsetFetch = 9,
    FindCoordinator = 10,
    Heartbeat = 12,
    ListGroups = 16,
    SaslHandshake = 17,
    ApiVersions = 18,
    CreateTopics = 19,
    DeleteTopics = 20,
    DeleteRecords = 21,
    InitProducerId = 22,
    OffsetForLeaderEpoch = 23,
    AddPartitionsToTxn = 24,
    AddOffsetsToTxn = 25,
    EndTxn = 26,
    WriteTxnMarkers = 27,
    DescribeAcls = 29,
    CreateAcls = 30,
    DeleteAcls = 31,
    DescribeConfigs = 32,
    DescribeLogDirs = 35,
    SaslAuthenticate = 36,
    CreatePartitions = 37,
    DeleteGroups = 42,
    IncrementalAlterConfigs = 44,
    OffsetDelete = 47,
    DescribeProducers = 61,
    DescribeTransactions = 65,
    ListTransactions = 66,
}

/// A closed range of versions of one API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Versions {
    pub min: i16,
    /// Inclusive.
    pub max: i16,
}

impl Versions {
    pub const fn new(min: i16, max: i16) -> Self {
        Self { min, max }
    }

    /// The versions in both, if any.
    #[must_use]
    pub fn common(self, other: Self) -> Option<Self> {
        let both = Self::new(self.min.max(other.min), self.max.min(other.max));
        (both.min <= both.max).then_some(both)
    }
}

impl fmt::Display for Versions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.min == self.max {
            write!(f, "v{}", self.min)
        } else {
            write!(f, "v{} to v{}", self.min, self.max)
        }
    }
}

impl Api {
    #[cfg(test)]
    pub(crate) const ALL: [Self; 33] = [
        Self::Produce,
        Self::Fetch,
        Self::ListOffsets,
        Self::Metadata,
        Self::OffsetCommit,
        Self::OffsetFetch,
        Self::FindCoordinator,
        Self::Heartbeat,
        Self::ListGroups,
        Self::SaslHandshake,
        Self::ApiVersions,
        Self::CreateTopics,
        Self::DeleteTopics,
        Self::DeleteRecords,
        Self::InitProducerId,
        Self::OffsetForLeaderEpoch,
        Self::AddPartitionsToTxn,
        Self::AddOffsetsToTxn,
        Self::EndTxn,
        Self::WriteTxnMarkers,
        Self::DescribeAcls,
        Self::CreateAcls,
        Self::DeleteAcls,
        Self::DescribeConfigs,
        Self::DescribeLogDirs,
        Self::SaslAuthenticate,
        Self::CreatePartitions,
        Self::DeleteGroups,
        Self::IncrementalAlterConfigs,
        Self::OffsetDelete,
        Self::DescribeProducers,
        Self::DescribeTransactions,
        Self::ListTransactions,
    ];

    /// The number on the wire.
    pub(crate) fn key(self) -> i16 {
        self as i16
    }

    /// The versions we speak. Lower bounds: a source of Kafka 2.1, a destination of 3.0.
    pub(crate) fn ours(self) -> Versions {
        match self {
            Self::Produce => Versions::new(3, 12),
            Self::Fetch => Versions::new(4, 16),
            Self::ListOffsets => Versions::new(1, 8),
            Self::Metadata => Versions::new(4, 12),
            Self::FindCoordinator => Versions::new(1, 4),
            // With leader epochs (KIP-320), by topic names.
            Self::OffsetCommit => Versions::new(6, 9),
            Self::OffsetFetch => Versions::new(5, 9),
            Self::ListGroups => Versions::new(1, 5),
            Self::DeleteGroups => Versions::new(0, 2),
            Self::OffsetDelete => Versions::new(0, 0),
            Self::Heartbeat => Versions::new(0, 4),
            // v0 sends what follows without frames.
            Self::SaslHandshake => Versions::new(1, 1),
            Self::SaslAuthenticate => Versions::new(0, 2),
            Self::ApiVersions => Versions::new(0, 3),
            Self::CreateTopics => Versions::new(2, 7),
            Self::DeleteTopics => Versions::new(1, 6),
            Self::DeleteRecords => Versions::new(0, 2),
            Self::InitProducerId => Versions::new(0, 4),
            Self::OffsetForLeaderEpoch => Versions::new(2, 4),
            // Later ones raise the producer epoch at every end of a transaction (KIP-890).
            Self::AddPartitionsToTxn | Self::AddOffsetsToTxn | Self::EndTxn => Versions::new(0, 3),
            Self::WriteTxnMarkers => Versions::new(1, 1),
            // v0 knows no patterns (KIP-290).
            Self::DescribeAcls | Self::CreateAcls | Self::DeleteAcls => Versions::new(1, 3),
            Self::DescribeConfigs | Self::DescribeLogDirs => Versions::new(1, 4),
            Self::CreatePartitions => Versions::new(0, 3),
            Self::IncrementalAlterConfigs => Versions::new(0, 1),
            Self::DescribeProducers | Self::DescribeTransactions | Self::ListTransactions => {
                Versions::new(0, 0)
            }
        }
    }

    /// From this version on strings and arrays are compact and structures end in tagged fields (KIP-482).
    pub(crate) fn flexible_since(self) -> i16 {
        match self {
            Self::Produce | Self::Metadata => 9,
            Self::Fetch => 12,
            Self::ListOffsets | Self::OffsetFetch => 6,
            Self::OffsetCommit => 8,
            Self::ListGroups => 3,
            Self::FindCoordinator | Self::ApiVersions => 3,
            Self::AddPartitionsToTxn | Self::AddOffsetsToTxn | Self::EndTxn => 3,
            Self::CreateTopics => 5,
            Self::DeleteTopics | Self::OffsetForLeaderEpoch | Self::DescribeConfigs | Self::Heartbeat => 4,
            Self::DeleteRecords | Self::InitProducerId | Self::CreatePartitions | Self::DescribeLogDirs => 2,
            Self::SaslAuthenticate | Self::DeleteGroups => 2,
            Self::DescribeAcls | Self::CreateAcls | Self::DeleteAcls => 2,
            Self::SaslHandshake | Self::OffsetDelete => i16::MAX,
            Self::IncrementalAlterConfigs | Self::WriteTxnMarkers => 1,
            Self::DescribeProducers | Self::DescribeTransactions | Self::ListTransactions => 0,
        }
    }

    pub(crate) fn is_flexible(self, version: i16) -> bool {
        version >= self.flexible_since()
    }

    /// Whether the answer's header ends in tagged fields. ApiVersions never does: its reader cannot know the version yet.
    pub(crate) fn answers_with_header_tags(self, version: i16) -> bool {
        self != Self::ApiVersions && self.is_flexible(version)
    }
}

impl fmt::Display for Api {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// What a broker said it speaks, by API number.
#[derive(Clone, Debug, Default)]
pub(crate) struct Offered(BTreeMap<i16, Versions>);

impl Offered {
    pub(crate) fn new(ranges: impl IntoIterator<Item = (i16, Versions)>) -> Self {
        Self(ranges.into_iter().collect())
    }

    /// The broker's range, if it has the API at all.
    pub(crate) fn range(&self, api: Api) -> Option<Versions> {
        self.0.get(&api.key()).copied()
    }

    /// The highest version in (`wanted` ∩ ours ∩ the broker's).
    pub(crate) fn choose(&self, api: Api, wanted: Versions) -> Option<i16> {
        let ours = api.ours().common(wanted)?;
        Some(self.range(api)?.common(ours)?.max)
    }
}

#[cfg(test)]
mod tests {
    use kafka_protocol::messages::ApiKey;

    use super::*;

    #[test]
    fn the_highest_common_version_is_chosen() {
        let offered =
            Offered::new([(1, Versions::new(0, 13)), (3, Versions::new(0, 3)), (0, Versions::new(13, 14))]);
        assert_eq!(offered.choose(Api::Fetch, Api::Fetch.ours()), Some(13));
        assert_eq!(offered.choose(Api::Fetch, Versions::new(0, 12)), Some(12));
        assert_eq!(offered.choose(Api::Metadata, Api::Metadata.ours()), None, "too old");
        assert_eq!(offered.choose(Api::Produce, Api::Produce.ours()), None, "too new");
        assert_eq!(offered.choose(Api::ListOffsets, Api::ListOffsets.ours()), None, "absent");
    }

    #[test]
    fn our_table_agrees_with_the_protocol_library() {
        for api in Api::ALL {
            let theirs = ApiKey::try_from(api.key()).expect("a known API");
            assert_eq!(format!("{theirs:?}"), api.to_string());
            for version in api.ours().min..=api.ours().max {
                let flexible_request = theirs.request_header_version(version) >= 2;
                assert_eq!(api.is_flexible(version), flexible_request, "{api} v{version}");
                let header_tags = theirs.response_header_version(version) == 1;
                assert_eq!(api.answers_with_header_tags(version), header_tags, "{api} v{version}");
            }
        }
    }
}
