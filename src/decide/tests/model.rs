//! A model of the whole: two operators with stale caches that crash, pause and lose replies at any step, a user who changes things
//! meanwhile, and a workload controller. The operators run the real decisions; the API server is a small, exact stand-in
//! (optimistic locks, JSON patch tests). Every reachable state up to a depth is visited.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::hash::{Hash, Hasher};
use std::time::Duration;

use serde_json::{Value, json};
use stateright::{Checker, Model, Property, UniformChooser};

use super::world::{BAD, NEW, OLD, at, ticket, view, workload};
use crate::api::condition::find_condition;
use crate::api::deployment::{Deployment, Digest, RootCause};
use crate::api::ticket::{RollbackRequest, Ticket, TicketState};
use crate::api::workload_ref::ContainerImage;
use crate::api::{MARKER_ANNOTATION, ROLLING_LABEL};
use crate::decide::check::Limits;
use crate::decide::preflight::{Holder, finished};
use crate::decide::record::{self, Answer, Purpose, RecordStep, RecordWorld, WorkloadSeen, authority};
use crate::decide::ticket::{self as ticket_decision, Probe, RecordSeen, TicketStep, TicketWorld};
use crate::decide::{condition_reason, reason};
use crate::workload::pods::PodView;
use crate::workload::view::WorkloadView;

/// How long a tick lasts: past every deadline and back-off.
const TICK_SECONDS: i64 = 1000;

/// How long the checker may take for one scenario; deeper states are then left out.
const TIME: Duration = Duration::from_secs(4);

/// The API server's storage, and what a judge remembers.
#[derive(Clone, Debug, Default, PartialEq)]
#[allow(clippy::struct_excessive_bools, reason = "independent facts")]
struct Api {
    ticket: Option<Ticket>,
    records: BTreeMap<String, Deployment>,
    workload: Value,
    /// Forward writes that took effect, by record.
    forward: BTreeMap<String, u8>,
    /// A person set the image after the forward write: it must stay.
    theirs: bool,
    /// A person changed the image at any time.
    touched: bool,
    /// A rollback wrote over something that was not the record's.
    trampled: bool,
    /// A GitOps tool has come to own the image.
    adopted: bool,
    /// The image was written under a GitOps tool that owns it.
    fought: bool,
    /// Broken on purpose: the tests of a patch are ignored.
    lenient: bool,
}

/// An operator: its cache, and the pass it is in.
#[derive(Clone, Debug, Default, PartialEq)]
struct Operator {
    cache: Api,
    pass: Option<Pass>,
}

#[derive(Clone, Debug, PartialEq)]
enum Pass {
    Ticket(Box<TicketWorld>, Box<TicketStep>),
    Record(Box<RecordWorld>, Box<RecordStep>),
}

#[derive(Clone, Debug, PartialEq)]
struct State {
    api: Api,
    operators: [Operator; 2],
    clock: i64,
    crashes: u8,
    moves: u8,
    ticks: u8,
}

// The types of the API do not hash; their text does.
impl Hash for State {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        let _ = write!(Feed(hasher), "{self:?}");
    }
}

struct Feed<'a, H>(&'a mut H);

impl<H: Hasher> std::fmt::Write for Feed<'_, H> {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        self.0.write(text.as_bytes());
        Ok(())
    }
}

