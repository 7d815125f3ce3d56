//! Workloads and their pods on the API server.

pub mod pods;
pub mod requests;
pub mod watches;
