//! lockstep-agent
