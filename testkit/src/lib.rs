//! lockstep-testkit
