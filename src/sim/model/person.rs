//! What a person does at any moment.

use serde_json::{Value, json};

use super::State;
use super::cluster::{Name, set_image};
use super::judge::asked_anew;
use super::shared::Shared;
use crate::api_server::{new_generation, version_after};
use crate::world::{OLD, workload_named};
use trackdown_api::marker::Marker;
use trackdown_api::ticket::{RollbackRequest, Ticket, TicketState};
use trackdown_api::{RETRY_ANNOTATION, ROLLING_LABEL, witness};

/// What concerns a workload concerns that of the first target.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Move {
    /// Another image in the ticket.
    EditImage,
    /// The ticket goes back to an earlier state.
    TakeBack,
    Override,
    DeleteTicket,
    /// `kubectl set image` to one of the person's own.
    SetImage,
    /// `kubectl set image` to the very image the ticket asks for.
    SetWanted,
    /// `kubectl rollout undo`: the template before, with the annotations it had.
    Undo,
    Scale,
    ScaleToZero,
    /// Another annotation, a changed label of the person's own: a new generation.
    Annotate,
    /// Deleted and created again.
    Replace,
    /// Deleted.
    DeleteWorkload,
    /// The label is taken away.
    Unlabel,
    DeleteRecords,
    /// A GitOps tool comes to own the image.
    Adopt,
    AskRollback,
    /// Asked for to a record that does not exist.
    AskRollbackToNobody,
    WithdrawRollback,
    /// `kubectl set image` of the last target's workload to one of the person's own.
    SetImageLast,
    /// The deployment is asked for again: the annotation has a new value.
    Retry,
}

/// Every move on a ticket of one target that asks for its deployment once.
pub const EVERY: &[Move] = &[
    Move::EditImage,
    Move::TakeBack,
    Move::Override,
    Move::DeleteTicket,
    Move::SetImage,
    Move::SetWanted,
    Move::Undo,
    Move::Scale,
    Move::ScaleToZero,
    Move::Annotate,
    Move::Replace,
    Move::DeleteWorkload,
    Move::Unlabel,
    Move::DeleteRecords,
    Move::Adopt,
    Move::AskRollback,
    Move::AskRollbackToNobody,
    Move::WithdrawRollback,
];

/// Every move on a ticket of several targets.
pub fn every_on_several() -> &'static [Move] {
    let mut moves = EVERY.to_vec();
    moves.extend([Move::SetImageLast, Move::Retry]);
    moves.leak()
}

/// Makes the move; false: there is nothing it would change.
pub fn act(state: &mut State, what: Move) -> bool {
    let (first, wanted) = state.targets[0];
    match what {
        Move::EditImage => {
            // What is asked for after that may write over what a person set before it.
            state.judge.edited = true;
            if state.sequential {
                state.judge.theirs.clear();
            } else {
                state.judge.theirs.remove(first);
            }
            edit_ticket(state, |t| t.spec.targets[0].image = "ghcr.io/acme/web:3".into())
        }
        Move::TakeBack => edit_ticket(state, |t| t.spec.state = Some(TicketState::Active)),
        Move::Override => edit_ticket(state, |t| t.spec.manual_override = true),
        Move::DeleteTicket => state.api.ticket.take().is_some(),
        Move::SetImage => set(state, first, "theirs"),
        Move::SetImageLast => {
            let (last, _) = state.targets[state.targets.len() - 1];
            set(state, last, "theirs")
        }
        Move::SetWanted => set(state, first, wanted),
        Move::Undo => undo(state, first),
        Move::Scale => edit_workload(state, first, |w| replicas(w, 5)),
        Move::ScaleToZero => edit_workload(state, first, |w| replicas(w, 0)),
        Move::Annotate => edit_workload(state, first, |w| {
            w["metadata"].as_object_mut().unwrap().entry("annotations").or_insert_with(|| json!({}))["theirs"] = json!("x");
            new_generation(w);
        }),
        Move::Replace => replace(state, first),
        Move::DeleteWorkload => {
            touch(state, first);
            state.api.workloads.remove(first).is_some()
        }
        Move::Unlabel => unlabel(state, first),
        Move::DeleteRecords => {
            let any = !state.api.records.is_empty();
            state.api.records.clear();
            any
        }
        Move::Adopt => {
            state.judge.adopted.insert(first);
            // Labels move neither generation nor marker.
            edit_workload(state, first, |w| {
                let labels = w["metadata"].as_object_mut().unwrap().entry("labels").or_insert_with(|| json!({}));
                labels["kustomize.toolkit.fluxcd.io/name"] = json!("shop");
            })
        }
        Move::AskRollback => {
            // Which came last, this or a retry, nobody can tell who finds both at once.
            let counts = state.judge.retried == 0;
            state.judge.asked = state.judge.rollouts.keys().copied().filter(|_| counts).collect();
            ask(state, None)
        }
        Move::AskRollbackToNobody => {
            // What was asked for before, and not taken in, is asked for no more.
            state.judge.asked.clear();
            ask(state, Some("nobody"))
        }
        Move::WithdrawRollback => {
            state.judge.asked.clear();
            let asked = state.api.ticket.as_ref().is_some_and(|t| t.spec.rollback.is_some());
            asked && edit_ticket(state, |t| t.spec.rollback = None)
        }
        Move::Retry => {
            // It may write over what a person set before it, and deploy again what was taken back.
            state.judge.theirs.clear();
            state.judge.asked.clear();
            retry(state)
        }
    }
}