#[derive(Clone, Debug, PartialEq)]
enum Action {
    /// The cache catches up.
    Sync(usize),
    /// A pass starts and goes on to its first write.
    StartTicket(usize),
    StartRecord(usize, String),
    /// The write happens, and the pass goes on to its next one.
    Perform(usize),
    /// The write happens, and the operator dies before it hears of it.
    PerformAndCrash(usize),
    /// The operator dies before the write.
    Crash(usize),
    /// The workload's controller does its work.
    Settle,
    Tick,
    User(Move),
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Move {
    EditImage,
    TakeBack,
    Override,
    Delete,
    SetByHand,
    Undo,
    Scale,
    Adopt,
    AskRollback,
}

struct Scenario {
    image: &'static str,
    operators: usize,
    crashes: u8,
    moves: &'static [Move],
    most_moves: u8,
    lenient: bool,
}

/// How the states are visited.
enum Visit {
    /// All of them, the nearest first.
    Breadth,
    /// Random walks to the end: where there are too many.
    Walks,
}

impl Model for Scenario {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let spec = json!({"targets": [{"name": "web", "image": self.image}], "rollout": {"maxAttempts": 1}});
        let api = Api { ticket: Some(ticket(&spec)), workload: workload(OLD), lenient: self.lenient, ..Api::default() };
        let fresh = Operator { cache: api.clone(), pass: None };
        vec![State { api, operators: [fresh.clone(), fresh], clock: 0, crashes: 0, moves: 0, ticks: 0 }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        for (i, operator) in state.operators.iter().enumerate().take(self.operators) {
            if operator.pass.is_some() {
                actions.push(Action::Perform(i));
                if state.crashes < self.crashes {
                    actions.extend([Action::PerformAndCrash(i), Action::Crash(i)]);
                }
                continue;
            }
            if !same_objects(&operator.cache, &state.api) {
                actions.push(Action::Sync(i));
            }
            if start_ticket(operator, state).is_some() {
                actions.push(Action::StartTicket(i));
            }
            for name in operator.cache.records.keys() {
                if start_record(operator, state, name).is_some() {
                    actions.push(Action::StartRecord(i, name.clone()));
                }
            }
        }
        if settled(&state.api.workload) != state.api.workload {
            actions.push(Action::Settle);
        }
        if state.ticks < 1 {
            actions.push(Action::Tick);
        }
        if state.moves < self.most_moves {
            actions.extend(self.moves.iter().copied().map(Action::User));
        }
    }

    fn next_state(&self, state: &State, action: Action) -> Option<State> {
        let mut next = state.clone();
        match action {
            Action::Sync(i) => next.operators[i].cache = state.api.clone(),
            Action::StartTicket(i) => next.operators[i].pass = start_ticket(&state.operators[i], state),
            Action::StartRecord(i, name) => next.operators[i].pass = start_record(&state.operators[i], state, &name),
            Action::Perform(i) => perform(&mut next, i),
            Action::PerformAndCrash(i) => {
                perform(&mut next, i);
                next.operators[i] = Operator { cache: next.api.clone(), pass: None };
                next.crashes += 1;
            }
            Action::Crash(i) => {
                next.operators[i] = Operator { cache: next.api.clone(), pass: None };
                next.crashes += 1;
            }
            Action::Settle => next.api.workload = settled(&state.api.workload),
            Action::Tick => {
                next.clock += TICK_SECONDS;
                next.ticks += 1;
            }
            Action::User(what) => {
                user(&mut next.api, what);
                next.moves += 1;
            }
        }
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("one forward write an attempt", |_, s: &State| s.api.forward.values().all(|n| *n <= 1)),
            Property::always("a person's image stays", |_, s: &State| {
                !s.api.trampled && (!s.api.theirs || image(&s.api.workload) == "theirs" || image(&s.api.workload) == OLD)
            }),
            Property::always("nothing is written to what Git owns", |_, s: &State| !s.api.fought),
            Property::always("the bad image is nobody's previous", |_, s: &State| {
                let previous = s.api.records.values().filter_map(|r| r.status.as_ref()).flat_map(|s| &s.previous_images);
                previous.into_iter().all(|i| i.image != BAD)
            }),
            Property::always("done is true", |_, s: &State| {
                let done = s.api.ticket.as_ref().is_some_and(|t| {
                    t.status.as_ref().is_some_and(|s| s.state == Some(TicketState::Done) && s.deployed_by.is_some())
                });
                !done || s.api.records.values().any(|r| ended(r, reason::is_success))
            }),
            Property::always("when nothing is left to do, all ended right", |_, s: &State| !quiet(s) || ended_right(s)),
            Property::sometimes(FINISHED, |_, s: &State| quiet(s) && s.api.records.values().any(finished)),
            Property::sometimes(TAKEN_BACK, |m: &Self, s: &State| {
                let complete = |r: &Deployment| ended(r, |x| x == reason::ROLLBACK_COMPLETE);
                m.moves != [Move::AskRollback] || m.image != NEW || (quiet(s) && s.api.records.values().any(complete))
            }),
        ]
    }
}

/// Whether an operator with a fresh cache would do nothing, now or later, and the workload is at rest.
fn quiet(state: &State) -> bool {
    let fresh = Operator { cache: state.api.clone(), pass: None };
    let later = State { clock: state.clock + 10 * TICK_SECONDS, ..state.clone() };
    state.operators.iter().all(|o| o.pass.is_none())
        && settled(&state.api.workload) == state.api.workload
        && [state, &later]
            .iter()
            .all(|s| start_ticket(&fresh, s).is_none() && state.api.records.keys().all(|r| start_record(&fresh, s, r).is_none()))
}

