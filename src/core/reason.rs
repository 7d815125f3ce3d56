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

/// Root cause of a rollout that its ticket ended.
pub const STOPPED_BY_TICKET: &str = "StoppedByTicket";
