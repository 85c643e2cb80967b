//! lockstep-kafka
