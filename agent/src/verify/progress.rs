//! How far a comparison has come: figures that only grow, for whoever shows them.

/// What is being done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Phase {
    /// Connecting, listing topics, asking where logs end.
    #[default]
    Starting,
    /// For a live mirror to reach the end that the source had at the beginning.
    Waiting {
        behind_offsets: u64,
        partitions: usize,
    },
    Comparing,
    /// Asking once more where the logs end.
    Finishing,
}

/// Figures of one comparison.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    pub phase: Phase,
    /// Offsets to be compared, all partitions together; 0 until known.
    pub offsets_total: u64,
    pub offsets_done: u64,
    /// Records compared. Those of transactions count when their marker has come.
    pub records: u64,
    /// Bytes of the source's batches, as they lie in its log.
    pub bytes: u64,
}