fn ended_right(state: &State) -> bool {
    let api = &state.api;
    let all_ended = api.records.values().all(finished);
    let free = api.workload.pointer(&pointer("labels", ROLLING_LABEL)).is_none();
    let live = image(&api.workload);
    let consistent = api.ticket.as_ref().is_none_or(|t| {
        let status = t.status.clone().unwrap_or_default();
        let stalled = find_condition(&status.conditions, reason::STALLED).is_some();
        match status.state {
            Some(TicketState::Done) => api.touched || live == wanted(t),
            _ if t.spec.manual_override => true,
            // Taken back, or a rollback that a person's change keeps from beginning.
            Some(TicketState::ReadyForDeployment) => stalled || api.adopted || t.spec.rollback.is_some(),
            _ => api.adopted || live != BAD && live != NEW || api.records.values().any(|r| ended(r, reason::is_success)),
        }
    });
    let restored = api.records.values().all(|r| !ended(r, |x| x == reason::ROLLED_BACK) || live != BAD);
    all_ended && free && consistent && restored
}

fn ended(record: &Deployment, how: impl Fn(&str) -> bool) -> bool {
    finished(record) && condition_reason(record).is_some_and(|(reason, _)| how(reason))
}

fn wanted(ticket: &Ticket) -> String {
    ticket.spec.targets[0].image.clone()
}

fn start_ticket(operator: &Operator, state: &State) -> Option<Pass> {
    let cached = operator.cache.ticket.clone()?;
    let named = cached.status.iter().flat_map(|s| &s.targets).filter_map(|e| e.record.clone());
    let records =
        named.filter_map(|n| operator.cache.records.get(&n).map(|r| (n, RecordSeen::Found(Box::new(r.clone()))))).collect();
    go_on_ticket(
        TicketWorld {
            ticket: cached,
            records,
            dependencies: BTreeMap::default(),
            rivals: Vec::new(),
            probes: BTreeMap::default(),
            monitor_only: false,
            limits: Limits::default(),
            now: at(state.clock),
        },
        &state.api,
    )
}

/// Reads as long as the decision wants to read; stops before a write.
fn go_on_ticket(mut world: TicketWorld, api: &Api) -> Option<Pass> {
    loop {
        match ticket_decision::decide(&world) {
            TicketStep::ReadRecord(name) => {
                let seen = api.records.get(&name).map_or(RecordSeen::Absent, |r| RecordSeen::Found(Box::new(r.clone())));
                world.records.insert(name, seen);
            }
            TicketStep::ReadWorkload(workload) => {
                let view = view(&api.workload);
                let holder = holder(&view, api);
                world.probes.insert(workload, Probe::Found(Box::new(view), holder));
            }
            TicketStep::Wait { .. } => return None,
            write => return Some(Pass::Ticket(Box::new(world), Box::new(write))),
        }
    }
}

fn start_record(operator: &Operator, state: &State, name: &str) -> Option<Pass> {
    let record = operator.cache.records.get(name)?.clone();
    let watched = view(&operator.cache.workload);
    let pods = pods(&view(&state.api.workload));
    go_on_record(
        RecordWorld {
            authority: authority(operator.cache.ticket.as_ref(), &record, false),
            record,
            workload: if watched.rolling { WorkloadSeen::Watched(Box::new(watched)) } else { WorkloadSeen::Unread },
            holder: Holder::Nobody,
            pods: Some(pods),
            checks: None,
            contents: Some(Vec::new()),
            surplus: Vec::new(),
            answer: None,
            relabelled: false,
            now: at(state.clock),
        },
        &state.api,
    )
}

fn go_on_record(mut world: RecordWorld, api: &Api) -> Option<Pass> {
    loop {
        match record::decide(&world) {
            RecordStep::ReadTicket => world.authority = authority(api.ticket.as_ref(), &world.record, true),
            RecordStep::ReadWorkload => {
                let view = view(&api.workload);
                world.holder = holder(&view, api);
                world.workload = WorkloadSeen::Live(Box::new(view));
            }
            RecordStep::ReadPods => world.pods = Some(pods(&view(&api.workload))),
            RecordStep::Wait { .. } => return None,
            write => return Some(Pass::Record(Box::new(world), Box::new(write))),
        }
    }
}

