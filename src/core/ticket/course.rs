//! Where a target is in its course, and what can happen to it there. It is read from the target's entry in the ticket's status, and written
//! to it; no other code knows how.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use trackdown_api::outcome::Outcome;
use trackdown_api::text::Sentence;
use trackdown_api::ticket::{Stop, TargetRollback, TargetStatus, TicketStatus};
use trackdown_api::workload_ref::ContainerImage;

/// Where a target is.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Course {
    /// No attempt goes on, and none that has ended counts any more.
    #[default]
    Idle,
    /// An attempt has a name. From then on it was intended, and is in flight once its record exists.
    Trying {
        /// Name of its record.
        record: String,
        /// It is to end.
        stop: Option<Stop>,
        /// What it brings is to be taken back when it has ended.
        then_undo: Option<TargetRollback>,
    },
    /// The last attempt has ended.
    Ended {
        /// Name of its record, if there was one.
        record: Option<String>,
        /// How.
        result: Outcome,
    },
    /// What was deployed is to be taken back.
    ToUndo(TargetRollback),
    /// It is being taken back, by an attempt of its own.
    Undoing {
        /// Name of its record.
        record: String,
        /// It is to end.
        stop: Option<Stop>,
        /// What is taken back.
        undo: TargetRollback,
    },
    /// Taking back has ended.
    Undone {
        /// Name of the record that did it, if there was one.
        record: Option<String>,
        /// How.
        result: Outcome,
        /// What was taken back, or was to be.
        undo: TargetRollback,
    },
}

impl Course {
    /// What the fields of an entry mean together.
    fn of(record: Option<String>, result: Option<Outcome>, stop: Option<Stop>, rollback: Option<TargetRollback>) -> Self {
        match (record, result, rollback) {
            (None, None, None) => Self::Idle,
            (None, None, Some(undo)) => Self::ToUndo(undo),
            (Some(record), None, Some(undo)) if undo.of.as_ref() != Some(&record) => Self::Undoing { record, stop, undo },
            (Some(record), None, then_undo) => Self::Trying { record, stop, then_undo },
            (record, Some(result), None) => Self::Ended { record, result },
            (record, Some(result), Some(undo)) => Self::Undone { record, result, undo },
        }
    }
}

/// Whether an attempt for the entry is under way, as far as the ticket knows.
#[must_use]
pub fn in_flight(entry: &TargetStatus) -> bool {
    entry.record.is_some() && entry.result.is_none()
}

/// What a ticket remembers of one of its targets. The fields are those of the target's entry in its status.
#[derive(Clone, Debug, Default, PartialEq)]
#[allow(missing_docs, reason = "see TargetStatus")]
pub struct Target {
    pub name: String,
    pub attempt: i32,
    pub attempt_before: Option<i32>,
    pub tries: i32,
    pub request_hash: Option<String>,
    pub workload_uid: Option<String>,
    pub seen_images: Vec<ContainerImage>,
    pub last_handled_retry: Option<String>,
    pub last_handled_rollback: Option<String>,
    pub rolled_back: Option<String>,
    pub message: Option<Sentence>,
    pub completion_time: Option<MicroTime>,
    pub failure_time: Option<MicroTime>,
    pub failure_namespace: Option<String>,
    pub superseded_by: Option<String>,
    /// Where it is.
    pub course: Course,
}

impl From<TargetStatus> for Target {
    fn from(entry: TargetStatus) -> Self {
        Self {
            course: Course::of(entry.record, entry.result, entry.stop, entry.rollback),
            name: entry.name,
            attempt: entry.attempt,
            attempt_before: entry.attempt_before,
            tries: entry.tries,
            request_hash: entry.request_hash,
            workload_uid: entry.workload_uid,
            seen_images: entry.seen_images,
            last_handled_retry: entry.last_handled_retry,
            last_handled_rollback: entry.last_handled_rollback,
            rolled_back: entry.rolled_back,
            message: entry.message,
            completion_time: entry.completion_time,
            failure_time: entry.failure_time,
            failure_namespace: entry.failure_namespace,
            superseded_by: entry.superseded_by,
        }
    }
}

impl From<Target> for TargetStatus {
    fn from(target: Target) -> Self {
        let (record, result, stop, rollback) = match target.course {
            Course::Idle => (None, None, None, None),
            Course::Trying { record, stop, then_undo } => (Some(record), None, stop, then_undo),
            Course::Ended { record, result } => (record, Some(result), None, None),
            Course::ToUndo(undo) => (None, None, None, Some(undo)),
            Course::Undoing { record, stop, undo } => (Some(record), None, stop, Some(undo)),
            Course::Undone { record, result, undo } => (record, Some(result), None, Some(undo)),
        };
        Self {
            name: target.name,
            attempt: target.attempt,
            attempt_before: target.attempt_before,
            tries: target.tries,
            request_hash: target.request_hash,
            record,
            workload_uid: target.workload_uid,
            stop,
            seen_images: target.seen_images,
            rollback,
            last_handled_retry: target.last_handled_retry,
            last_handled_rollback: target.last_handled_rollback,
            rolled_back: target.rolled_back,
            result,
            message: target.message,
            completion_time: target.completion_time,
            failure_time: target.failure_time,
            failure_namespace: target.failure_namespace,
            superseded_by: target.superseded_by,
        }
    }
}

