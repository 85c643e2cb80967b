//! Members in one process, on disks that forget what was not synced, over a network that can be cut.

mod disks;
mod durable;
mod members;
mod reading;
mod world;
