//! One line for every decision with an effect, for machines that keep evidence.
//!
//! Schema `trackdown.audit/v1` (documented in `docs/audit-log.md`): fields are only ever added.

use super::Sink;
use trackdown_core::happening::{News, wording};

/// Version of the line's fields.
pub const SCHEMA: &str = "trackdown.audit/v1";

/// The process's own log, which takes the lines at once.
#[derive(Clone, Copy, Debug)]
pub struct Log;

impl Sink for Log {
    fn take(&self, news: &News) {
        let Some(line) = wording::line(news) else { return };
        let about = &news.about;
        let workload = about.workload.as_ref().map(ToString::to_string).unwrap_or_default();
        tracing::info!(
            target: "audit",
            schema = SCHEMA,
            decision = line.decision,
            namespace = about.namespace.as_str(),
            ticket = about.ticket.as_str(),
            ticket_uid = about.ticket_uid.as_str(),
            deployment_target = about.target.as_str(),
            attempt = about.attempt,
            record = about.record.as_deref().unwrap_or_default(),
            workload = workload.as_str(),
            detail = line.detail.as_str(),
        );
    }
}
