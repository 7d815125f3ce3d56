//! One line for every decision with an effect, for machines that keep evidence.
//!
//! Schema `trackdown.audit/v1` (documented in `docs/audit-log.md`): fields are only ever added.

use trackdown_api::workload_ref::ContainerImage;

/// Version of the line's fields.
pub const SCHEMA: &str = "trackdown.audit/v1";

/// What was decided.
#[derive(Clone, Copy, Debug)]
pub struct Decision<'a> {
    /// What: `TransitionTaken`, `AttemptIntended`, `RecordCreated`, `ResultTaken`, `AttemptEnded`, `PodDeleted`, `RecordDeleted`, or `Workload` and the purpose of a
    /// patch: `WorkloadForward`, `WorkloadRollback`, `WorkloadFence`, `WorkloadRelabel`, `WorkloadRelease`.
    pub decision: &'a str,
    /// Namespace of the ticket.
    pub namespace: &'a str,
    /// Name of the ticket.
    pub ticket: &'a str,
    /// UID of the ticket.
    pub ticket_uid: &'a str,
    /// Name of the target, or empty.
    pub target: &'a str,
    /// Number of the attempt, or 0.
    pub attempt: i32,
    /// Name of the record, or empty.
    pub record: &'a str,
    /// The workload, or empty.
    pub workload: &'a str,
    /// Reason, images or states, by kind of decision.
    pub detail: &'a str,
}

/// Writes the line.
pub fn log(decision: &Decision<'_>) {
    tracing::info!(
        target: "audit",
        schema = SCHEMA,
        decision = decision.decision,
        namespace = decision.namespace,
        ticket = decision.ticket,
        ticket_uid = decision.ticket_uid,
        deployment_target = decision.target,
        attempt = decision.attempt,
        record = decision.record,
        workload = decision.workload,
        detail = decision.detail,
    );
}

/// Images as text: `<container>=<image>` of each.
#[must_use]
pub fn images(images: &[ContainerImage]) -> String {
    let images = images.iter().map(|i| format!("{}={}", i.container, i.image));
    images.collect::<Vec<_>>().join(" ")
}
