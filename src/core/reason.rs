//! The words programs read: condition types and reasons. Each rule that uses one says when.

/// Condition of a Ticket: may a rollout start, else the first thing in the way.
pub const DEPLOYABLE: &str = "Deployable";
/// Condition of a Ticket: what it asks for runs.
pub const DEPLOYED: &str = "Deployed";
/// Condition of a record: how the attempt ended; `Unknown` while it runs.
pub const SUCCEEDED: &str = "Succeeded";
/// Condition of both, present only while work is going on (kstatus).
pub const RECONCILING: &str = "Reconciling";
/// Condition of both, present only when a person must act (kstatus).
pub const STALLED: &str = "Stalled";

/// Condition of a record, present only when a tag it deployed has meant something else before.
pub const TAG_MOVED: &str = "TagMoved";

/// Ticket waits: another attempt has the workload, or another ticket asked for it first.
pub const WORKLOAD_HELD: &str = "WorkloadHeld";

/// Ticket: its deployment was taken back, as was asked for.
pub const TAKEN_BACK: &str = "TakenBack";

/// Ticket waits: the admission policies that say who may deploy are not in force.
pub const POLICY_MISSING: &str = "PolicyMissing";

/// Ticket waits: a GitOps tool owns the image, and Git has not delivered the ticket's yet.
pub const GITOPS_OWNED: &str = "GitOpsOwned";

/// Ticket waits: a record it rests on cannot be read.
pub const RECORD_UNREADABLE: &str = "RecordUnreadable";

/// Record: the workload is being changed, or its pods are being followed.
pub const PROGRESSING: &str = "Progressing";
/// Record: all pods run the images, and the health checks run.
pub const VERIFYING: &str = "Verifying";
/// Record: the API server refuses the write; it is tried again.
pub const WRITE_REFUSED: &str = "WriteRefused";
/// Record: the previous images are being put back.
pub const ROLLING_BACK: &str = "RollingBack";

/// Record ended well: every pod runs the new images and is available.
pub const ROLLOUT_COMPLETE: &str = "RolloutComplete";
/// Record ended well: the workload ran these images already; nothing was written.
pub const ALREADY_CURRENT: &str = "AlreadyCurrent";
/// Record ended well: the images are set, and the workload asks for no pods.
pub const NOTHING_TO_RUN: &str = "NothingToRun";
/// Record ended well: the API server would accept the write; nothing was written.
pub const DRY_RUN: &str = "DryRun";

/// Record ended well: the earlier images run again.
pub const ROLLBACK_COMPLETE: &str = "RollbackComplete";

/// Record failed; the previous images are back and healthy.
pub const ROLLED_BACK: &str = "RolledBack";
/// Record failed; the workload was left as it is.
pub const ROLLOUT_FAILED: &str = "RolloutFailed";
/// Record failed, and so did going back.
pub const ROLLBACK_FAILED: &str = "RollbackFailed";
/// Record ended because the ticket asked it to.
pub const ABORTED: &str = "Aborted";
/// Record ended because a newer attempt took its place.
pub const SUPERSEDED: &str = "Superseded";
/// Record ended because somebody else changed the workload.
pub const CONTESTED: &str = "Contested";
/// Record ended before anything was written.
pub const REJECTED: &str = "Rejected";
/// Record failed, and only Git can put the previous images back.
pub const ROLLBACK_REQUIRES_GIT: &str = "RollbackRequiresGit";

/// Every way a record can end.
pub const RESULTS: [&str; 13] = [
    ROLLOUT_COMPLETE,
    ROLLBACK_COMPLETE,
    ALREADY_CURRENT,
    NOTHING_TO_RUN,
    DRY_RUN,
    ROLLED_BACK,
    ROLLOUT_FAILED,
    ROLLBACK_FAILED,
    ABORTED,
    SUPERSEDED,
    CONTESTED,
    REJECTED,
    ROLLBACK_REQUIRES_GIT,
];

/// Ticket result: Git has put the images back that only Git could put back.
pub const REVERTED_IN_GIT: &str = "RevertedInGit";

/// Ticket result: the retry was dropped, because the workload no longer shows what the rollback restored.
pub const WORKLOAD_MOVED_ON: &str = "WorkloadMovedOn";

/// Whether a record that ended for this reason ended well.
#[must_use]
pub fn is_success(result: &str) -> bool {
    matches!(result, ROLLOUT_COMPLETE | ROLLBACK_COMPLETE | ALREADY_CURRENT | NOTHING_TO_RUN | DRY_RUN)
}

/// Whether a target whose attempt ended for this reason runs what the ticket asks for, as far as the ticket's own mode goes.
#[must_use]
pub fn is_deployed(result: &str) -> bool {
    is_success(result) && result != ROLLBACK_COMPLETE
}

/// Whether an attempt that ended for this reason changed the workload, and the change stayed.
#[must_use]
pub fn is_change(result: &str) -> bool {
    matches!(result, ROLLOUT_COMPLETE | NOTHING_TO_RUN)
}