fn holder(view: &WorkloadView, api: &Api) -> Holder {
    match view.marker().filter(|m| !m.succeeded) {
        None => Holder::Nobody,
        Some(marker) => api.records.get(&marker.record).map_or(Holder::Gone, |r| Holder::Record(Box::new(r.clone()))),
    }
}

/// The pods a real cluster would show for the workload as it is.
fn pods(view: &WorkloadView) -> Vec<PodView> {
    let image = view.containers[0].image.clone();
    let broken = image == BAD && view.observed();
    vec![PodView {
        name: "web-1".into(),
        uid: "pod-uid".into(),
        version: "1".into(),
        revision: None,
        images: vec![ContainerImage { container: "web".into(), image }],
        terminating: false,
        ready: !broken && view.complete(),
        fatal: broken.then(|| RootCause { pod: None, container: None, reason: "ImagePullBackOff".into(), message: String::new() }),
        hint: None,
        digests: vec![Digest { container: "web".into(), image_id: "sha256:x".into() }],
    }]
}

/// The pending write of a pass takes effect or is refused, and the pass goes on to its next write.
fn perform(state: &mut State, i: usize) {
    let Some(pass) = state.operators[i].pass.take() else { return };
    let State { api, operators, .. } = state;
    operators[i].pass = match pass {
        Pass::Ticket(world, step) => perform_ticket(api, &mut operators[i].cache, *world, *step),
        Pass::Record(world, step) => perform_record(api, &mut operators[i].cache, *world, *step),
    };
}

fn perform_ticket(api: &mut Api, cache: &mut Api, mut world: TicketWorld, step: TicketStep) -> Option<Pass> {
    match step {
        TicketStep::WriteStatus(status) => {
            let stored = api.ticket.as_mut().filter(|t| t.metadata.resource_version == world.ticket.metadata.resource_version)?;
            let known: Vec<_> = stored.status.iter().flat_map(|s| &s.targets).filter_map(|e| e.record.clone()).collect();
            let made_up = status.targets.iter().filter_map(|e| e.record.clone()).filter(|n| !known.contains(n));
            world.records.extend(made_up.map(|n| (n, RecordSeen::Absent)));
            stored.status = Some(*status);
            bump(&mut stored.metadata.resource_version);
            world.ticket = stored.clone();
            cache.ticket = Some(stored.clone());
        }
        TicketStep::CreateRecord(record) => {
            let name = record.metadata.name.clone().unwrap();
            let stored = api.records.entry(name.clone()).or_insert_with(|| {
                let mut created = *record;
                created.metadata.resource_version = Some("1".into());
                created.metadata.generation = Some(1);
                created
            });
            cache.records.insert(name.clone(), stored.clone());
            world.records.insert(name, RecordSeen::Found(Box::new(stored.clone())));
        }
        _ => unreachable!("a read is no write"),
    }
    go_on_ticket(world, api)
}

fn perform_record(api: &mut Api, cache: &mut Api, mut world: RecordWorld, step: RecordStep) -> Option<Pass> {
    let name = world.record.metadata.name.clone().unwrap();
    match step {
        RecordStep::WriteStatus(status) => {
            let stored = api.records.get_mut(&name)?;
            if stored.metadata.resource_version != world.record.metadata.resource_version {
                return None;
            }
            stored.status = Some(*status);
            bump(&mut stored.metadata.resource_version);
            world.record = stored.clone();
            cache.records.insert(name, stored.clone());
        }
        RecordStep::Patch { purpose, patch } => {
            let before = image(&api.workload);
            match apply(&mut api.workload, &patch, api.lenient) {
                Ok(()) => {
                    if purpose == Purpose::Forward {
                        *api.forward.entry(name).or_default() += 1;
                    }
                    api.fought |= api.adopted && matches!(purpose, Purpose::Forward | Purpose::Rollback);
                    api.trampled |= purpose == Purpose::Rollback && before != world.record.spec.images[0].image;
                    let undone = world.record.spec.rollback_of.as_ref().and_then(|of| api.records.get(of));
                    api.trampled |= purpose == Purpose::Forward && undone.is_some_and(|r| before != r.spec.images[0].image);
                }
                Err(why) => world.answer = Some(Answer::Refused(why)),
            }
            world.relabelled |= purpose == Purpose::Relabel;
            let view = view(&api.workload);
            world.holder = holder(&view, api);
            world.workload = WorkloadSeen::Live(Box::new(view));
        }
        _ => unreachable!("a read is no write"),
    }
    go_on_record(world, api)
}

