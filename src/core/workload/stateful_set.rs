//! `apps/v1` `StatefulSet`.
//!
//! Source of what it needs to come back: Kubernetes "`StatefulSets`: Forced rollback".

use k8s_openapi::api::apps::v1::StatefulSet;

use super::Rollable;
use super::view::WorkloadView;
use trackdown_api::record::Replicas;
use trackdown_api::workload_ref::WorkloadKind;

impl Rollable for StatefulSet {
    fn view(&self) -> WorkloadView {
        let spec = self.spec.as_ref();
        let status = self.status.clone().unwrap_or_default();
        let view =
            WorkloadView::of(WorkloadKind::StatefulSet, &self.metadata, spec.map(|s| &s.template), spec.map(|s| &s.selector));
        WorkloadView {
            observed_generation: status.observed_generation.unwrap_or_default(),
            unsupported: unsupported(self),
            total: status.replicas,
            replicas: Replicas {
                desired: spec.and_then(|s| s.replicas).unwrap_or(1),
                updated: status.updated_replicas.unwrap_or_default(),
                available: status.available_replicas.unwrap_or_default(),
            },
            blocked_by_broken_pods: spec.is_some_and(|s| s.pod_management_policy.as_deref() != Some("Parallel")),
            revision: status.update_revision,
            ..view
        }
    }
}

/// With these the pods do not follow the template by themselves, so there would be no end to follow.
fn unsupported(set: &StatefulSet) -> Option<String> {
    let strategy = set.spec.as_ref()?.update_strategy.as_ref()?;
    let partition = strategy.rolling_update.as_ref().and_then(|r| r.partition).unwrap_or_default();
    if strategy.type_.as_deref() == Some("OnDelete") {
        Some(
            "spec.updateStrategy.type is OnDelete: its pods get a new image only when somebody deletes them; use RollingUpdate"
                .into(),
        )
    } else if partition > 0 {
        let field = "spec.updateStrategy.rollingUpdate.partition";
        Some(format!("{field} is {partition}: the pods below it keep the old image; set it to 0"))
    } else {
        None
    }
}
