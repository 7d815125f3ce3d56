//! Where it is told what happened.

pub mod audit;
pub mod events;
pub mod metrics;
