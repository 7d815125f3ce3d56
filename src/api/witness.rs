//! Values of the label [`super::ROLLING_LABEL`]: which record wrote a workload's images last, and which way.
//!
//! A second witness beside the [`super::marker::Marker`], written in the same request. `kubectl rollout undo` puts the annotations of
//! an older `ReplicaSet` back, an older marker among them, and leaves the labels: so it cannot make what was written look unwritten.

/// What the label told before it told more: a rollout is in flight.
pub const UNNAMED: &str = "true";

/// The record has set its images.
#[must_use]
pub fn set_by(record: &str) -> String {
    suffix(record).to_owned()
}

/// The record has put the previous images back.
#[must_use]
pub fn restored_by(record: &str) -> String {
    format!("{}.back", suffix(record))
}

/// Whether the value is this record's.
#[must_use]
pub fn is_of(value: &str, record: &str) -> bool {
    value == set_by(record) || value == restored_by(record)
}

/// Whether the value names a record, as [`set_by`] and [`restored_by`] do.
#[must_use]
pub fn names_a_record(value: &str) -> bool {
    let suffix = value.strip_suffix(".back").unwrap_or(value);
    suffix.len() == SUFFIX && suffix.bytes().all(|b| b.is_ascii_hexdigit() && !b.is_ascii_uppercase())
}

/// Length of the end of a record's name, in hexadecimal digits.
pub const SUFFIX: usize = 10;

/// The end of a record's name, which is unique: a hash of ticket, target and attempt.
fn suffix(record: &str) -> &str {
    record.rsplit('-').next().unwrap_or(record)
}
