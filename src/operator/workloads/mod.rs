//! Workloads and their pods on the API server.

pub mod installed;
pub mod kinds;
pub mod pods;
pub mod requests;
pub mod rolling;
pub mod watches;
