//! What the answers of the APIs we call look like on the wire, version by version: data, no code.
//! Source: the message definitions of Apache Kafka (`clients/src/main/resources/common/message`).
//! A test compares each shape with the decoder that trusts it, for every version we speak.

use crate::versions::Api;

/// How one field is laid out. In flexible versions lengths are compact; the walk knows.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    /// This many bytes.
    Fixed(usize),
    Text,
    TextOrNull,
    BytesOrNull,
    /// An array of integers of this many bytes each.
    Numbers(usize),
    /// An array of texts.
    Texts,
    List(&'static [Field]),
    ListOrNull(&'static [Field]),
    /// A structure of its own; only behind a tag.
    Struct(&'static [Field]),
}

/// A field and the versions that have it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Field {
    pub(crate) kind: Kind,
    pub(crate) since: i16,
    pub(crate) until: i16,
    /// `Some` for a field that lives among the tagged ones.
    pub(crate) tag: Option<u32>,
}

impl Field {
    const fn since(self, since: i16) -> Self {
        Self { since, ..self }
    }

    const fn until(self, until: i16) -> Self {
        Self { until, ..self }
    }

    const fn tag(self, tag: u32) -> Self {
        Self { tag: Some(tag), ..self }
    }

    pub(crate) fn exists_in(&self, version: i16) -> bool {
        self.since <= version && version <= self.until
    }
}

const fn field(kind: Kind) -> Field {
    Field { kind, since: 0, until: i16::MAX, tag: None }
}

const fn list(fields: &'static [Field]) -> Field {
    field(Kind::List(fields))
}

const INT8: Field = field(Kind::Fixed(1));
const BOOL: Field = field(Kind::Fixed(1));
const INT16: Field = field(Kind::Fixed(2));
const INT32: Field = field(Kind::Fixed(4));
const INT64: Field = field(Kind::Fixed(8));
const UUID: Field = field(Kind::Fixed(16));
const TEXT: Field = field(Kind::Text);
const TEXT_OR_NULL: Field = field(Kind::TextOrNull);
const BYTES_OR_NULL: Field = field(Kind::BytesOrNull);
const INT32S: Field = field(Kind::Numbers(4));

/// Leader id, leader epoch.
const LEADER: &[Field] = &[INT32, INT32];
/// Node id, host, port, rack.
const ENDPOINT: &[Field] = &[INT32, TEXT, INT32, TEXT_OR_NULL];

impl Api {
    /// The fields of the answer's body.
    pub(crate) fn answer(self) -> &'static [Field] {
        match self {
            Self::Produce => PRODUCE,
            Self::Fetch => FETCH,
            Self::ListOffsets => LIST_OFFSETS,
            Self::Metadata => METADATA,
            Self::OffsetCommit => OFFSET_COMMIT,
            Self::OffsetFetch => OFFSET_FETCH,
            Self::FindCoordinator => FIND_COORDINATOR,
            Self::Heartbeat => HEARTBEAT,
            Self::ListGroups => LIST_GROUPS,
            Self::DeleteGroups => DELETE_GROUPS,
            Self::OffsetDelete => OFFSET_DELETE,
            Self::SaslHandshake => SASL_HANDSHAKE,
            Self::SaslAuthenticate => SASL_AUTHENTICATE,
            Self::ApiVersions => API_VERSIONS,
            Self::CreateTopics => CREATE_TOPICS,
            Self::DeleteTopics => DELETE_TOPICS,
            Self::DeleteRecords => DELETE_RECORDS,
            Self::InitProducerId => INIT_PRODUCER_ID,
            Self::OffsetForLeaderEpoch => OFFSET_FOR_LEADER_EPOCH,
            Self::AddPartitionsToTxn => ADD_PARTITIONS_TO_TXN,
            Self::AddOffsetsToTxn | Self::EndTxn => TRANSACTION_STEP,
            Self::WriteTxnMarkers => WRITE_TXN_MARKERS,
            Self::DescribeAcls => DESCRIBE_ACLS,
            Self::CreateAcls => CREATE_ACLS,
            Self::DeleteAcls => DELETE_ACLS,
            Self::DescribeConfigs => DESCRIBE_CONFIGS,
            Self::DescribeLogDirs => DESCRIBE_LOG_DIRS,
            Self::CreatePartitions => CREATE_PARTITIONS,
            Self::IncrementalAlterConfigs => INCREMENTAL_ALTER_CONFIGS,
            Self::DescribeProducers => DESCRIBE_PRODUCERS,
            Self::DescribeTransactions => DESCRIBE_TRANSACTIONS,
            Self::ListTransactions => LIST_TRANSACTIONS,
        }
    }
}

