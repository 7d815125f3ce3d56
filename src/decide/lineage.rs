//! Which record wrote to a workload after which: each record keeps the marker it was decided on, and that names the one before it.

use std::collections::HashMap;

use jiff::Timestamp;
use kube::ResourceExt;

use super::images::all_same_or_pinned;
use super::{condition_reason, reason};
use crate::api::deployment::{Action, Deployment};
use crate::api::marker::Marker;
use crate::api::workload_ref::ContainerImage;

/// What has become of what a record deployed, as far as Trackdown itself changed it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Since {
    /// This ticket, another one, has deployed other images.
    Replaced(String),
    /// Others came after it, and its images are back.
    Restored,
}

/// Longest way that is followed from one record.
const WAY_MAX: usize = 64;

/// Namespace and name of a record.
type Key = (String, String);

/// The records that wrote, by the one before each.
#[derive(Debug, Default)]
pub struct Lineage {
    next: HashMap<Key, Next>,
}

#[derive(Debug)]
struct Next {
    record: String,
    ticket: String,
    /// The images it brought to stay; none if it ended otherwise, or has not ended.
    brought: Vec<ContainerImage>,
    patched: Option<Timestamp>,
}

impl Lineage {
    /// Takes in what is known of a record.
    pub fn note(&mut self, record: &Deployment) {
        if let Some(before) = before(record).filter(|_| wrote(record)) {
            let brought = if stays(record) { record.spec.images.clone() } else { Vec::new() };
            let patched = record.status.as_ref().and_then(|s| s.patched_time.as_ref()).map(|t| t.0);
            let next = Next { record: record.name_any(), ticket: record.spec.ticket.name.clone(), brought, patched };
            let key = (record.namespace().unwrap_or_default(), before);
            // An older marker can be brought back, so that two records come after one: the later counts.
            if self.next.get(&key).is_none_or(|known| known.record == next.record || known.patched <= next.patched) {
                self.next.insert(key, next);
            }
        }
    }

    /// Forgets a record that is gone.
    pub fn forget(&mut self, record: &Deployment) {
        let Some(before) = before(record) else { return };
        let key = (record.namespace().unwrap_or_default(), before);
        if self.next.get(&key).is_some_and(|next| next.record == record.name_any()) {
            self.next.remove(&key);
        }
    }

    /// What came after the record; `None`: nothing that is known.
    #[must_use]
    pub fn since(&self, record: &Deployment) -> Option<Since> {
        let own = &record.spec.ticket.name;
        let mut live = record.spec.images.clone();
        let mut newest = None;
        let mut key = (record.namespace().unwrap_or_default(), record.name_any());
        for _ in 0..WAY_MAX {
            let Some(next) = self.next.get(&key) else { break };
            for image in &mut live {
                if let Some(brought) = next.brought.iter().find(|b| b.container == image.container) {
                    image.image.clone_from(&brought.image);
                    newest = Some(&next.ticket);
                }
            }
            key.1.clone_from(&next.record);
        }
        let ticket = newest?;
        let same = all_same_or_pinned(&record.spec.images, &live) || ticket == own;
        Some(if same { Since::Restored } else { Since::Replaced(ticket.clone()) })
    }
}

/// The record that wrote before this one.
#[must_use]
pub fn before(record: &Deployment) -> Option<String> {
    let base = &record.spec.base;
    let marker = Marker::parse(base.marker.as_deref()?, &base.uid, &record.namespace().unwrap_or_default())?;
    Some(marker.record).filter(|before| *before != record.name_any())
}

/// Whether it ended with its images on the workload.
#[must_use]
pub fn stays(record: &Deployment) -> bool {
    condition_reason(record).is_some_and(|(why, _)| reason::is_change(why) || why == reason::ROLLBACK_COMPLETE)
}

fn wrote(record: &Deployment) -> bool {
    record.spec.action != Action::Observe && record.status.as_ref().is_some_and(|s| s.patched_time.is_some())
}
