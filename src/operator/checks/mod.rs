//! Running health checks.

pub mod http;
pub mod job;
pub mod runs;