/// What the API server does with a JSON patch: all of it or nothing; a change of spec or annotations is a new generation.
fn apply(workload: &mut Value, patch: &json_patch::Patch, lenient: bool) -> Result<(), String> {
    let mut changed = workload.clone();
    for operation in &patch.0 {
        if let json_patch::PatchOperation::Test(test) = operation {
            // The API server's library reads a missing member as null.
            let found = changed.pointer(test.path.as_str()).unwrap_or(&Value::Null);
            if *found != test.value && !lenient {
                return Err(format!("test {} failed", test.path));
            }
        } else {
            json_patch::patch(&mut changed, std::slice::from_ref(operation)).map_err(|e| e.to_string())?;
        }
    }
    if changed["spec"] != workload["spec"] || changed["metadata"]["annotations"] != workload["metadata"]["annotations"] {
        new_generation(&mut changed);
    }
    // As the API server stores it: a map without entries is no map.
    let meta = changed["metadata"].as_object_mut().unwrap();
    meta.retain(|key, value| !matches!(key.as_str(), "labels" | "annotations") || value.as_object().is_some_and(|m| !m.is_empty()));
    *workload = changed;
    Ok(())
}

fn new_generation(workload: &mut Value) {
    workload["metadata"]["generation"] = json!(workload["metadata"]["generation"].as_i64().unwrap() + 1);
}

/// The workload after its controller has done its work.
fn settled(workload: &Value) -> Value {
    let mut settled = workload.clone();
    let desired = workload["spec"]["replicas"].clone();
    let (total, updated) = if image(workload) == BAD { (json!(3), json!(1)) } else { (desired.clone(), desired.clone()) };
    settled["status"] = json!({
        "observedGeneration": workload["metadata"]["generation"], "replicas": total, "updatedReplicas": updated, "availableReplicas": desired,
    });
    settled
}

fn user(api: &mut Api, what: Move) {
    let rolled = api.forward.values().any(|n| *n > 0) && api.records.values().any(|r| !finished(r));
    let edit = |ticket: &mut Option<Ticket>, change: &dyn Fn(&mut Ticket)| {
        if let Some(ticket) = ticket {
            change(ticket);
            bump(&mut ticket.metadata.resource_version);
            ticket.metadata.generation = ticket.metadata.generation.map(|g| g + 1);
        }
    };
    match what {
        Move::EditImage => {
            edit(&mut api.ticket, &|t| t.spec.targets[0].image = "ghcr.io/acme/web:3".into());
            // A new request may write over what a person set before it.
            api.theirs = false;
        }
        Move::TakeBack => edit(&mut api.ticket, &|t| t.spec.state = Some(TicketState::Active)),
        Move::Override => edit(&mut api.ticket, &|t| t.spec.manual_override = true),
        Move::Delete => api.ticket = None,
        Move::SetByHand => {
            api.workload["spec"]["template"]["spec"]["containers"][0]["image"] = json!("theirs");
            new_generation(&mut api.workload);
            api.theirs = rolled;
            api.touched = true;
        }
        Move::Undo => {
            // `kubectl rollout undo` puts the annotations of the old ReplicaSet back, too.
            api.workload["spec"]["template"]["spec"]["containers"][0]["image"] = json!(OLD);
            api.workload["metadata"]["annotations"].as_object_mut().unwrap().remove(MARKER_ANNOTATION);
            new_generation(&mut api.workload);
            api.theirs = rolled;
            api.touched = true;
        }
        Move::AskRollback => edit(&mut api.ticket, &|t| {
            let request = t.spec.rollback.as_ref().map_or("1", |_| "2").to_owned();
            t.spec.rollback = Some(RollbackRequest { request, ..RollbackRequest::default() });
        }),
        Move::Adopt => {
            // Labels move neither generation nor marker.
            let labels = api.workload["metadata"].as_object_mut().unwrap().entry("labels").or_insert_with(|| json!({}));
            labels["kustomize.toolkit.fluxcd.io/name"] = json!("shop");
            api.adopted = true;
        }
        Move::Scale => {
            api.workload["spec"]["replicas"] = json!(5);
            new_generation(&mut api.workload);
        }
    }
}

