//! Decisions: functions of what was observed and of the time, with no I/O and no clock. The same functions run in the operator, in
//! the tests and under the model checker.

pub mod checks;
pub mod compat;
pub mod evidence;
pub mod facets;
pub mod gates;
pub mod happening;
pub mod images;
pub mod kept;
pub mod lifecycle;
pub mod lineage;
pub mod machine;
pub mod policy;
pub mod preflight;
pub mod queue;
pub mod reason;
pub mod record;
pub mod request;
pub mod retry;
pub mod situation;
pub mod status;
pub mod summary;
pub mod ticket;
pub mod warnings;
pub mod workload;

use trackdown_api::condition::find_condition;
use trackdown_api::record::Record;

/// Reason and message of a record's `Succeeded` condition.
#[must_use]
pub fn condition_reason(record: &Record) -> Option<(&str, &str)> {
    let status = record.status.as_ref()?;
    find_condition(&status.conditions, reason::SUCCEEDED).map(|c| (c.reason.as_str(), c.message.as_str()))
}
