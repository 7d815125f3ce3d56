//! Workloads as Trackdown sees them: one view for every kind, and the patches it makes. Pure: no I/O.

pub mod argo_rollout;
pub mod daemon_set;
pub mod deployment;
pub mod owner;
pub mod patch;
pub mod pods;
pub mod stateful_set;
pub mod view;

/// A kind of workload Trackdown can roll out.
pub trait Rollable {
    /// Everything Trackdown decides on, out of one read of the object.
    fn view(&self) -> view::WorkloadView;
}
