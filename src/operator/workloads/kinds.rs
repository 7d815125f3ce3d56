//! Which Rust type stands for which kind of workload: the one table of them.

use crate::runtime::cache::Watched;
use trackdown_core::workload::Rollable;

/// What is needed of a type to read, write, watch and cache a kind of workload by it.
pub trait WorkloadType: Watched + Rollable {}

impl<W: Watched + Rollable> WorkloadType for W {}

/// Evaluates an expression in which a name stands for the type of a kind, as in
/// `by_type!(workload.kind, W => read_as::<W>(client, workload).await)`.
macro_rules! by_type {
    ($kind:expr, $W:ident => $expression:expr) => {
        match $kind {
            ::trackdown_api::workload_ref::WorkloadKind::Deployment => {
                type $W = ::k8s_openapi::api::apps::v1::Deployment;
                $expression
            }
            ::trackdown_api::workload_ref::WorkloadKind::StatefulSet => {
                type $W = ::k8s_openapi::api::apps::v1::StatefulSet;
                $expression
            }
            ::trackdown_api::workload_ref::WorkloadKind::DaemonSet => {
                type $W = ::k8s_openapi::api::apps::v1::DaemonSet;
                $expression
            }
            ::trackdown_api::workload_ref::WorkloadKind::Rollout => {
                type $W = ::trackdown_core::workload::argo_rollout::Rollout;
                $expression
            }
        }
    };
}
pub(crate) use by_type;
