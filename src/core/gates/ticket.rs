//! Gates that the ticket itself and the tickets it depends on tell of.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use kube::ResourceExt;

use super::Obstacle;
use crate::checks::{self, Forbidden, Limits};
use crate::request::{self, ResolvedTarget};
use trackdown_api::ticket::{Ticket, TicketState};
use trackdown_api::workload_ref::{Workload, is_name};

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

/// What a gate looks at.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// The ticket.
    pub ticket: &'a Ticket,
    /// Where it is.
    pub state: TicketState,
    /// Its targets.
    pub targets: &'a [ResolvedTarget],
    /// The tickets it depends on.
    pub dependencies: &'a Dependencies,
    /// What checks may do.
    pub limits: &'a Limits,
    /// Now.
    pub now: Timestamp,
}

/// One gate.
type Gate = fn(&Asked<'_>) -> Option<Obstacle>;

/// In the order they are told.
const GATES: [Gate; 12] = [
    wrong_state,
    not_asked,
    nothing_to_deploy,
    overridden,
    not_eligible,
    blocked,
    security_scan,
    expired,
    no_name,
    target_elsewhere,
    unfinished_dependency,
    forbidden_check,
];

/// The first thing in the way of the ticket's deployment.
#[must_use]
pub fn first_obstacle(asked: &Asked<'_>) -> Option<Obstacle> {
    GATES.iter().find_map(|gate| gate(asked))
}

/// When a gate that is open now closes by itself.
#[must_use]
pub fn closes_at(ticket: &Ticket, now: Timestamp) -> Option<Timestamp> {
    ticket.spec.deploy_before.as_ref().map(|t| t.0).filter(|before| *before > now)
}

/// Stored before the API server refused it, or by one that does not.
fn no_name(asked: &Asked<'_>) -> Option<Obstacle> {
    let odd = asked.targets.iter().find(|t| !is_name(&t.workload.name))?;
    let message = format!(
        "spec.targets[{}].workloadRef.name: {:?} is no name of an object: small letters, digits, - and . only",
        odd.name, odd.workload.name
    );
    Some(Obstacle::parked("WorkloadNameInvalid", message))
}

fn wrong_state(asked: &Asked<'_>) -> Option<Obstacle> {
    match asked.state {
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
fn not_asked(asked: &Asked<'_>) -> Option<Obstacle> {
    let state = asked.ticket.spec.state.filter(|state| *state != TicketState::ReadyForDeployment)?;
    let message = format!("spec.state is {state}: ready_for_deployment asks for the deployment");
    Some(Obstacle::parked("NotAsked", message))
}

fn nothing_to_deploy(asked: &Asked<'_>) -> Option<Obstacle> {
    asked.targets.is_empty().then(|| {
        Obstacle::parked("NoTargets", "spec.targets is empty: name what to deploy, or set spec.state: done when it is deployed")
    })
}

fn overridden(asked: &Asked<'_>) -> Option<Obstacle> {
    let message = "spec.manualOverride is true: a person has taken over";
    asked.ticket.spec.manual_override.then(|| Obstacle::parked("ManualOverride", message))
}

fn not_eligible(asked: &Asked<'_>) -> Option<Obstacle> {
    let message = "spec.automationEligible is not true: set it, or deploy by hand and set spec.state: done";
    (!asked.ticket.spec.automation_eligible).then(|| Obstacle::parked("NotEligible", message))
}

fn blocked(asked: &Asked<'_>) -> Option<Obstacle> {
    let block = asked.ticket.spec.blocked_reason.as_ref()?;
    Some(Obstacle::parked("Blocked", format!("spec.blockedReason: {block}")))
}

fn security_scan(asked: &Asked<'_>) -> Option<Obstacle> {
    let message = "spec.stateMetadata.securityScanPassed is false: fix what the scan found, then set it to true";
    scan_failed(asked.ticket).then(|| Obstacle::parked("SecurityScanFailed", message))
}

/// Whether the security scan failed. An absent result does not block.
#[must_use]
pub fn scan_failed(ticket: &Ticket) -> bool {
    ticket.spec.state_metadata.as_ref().and_then(|m| m.security_scan_passed) == Some(false)
}

fn expired(asked: &Asked<'_>) -> Option<Obstacle> {
    let before = asked.ticket.spec.deploy_before.as_ref().filter(|t| t.0 <= asked.now)?;
    Some(Obstacle::parked("Expired", format!("spec.deployBefore {} is over: set a later time to deploy", before.0)))
}

fn target_elsewhere(asked: &Asked<'_>) -> Option<Obstacle> {
    let own = asked.ticket.namespace().unwrap_or_default();
    let elsewhere = asked.targets.iter().find(|t| t.workload.namespace != own)?;
    let message = format!(
        "spec.targets[{}].workloadRef.namespace is {}: a ticket deploys into its own namespace only; make the ticket there",
        elsewhere.name, elsewhere.workload.namespace
    );
    Some(Obstacle::parked("NamespaceNotAllowed", message))
}

/// A check the operator may not run: a rollout that it decides could only fail.
fn forbidden_check(asked: &Asked<'_>) -> Option<Obstacle> {
    let limits = asked.limits;
    asked.targets.iter().flat_map(|t| t.checks.iter().map(move |c| (t, c))).find_map(|(target, check)| {
        let path = format!("spec.targets[{}].checks[{}]", target.name, check.name);
        let Forbidden { reason, message } = checks::permitted(check, &path, &target.workload, limits).err()?;
        Some(Obstacle::parked(reason, message))
    })
}

fn unfinished_dependency(asked: &Asked<'_>) -> Option<Obstacle> {
    let Asked { ticket, dependencies, .. } = *asked;
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
