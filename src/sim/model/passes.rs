//! The operators' passes: each reads as it likes, and stops before every write, where anything may happen to it.

use std::collections::BTreeMap;

use trackdown_api::record::Record;
use trackdown_core::checks::Limits;
use trackdown_core::machine::{Machine, Next, Pass};
use trackdown_core::preflight::finished;
use trackdown_core::record::{
    self, Patched, Purpose, RecordRead, RecordReply, RecordWorld, RecordWrite, WorkloadRead, WorkloadSeen,
};
use trackdown_core::ticket::{Probe, RecordSeen, TicketRead, TicketReply, TicketWorld, TicketWrite, named_records};

use super::cluster::{Name, Objects};
use super::judge::{judge_end, judge_write};
use super::shared::Shared;
use super::{Operator, State};
use crate::api_server::{self, takes_status, version_after};
use crate::world::{at, view};

/// A pass, with the write it comes to next.
#[derive(Clone, Debug)]
pub enum UnderWay {
    Ticket(Box<Pass<TicketWorld>>, Box<TicketWrite>),
    Record(Box<Pass<RecordWorld>>, Box<RecordWrite>),
    /// A workload that a deleted record left behind is let go.
    Orphan(Name, Box<json_patch::Patch>),
}

/// Reads as long as the machine wants to read; the write it comes to, if any.
fn go_on<M: Machine>(pass: &mut Pass<M>, state: &State, read: impl Fn(M::Read, &Objects) -> M::Reply) -> Option<M::Write> {
    loop {
        match pass.next().unwrap_or_else(|endless| panic!("{endless:?}")) {
            Next::Read(wanted) => pass.answer(read(wanted, &state.api), at(state.clock)),
            Next::Write(write) => return Some(write),
            Next::Rest(_) => return None,
        }
    }
}

fn go_on_ticket(mut pass: Pass<TicketWorld>, state: &State) -> Option<UnderWay> {
    let write = go_on(&mut pass, state, read_for_ticket)?;
    Some(UnderWay::Ticket(Box::new(pass), Box::new(write)))
}

fn go_on_record(mut pass: Pass<RecordWorld>, state: &State) -> Option<UnderWay> {
    let workload = workload_of(&pass.machine);
    let write = go_on(&mut pass, state, |wanted, api| read_for_record(&wanted, &workload, api))?;
    Some(UnderWay::Record(Box::new(pass), Box::new(write)))
}

/// Name of the workload the record is about.
fn workload_of(world: &RecordWorld) -> String {
    world.record.spec.workload.name.clone()
}

fn read_for_ticket(wanted: TicketRead, api: &Objects) -> TicketReply {
    match wanted {
        TicketRead::Record(name) => {
            let seen = api.records.get(&name).map_or(RecordSeen::Absent, |r| RecordSeen::Found(Box::new(r.owned())));
            TicketReply::Record(name, seen)
        }
        TicketRead::Workload(workload) => {
            let probe = api.view(&workload.name).map_or(Probe::Missing(Vec::new()), |view| {
                let holder = api.holder(&view);
                Probe::Found(Box::new(view), holder)
            });
            TicketReply::Workload(workload, Box::new(probe))
        }
    }
}

fn read_for_record(wanted: &RecordRead, workload: &str, api: &Objects) -> RecordReply {
    match wanted {
        RecordRead::Ticket => RecordReply::Ticket(api.ticket.as_ref().map(|t| Box::new(t.owned()))),
        RecordRead::Workload => RecordReply::Workload(read_workload(workload, api)),
        RecordRead::Pods => RecordReply::Pods(api.pods(workload)),
        RecordRead::ReplicaSet(_) => RecordReply::ReplicaSet(record::Looked::Nothing),
        RecordRead::PodWarning(_) => RecordReply::PodWarning(None),
        RecordRead::Contents => RecordReply::Contents(Vec::new()),
    }
}

fn read_workload(name: &str, api: &Objects) -> WorkloadRead {
    api.view(name).map_or(WorkloadRead::Missing, |view| {
        let holder = api.holder(&view);
        WorkloadRead::Found(Box::new(view), holder)
    })
}

