//! A person acts at any single moment of a rollout, of a failing one, and of a rollback: nothing of what the person does is written over,
//! and no request is lost.
//!
//! Moments are exact: a proxy holds the nth write of the operator back while the person acts.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::StreamExt;
use futures::stream;
use k8s_openapi::api::apps;
use kube::Api;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use trackdown_api::record::Record;
use trackdown_api::ticket::{Ticket, TicketState};

use crate::harness::Scene;
use crate::harness::cluster::Cluster;
use crate::harness::proxy::Proxy;
use crate::harness::scene::{holds, observed, ready_ticket, result, state};

const OLD: &str = "ghcr.io/acme/web:1";
const NEW: &str = "ghcr.io/acme/web:2";
const BAD: &str = "ghcr.io/acme/web:bad";
const THEIRS: &str = "ghcr.io/acme/web:theirs";

/// Cases at the same time.
const AT_ONCE: usize = 12;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Course {
    Good,
    Bad,
    /// Of a good rollout, asked for by a person.
    Rollback,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Act {
    SetImage,
    SetWanted,
    Undo,
    Annotate,
    Scale,
    ScaleToZero,
    Delete,
    Recreate,
    AskRollback,
    DeleteRecords,
}

const ACTS: [Act; 10] = [
    Act::SetImage,
    Act::SetWanted,
    Act::Undo,
    Act::Annotate,
    Act::Scale,
    Act::ScaleToZero,
    Act::Delete,
    Act::Recreate,
    Act::AskRollback,
    Act::DeleteRecords,
];

pub async fn at_any_moment(cluster: &Arc<Cluster>) {
    let mut scene = Scene::without_operator(cluster, "at-any-moment", &["--set", "concurrency=64"]).await;
    let proxy = scene.start_operator_behind_proxy();
    let mut cases = Vec::new();
    for (course, writes) in [(Course::Good, 8), (Course::Bad, 14), (Course::Rollback, 8)] {
        cases.extend((1..=writes).flat_map(|nth| ACTS.map(|act| (course, nth, act))));
    }
    // To repeat one: MOMENT=bad11deleterecords make test-e2e FILTER=at_any_moment
    let wanted = std::env::var("MOMENT").unwrap_or_default();
    cases.retain(|(course, nth, act)| name(*course, *nth, *act).starts_with(&wanted));
    let (scene, proxy) = (&scene, &proxy);
    let wrong: BTreeMap<String, String> = stream::iter(cases)
        .map(|(course, nth, act)| async move {
            let name = name(course, nth, act);
            (name.clone(), one(scene, proxy, &name, course, nth, act).await)
        })
        .buffer_unordered(AT_ONCE)
        .filter_map(|(name, wrong)| async move { wrong.map(|wrong| (name, wrong)) })
        .collect()
        .await;
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// No name is the beginning of another.
fn name(course: Course, nth: usize, act: Act) -> String {
    format!("{course:?}{nth}{act:?}-case").to_lowercase()
}

struct Case<'a> {
    scene: &'a Scene,
    name: &'a str,
    workloads: Api<apps::v1::Deployment>,
    tickets: Api<Ticket>,
    records: Api<Record>,
}

/// What was wrong with the case.
async fn one(scene: &Scene, proxy: &Proxy, name: &str, course: Course, nth: usize, act: Act) -> Option<String> {
    let case = Case {
        scene,
        name,
        workloads: Api::default_namespaced(scene.client.clone()),
        tickets: Api::default_namespaced(scene.client.clone()),
        records: Api::default_namespaced(scene.client.clone()),
    };
    case.create_workload().await;
    let wanted = if course == Course::Bad { BAD } else { NEW };
    let mut ticket = ready_ticket(name, name, wanted);
    ticket["spec"]["rollout"] = json!({"backoffSeconds": 1, "maxAttempts": 2, "timeoutSeconds": 20});
    let ticket: Ticket = serde_json::from_value(ticket).unwrap();
    if course == Course::Rollback {
        case.tickets.create(&PostParams::default(), &ticket).await.unwrap();
        if let Err(why) = case.settle(|t| state(t) == Some(TicketState::Done)).await {
            return Some(why);
        }
    }
    let held = proxy.hold(name, nth);
    if course == Course::Rollback {
        case.ask("first").await;
    } else {
        case.tickets.create(&PostParams::default(), &ticket).await.unwrap();
    }
    held.is_held(Duration::from_secs(4)).await;
    let wrote = held.landed() > 0 || course == Course::Rollback;
    let failed_before = case.all_records().await.iter().any(|r| result(r) == "RolledBack");
    let before = case.image().await.unwrap_or_default();
    case.act(act, wanted).await;
    let after = case.image().await.unwrap_or_default();
    held.release();
    let ended = match case.settle(|_| true).await {
        Ok(ticket) => ticket,
        Err(why) => return Some(why),
    };
    let live = case.image().await.unwrap_or_default();
    let attempts = case.all_records().await.len();
    let expect = |what: &str, expected: &str| {
        (live != expected).then(|| format!("{what}: {live} runs, not {expected}; before {before}, after {after}; {}", told(&ended)))
    };
    let undisturbed = || match course {
        Course::Good => expect("deployed", NEW).or_else(|| (state(&ended) != Some(TicketState::Done)).then(|| told(&ended))),
        Course::Bad => expect("rolled back", OLD).or_else(|| (!holds(&ended, "Stalled")).then(|| told(&ended))),
        Course::Rollback => expect("taken back", OLD).or_else(|| (state(&ended) == Some(TicketState::Done)).then(|| told(&ended))),
    };
    match act {
        Act::SetImage | Act::SetWanted | Act::Undo if wrote && before != after => expect("the person's image stays", &after),
        Act::Annotate | Act::Scale | Act::DeleteRecords => undisturbed(),
        Act::ScaleToZero => (failed_before && live == BAD && state(&ended) == Some(TicketState::Done)).then(|| told(&ended)),
        Act::Delete => (!live.is_empty()).then(|| format!("{live} came back")),
        Act::Recreate if wrote => expect("not rolled out again unasked", OLD),
        Act::AskRollback if course == Course::Bad && attempts > 2 => {
            Some(format!("{attempts} attempts at two tries; {}", told(&ended)))
        }
        Act::AskRollback if wrote => {
            expect("the request is met", OLD).or_else(|| (state(&ended) == Some(TicketState::Done)).then(|| told(&ended)))
        }
        // Before anything was written, what comes after the person is a decision of its own.
        Act::SetImage | Act::SetWanted | Act::Undo | Act::Recreate | Act::AskRollback => None,
    }
}

fn told(ticket: &Ticket) -> String {
    let status = ticket.status.clone().unwrap_or_default();
    format!("{:?} {:?}: {:?}", status.state, status.reason, status.message)
}

impl Case<'_> {
    async fn create_workload(&self) {
        let name = self.name;
        let workload = json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name},
            "spec": {
                "replicas": 1, "selector": {"matchLabels": {"app": name}},
                "template": {"metadata": {"labels": {"app": name}}, "spec": {"containers": [{"name": name, "image": OLD}]}},
            },
        });
        self.workloads.create(&PostParams::default(), &serde_json::from_value(workload).unwrap()).await.unwrap();
        let started = Instant::now();
        while started.elapsed() < Duration::from_secs(30) {
            let status = self.workloads.get(name).await.ok().and_then(|w| w.status).unwrap_or_default();
            if status.available_replicas == Some(1) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    async fn image(&self) -> Option<String> {
        let workload = self.workloads.get_opt(self.name).await.unwrap()?;
        workload.spec?.template.spec?.containers.into_iter().next()?.image
    }

    async fn all_records(&self) -> Vec<Record> {
        let params = ListParams::default().labels(&format!("trackdown.dev/ticket={}", self.name));
        self.records.list(&params).await.unwrap().items
    }

    async fn ask(&self, request: &str) {
        self.patch_ticket(json!({"spec": {"rollback": {"request": request}}})).await;
    }

    async fn patch_ticket(&self, patch: Value) {
        self.tickets.patch(self.name, &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
    }

    async fn patch_workload(&self, patch: Value) {
        let _ = self.workloads.patch(self.name, &PatchParams::default(), &Patch::Strategic(patch)).await;
    }

    async fn set_image(&self, image: &str) {
        self.patch_workload(json!({"spec": {"template": {"spec": {"containers": [{"name": self.name, "image": image}]}}}})).await;
    }

    async fn act(&self, act: Act, wanted: &str) {
        match act {
            Act::SetImage => self.set_image(THEIRS).await,
            Act::SetWanted => self.set_image(wanted).await,
            // Refused where there is nothing to undo.
            Act::Undo => drop(self.scene.try_kubectl(&["rollout", "undo", &format!("deployment/{}", self.name)], None)),
            Act::Annotate => self.patch_workload(json!({"metadata": {"annotations": {"theirs": "x"}}})).await,
            Act::Scale => self.patch_workload(json!({"spec": {"replicas": 2}})).await,
            Act::ScaleToZero => self.patch_workload(json!({"spec": {"replicas": 0}})).await,
            Act::Delete => drop(self.workloads.delete(self.name, &DeleteParams::default()).await),
            Act::Recreate => {
                let _ = self.workloads.delete(self.name, &DeleteParams::default()).await;
                self.create_workload().await;
            }
            Act::AskRollback => self.ask("second").await,
            Act::DeleteRecords => {
                let params = ListParams::default().labels(&format!("trackdown.dev/ticket={}", self.name));
                let _ = self.records.delete_collection(&DeleteParams::default(), &params).await;
            }
        }
    }

    /// Waits until the ticket and its records have come to an end, the workload was let go, and it stays so.
    async fn settle(&self, is: impl Fn(&Ticket) -> bool) -> Result<Ticket, String> {
        let started = Instant::now();
        let mut quiet = None;
        loop {
            let ticket = self.tickets.get(self.name).await.unwrap();
            let records = self.all_records().await;
            let label =
                self.workloads.get_opt(self.name).await.unwrap().and_then(|w| w.metadata.labels?.remove("trackdown.dev/rolling"));
            let ended = records.iter().all(trackdown_core::preflight::finished);
            let at_rest = observed(&ticket) && !holds(&ticket, "Reconciling") && ended && label.is_none() && is(&ticket);
            let fingerprint = at_rest.then(|| ticket.metadata.resource_version.clone());
            match (&quiet, fingerprint) {
                (Some((since, known)), Some(now)) if *known == now => {
                    if Instant::elapsed(since) > Duration::from_secs(2) {
                        return Ok(ticket);
                    }
                }
                (_, Some(now)) => quiet = Some((Instant::now(), now)),
                (_, None) => quiet = None,
            }
            if started.elapsed() > Duration::from_secs(60) {
                let records: Vec<_> = records.iter().map(result).collect();
                return Err(format!("no end: {}, records {records:?}, label {label:?}", told(&ticket)));
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
}