fn bump(version: &mut Option<String>) {
    let next = version.as_deref().and_then(|v| v.parse::<u64>().ok()).unwrap_or_default() + 1;
    *version = Some(next.to_string());
}

fn image(workload: &Value) -> String {
    workload["spec"]["template"]["spec"]["containers"][0]["image"].as_str().unwrap().to_owned()
}

fn pointer(map: &str, key: &str) -> String {
    format!("/metadata/{map}/{}", key.replace('/', "~1"))
}

fn same_objects(a: &Api, b: &Api) -> bool {
    a.ticket == b.ticket && a.records == b.records && a.workload == b.workload
}

const FINISHED: &str = "a rollout succeeds or is rolled back";
const TAKEN_BACK: &str = "a rollout is taken back";

fn check(scenario: Scenario, visit: &Visit) {
    if let Some(wrong) = find_wrong(scenario, visit) {
        panic!("{wrong}");
    }
}

/// The first property that does not hold, and how to get there.
fn find_wrong(scenario: Scenario, visit: &Visit) -> Option<String> {
    let builder = scenario.checker().threads(2).timeout(TIME);
    let (discoveries, states, depth) = match visit {
        Visit::Breadth => {
            let checker = builder.spawn_bfs().join();
            (checker.discoveries(), checker.unique_state_count(), checker.max_depth())
        }
        Visit::Walks => {
            let checker = builder.spawn_simulation(42, UniformChooser).join();
            (checker.discoveries(), checker.state_count(), checker.max_depth())
        }
    };
    println!("{states} states, depth {depth}");
    assert!(discoveries.contains_key(FINISHED), "no rollout ever ends: the model is broken, or too large");
    assert!(discoveries.contains_key(TAKEN_BACK), "no rollback by hand ever ends: the model is broken, or too large");
    let (name, path) = discoveries.into_iter().find(|(name, _)| ![FINISHED, TAKEN_BACK].contains(name))?;
    let api = path.last_state().api.clone();
    let (actions, ticket) = (path.into_actions(), api.ticket.and_then(|t| t.status));
    let records: Vec<_> = api.records.values().map(|r| (&r.metadata.name, &r.status)).collect();
    Some(format!("{name} does not hold after\n{actions:#?}\nworkload {}\nticket {ticket:#?}\nrecords {records:#?}", api.workload))
}

const EVERY_MOVE: &[Move] = &[
    Move::EditImage,
    Move::TakeBack,
    Move::Override,
    Move::Delete,
    Move::SetByHand,
    Move::Undo,
    Move::Scale,
    Move::Adopt,
    Move::AskRollback,
];

#[test]
fn one_operator_crashing_at_any_step() {
    for image in [NEW, BAD] {
        check(Scenario { image, operators: 1, crashes: 2, moves: &[], most_moves: 0, lenient: false }, &Visit::Breadth);
    }
}

/// Asked for at any moment; crashed upon at any step.
#[test]
fn one_operator_and_a_rollback() {
    for image in [NEW, BAD] {
        let scenario =
            |crashes| Scenario { image, operators: 1, crashes, moves: &[Move::AskRollback], most_moves: 1, lenient: false };
        check(scenario(0), &Visit::Breadth);
        check(scenario(2), &Visit::Walks);
    }
}

#[test]
fn one_operator_and_a_user() {
    for image in [NEW, BAD] {
        check(Scenario { image, operators: 1, crashes: 1, moves: EVERY_MOVE, most_moves: 2, lenient: false }, &Visit::Walks);
    }
}

#[test]
fn two_operators() {
    for image in [NEW, BAD] {
        check(Scenario { image, operators: 2, crashes: 1, moves: &[], most_moves: 0, lenient: false }, &Visit::Walks);
    }
}

#[test]
fn two_operators_and_a_user() {
    for image in [NEW, BAD] {
        check(Scenario { image, operators: 2, crashes: 1, moves: EVERY_MOVE, most_moves: 2, lenient: false }, &Visit::Walks);
    }
}

/// A checker that misses what is wrong proves nothing: an API server that ignores the tests of a patch must be found out.
#[test]
fn the_model_finds_what_is_wrong() {
    let broken = Scenario { image: BAD, operators: 2, crashes: 1, moves: EVERY_MOVE, most_moves: 2, lenient: true };
    assert!(find_wrong(broken, &Visit::Walks).is_some());
}
