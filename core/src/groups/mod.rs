//! Consumer groups: whose offsets reach the standby, and when (M30 to M33).

pub mod policy;