const PRODUCE: &[Field] = &[list(&[TEXT, list(PRODUCED_PARTITION)]), INT32, list(ENDPOINT).since(10).tag(0)];
/// Index, error, base offset, append time, log start, errors of single records, message, current leader.
const PRODUCED_PARTITION: &[Field] = &[
    INT32,
    INT16,
    INT64,
    INT64,
    INT64.since(5),
    list(&[INT32, TEXT_OR_NULL]).since(8),
    TEXT_OR_NULL.since(8),
    field(Kind::Struct(LEADER)).since(10).tag(0),
];

/// Error, mechanisms.
const SASL_HANDSHAKE: &[Field] = &[INT16, field(Kind::Texts)];
/// Error, message, the broker's part of the dialogue, session lifetime.
const SASL_AUTHENTICATE: &[Field] = &[INT16, TEXT_OR_NULL, field(Kind::Numbers(1)), INT64.since(1)];

/// Throttle, error, session id, topics, endpoints of the leaders named in errors.
const FETCH: &[Field] = &[
    INT32,
    INT16.since(7),
    INT32.since(7),
    list(&[TEXT.until(12), UUID.since(13), list(FETCHED_PARTITION)]),
    list(ENDPOINT).since(16).tag(0),
];
/// Index, error, high watermark, last stable offset, log start, aborted transactions, preferred replica, records;
/// diverging epoch (epoch, end offset), current leader, snapshot (end offset, epoch).
const FETCHED_PARTITION: &[Field] = &[
    INT32,
    INT16,
    INT64,
    INT64,
    INT64.since(5),
    field(Kind::ListOrNull(&[INT64, INT64])),
    INT32.since(11),
    BYTES_OR_NULL,
    field(Kind::Struct(&[INT32, INT64])).since(12).tag(0),
    field(Kind::Struct(LEADER)).since(12).tag(1),
    field(Kind::Struct(&[INT64, INT32])).since(12).tag(2),
];

/// Per partition: index, error, timestamp, offset, leader epoch.
const LIST_OFFSETS: &[Field] =
    &[INT32.since(2), list(&[TEXT, list(&[INT32, INT16, INT64, INT64, INT32.since(4)])])];

/// Throttle, brokers, cluster id, controller, topics, authorized operations.
const METADATA: &[Field] = &[
    INT32.since(3),
    list(&[INT32, TEXT, INT32, TEXT_OR_NULL.since(1)]),
    TEXT_OR_NULL.since(2),
    INT32.since(1),
    list(METADATA_TOPIC),
    INT32.since(8).until(10),
];
/// Error, name, id, internal, partitions, authorized operations.
const METADATA_TOPIC: &[Field] =
    &[INT16, TEXT_OR_NULL, UUID.since(10), BOOL.since(1), list(METADATA_PARTITION), INT32.since(8)];
/// Error, index, leader, leader epoch, replicas, in sync, offline.
const METADATA_PARTITION: &[Field] = &[INT16, INT32, INT32, INT32.since(7), INT32S, INT32S, INT32S.since(5)];

/// Until v3 one coordinator (error, message, node id, host, port), from v4 a list of them with their keys.
const FIND_COORDINATOR: &[Field] = &[
    INT32.since(1),
    INT16.until(3),
    TEXT_OR_NULL.since(1).until(3),
    INT32.until(3),
    TEXT.until(3),
    INT32.until(3),
    list(&[TEXT, INT32, TEXT, INT32, INT16, TEXT_OR_NULL]).since(4),
];

/// Per partition: index, error.
const OFFSET_COMMIT: &[Field] = &[INT32, list(&[TEXT, list(&[INT32, INT16])])];

/// Until v7 one group (topics, error), from v8 a list of them: id, topics, error.
const OFFSET_FETCH: &[Field] = &[
    INT32,
    list(&[TEXT, list(COMMITTED)]).until(7),
    INT16.until(7),
    list(&[TEXT, list(&[TEXT, list(COMMITTED)]), INT16]).since(8),
];
/// Index, offset, leader epoch, metadata, error.
const COMMITTED: &[Field] = &[INT32, INT64, INT32, TEXT_OR_NULL, INT16];

/// Throttle, error; per group: id, protocol type, state, type.
const LIST_GROUPS: &[Field] = &[INT32, INT16, list(&[TEXT, TEXT, TEXT.since(4), TEXT.since(5)])];

/// Per group: id, error.
const DELETE_GROUPS: &[Field] = &[INT32, list(&[TEXT, INT16])];

/// Error, throttle; per partition: index, error.
const OFFSET_DELETE: &[Field] = &[INT16, INT32, list(&[TEXT, list(&[INT32, INT16])])];

/// Error, APIs, throttle; supported features, their epoch, finalized features, migration ready.
const API_VERSIONS: &[Field] = &[
    INT16,
    list(&[INT16, INT16, INT16]),
    INT32.since(1),
    list(&[TEXT, INT16, INT16]).since(3).tag(0),
    INT64.since(3).tag(1),
    list(&[TEXT, INT16, INT16]).since(3).tag(2),
    BOOL.since(3).tag(3),
];

