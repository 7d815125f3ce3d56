//! After the end: the workload is let go, and records that need not be kept are removed.

use super::{IDLE, MarkerOwner, Purpose, RECHECK, RecordStep, RecordWorld, RecordWrite, WorkloadSeen, is_witnessed, marker_owner};
use crate::preflight::succeeded;
use crate::workload::patch;
use trackdown_api::marker::Marker;
use trackdown_api::witness;

pub fn decide(world: &RecordWorld) -> RecordStep {
    match (release(world), world.surplus.first()) {
        (step, Some(record)) if step == IDLE => RecordStep::Write(RecordWrite::DeleteRecord(Box::new(record.clone()))),
        (step, _) => step,
    }
}

fn release(world: &RecordWorld) -> RecordStep {
    let view = match &world.workload {
        WorkloadSeen::Watched(view) | WorkloadSeen::Live(view) if view.uid == world.record.spec.base.uid => view,
        // Refused, and then not even shown: whether it is let go is not known.
        WorkloadSeen::Unreadable(_) => return RECHECK,
        _ => return IDLE,
    };
    let owner = marker_owner(world, view);
    // The label says whose it is to take away, whatever became of the marker: `kubectl rollout undo` brings an older one back.
    let unnamed = view.rolling.as_deref().is_some_and(|label| !witness::names_a_record(label))
        && match &owner {
            MarkerOwner::Ours(_) | MarkerOwner::OurFence => true,
            MarkerOwner::Sibling => false,
            MarkerOwner::Other => view.marker().is_none(),
        };
    if !unnamed && !is_witnessed(world, view) {
        return IDLE;
    }
    if world.refused().is_some() {
        return RECHECK;
    }
    let settled = match owner {
        MarkerOwner::Ours(marker) if succeeded(&world.record) => Some(Marker { succeeded: true, ..marker }),
        _ => None,
    };
    RecordStep::Write(RecordWrite::Patch { purpose: Purpose::Release, patch: Box::new(patch::release(view, settled.as_ref())) })
}
