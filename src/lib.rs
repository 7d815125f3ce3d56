//! Trackdown: a Kubernetes operator that makes a change ticket an API object.
//!
//! `api` is what users write and read, `decide` and `workload` are pure, `reconcile` and `operator` do I/O.

pub mod api;
pub mod crds;
pub mod decide;
pub mod operator;
pub mod reconcile;
pub mod reference;
pub mod workload;