impl Target {
    /// A target nothing was ever done for.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self { name: name.to_owned(), ..Self::default() }
    }

    /// Whether an attempt is under way, as far as the ticket knows.
    #[must_use]
    pub fn is_in_flight(&self) -> bool {
        matches!(self.course, Course::Trying { .. } | Course::Undoing { .. })
    }

    /// Name of the last attempt's record.
    #[must_use]
    pub fn record(&self) -> Option<&str> {
        match &self.course {
            Course::Trying { record, .. } | Course::Undoing { record, .. } => Some(record),
            Course::Ended { record, .. } | Course::Undone { record, .. } => record.as_deref(),
            Course::Idle | Course::ToUndo(_) => None,
        }
    }

    /// What is said of the last attempt; empty, if nothing is.
    #[must_use]
    pub fn told(&self) -> String {
        self.message.as_deref().unwrap_or_default().to_owned()
    }

    /// How the last attempt ended.
    #[must_use]
    pub fn result(&self) -> Option<&Outcome> {
        match &self.course {
            Course::Ended { result, .. } | Course::Undone { result, .. } => Some(result),
            _ => None,
        }
    }

    /// What is taken back, is to be, or was.
    #[must_use]
    pub fn undo(&self) -> Option<&TargetRollback> {
        match &self.course {
            Course::Trying { then_undo, .. } => then_undo.as_ref(),
            Course::ToUndo(undo) | Course::Undoing { undo, .. } | Course::Undone { undo, .. } => Some(undo),
            Course::Idle | Course::Ended { .. } => None,
        }
    }

    /// Whether the attempt in flight is to end, and how.
    #[must_use]
    pub fn stop(&self) -> Option<Stop> {
        match &self.course {
            Course::Trying { stop, .. } | Course::Undoing { stop, .. } => *stop,
            _ => None,
        }
    }

    /// The attempt in flight is to end, or after all not.
    pub fn set_stop(&mut self, wanted: Option<Stop>) {
        if let Course::Trying { stop, .. } | Course::Undoing { stop, .. } = &mut self.course {
            *stop = wanted;
        }
    }

    /// Forgets how the last request ended. An attempt in flight keeps its name, so that its end is still noticed.
    pub fn new_request(&mut self) {
        self.tries = 0;
        self.request_hash = None;
        self.rolled_back = None;
        if !self.is_in_flight() {
            self.course = Course::Idle;
            self.message = None;
            self.superseded_by = None;
        }
    }

    /// The next attempt has this record.
    pub fn intend(&mut self, record: String) {
        self.message = None;
        self.course = match std::mem::take(&mut self.course) {
            Course::ToUndo(undo) => Course::Undoing { record, stop: None, undo },
            _ => Course::Trying { record, stop: None, then_undo: None },
        };
    }

    /// The attempt in flight turned out not to be one: no record was ever made under its name.
    pub fn unname(&mut self) {
        self.course = match std::mem::take(&mut self.course) {
            Course::Trying { then_undo, .. } => then_undo.map_or(Course::Idle, Course::ToUndo),
            Course::Undoing { undo, .. } => Course::ToUndo(undo),
            other => other,
        };
    }

    /// The attempt in flight has ended so. If what it brought is to be taken back, that begins, or there is nothing left of it to do.
    pub fn end(&mut self, result: Outcome) {
        match std::mem::take(&mut self.course) {
            Course::Trying { record, then_undo: Some(undo), .. } => self.end_to_be_undone(record, result, undo),
            Course::Trying { record, then_undo: None, .. } => self.course = Course::Ended { record: Some(record), result },
            Course::Undoing { record, undo, .. } => self.course = Course::Undone { record: Some(record), result, undo },
            other => self.course = other,
        }
    }

    fn end_to_be_undone(&mut self, record: String, result: Outcome, undo: TargetRollback) {
        let there = result.left_images();
        if there || undo.to.is_some() {
            self.course = Course::ToUndo(TargetRollback {
                of: undo.of.filter(|_| there),
                before: Some(record),
                result: Some(result),
                ..undo
            });
            return;
        }
        let rolled_back = result == Outcome::RolledBack;
        self.course = Course::Ended { record: Some(record), result };
        if rolled_back {
            self.end_tries();
        }
    }

    /// The attempt in flight ended so, and nobody knows what of it is there: nothing is taken back by itself.
    pub fn end_unknown(&mut self, result: Outcome, message: String) {
        self.message = Some(message.into());
        self.course = match std::mem::take(&mut self.course) {
            Course::Trying { record, then_undo: Some(undo), .. } | Course::Undoing { record, undo, .. } => {
                Course::Undone { record: Some(record), result, undo }
            }
            Course::Trying { record, .. } => Course::Ended { record: Some(record), result },
            other => other,
        };
    }

    /// An attempt that had ended counts as ended for another reason by now.
    pub fn judge_anew(&mut self, as_now: Outcome, message: String) {
        self.message = Some(message.into());
        match &mut self.course {
            Course::Ended { result, .. } | Course::Undone { result, .. } => *result = as_now,
            course => *course = Course::Ended { record: None, result: as_now },
        }
    }

    /// An attempt turned out never to have written anything: it is as if there had been none, unless it was to be taken back.
    pub fn forget_attempt(&mut self) {
        if matches!(self.course, Course::Trying { then_undo: Some(_), .. }) {
            self.message = Some("ended before anything was written, as spec.rollback asks".into());
            self.end(Outcome::Aborted);
        } else {
            self.unname();
        }
    }

    /// It was rolled back by itself, as it is asked for: what remains of the request is that there is no other try.
    pub fn end_tries(&mut self) {
        let last = self.message.take().map_or_else(String::new, |last| format!("; {last}"));
        self.judge_anew(Outcome::Aborted, format!("not tried again, as spec.rollback asks{last}"));
    }

    /// From here on it is to be taken back. What it said before stays until something is done.
    pub fn begin_undo(&mut self, undo: TargetRollback) {
        self.course = Course::ToUndo(undo);
    }

    /// What was tried never was, and what was to be taken back is not what the target is about any more.
    pub fn forget_undo(&mut self) {
        if matches!(self.course, Course::ToUndo(_)) {
            self.course = Course::Idle;
        }
    }

    /// Forgets a rollback that has not begun: the target is what it was before.
    pub fn drop_undo(&mut self) {
        self.course = match std::mem::take(&mut self.course) {
            Course::ToUndo(undo) => {
                let record = undo.before.clone().or_else(|| undo.of.clone());
                let result = undo.result.clone();
                // One that went wrong before is still to be told, and can be asked for again.
                Course::of(record, result, None, Some(undo).filter(|u| u.result == Some(Outcome::RollbackFailed)))
            }
            other => other,
        };
    }
}

