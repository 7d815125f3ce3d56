//! What users write and read: the custom resources, one file per kind, and the two marks Trackdown leaves on a workload.
//!
//! Types, validation rules and columns only; no decisions and no I/O.

pub mod check;
pub mod condition;
pub mod crds;
pub mod image;
pub mod marker;
pub mod outcome;
pub mod record;
pub mod reference;
pub mod text;
pub mod ticket;
pub mod witness;
pub mod workload_ref;

/// API group of every Trackdown kind.
pub const GROUP: &str = "trackdown.dev";

/// Field manager of every write Trackdown makes, and the `via` of the transitions it makes itself.
pub const FIELD_MANAGER: &str = "trackdown";

/// Annotation on a Ticket: any new, non-empty value asks for one more try of the targets that failed.
pub const RETRY_ANNOTATION: &str = "trackdown.dev/retry-requested";

/// Prefix of annotations on a Ticket: `retry.trackdown.dev/<target>` asks for one more rollout of that target alone, with the meaning of
/// [`RETRY_ANNOTATION`], even of a target that is deployed.
pub const TARGET_RETRY_PREFIX: &str = "retry.trackdown.dev/";

/// Annotation on a workload that holds its [`marker::Marker`].
pub const MARKER_ANNOTATION: &str = "trackdown.dev/deployment";

/// Label on a workload while a rollout of Trackdown is in flight. Trackdown watches workloads by this label only. Its value is a
/// [`witness`].
pub const ROLLING_LABEL: &str = "trackdown.dev/rolling";

/// Annotation on a workload: `allow` is its owner's consent that Trackdown writes although a GitOps tool owns the image.
pub const WRITE_CONSENT_ANNOTATION: &str = "trackdown.dev/write";

/// Labels on a Deployment record: which ticket (by name and UID), target and attempt it belongs to.
pub const TICKET_LABEL: &str = "trackdown.dev/ticket";
/// Label on the Job of a check and its pods: the record it belongs to.
pub const RECORD_LABEL: &str = "trackdown.dev/record";
/// See [`TICKET_LABEL`].
pub const TICKET_UID_LABEL: &str = "trackdown.dev/ticket-uid";
/// See [`TICKET_LABEL`].
pub const TARGET_LABEL: &str = "trackdown.dev/target";
/// See [`TICKET_LABEL`].
pub const ATTEMPT_LABEL: &str = "trackdown.dev/attempt";
