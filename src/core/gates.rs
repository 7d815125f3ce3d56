//! What keeps a ticket from being deployed, judged on the ticket and the tickets it depends on. The first thing in the way, in the
//! order a person would fix them, with the exact field path.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use kube::ResourceExt;

use super::check::{self, Limits};
use super::request::{self, ResolvedTarget};
use trackdown_api::condition::bounded;
use trackdown_api::ticket::{Ticket, TicketState};
use trackdown_api::workload_ref::{Workload, is_name};

/// Something in the way.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Obstacle {
    /// One `CamelCase` word.
    pub reason: &'static str,
    /// What is in the way, what ends it and who can.
    pub message: String,
    /// The object waited for, if it is one.
    pub on: Option<String>,
    /// Nobody can watch for its end: look again with back-off.
    pub recheck: bool,
    /// A workload whose changes end it.
    pub watch: Option<Box<Workload>>,
    /// It ends by itself, as other work in the cluster goes on (then the ticket is being worked on, not parked).
    pub moving: bool,
}

impl Obstacle {
    /// A wait for a person, ended by a change of an object Trackdown watches.
    #[must_use]
    pub fn parked(reason: &'static str, message: impl Into<String>) -> Self {
        Self { reason, message: bounded(&message.into()), on: None, recheck: false, watch: None, moving: false }
    }

    /// A wait for something nobody can watch.
    #[must_use]
    pub fn unwatched(reason: &'static str, message: impl Into<String>) -> Self {
        Self { recheck: true, ..Self::parked(reason, message) }
    }

    /// A wait for a change of this workload.
    #[must_use]
    pub fn watching(reason: &'static str, message: impl Into<String>, workload: &Workload) -> Self {
        Self { watch: Some(Box::new(workload.clone())), ..Self::parked(reason, message) }
    }

    /// Names the object waited for.
    #[must_use]
    pub fn on(self, object: impl Into<String>) -> Self {
        Self { on: Some(object.into()), ..self }
    }
}

/// What is known of a ticket somebody depends on.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Dependency {
    /// Where it is.
    pub state: Option<TicketState>,
    /// What it depends on itself.
    pub depends_on: Vec<String>,
}

/// Every ticket that can be reached over `dependsOn`, by name. A name that is missing does not exist.
pub type Dependencies = BTreeMap<String, Dependency>;

/// The first thing in the way of the ticket, given where it is (`state`).
#[must_use]
pub fn first_obstacle(
    ticket: &Ticket,
    state: TicketState,
    targets: &[ResolvedTarget],
    dependencies: &Dependencies,
    now: Timestamp,
) -> Option<Obstacle> {
    wrong_state(state)
        .or_else(|| not_asked(ticket))
        .or_else(|| nothing_to_deploy(targets))
        .or_else(|| held_by_person(ticket))
        .or_else(|| expired(ticket, now))
        .or_else(|| no_name(targets))
        .or_else(|| target_elsewhere(ticket, targets))
        .or_else(|| unfinished_dependency(ticket, dependencies))
}

/// Stored before the API server refused it, or by one that does not.
fn no_name(targets: &[ResolvedTarget]) -> Option<Obstacle> {
    let odd = targets.iter().find(|t| !is_name(&t.workload.name))?;
    let message = format!(
        "spec.targets[{}].workloadRef.name: {:?} is no name of an object: small letters, digits, - and . only",
        odd.name, odd.workload.name
    );
    Some(Obstacle::parked("WorkloadNameInvalid", message))
}

fn wrong_state(state: TicketState) -> Option<Obstacle> {
    match state {
        TicketState::ReadyForDeployment => None,
        TicketState::Done => Some(Obstacle::parked("Done", "the ticket is done; a change of spec.targets deploys again")),
        TicketState::WontDo => Some(Obstacle::parked("WontDo", "the ticket was given up (won_t_do)")),
        open => Some(Obstacle::parked(
            "NotReady",
            format!("the ticket is {open}; spec.state: ready_for_deployment asks for the deployment"),
        )),
    }
}

/// A rollback moves a ticket on its own, also one that was closed by hand: that asks for no deployment.
fn not_asked(ticket: &Ticket) -> Option<Obstacle> {
    let asked = ticket.spec.state.filter(|state| *state != TicketState::ReadyForDeployment)?;
    let message = format!("spec.state is {asked}: ready_for_deployment asks for the deployment");
    Some(Obstacle::parked("NotAsked", message))
}

fn nothing_to_deploy(targets: &[ResolvedTarget]) -> Option<Obstacle> {
    targets.is_empty().then(|| {
        Obstacle::parked("NoTargets", "spec.targets is empty: name what to deploy, or set spec.state: done when it is deployed")
    })
}

fn held_by_person(ticket: &Ticket) -> Option<Obstacle> {
    let spec = &ticket.spec;
    if spec.manual_override {
        return Some(Obstacle::parked("ManualOverride", "spec.manualOverride is true: a person has taken over"));
    }
    if !spec.automation_eligible {
        return Some(Obstacle::parked(
            "NotEligible",
            "spec.automationEligible is not true: set it, or deploy by hand and set spec.state: done",
        ));
    }
    if let Some(block) = &spec.blocked_reason {
        return Some(Obstacle::parked("Blocked", format!("spec.blockedReason: {block}")));
    }
    if scan_failed(ticket) {
        return Some(Obstacle::parked(
            "SecurityScanFailed",
            "spec.stateMetadata.securityScanPassed is false: fix what the scan found, then set it to true",
        ));
    }
    None
}

