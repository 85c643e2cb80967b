//! Tests of the testkit itself: a harness that cannot fail proves nothing.

mod brokers;
mod oracle;
mod orphans;
mod product;
mod proxy;
