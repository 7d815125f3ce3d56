//! Which objects have to be looked at again when one changes. Pure.

use kube::ResourceExt;
use kube::runtime::reflector::{ObjectRef, Store};

use crate::api::deployment::Deployment;
use crate::api::ticket::{Ticket, TicketState};
use crate::api::workload_ref::Workload;
use crate::decide::gates::wants_workload;
use crate::decide::lineage;
use crate::decide::preflight::finished;
use crate::decide::record::{is_ticket_of, orphan};
use crate::decide::request;
use crate::workload::view::WorkloadView;

/// Objects to be looked at.
#[derive(Debug, Default)]
pub struct Wake {
    /// Tickets.
    pub tickets: Vec<ObjectRef<Ticket>>,
    /// Records.
    pub records: Vec<ObjectRef<Deployment>>,
    /// Workloads whose record seems to be gone.
    pub orphans: Vec<Workload>,
}

/// A ticket changed: itself, the tickets that depend on it or wait for the same workload, and its records.
#[must_use]
pub fn ticket_changed(ticket: &Ticket, tickets: &Store<Ticket>, records: &Store<Deployment>) -> Wake {
    let namespace = ticket.namespace();
    let name = ticket.name_any();
    let waited_for = format!("ticket/{name}");
    let waits = |t: &Ticket| t.status.as_ref().and_then(|s| s.waiting.as_ref()?.on.as_deref()) == Some(&waited_for);
    let wanted: Vec<_> = request::workloads(ticket).collect();
    let concerned = tickets.state_filter(|t| {
        t.namespace() == namespace
            && (t.name_any() == name
                || t.spec.depends_on.contains(&name)
                || waits(t)
                || (is_ready(t) && wanted.iter().any(|w| wants_workload(t, w))))
    });
    let own = records.state_filter(|r| is_ticket_of(ticket, r) && !finished(r));
    Wake {
        tickets: concerned.iter().map(|t| ObjectRef::from_obj(&**t)).collect(),
        records: own.iter().map(|r| ObjectRef::from_obj(&**r)).collect(),
        ..Wake::default()
    }
}

/// A record changed: itself, its ticket, the tickets that wait for its workload, and those whose images it has replaced for good.
#[must_use]
pub fn record_changed(record: &Deployment, tickets: &Store<Ticket>, records: &Store<Deployment>) -> Wake {
    let ticket = ObjectRef::new(&record.spec.ticket.name).within(&record.namespace().unwrap_or_default());
    let waiting = if finished(record) { waiting_for(&record.spec.workload, tickets) } else { Vec::new() };
    let replaced = if lineage::stays(record) { replaced_by(record, records) } else { Vec::new() };
    let records = vec![ObjectRef::from_obj(record)];
    Wake { tickets: waiting.into_iter().chain(replaced).chain([ticket]).collect(), records, ..Wake::default() }
}

/// Most records that are gone back over in search of the ticket whose images were replaced.
const BACK_MAX: usize = 64;

/// The tickets of the records before this one, back to one of another ticket that had brought images to stay: a rollback brings those
/// back.
fn replaced_by(record: &Deployment, records: &Store<Deployment>) -> Vec<ObjectRef<Ticket>> {
    let namespace = record.namespace().unwrap_or_default();
    let find = |name: String| records.get(&ObjectRef::new(&name).within(&namespace));
    let mut found = Vec::new();
    let mut before = lineage::before(record).and_then(find);
    while let Some(earlier) = before.take_if(|_| found.len() < BACK_MAX) {
        found.push(ObjectRef::new(&earlier.spec.ticket.name).within(&namespace));
        let is_it = lineage::stays(&earlier) && earlier.spec.ticket.uid != record.spec.ticket.uid;
        before = lineage::before(&earlier).filter(|_| !is_it).and_then(find);
    }
    found
}

/// A record is gone: whoever waited for it goes on, and what it had in hand is looked at. `rolling`: its workload, if a rollout is in
/// flight there.
#[must_use]
pub fn record_deleted(record: &Deployment, tickets: &Store<Ticket>, rolling: Option<&WorkloadView>) -> Wake {
    let ticket = ObjectRef::new(&record.spec.ticket.name).within(&record.namespace().unwrap_or_default());
    let waiting = waiting_for(&record.spec.workload, tickets);
    let left = rolling.filter(|view| orphan::is_held_by(view, &record.name_any()));
    let orphans = left.map(|view| view.workload.clone()).into_iter().collect();
    Wake { tickets: waiting.into_iter().chain([ticket]).collect(), records: Vec::new(), orphans }
}

/// A workload with a rollout in flight changed: the record its marker names, and every record in flight for it, should the marker
/// be gone.
#[must_use]
pub fn workload_changed(view: &WorkloadView, records: &Store<Deployment>) -> Wake {
    let mut wake = Wake::default();
    if let Some(marker) = view.marker() {
        let record = ObjectRef::new(&marker.record).within(&marker.namespace);
        wake.records.push(record);
    }
    let held = |r: &Deployment| r.spec.workload == view.workload && orphan::is_held_by(view, &r.name_any());
    wake.orphans.extend((view.rolling.is_some() && records.find(held).is_none()).then(|| view.workload.clone()));
    let in_flight = records.state_filter(|r| !finished(r) && r.spec.workload == view.workload);
    wake.records.extend(in_flight.iter().map(|r| ObjectRef::from_obj(&**r)));
    wake
}

/// A workload lost its label or is gone: besides, the tickets that wait for it.
#[must_use]
pub fn workload_released(view: &WorkloadView, tickets: &Store<Ticket>, records: &Store<Deployment>) -> Wake {
    Wake { tickets: waiting_for(&view.workload, tickets), ..workload_changed(view, records) }
}

fn waiting_for(workload: &Workload, tickets: &Store<Ticket>) -> Vec<ObjectRef<Ticket>> {
    let waiting = tickets.state_filter(|t| (is_ready(t) || takes_back(t)) && wants_workload(t, workload));
    waiting.iter().map(|t| ObjectRef::from_obj(&**t)).collect()
}

/// Whether a rollback is asked for that has not begun.
fn takes_back(ticket: &Ticket) -> bool {
    ticket.status.iter().flat_map(|s| &s.targets).any(|e| e.rollback.is_some() && e.result.is_none())
}

fn is_ready(ticket: &Ticket) -> bool {
    ticket.status.as_ref().and_then(|s| s.state) == Some(TicketState::ReadyForDeployment)
}