/// Whether the security scan failed. An absent result does not block.
#[must_use]
pub fn scan_failed(ticket: &Ticket) -> bool {
    ticket.spec.state_metadata.as_ref().and_then(|m| m.security_scan_passed) == Some(false)
}

fn expired(ticket: &Ticket, now: Timestamp) -> Option<Obstacle> {
    let before = ticket.spec.deploy_before.as_ref().filter(|t| t.0 <= now)?;
    Some(Obstacle::parked("Expired", format!("spec.deployBefore {} is over: set a later time to deploy", before.0)))
}

fn target_elsewhere(ticket: &Ticket, targets: &[ResolvedTarget]) -> Option<Obstacle> {
    let own = ticket.namespace().unwrap_or_default();
    let elsewhere = targets.iter().find(|t| t.workload.namespace != own)?;
    let message = format!(
        "spec.targets[{}].workloadRef.namespace is {}: a ticket deploys into its own namespace only; make the ticket there",
        elsewhere.name, elsewhere.workload.namespace
    );
    Some(Obstacle::parked("NamespaceNotAllowed", message))
}

/// A check the operator may not run: a rollout that it decides could only fail.
#[must_use]
pub fn forbidden_check(targets: &[ResolvedTarget], limits: &Limits) -> Option<Obstacle> {
    targets.iter().flat_map(|t| t.checks.iter().map(move |c| (t, c))).find_map(|(target, check)| {
        let path = format!("spec.targets[{}].checks[{}]", target.name, check.name);
        if check.job.is_some() && !limits.jobs {
            let message = format!(
                "{path} is a Job, which the operator may not run: remove it, or have an administrator set the chart value \
                 checks.jobs.enabled"
            );
            return Some(Obstacle::parked("JobChecksDisabled", message));
        }
        let why = check.http.as_ref().and_then(|http| check::refused(http, &target.workload, &limits.allowed))?;
        Some(Obstacle::parked("CheckNotAllowed", format!("{path}.http.url: {why}")))
    })
}

fn unfinished_dependency(ticket: &Ticket, dependencies: &Dependencies) -> Option<Obstacle> {
    let own = ticket.name_any();
    if let Some(cycle) = cycle(&own, &ticket.spec.depends_on, dependencies) {
        return Some(Obstacle::parked("DependencyCycle", format!("spec.dependsOn goes round in a circle: {}", cycle.join(" -> "))));
    }
    ticket.spec.depends_on.iter().find_map(|name| {
        let on = format!("ticket/{name}");
        match dependencies.get(name) {
            None => {
                let message = format!("spec.dependsOn names ticket {name}, which does not exist in this namespace");
                Some(Obstacle::parked("DependencyMissing", message).on(on))
            }
            Some(d) if d.state == Some(TicketState::Done) => None,
            Some(d) => {
                let state = d.state.map_or("new", TicketState::as_str);
                let message = format!("waiting for ticket {name}, which is {state}, to be done (spec.dependsOn)");
                Some(Obstacle::parked("DependencyNotDone", message).on(on))
            }
        }
    })
}

/// A way from `own` back to `own` over tickets that are not done.
fn cycle(own: &str, depends_on: &[String], dependencies: &Dependencies) -> Option<Vec<String>> {
    let mut seen = std::collections::BTreeSet::new();
    let mut ways: Vec<Vec<&str>> = depends_on.iter().map(|d| vec![own, d.as_str()]).collect();
    while let Some(way) = ways.pop() {
        let last = way.last().copied().unwrap_or_default();
        if last == own {
            return Some(way.into_iter().map(str::to_owned).collect());
        }
        let Some(dependency) = dependencies.get(last).filter(|d| d.state != Some(TicketState::Done)) else { continue };
        if seen.insert(last) {
            ways.extend(dependency.depends_on.iter().map(|next| way.iter().copied().chain([next.as_str()]).collect()));
        }
    }
    None
}

/// The part of `tickets` that can be reached from `ticket` over `dependsOn`.
pub fn reachable(ticket: &Ticket, find: impl Fn(&str) -> Option<Arc<Ticket>>) -> Dependencies {
    let mut found = Dependencies::new();
    let mut open: Vec<String> = ticket.spec.depends_on.clone();
    while let Some(name) = open.pop() {
        if found.contains_key(&name) {
            continue;
        }
        let Some(other) = find(&name) else { continue };
        let dependency =
            Dependency { state: other.status.as_ref().and_then(|s| s.state), depends_on: other.spec.depends_on.clone() };
        if dependency.state != Some(TicketState::Done) {
            open.extend(dependency.depends_on.iter().cloned());
        }
        found.insert(name, dependency);
    }
    found
}

/// Whether the ticket's own text names this target's workload (used to wake tickets that wait for one workload).
#[must_use]
pub fn wants_workload(ticket: &Ticket, workload: &Workload) -> bool {
    request::workloads(ticket).any(|w| w == *workload)
}