/// Per topic: name, id, error, message, partitions, replication factor, configuration; error of the configuration.
const CREATE_TOPICS: &[Field] = &[
    INT32,
    list(&[
        TEXT,
        UUID.since(7),
        INT16,
        TEXT_OR_NULL,
        INT32.since(5),
        INT16.since(5),
        field(Kind::ListOrNull(&[TEXT, TEXT_OR_NULL, BOOL, INT8, BOOL])).since(5),
        INT16.since(5).tag(0),
    ]),
];

/// Per topic: name, id, error, message.
const DELETE_TOPICS: &[Field] =
    &[INT32.since(1), list(&[TEXT_OR_NULL, UUID.since(6), INT16, TEXT_OR_NULL.since(5)])];

/// Per partition: index, new log start, error.
const DELETE_RECORDS: &[Field] = &[INT32, list(&[TEXT, list(&[INT32, INT64, INT16])])];

/// Throttle, error, producer id, epoch.
const INIT_PRODUCER_ID: &[Field] = &[INT32, INT16, INT64, INT16];

/// Throttle, error; per directory: error, path, topics, total and usable bytes.
const DESCRIBE_LOG_DIRS: &[Field] =
    &[INT32, INT16.since(3), list(&[INT16, TEXT, list(LOG_DIR_TOPIC), INT64.since(4), INT64.since(4)])];
/// Name; per partition: index, bytes, lag, whether it is being moved here.
const LOG_DIR_TOPIC: &[Field] = &[TEXT, list(&[INT32, INT64, INT64, BOOL])];

/// Throttle, error, filters not known there; per transaction: id, producer id, state.
const LIST_TRANSACTIONS: &[Field] = &[INT32, INT16, field(Kind::Texts), list(&[TEXT, INT64, TEXT])];

/// Throttle; per partition: index, error.
const ADD_PARTITIONS_TO_TXN: &[Field] = &[INT32, list(&[TEXT, list(&[INT32, INT16])])];

/// Per producer id: id, topics; per partition: index, error.
const WRITE_TXN_MARKERS: &[Field] = &[list(&[INT64, list(&[TEXT, list(&[INT32, INT16])])])];

/// Throttle, error, message; per resource: type, name, pattern, entries (principal, host, operation, permission).
const DESCRIBE_ACLS: &[Field] =
    &[INT32, INT16, TEXT_OR_NULL, list(&[INT8, TEXT, INT8, list(&[TEXT, TEXT, INT8, INT8])])];
/// Throttle; per entry: error, message.
const CREATE_ACLS: &[Field] = &[INT32, list(&[INT16, TEXT_OR_NULL])];
/// Throttle; per filter: error, message, what it matched (error, message, and the entry).
const DELETE_ACLS: &[Field] = &[
    INT32,
    list(&[INT16, TEXT_OR_NULL, list(&[INT16, TEXT_OR_NULL, INT8, TEXT, INT8, TEXT, TEXT, INT8, INT8])]),
];

/// Throttle, error.
const HEARTBEAT: &[Field] = &[INT32.since(1), INT16];

/// Throttle, error.
const TRANSACTION_STEP: &[Field] = &[INT32, INT16];

/// Per partition: error, index, epoch, end offset.
const OFFSET_FOR_LEADER_EPOCH: &[Field] = &[INT32, list(&[TEXT, list(&[INT16, INT32, INT32, INT64])])];

/// Per resource: error, message, type, name, entries.
const DESCRIBE_CONFIGS: &[Field] = &[INT32, list(&[INT16, TEXT_OR_NULL, INT8, TEXT, list(CONFIG_ENTRY)])];
/// Name, value, read-only, source, sensitive, synonyms, type, documentation.
const CONFIG_ENTRY: &[Field] = &[
    TEXT,
    TEXT_OR_NULL,
    BOOL,
    INT8,
    BOOL,
    list(&[TEXT, TEXT_OR_NULL, INT8]),
    INT8.since(3),
    TEXT_OR_NULL.since(3),
];

/// Per topic: name, error, message.
const CREATE_PARTITIONS: &[Field] = &[INT32, list(&[TEXT, INT16, TEXT_OR_NULL])];

/// Per resource: error, message, type, name.
const INCREMENTAL_ALTER_CONFIGS: &[Field] = &[INT32, list(&[INT16, TEXT_OR_NULL, INT8, TEXT])];

/// Per partition: index, error, message, producers (id, epoch, last sequence, last timestamp, coordinator epoch,
/// start of the current transaction).
const DESCRIBE_PRODUCERS: &[Field] = &[
    INT32,
    list(&[TEXT, list(&[INT32, INT16, TEXT_OR_NULL, list(&[INT64, INT32, INT32, INT64, INT32, INT64])])]),
];

/// Per transactional id: error, id, state, timeout, start time, producer id, epoch, topics with their partitions.
const DESCRIBE_TRANSACTIONS: &[Field] =
    &[INT32, list(&[INT16, TEXT, TEXT, INT32, INT64, INT64, INT16, list(&[TEXT, INT32S])])];
