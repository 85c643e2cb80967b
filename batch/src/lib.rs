//! lockstep-batch
