//! `apps/v1` `DaemonSet`.

use k8s_openapi::api::apps::v1::DaemonSet;

use super::Rollable;
use super::view::WorkloadView;
use trackdown_api::record::Replicas;
use trackdown_api::workload_ref::WorkloadKind;

impl Rollable for DaemonSet {
    fn view(&self) -> WorkloadView {
        let spec = self.spec.as_ref();
        let status = self.status.clone().unwrap_or_default();
        let strategy = spec.and_then(|s| s.update_strategy.as_ref()).and_then(|s| s.type_.as_deref());
        let view = WorkloadView::of(WorkloadKind::DaemonSet, &self.metadata, spec.map(|s| &s.template), spec.map(|s| &s.selector));
        WorkloadView {
            observed_generation: status.observed_generation.unwrap_or_default(),
            unsupported: (strategy == Some("OnDelete")).then(|| {
                "spec.updateStrategy.type is OnDelete: its pods get a new image only when somebody deletes them; use RollingUpdate"
                    .to_owned()
            }),
            total: status.current_number_scheduled,
            // How many pods it asks for is not in its spec: the nodes decide.
            replicas: Replicas {
                desired: status.desired_number_scheduled,
                updated: status.updated_number_scheduled.unwrap_or_default(),
                available: status.number_available.unwrap_or_default(),
            },
            ..view
        }
    }
}