fn retry(state: &mut State) -> bool {
    let Some(ticket) = &state.api.ticket else { return false };
    state.judge.retried += 1;
    let mut asked = ticket.owned();
    let annotations = asked.metadata.annotations.get_or_insert_default();
    annotations.insert(RETRY_ANNOTATION.to_owned(), state.judge.retried.to_string());
    asked.metadata.resource_version = Some(version_after(asked.metadata.resource_version.as_deref(), true));
    state.api.ticket = Some(Shared::new(asked));
    true
}

fn replace(state: &mut State, name: Name) -> bool {
    touch(state, name);
    let mut fresh = workload_named(name, OLD);
    fresh["metadata"]["uid"] = json!("another-uid");
    let replaced = state.api.workloads.get(name).is_some_and(|w| w["metadata"]["uid"] != "another-uid");
    state.api.workloads.insert(name, Shared::new(fresh));
    state.revisions.insert(name, Vec::new());
    state.judge.adopted.remove(name);
    replaced
}

fn unlabel(state: &mut State, name: Name) -> bool {
    if state.api.view(name).is_none_or(|v| v.rolling.is_none()) {
        return false;
    }
    // Without its label nothing tells whether the previous images were put back and somebody undid that: it is left alone.
    state.judge.touched.insert(name);
    edit_workload(state, name, |w| {
        let meta = w["metadata"].as_object_mut().unwrap();
        let labels = meta["labels"].as_object_mut().unwrap();
        labels.remove(ROLLING_LABEL);
        if labels.is_empty() {
            meta.remove("labels");
        }
    })
}

fn ask(state: &mut State, to: Option<&str>) -> bool {
    edit_ticket(state, |t| {
        let request = t.spec.rollback.as_ref().map_or("1", |_| "2").to_owned();
        t.spec.rollback = Some(RollbackRequest { request, to: to.map(str::to_owned), ..RollbackRequest::default() });
    })
}

fn edit_ticket(state: &mut State, change: impl FnOnce(&mut Ticket)) -> bool {
    let Some(ticket) = &state.api.ticket else { return false };
    let mut edited = ticket.owned();
    change(&mut edited);
    if edited.spec == ticket.spec {
        return false;
    }
    edited.metadata.resource_version = Some(version_after(edited.metadata.resource_version.as_deref(), true));
    edited.metadata.generation = edited.metadata.generation.map(|g| g + 1);
    state.api.ticket = Some(Shared::new(edited));
    true
}

fn edit_workload(state: &mut State, name: Name, change: impl FnOnce(&mut Value)) -> bool {
    let Some(workload) = state.api.workloads.get(name) else { return false };
    let mut edited = workload.owned();
    change(&mut edited);
    let changed = edited != **workload;
    state.api.put(name, edited);
    changed
}

fn replicas(workload: &mut Value, count: i32) {
    if workload["spec"]["replicas"] != json!(count) {
        workload["spec"]["replicas"] = json!(count);
        new_generation(workload);
    }
}

fn set(state: &mut State, name: Name, image: &str) -> bool {
    if state.api.image(name) == image {
        return false;
    }
    touch(state, name);
    edit_workload(state, name, |w| set_image(w, image))
}

fn undo(state: &mut State, name: Name) -> bool {
    let [.., before, newest] = state.revisions[name].as_slice() else { return false };
    if !state.api.workloads.contains_key(name) || newest.0 != state.api.image(name) {
        return false;
    }
    let (image, annotations) = before.owned();
    touch(state, name);
    edit_workload(state, name, |w| {
        w["metadata"]["annotations"] = annotations;
        if w["metadata"]["annotations"].is_null() {
            w["metadata"].as_object_mut().unwrap().remove("annotations");
        }
        set_image(w, &image);
    }) && {
        // An undo undone: what Trackdown had set is there again, to the letter, and its own to take back.
        let redone = state.api.view(name).is_some_and(|view| {
            let set = |m: &Marker| !m.restored && m.set[0].image == image && view.rolling == Some(witness::set_by(&m.record));
            view.marker().as_ref().is_some_and(set)
        });
        if redone {
            state.judge.theirs.remove(name);
        }
        true
    }
}

/// A person's hand is on the workload. If what is asked for was rolled out before, nothing may be written over it. Of an
/// image that is asked for since, only a workload that runs it tells.
fn touch(state: &mut State, name: Name) {
    state.judge.touched.insert(name);
    let runs_it = || {
        let mut targets = state.api.ticket.iter().flat_map(|t| &t.spec.targets);
        targets.any(|t| t.name == name && t.image == state.api.image(name))
    };
    let pending = state.judge.retried > 0 || asked_anew(state, name) && !runs_it();
    if state.judge.wrote(name) && !pending {
        state.judge.theirs.insert(name);
    } else {
        state.judge.theirs.remove(name);
    }
}