/// A pass over the ticket, up to its first write.
pub fn start_ticket(operator: &Operator, state: &State) -> Option<UnderWay> {
    let cached = operator.cache.ticket.as_ref()?.owned();
    let known = named_records(&cached).filter_map(|name| {
        let record = operator.cache.records.get(name)?;
        Some((name.clone(), RecordSeen::Found(Box::new(record.owned()))))
    });
    let world = TicketWorld {
        records: known.collect(),
        ticket: cached,
        dependencies: BTreeMap::default(),
        since: BTreeMap::default(),
        rivals: Vec::new(),
        probes: BTreeMap::default(),
        monitor_only: false,
        policy_missing: None,
        limits: Limits::default(),
        now: at(state.clock),
    };
    go_on_ticket(Pass::new(world), state)
}

/// A pass over a record, up to its first write.
pub fn start_record(operator: &Operator, state: &State, name: &str) -> Option<UnderWay> {
    let record = operator.cache.records.get(name)?.owned();
    let workload = record.spec.workload.name.clone();
    let watched = operator.cache.view(&workload).filter(|view| view.rolling.is_some());
    let world = RecordWorld {
        workload: watched.map_or(WorkloadSeen::Unread, |view| WorkloadSeen::Watched(Box::new(view))),
        pods: Some(state.api.pods(&workload)),
        unwritten: operator.unwritten.is_certain(&record),
        ..RecordWorld::of(record, operator.cache.ticket.as_deref(), at(state.clock))
    };
    go_on_record(Pass::new(world), state)
}

/// A workload whose record seems to be gone, if it is.
pub fn start_orphan(operator: &Operator, state: &State, name: Name) -> Option<UnderWay> {
    let held = |objects: &Objects, view| objects.records.keys().any(|record| record::orphan::is_held_by(view, record));
    let cached = operator.cache.view(name).filter(|v| v.rolling.is_some())?;
    let live = state.api.view(name)?;
    if held(&operator.cache, &cached) || held(&state.api, &live) {
        return None;
    }
    let patch = record::orphan::release(&live, state.api.ticket.as_deref().into_iter())?;
    Some(UnderWay::Orphan(name, Box::new(patch)))
}

/// The record whose forward write is pending.
pub fn forward_record(operator: &Operator) -> Option<Record> {
    match operator.pass.as_deref()? {
        UnderWay::Record(pass, write) if matches!(**write, RecordWrite::Patch { purpose: Purpose::Forward, .. }) => {
            Some(pass.machine.record.clone())
        }
        _ => None,
    }
}

/// The pending write of a pass takes effect or is refused for what has changed since, and the pass goes on to its next write.
pub fn perform(state: &mut State, i: usize) {
    let Some(pass) = state.operators[i].pass.take() else { return };
    let next = match pass.owned() {
        UnderWay::Ticket(pass, write) => perform_ticket(state, i, *pass, *write),
        UnderWay::Record(pass, write) => perform_record(state, i, *pass, *write),
        UnderWay::Orphan(name, patch) => {
            if let Some(Ok(after)) = state.api.workloads.get(name).map(|w| api_server::patch(w, &patch, state.lenient)) {
                state.api.put(name, after);
            }
            None
        }
    };
    state.operators[i].pass = next.map(Shared::new);
}

/// The pending write is refused by rights or a webhook.
pub fn refuse(state: &mut State, i: usize) {
    let Some(pass) = state.operators[i].pass.take() else { return };
    let next = match pass.owned() {
        UnderWay::Ticket(mut pass, write) => match *write {
            TicketWrite::Create(record) => {
                let name = record.metadata.name.clone().unwrap_or_default();
                pass.answer(TicketReply::Record(name, RecordSeen::Refused("denied".to_owned())), at(state.clock));
                go_on_ticket(*pass, state)
            }
            // A status that cannot be written ends the pass; it is tried again.
            TicketWrite::Status(_) => None,
        },
        UnderWay::Record(pass, write) => match *write {
            RecordWrite::Patch { purpose, .. } => {
                let read = read_workload(&workload_of(&pass.machine), &state.api);
                patched(state, i, *pass, purpose, Patched::Refused("denied".to_owned(), read))
            }
            _ => None,
        },
        UnderWay::Orphan(..) => None,
    };
    state.operators[i].pass = next.map(Shared::new);
}

