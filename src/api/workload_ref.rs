//! Names of workloads and images, shared by Ticket and Deployment.

use std::fmt;

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What the name of an object may be: a DNS subdomain. Names become parts of paths, where anything else would mean something else.
///
/// Source: RFC 1123, as Kubernetes reads it (`k8s.io/apimachinery/pkg/util/validation`).
pub const NAME_PATTERN: &str = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$";

/// The same of a namespace: a DNS label.
pub const NAMESPACE_PATTERN: &str = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$";

/// Whether an object can have this name, see [`NAME_PATTERN`].
#[must_use]
pub fn is_name(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let label = |l: &str| l.starts_with(plain) && l.ends_with(plain) && l.chars().all(|c| plain(c) || c == '-');
    text.len() <= 253 && text.split('.').all(label)
}

/// Kinds of workload a target may name: of API group `apps`, and Argo Rollouts' Rollout.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, Hash, JsonSchema, Ord, PartialEq, PartialOrd, Serialize)]
pub enum WorkloadKind {
    /// `apps/v1` Deployment.
    #[default]
    Deployment,
    /// `apps/v1` `StatefulSet`.
    StatefulSet,
    /// `apps/v1` `DaemonSet`.
    DaemonSet,
    /// `argoproj.io/v1alpha1` Rollout of Argo Rollouts: canary and blue-green.
    Rollout,
}

impl WorkloadKind {
    /// Every kind.
    pub const ALL: [Self; 4] = [Self::Deployment, Self::StatefulSet, Self::DaemonSet, Self::Rollout];

    /// What brings the kind to a cluster.
    #[must_use]
    pub fn project(self) -> &'static str {
        match self {
            Self::Deployment | Self::StatefulSet | Self::DaemonSet => "Kubernetes",
            Self::Rollout => "Argo Rollouts",
        }
    }

    /// Whether every cluster has the kind. Any other is installed by whoever wants it, maybe later, and may be taken away again.
    #[must_use]
    pub fn is_built_in(self) -> bool {
        matches!(self, Self::Deployment | Self::StatefulSet | Self::DaemonSet)
    }

    /// Its resource, as kubectl takes it: with the group where that alone tells it from a kind of Trackdown's.
    #[must_use]
    pub fn resource(self) -> &'static str {
        match self {
            Self::Deployment => "deployments.apps",
            Self::StatefulSet => "statefulsets",
            Self::DaemonSet => "daemonsets",
            Self::Rollout => "rollouts",
        }
    }

    /// The API group and version it is read and written at.
    #[must_use]
    pub fn api_version(self) -> &'static str {
        match self {
            Self::Deployment | Self::StatefulSet | Self::DaemonSet => "apps/v1",
            Self::Rollout => "argoproj.io/v1alpha1",
        }
    }
}

impl fmt::Display for WorkloadKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// A workload by its full name.
#[derive(Clone, Debug, Deserialize, Eq, Hash, KubeSchema, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Workload {
    /// Kind of the workload.
    pub kind: WorkloadKind,
    /// Its namespace.
    #[schemars(length(min = 1, max = 63), regex(pattern = NAMESPACE_PATTERN))]
    pub namespace: String,
    /// Its name.
    #[schemars(length(min = 1, max = 253), regex(pattern = NAME_PATTERN))]
    pub name: String,
}

impl fmt::Display for Workload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}/{}", self.kind, self.namespace, self.name)
    }
}

/// The image of one container.
#[derive(Clone, Debug, Deserialize, Eq, Hash, KubeSchema, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ContainerImage {
    /// Name of the container or init container.
    #[schemars(length(min = 1, max = 63))]
    pub container: String,
    /// Its image reference.
    #[schemars(length(min = 1, max = 512))]
    pub image: String,
}
