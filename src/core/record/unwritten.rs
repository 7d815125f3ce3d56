//! What a process alone knows of the records it has at work: whether it is certain that nothing was written in their name. It is forgotten
//! with the process, and nothing that is written anywhere could tell.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;

use trackdown_api::record::Record;

/// Longest time a request of a process that ended may still be under way.
const UNDER_WAY: SignedDuration = SignedDuration::from_secs(60);

/// Of records, by namespace and name: whether it is certain that none of their writes had an effect. Of others nothing is known.
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
pub struct Unwritten(BTreeMap<(String, String), bool>);

impl Unwritten {
    /// The record was just made by this process, and the workload bears no trace of an earlier one of its name.
    pub fn made(&mut self, record: &Record) {
        self.0.insert(key(record), true);
    }

    /// Whether it is certain that nothing was written.
    #[must_use]
    pub fn is_certain(&self, record: &Record) -> bool {
        self.0.get(&key(record)).copied().unwrap_or_default()
    }

    /// A write of its images is about to be tried: until its answer is here, nobody knows. Whether it was certain before. A record from
    /// before this process may have been written by another one whose request is still under way, unless it is old.
    pub fn trying(&mut self, record: &Record, now: Timestamp) -> bool {
        let before = self.0.insert(key(record), false);
        let age = record.creation_timestamp().map(|t| now.duration_since(t.0));
        before.unwrap_or_else(|| age.is_some_and(|age| age > UNDER_WAY))
    }

    /// The write was answered. Whether it is certain now that nothing was written; `before`: what [`Self::trying`] said.
    pub fn answered(&mut self, record: &Record, before: bool, took_effect: bool) -> bool {
        if before && !took_effect {
            self.0.insert(key(record), true);
        }
        self.is_certain(record)
    }

    /// Forgets the record.
    pub fn forget(&mut self, record: &Record) {
        self.0.remove(&key(record));
    }
}

/// By name: it is known before the record has a UID.
fn key(record: &Record) -> (String, String) {
    (record.namespace().unwrap_or_default(), record.name_any())
}
