//! What stays to be looked up later: what really ran, and the records that say so.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;

use super::preflight::finished;
use super::record::is_ticket_of;
use super::record::outcome_of;
use trackdown_api::outcome::Outcome;
use trackdown_api::record::{Digest, Record};
use trackdown_api::ticket::Ticket;
use trackdown_api::workload_ref::ContainerImage;

/// What an image was when it ran before.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Content {
    /// The image as it was asked for.
    pub image: String,
    /// Its content's digest, `sha256:…`.
    pub digest: String,
    /// Name of the record that says so.
    pub record: String,
}

/// What the newest of the `records` knows of the contents of `images`.
pub fn contents<'a>(records: impl Iterator<Item = &'a Record>, images: &[ContainerImage]) -> Vec<Content> {
    let mut found: Vec<(_, Content)> = Vec::new();
    for record in records {
        let Some(status) = &record.status else { continue };
        for ran in &status.digests {
            let image = status.admitted_images.iter().find(|i| i.container == ran.container).map(|i| &i.image);
            let (Some(image), Some(digest)) = (image.filter(|i| images.iter().any(|w| w.image == **i)), digest(ran)) else {
                continue;
            };
            let content = Content { image: image.clone(), digest: digest.to_owned(), record: record.name_any() };
            match found.iter_mut().find(|(_, c)| c.image == *image) {
                Some(known) if known.0 >= status.completion_time => {}
                Some(known) => *known = (status.completion_time.clone(), content),
                None => found.push((status.completion_time.clone(), content)),
            }
        }
    }
    found.into_iter().map(|(_, content)| content).collect()
}

/// The images of a record of which it is known what they were.
pub fn known_images(record: &Record) -> impl Iterator<Item = &str> {
    let status = record.status.iter();
    status.flat_map(|s| {
        let known = |image: &&ContainerImage| s.digests.iter().any(|d| d.container == image.container && digest(d).is_some());
        s.admitted_images.iter().filter(known).map(|image| image.image.as_str())
    })
}

/// Whether a tag means something else than before, or not the same everywhere: what, in a sentence.
#[must_use]
pub fn moved(images: &[ContainerImage], ran: &[Digest], before: &[Content]) -> Option<String> {
    images.iter().filter(|image| !image.image.contains('@')).find_map(|image| {
        let now: BTreeSet<_> = ran.iter().filter(|d| d.container == image.container).filter_map(digest).collect();
        if now.len() > 1 {
            let all = now.into_iter().collect::<Vec<_>>().join(" and ");
            return Some(format!("{} means different things on different nodes: {all}; give it by digest", image.image));
        }
        let now = now.into_iter().next()?;
        let then = before.iter().find(|c| c.image == image.image && c.digest != now)?;
        Some(format!("{} is {now} now; it was {} in tdep/{}: give it by digest", image.image, then.digest, then.record))
    })
}

/// The digest of the content, where the kubelet tells it as one that means the same on every node.
fn digest(ran: &Digest) -> Option<&str> {
    ran.image_id.rsplit_once('@').map(|(_, digest)| digest).filter(|d| d.starts_with("sha256:"))
}

/// Most records one pass removes.
const REMOVED_AT_ONCE: usize = 32;

/// How long a record without a known ticket is kept at least: by then a ticket that is merely not known yet is known.
const TICKET_KNOWN_WITHIN: SignedDuration = SignedDuration::from_mins(10);

/// The finished records of a workload that need not be kept: neither among the newest `keep`, nor the last good one, nor in use.
#[must_use]
pub fn surplus(records: &[&Record], tickets: &[&Ticket], keep: usize, now: Timestamp) -> Vec<Record> {
    let mut ended: Vec<_> = records.iter().copied().filter(|r| finished(r)).collect();
    ended.sort_by_key(|r| std::cmp::Reverse(r.status.as_ref().and_then(|s| s.completion_time.clone())));
    let good = |r: &&&Record| outcome_of(r).is_some_and(|outcome| outcome.is_success() && outcome != Outcome::DryRun);
    let last_good = ended.iter().find(good).map(|r| r.name_any());
    let unfinished = records.iter().filter(|r| !finished(r));
    let mut used: BTreeSet<String> = tickets.iter().flat_map(|t| in_use(t)).chain(last_good).collect();
    used.extend(unfinished.flat_map(|r| r.spec.rollback_of.iter().chain(&r.spec.rollback_to).cloned()));
    let surplus = ended.into_iter().skip(keep).filter(|r| !used.contains(&r.name_any()) && is_taken_in(r, tickets, now));
    surplus.take(REMOVED_AT_ONCE).cloned().collect()
}

/// Whether the record's ticket has taken its result in. Only what a ticket says counts, never what it does not say yet: what is known of
/// it may be late.
fn is_taken_in(record: &Record, tickets: &[&Ticket], now: Timestamp) -> bool {
    let spec = &record.spec;
    let Some(ticket) = tickets.iter().find(|t| is_ticket_of(t, record)) else {
        let ended = record.status.as_ref().and_then(|s| s.completion_time.as_ref()).map(|t| t.0);
        return ended.is_some_and(|ended| now.duration_since(ended) > TICKET_KNOWN_WITHIN);
    };
    let entry = ticket.status.iter().flat_map(|s| &s.targets).find(|e| e.name == spec.target);
    entry.is_some_and(|e| e.attempt > spec.attempt || (e.attempt == spec.attempt && (e.result.is_some() || e.record.is_none())))
}

/// Records that the ticket is to go back by, or whose result it has not taken in.
#[must_use]
pub fn in_use(ticket: &Ticket) -> Vec<String> {
    let mut names: Vec<_> = ticket.spec.rollback.iter().filter_map(|r| r.to.clone()).collect();
    for entry in ticket.status.iter().flat_map(|s| &s.targets) {
        if entry.result.is_none() {
            names.extend(entry.record.clone());
            names.extend(entry.rollback.iter().flat_map(|r| r.of.iter().chain(&r.to).chain(&r.before).cloned()));
        }
    }
    names
}