/// The status of a ticket in the making.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Draft {
    /// All but the targets.
    pub status: TicketStatus,
    /// The targets.
    pub targets: Vec<Target>,
}

impl From<TicketStatus> for Draft {
    fn from(mut status: TicketStatus) -> Self {
        let targets = std::mem::take(&mut status.targets);
        Self { status, targets: targets.into_iter().map(Target::from).collect() }
    }
}

impl From<Draft> for TicketStatus {
    fn from(draft: Draft) -> Self {
        Self { targets: draft.targets.into_iter().map(TargetStatus::from).collect(), ..draft.status }
    }
}

impl Draft {
    /// What is remembered of the target; nothing, if it is new.
    #[must_use]
    pub fn target(&self, name: &str) -> Target {
        self.targets.iter().find(|t| t.name == name).cloned().unwrap_or_else(|| Target::new(name))
    }

    /// Puts what is remembered of a target back.
    pub fn put(&mut self, target: Target) {
        match self.targets.iter_mut().find(|t| t.name == target.name) {
            Some(known) => *known = target,
            None => self.targets.push(target),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whatever stands in a status, also what a person wrote there, is read as one course, and written as it was read.
    #[test]
    fn every_entry_is_one_course() {
        let undo = |of: Option<&str>| TargetRollback {
            cause: trackdown_api::ticket::RollbackCause::Requested,
            of: of.map(str::to_owned),
            to: None,
            before: None,
            result: None,
            requested_by: trackdown_api::record::Requester::default(),
        };
        for record in [None, Some("r1".to_owned())] {
            for result in [None, Some(Outcome::RolledBack)] {
                for rollback in [None, Some(undo(None)), Some(undo(Some("r1"))), Some(undo(Some("r0")))] {
                    for stop in [None, Some(Stop::Rollback)] {
                        let entry = TargetStatus {
                            record: record.clone(),
                            result: result.clone(),
                            rollback: rollback.clone(),
                            stop,
                            ..TargetStatus::default()
                        };
                        let target = Target::from(entry.clone());
                        assert_eq!(target.is_in_flight(), in_flight(&entry));
                        let sane = TargetStatus { stop: stop.filter(|_| in_flight(&entry)), ..entry };
                        assert_eq!(TargetStatus::from(target), sane, "only an attempt in flight can be told to end");
                    }
                }
            }
        }
    }
}