fn perform_ticket(state: &mut State, i: usize, mut pass: Pass<TicketWorld>, write: TicketWrite) -> Option<UnderWay> {
    let now = at(state.clock);
    let State { api, operators, .. } = state;
    match write {
        TicketWrite::Status(status) => {
            let cache = &mut operators[i].cache;
            let sent = pass.machine.ticket.metadata.resource_version.as_deref();
            let stored = api.ticket.as_ref().filter(|t| takes_status(t.metadata.resource_version.as_deref(), sent))?;
            let changed = stored.status.as_ref() != Some(&*status);
            let mut written = stored.owned();
            written.status = Some(*status);
            written.metadata.resource_version = Some(version_after(written.metadata.resource_version.as_deref(), changed));
            pass.answer(TicketReply::StatusWritten(Box::new(written.clone())), now);
            api.ticket = Some(Shared::new(written));
            cache.ticket.clone_from(&api.ticket);
        }
        TicketWrite::Create(record) => {
            let name = record.metadata.name.clone().unwrap_or_default();
            let traces = |p: &Probe| matches!(p, Probe::Found(view, _) if view.marker().is_some_and(|m| m.record == name));
            if !api.records.contains_key(&name) && !pass.machine.probes.values().any(traces) {
                operators[i].unwritten.made(&record);
            }
            let cache = &mut operators[i].cache;
            let stored = api.records.entry(name.clone()).or_insert_with(|| {
                let mut created = *record;
                created.metadata.resource_version = Some("1".into());
                created.metadata.generation = Some(1);
                Shared::new(created)
            });
            cache.records.insert(name, stored.clone());
            pass.answer(TicketReply::Created(Box::new(stored.owned())), now);
        }
    }
    go_on_ticket(pass, state)
}

fn perform_record(state: &mut State, i: usize, mut pass: Pass<RecordWorld>, write: RecordWrite) -> Option<UnderWay> {
    match write {
        RecordWrite::Status(status) => {
            let record = &pass.machine.record;
            let name = record.metadata.name.clone().unwrap_or_default();
            let stored = state.api.records.get(&name)?;
            if !takes_status(stored.metadata.resource_version.as_deref(), record.metadata.resource_version.as_deref()) {
                return None;
            }
            let changed = stored.status.as_ref() != Some(&*status);
            let mut written = stored.owned();
            written.status = Some(*status);
            written.metadata.resource_version = Some(version_after(written.metadata.resource_version.as_deref(), changed));
            let stored = Shared::new(written.clone());
            state.api.records.insert(name.clone(), stored.clone());
            state.operators[i].cache.records.insert(name, stored);
            if finished(&written) {
                state.operators[i].unwritten.forget(&written);
                judge_end(state, &written);
            }
            pass.answer(RecordReply::StatusWritten { record: Box::new(written), surplus: Vec::new() }, at(state.clock));
            go_on_record(pass, state)
        }
        RecordWrite::Patch { purpose, patch } => {
            let name = workload_of(&pass.machine);
            let before = state.api.workloads.get(name.as_str());
            let outcome = match before.map(|w| api_server::patch(w, &patch, state.lenient)) {
                None => Patched::Missing,
                Some(Err(why)) => Patched::Refused(why, read_workload(&name, &state.api)),
                Some(Ok(after)) => {
                    let seen = view(&after);
                    state.api.put(&name, after);
                    judge_write(state, &pass.machine.record, purpose);
                    Patched::Done(Box::new(seen))
                }
            };
            patched(state, i, pass, purpose, outcome)
        }
        RecordWrite::DeletePod(_) | RecordWrite::DeleteRecord(_) => unreachable!("nothing here has such pods, or so many records"),
    }
}

/// The pass hears what came of its patch, and goes on to its next write.
fn patched(state: &mut State, i: usize, mut pass: Pass<RecordWorld>, purpose: Purpose, outcome: Patched) -> Option<UnderWay> {
    let world = &pass.machine;
    let memory = &mut state.operators[i].unwritten;
    let unwritten = if purpose == Purpose::Forward {
        let before = memory.trying(&world.record, world.now);
        memory.answered(&world.record, before, matches!(outcome, Patched::Done(_)))
    } else {
        world.unwritten
    };
    pass.answer(RecordReply::Patched { purpose, outcome, unwritten }, at(state.clock));
    go_on_record(pass, state)
}
