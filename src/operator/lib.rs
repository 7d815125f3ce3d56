//! The operator: what is decided in `trackdown-core` is gathered for, performed and told here. All I/O is in this crate.

pub mod checks;
pub mod kinds;
pub mod process;
pub mod runtime;
pub mod sinks;
pub mod web;
pub mod workloads;
