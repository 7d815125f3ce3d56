//! What objects are about: by these they are found, in the time it takes to name those that are.

use kube::ResourceExt;

use super::evidence;
use super::lineage;
use super::preflight::finished;
use super::request;
use crate::workload::Rollable;
use trackdown_api::record::Record;
use trackdown_api::ticket::{Ticket, TicketState};
use trackdown_api::workload_ref::Workload;

/// Something that objects can have in common.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum Facet {
    /// This workload: a record's own, or one that a ticket is on its way to.
    Workload(Workload),
    /// The ticket of this namespace and name has to move first.
    Awaits(String, String),
    /// The record of this namespace and name is needed as it is.
    Uses(String, String),
    /// An attempt of the ticket with this UID has not ended.
    InFlight(String),
    /// What wrote to a workload before was the record of this namespace and name.
    After(String, String),
    /// This image ran in this namespace, and it is known what it was.
    Content(String, String),
}

/// An object that is found by what it is about.
pub trait Faceted {
    /// Everything it is found by beside its name.
    fn facets(&self) -> Vec<Facet> {
        Vec::new()
    }
}

// Asked for by name alone.
impl<W: Rollable> Faceted for W {}

impl Faceted for Ticket {
    fn facets(&self) -> Vec<Facet> {
        let namespace = self.namespace().unwrap_or_default();
        let waits = self.status.as_ref().and_then(|s| s.waiting.as_ref()?.on.as_deref()?.strip_prefix("ticket/"));
        let mut awaited: Vec<_> = self.spec.depends_on.iter().map(String::as_str).chain(waits).collect();
        awaited.sort_unstable();
        awaited.dedup();
        let awaited = awaited.into_iter().map(|name| Facet::Awaits(namespace.clone(), name.to_owned()));
        let uses = evidence::in_use(self).into_iter().map(|name| Facet::Uses(namespace.clone(), name));
        let mut workloads: Vec<_> = Vec::new();
        if is_ready(self) || takes_back(self) {
            workloads.extend(request::workloads(self).map(Facet::Workload));
            workloads.dedup();
        }
        awaited.chain(uses).chain(workloads).collect()
    }
}

impl Faceted for Record {
    fn facets(&self) -> Vec<Facet> {
        let namespace = self.namespace().unwrap_or_default();
        let mut facets = vec![Facet::Workload(self.spec.workload.clone())];
        facets.extend(lineage::wrote_after(self).map(|before| Facet::After(namespace.clone(), before)));
        if finished(self) {
            facets.extend(evidence::known_images(self).map(|image| Facet::Content(namespace.clone(), image.to_owned())));
        } else {
            facets.push(Facet::InFlight(self.spec.ticket.uid.clone()));
        }
        facets
    }
}

/// Whether the ticket asks for its deployment, as far as its status tells.
#[must_use]
pub fn is_ready(ticket: &Ticket) -> bool {
    ticket.status.as_ref().and_then(|s| s.state) == Some(TicketState::ReadyForDeployment)
}

/// Whether a rollback is asked for that has not ended.
#[must_use]
pub fn takes_back(ticket: &Ticket) -> bool {
    ticket.status.iter().flat_map(|s| &s.targets).any(|e| e.rollback.is_some() && e.result.is_none())
}
