//! Which objects have to be looked at again when one changes. Pure, and never dearer than what is concerned.

use kube::ResourceExt;
use kube::runtime::reflector::ObjectRef;

use crate::runtime::known::Known;
use trackdown_api::record::Record;
use trackdown_api::ticket::Ticket;
use trackdown_api::workload_ref::Workload;
use trackdown_core::facets::{Facet, is_ready, takes_back};
use trackdown_core::lineage;
use trackdown_core::preflight::finished;
use trackdown_core::record::orphan;
use trackdown_core::request;
use trackdown_core::workload::view::WorkloadView;

/// Objects to be looked at.
#[derive(Debug, Default)]
pub struct Wake {
    /// Tickets.
    pub tickets: Vec<ObjectRef<Ticket>>,
    /// Records.
    pub records: Vec<ObjectRef<Record>>,
    /// Workloads whose record seems to be gone.
    pub orphans: Vec<Workload>,
}

/// A ticket changed: itself, the tickets that depend on it or wait for the same workload, and its records.
#[must_use]
pub fn ticket_changed(ticket: &Ticket, tickets: &Known<Ticket>, records: &Known<Record>) -> Wake {
    let namespace = ticket.namespace().unwrap_or_default();
    let awaiting = tickets.about(&Facet::Awaits(namespace, ticket.name_any()));
    let beside = request::workloads(ticket).flat_map(|w| tickets.about(&Facet::Workload(w))).filter(|t| is_ready(t));
    let own = records.about(&Facet::InFlight(ticket.uid().unwrap_or_default()));
    let others = awaiting.into_iter().chain(beside).map(|t| ObjectRef::from_obj(&*t));
    Wake {
        tickets: [ObjectRef::from_obj(ticket)].into_iter().chain(others).collect(),
        records: own.iter().map(|r| ObjectRef::from_obj(&**r)).collect(),
        ..Wake::default()
    }
}

/// A record changed: itself, its ticket, the tickets that wait for its workload, and those whose images it has replaced for good.
#[must_use]
pub fn record_changed(record: &Record, tickets: &Known<Ticket>, records: &Known<Record>) -> Wake {
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
fn replaced_by(record: &Record, records: &Known<Record>) -> Vec<ObjectRef<Ticket>> {
    let namespace = record.namespace().unwrap_or_default();
    let find = |name: String| records.get(&namespace, &name);
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
pub fn record_deleted(record: &Record, tickets: &Known<Ticket>, rolling: Option<&WorkloadView>) -> Wake {
    let ticket = ObjectRef::new(&record.spec.ticket.name).within(&record.namespace().unwrap_or_default());
    let waiting = waiting_for(&record.spec.workload, tickets);
    let left = rolling.filter(|view| orphan::is_held_by(view, &record.name_any()));
    let orphans = left.map(|view| view.workload.clone()).into_iter().collect();
    Wake { tickets: waiting.into_iter().chain([ticket]).collect(), records: Vec::new(), orphans }
}

/// A workload with a rollout in flight changed: the record its marker names, the one that has it in hand, and every record in flight for
/// it, should the marker be gone.
#[must_use]
pub fn workload_changed(view: &WorkloadView, records: &Known<Record>) -> Wake {
    let mut wake = Wake::default();
    if let Some(marker) = view.marker() {
        let record = ObjectRef::new(&marker.record).within(&marker.namespace);
        wake.records.push(record);
    }
    let of_workload = records.about(&Facet::Workload(view.workload.clone()));
    let holds = |r: &Record| orphan::is_held_by(view, &r.name_any());
    wake.orphans.extend((view.rolling.is_some() && !of_workload.iter().any(|r| holds(r))).then(|| view.workload.clone()));
    let concerned = of_workload.iter().filter(|r| !finished(r) || holds(r));
    wake.records.extend(concerned.map(|r| ObjectRef::from_obj(&**r)));
    wake
}

/// A workload lost its label or is gone: besides, the tickets that wait for it.
#[must_use]
pub fn workload_released(view: &WorkloadView, tickets: &Known<Ticket>, records: &Known<Record>) -> Wake {
    Wake { tickets: waiting_for(&view.workload, tickets), ..workload_changed(view, records) }
}

/// After the first list: every ticket, and of the records those that have not ended, or whose workload was not let go.
#[must_use]
pub fn everything(tickets: &Known<Ticket>, records: &Known<Record>, rolling: &[WorkloadView]) -> Wake {
    let mut wake = Wake { tickets: tickets.all().iter().map(|t| ObjectRef::from_obj(&**t)).collect(), ..Wake::default() };
    wake.records.extend(records.all().iter().filter(|r| !finished(r)).map(|r| ObjectRef::from_obj(&**r)));
    for view in rolling {
        wake.records.extend(workload_changed(view, records).records);
    }
    wake
}

/// The tickets that are to do something now: what the admission policies decide concerns no others.
#[must_use]
pub fn all_on_their_way(tickets: &Known<Ticket>) -> Wake {
    let all = tickets.all();
    let on_their_way = all.iter().filter(|t| is_ready(t) || takes_back(t));
    Wake { tickets: on_their_way.map(|t| ObjectRef::from_obj(&**t)).collect(), ..Wake::default() }
}

fn waiting_for(workload: &Workload, tickets: &Known<Ticket>) -> Vec<ObjectRef<Ticket>> {
    tickets.about(&Facet::Workload(workload.clone())).iter().map(|t| ObjectRef::from_obj(&**t)).collect()
}
