//! What a person does at any moment.

use serde_json::{Value, json};

use super::State;
use super::cluster::set_image;
use super::shared::Shared;
use crate::api_server::{new_generation, version_after};
use crate::world::{OLD, workload};
use trackdown_api::marker::Marker;
use trackdown_api::ticket::{RollbackRequest, Ticket, TicketState};
use trackdown_api::{ROLLING_LABEL, witness};

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
}

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

/// Makes the move; false: there is nothing it would change.
pub fn act(state: &mut State, what: Move) -> bool {
    match what {
        Move::EditImage => {
            // What is asked for after that may write over what a person set before it.
            state.judge.theirs = false;
            state.judge.edited = true;
            edit_ticket(state, |t| t.spec.targets[0].image = "ghcr.io/acme/web:3".into())
        }
        Move::TakeBack => edit_ticket(state, |t| t.spec.state = Some(TicketState::Active)),
        Move::Override => edit_ticket(state, |t| t.spec.manual_override = true),
        Move::DeleteTicket => state.api.ticket.take().is_some(),
        Move::SetImage => set(state, "theirs"),
        Move::SetWanted => {
            let wanted = state.wanted.to_owned();
            set(state, &wanted)
        }
        Move::Undo => undo(state),
        Move::Scale => edit_workload(state, |w| replicas(w, 5)),
        Move::ScaleToZero => edit_workload(state, |w| replicas(w, 0)),
        Move::Annotate => edit_workload(state, |w| {
            w["metadata"].as_object_mut().unwrap().entry("annotations").or_insert_with(|| json!({}))["theirs"] = json!("x");
            new_generation(w);
        }),
        Move::Replace => {
            let mut fresh = workload(OLD);
            fresh["metadata"]["uid"] = json!("another-uid");
            let replaced = state.api.workload.as_ref().is_some_and(|w| w["metadata"]["uid"] != "another-uid");
            state.api.workload = Some(Shared::new(fresh));
            state.revisions = Vec::new();
            state.judge.adopted = false;
            touch(state);
            replaced
        }
        Move::DeleteWorkload => {
            touch(state);
            state.api.workload.take().is_some()
        }
        Move::Unlabel => {
            let labelled = state.api.view().is_some_and(|v| v.rolling.is_some());
            // Without its label nothing tells whether the previous images were put back and somebody undid that: it is left alone.
            state.judge.touched |= labelled;
            labelled
                && edit_workload(state, |w| {
                    let meta = w["metadata"].as_object_mut().unwrap();
                    let labels = meta["labels"].as_object_mut().unwrap();
                    labels.remove(ROLLING_LABEL);
                    if labels.is_empty() {
                        meta.remove("labels");
                    }
                })
        }
        Move::DeleteRecords => {
            let any = !state.api.records.is_empty();
            state.api.records.clear();
            any
        }
        Move::Adopt => {
            state.judge.adopted = true;
            // Labels move neither generation nor marker.
            edit_workload(state, |w| {
                let labels = w["metadata"].as_object_mut().unwrap().entry("labels").or_insert_with(|| json!({}));
                labels["kustomize.toolkit.fluxcd.io/name"] = json!("shop");
            })
        }
        Move::AskRollback => {
            state.judge.asked = state.judge.wrote();
            ask(state, None)
        }
        Move::AskRollbackToNobody => {
            // What was asked for before, and not taken in, is asked for no more.
            state.judge.asked = false;
            ask(state, Some("nobody"))
        }
        Move::WithdrawRollback => {
            state.judge.asked = false;
            let asked = state.api.ticket.as_ref().is_some_and(|t| t.spec.rollback.is_some());
            asked && edit_ticket(state, |t| t.spec.rollback = None)
        }
    }
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

fn edit_workload(state: &mut State, change: impl FnOnce(&mut Value)) -> bool {
    let Some(workload) = &state.api.workload else { return false };
    let mut edited = workload.owned();
    change(&mut edited);
    let changed = edited != **workload;
    state.api.workload = Some(Shared::new(edited));
    changed
}

fn replicas(workload: &mut Value, count: i32) {
    if workload["spec"]["replicas"] != json!(count) {
        workload["spec"]["replicas"] = json!(count);
        new_generation(workload);
    }
}

fn set(state: &mut State, image: &str) -> bool {
    if state.api.image() == image {
        return false;
    }
    touch(state);
    edit_workload(state, |w| set_image(w, image))
}

fn undo(state: &mut State) -> bool {
    let [.., before, newest] = state.revisions.as_slice() else { return false };
    if state.api.workload.is_none() || newest.0 != state.api.image() {
        return false;
    }
    let (image, annotations) = before.owned();
    touch(state);
    edit_workload(state, |w| {
        w["metadata"]["annotations"] = annotations;
        if w["metadata"]["annotations"].is_null() {
            w["metadata"].as_object_mut().unwrap().remove("annotations");
        }
        set_image(w, &image);
    }) && {
        // An undo undone: what Trackdown had set is there again, to the letter, and its own to take back.
        let redone = state.api.view().is_some_and(|view| {
            let set = |m: &Marker| !m.restored && m.set[0].image == image && view.rolling == Some(witness::set_by(&m.record));
            view.marker().as_ref().is_some_and(set)
        });
        state.judge.theirs &= !redone;
        true
    }
}

/// A person's hand is on the workload. If something was rolled out before, nothing may be written over it.
fn touch(state: &mut State) {
    state.judge.touched = true;
    state.judge.theirs = state.judge.wrote();
}
