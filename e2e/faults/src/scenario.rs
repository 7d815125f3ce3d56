//! What people do in each scenario, and how it ends when nothing goes wrong.

use futures::future::BoxFuture;
use serde_json::{Value, json};

use crate::history::{Kind, World};
use crate::person::{Outcome, Person};
use crate::reading::{condition, image, record_of};

const OLD: &str = "ghcr.io/acme/app:1";
const NEW: &str = "ghcr.io/acme/app:2";
const NEWER: &str = "ghcr.io/acme/app:3";
/// Pods that cannot start, and say so.
const BAD: &str = "ghcr.io/acme/app:bad";
/// Pods that never get ready, and never say why.
const NEVER: &str = "ghcr.io/acme/app:never";
const SLOW: &str = "ghcr.io/acme/app:slow";
const THEIRS: &str = "ghcr.io/acme/app:theirs";

/// A story. It has played when its last wait is over.
#[derive(Clone, Copy)]
pub struct Scenario {
    pub name: &'static str,
    /// Before the operator is there.
    pub before: fn(&Person) -> BoxFuture<'_, Outcome>,
    pub play: fn(&Person) -> BoxFuture<'_, Outcome>,
    /// A person acts at a moment nobody controls: it ends alike, but not always on the same way.
    pub open: bool,
}

macro_rules! scenarios {
    ($($name:literal: $before:ident, $play:ident $(, $open:ident)?;)*) => {
        &[$(Scenario {
            name: $name, before: |p| Box::pin($before(p)), play: |p| Box::pin($play(p)), open: is_open(&[$(stringify!($open))?]),
        }),*]
    };
}

pub const ALL: &[Scenario] = scenarios! {
    "success": web, success;
    "bad-image": web, bad_image;
    "retries": web, retries;
    "superseded": web, superseded;
    "bad-after-bad": web, bad_after_bad;
    "edited-early": web, edited_early, open;
    "taken-back": web, taken_back;
    "taken-back-early": web, taken_back_early, open;
    "made-again": web, made_again;
    "two-tickets": web, two_tickets;
    "parallel": three, parallel;
    "sequence": three, sequence;
    "rollback": web, rollback;
    "stateful-set": stateful_set, stateful_set_fails;
    "stateful-set-taken-back": stateful_set, stateful_set_taken_back, open;
    "checks": web, checks;
    "checks-fail": web, checks_fail;
    "observe": flux, observe;
    "set-image": web, set_image;
    "undo": web, undo;
    "owner-appears": web, owner_appears;
};

const fn is_open(said: &[&str]) -> bool {
    !said.is_empty()
}

async fn web(p: &Person) -> Outcome {
    p.deployment("web", OLD).await?;
    p.until("web runs", |w| runs(w, Kind::Deployment, "web")).await
}

async fn three(p: &Person) -> Outcome {
    for name in ["db", "api", "web"] {
        p.deployment(name, OLD).await?;
    }
    p.until("all run", |w| ["db", "api", "web"].iter().all(|name| runs(w, Kind::Deployment, name))).await
}

async fn stateful_set(p: &Person) -> Outcome {
    p.workload(Kind::StatefulSet, "web", OLD, json!({})).await?;
    p.until("web runs", |w| runs(w, Kind::StatefulSet, "web")).await
}

/// Owned by a Kustomization of Flux.
async fn flux(p: &Person) -> Outcome {
    p.apply(Kind::Deployment, "web", "kustomize-controller", &in_git(OLD)).await?;
    p.until("web runs", |w| runs(w, Kind::Deployment, "web")).await
}

async fn success(p: &Person) -> Outcome {
    p.create(Kind::Ticket, &ticket("iss-1", &[("web", NEW)])).await?;
    done(p, "iss-1").await
}

async fn bad_image(p: &Person) -> Outcome {
    let mut bad = ticket("iss-1", &[("web", BAD)]);
    bad["spec"]["rollout"]["maxAttempts"] = json!(1);
    p.create(Kind::Ticket, &bad).await?;
    stalled(p, "iss-1").await
}

async fn retries(p: &Person) -> Outcome {
    p.create(Kind::Ticket, &ticket("iss-1", &[("web", BAD)])).await?;
    stalled(p, "iss-1").await
}

async fn superseded(p: &Person) -> Outcome {
    p.create(Kind::Ticket, &ticket("iss-1", &[("web", NEVER)])).await?;
    followed(p, NEVER).await?;
    edit(p, "iss-1", &json!({"targets": [{"name": "web", "image": NEW}]})).await?;
    done(p, "iss-1").await
}

/// One bad image after the other: what is put back is what ran before both.
async fn bad_after_bad(p: &Person) -> Outcome {
    p.create(Kind::Ticket, &ticket("iss-1", &[("web", NEVER)])).await?;
    followed(p, NEVER).await?;
    edit(p, "iss-1", &json!({"targets": [{"name": "web", "image": BAD}], "rollout": {"maxAttempts": 1}})).await?;
    p.until("what ran before is back", |w| condition(w, "iss-1", "Stalled") && at(w, "web", OLD) && all_ended(w)).await
}

/// The mind is changed before anything is written, or just then.
async fn edited_early(p: &Person) -> Outcome {
    p.create(Kind::Ticket, &ticket("iss-1", &[("web", NEVER)])).await?;
    p.until("there is a record", |w| record_of(w, "iss-1").is_some()).await?;
    edit(p, "iss-1", &json!({"targets": [{"name": "web", "image": NEW}]})).await?;
    done(p, "iss-1").await
}

async fn taken_back_early(p: &Person) -> Outcome {
    p.create(Kind::Ticket, &ticket("iss-1", &[("web", NEVER)])).await?;
    p.until("there is a record", |w| record_of(w, "iss-1").is_some()).await?;
    edit(p, "iss-1", &json!({"state": "active"})).await?;
    p.until("it is back", |w| at(w, "web", OLD) && reason(w, "iss-1") == Some("NotReady") && all_ended(w)).await
}

async fn stateful_set_taken_back(p: &Person) -> Outcome {
    let mut ticket = ticket("iss-1", &[("web", NEVER)]);
    ticket["spec"]["targets"][0]["workloadRef"] = json!({"kind": "StatefulSet"});
    p.create(Kind::Ticket, &ticket).await?;
    p.until("there is a record", |w| record_of(w, "iss-1").is_some()).await?;
    edit(p, "iss-1", &json!({"state": "active"})).await?;
    let back = |w: &World| w.get(&(Kind::StatefulSet, "web".to_owned())).is_some_and(|o| image(o) == OLD);
    p.until("it is back", |w| back(w) && reason(w, "iss-1") == Some("NotReady") && all_ended(w)).await
}

async fn taken_back(p: &Person) -> Outcome {
    p.create(Kind::Ticket, &ticket("iss-1", &[("web", NEVER)])).await?;
    rolling(p, NEVER).await?;
    edit(p, "iss-1", &json!({"state": "active"})).await?;
    p.until("it is back", |w| at(w, "web", OLD) && reason(w, "iss-1") == Some("NotReady") && all_ended(w)).await
}

async fn made_again(p: &Person) -> Outcome {
    p.create(Kind::Ticket, &ticket("iss-1", &[("web", SLOW)])).await?;
    rolling(p, SLOW).await?;
    p.delete(Kind::Ticket, "iss-1").await?;
    p.create(Kind::Ticket, &ticket("iss-1", &[("web", NEWER)])).await?;
    done(p, "iss-1").await
}

async fn two_tickets(p: &Person) -> Outcome {
    p.create(Kind::Ticket, &ticket("iss-1", &[("web", SLOW)])).await?;
    p.until("the first one has begun", |w| record_of(w, "iss-1").is_some()).await?;
    p.create(Kind::Ticket, &ticket("iss-2", &[("web", NEWER)])).await?;
    done(p, "iss-1").await?;
    done(p, "iss-2").await
}

async fn parallel(p: &Person) -> Outcome {
    p.create(Kind::Ticket, &ticket("iss-1", &[("db", NEW), ("api", NEW), ("web", NEW)])).await?;
    done(p, "iss-1").await
}

async fn sequence(p: &Person) -> Outcome {
    let mut three = ticket("iss-1", &[("db", NEW), ("api", NEW), ("web", BAD)]);
    three["spec"]["rollout"] = json!({"order": "Sequential", "maxAttempts": 1});
    p.create(Kind::Ticket, &three).await?;
    let back = |w: &World| ["db", "api", "web"].iter().all(|name| at(w, name, OLD));
    p.until("all are back", |w| back(w) && condition(w, "iss-1", "Stalled") && all_ended(w)).await
}

async fn rollback(p: &Person) -> Outcome {
    p.create(Kind::Ticket, &ticket("iss-1", &[("web", NEW)])).await?;
    done(p, "iss-1").await?;
    edit(p, "iss-1", &json!({"rollback": {"request": "1", "by": "alice", "reason": "checkout is slow"}})).await?;
    p.until("it is taken back", |w| reason(w, "iss-1") == Some("TakenBack") && at(w, "web", OLD) && all_ended(w)).await
}

async fn stateful_set_fails(p: &Person) -> Outcome {
    let mut bad = ticket("iss-1", &[("web", BAD)]);
    bad["spec"]["targets"][0]["workloadRef"] = json!({"kind": "StatefulSet"});
    bad["spec"]["rollout"]["maxAttempts"] = json!(1);
    p.create(Kind::Ticket, &bad).await?;
    stalled(p, "iss-1").await?;
    p.until("the old pods are back", |w| runs(w, Kind::StatefulSet, "web")).await
}

async fn checks(p: &Person) -> Outcome {
    p.create(Kind::Ticket, &checked(p, "well")).await?;
    done(p, "iss-1").await
}

async fn checks_fail(p: &Person) -> Outcome {
    p.create(Kind::Ticket, &checked(p, "ill")).await?;
    stalled(p, "iss-1").await
}

async fn observe(p: &Person) -> Outcome {
    p.create(Kind::Ticket, &ticket("iss-1", &[("web", NEW)])).await?;
    p.until("it waits for Git", |w| reason(w, "iss-1") == Some("GitOpsOwned")).await?;
    p.apply(Kind::Deployment, "web", "kustomize-controller", &in_git(NEW)).await?;
    done(p, "iss-1").await
}

async fn set_image(p: &Person) -> Outcome {
    p.create(Kind::Ticket, &ticket("iss-1", &[("web", NEVER)])).await?;
    rolling(p, NEVER).await?;
    p.kubectl(&["set", "image", "deployment.apps/web", &format!("web={THEIRS}")]).await?;
    p.until("it is contested", |w| reason(w, "iss-1") == Some("Contested") && at(w, "web", THEIRS) && all_ended(w)).await
}

async fn undo(p: &Person) -> Outcome {
    p.create(Kind::Ticket, &ticket("iss-1", &[("web", NEVER)])).await?;
    rolling(p, NEVER).await?;
    // The controller needs a moment to make the revision that can be undone.
    let observed = |w: &World| w.get(&web_key()).is_some_and(|o| o["status"]["observedGeneration"] == o["metadata"]["generation"]);
    p.until("its controller has seen it", observed).await?;
    p.kubectl(&["rollout", "undo", "deployment.apps/web"]).await?;
    p.until("it is contested", |w| reason(w, "iss-1") == Some("Contested") && all_ended(w)).await
}

async fn owner_appears(p: &Person) -> Outcome {
    let mut late = ticket("iss-1", &[("web", NEVER)]);
    late["spec"]["rollout"] = json!({"maxAttempts": 1, "timeoutSeconds": 12});
    p.create(Kind::Ticket, &late).await?;
    rolling(p, NEVER).await?;
    p.apply(Kind::Deployment, "web", "kustomize-controller", &in_git(NEVER)).await?;
    p.until("only Git can go back", |w| reason(w, "iss-1") == Some("RollbackRequiresGit") && all_ended(w)).await
}

/// A ticket that is ready and eligible.
fn ticket(name: &str, targets: &[(&str, &str)]) -> Value {
    let targets: Vec<_> = targets.iter().map(|(name, image)| json!({"name": name, "image": image})).collect();
    json!({
        "apiVersion": "trackdown.dev/v1alpha1", "kind": "Ticket", "metadata": {"name": name},
        "spec": {
            "title": "deploy", "state": "ready_for_deployment", "automationEligible": true, "targets": targets,
            "rollout": {"backoffSeconds": 1, "timeoutSeconds": 300},
        },
    })
}

fn checked(p: &Person, how: &str) -> Value {
    let mut checked = ticket("iss-1", &[("web", NEW)]);
    let probe =
        json!({"url": format!("http://{}/{how}", p.probed), "periodSeconds": 1, "successThreshold": 2, "failureThreshold": 2});
    checked["spec"]["targets"][0]["checks"] = json!([{"name": "ping", "http": probe}]);
    checked["spec"]["rollout"]["maxAttempts"] = json!(1);
    checked
}

fn in_git(image: &str) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {
            "name": "web",
            "labels": {"kustomize.toolkit.fluxcd.io/name": "shop", "kustomize.toolkit.fluxcd.io/namespace": "flux-system"},
        },
        "spec": {
            "replicas": 2, "selector": {"matchLabels": {"app": "web"}},
            "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "web", "image": image}]}},
        },
    })
}

async fn edit(p: &Person, name: &str, spec: &Value) -> Outcome {
    p.patch(Kind::Ticket, name, "oncall", &json!({"spec": spec})).await
}

/// The image is set, and the operator knows it.
async fn followed(p: &Person, wanted: &str) -> Outcome {
    let noted = |w: &World| record_of(w, "iss-1").is_some_and(|r| !r["status"]["patchedTime"].is_null());
    p.until("the pods are followed", |w| at(w, "web", wanted) && noted(w)).await
}

async fn rolling(p: &Person, wanted: &str) -> Outcome {
    p.until("the image is set", |w| at(w, "web", wanted)).await
}

async fn done(p: &Person, name: &str) -> Outcome {
    p.until(&format!("{name} is done"), |w| state(w, name) == Some("done") && reason(w, name) == Some("Deployed") && all_ended(w))
        .await
}

async fn stalled(p: &Person, name: &str) -> Outcome {
    p.until(&format!("{name} is stalled"), |w| condition(w, name, "Stalled") && all_ended(w)).await
}

fn web_key() -> (Kind, String) {
    (Kind::Deployment, "web".to_owned())
}

fn runs(world: &World, kind: Kind, name: &str) -> bool {
    world.get(&(kind, name.to_owned())).is_some_and(|o| {
        let (status, replicas) = (&o["status"], &o["spec"]["replicas"]);
        status["observedGeneration"] == o["metadata"]["generation"]
            && status["readyReplicas"] == *replicas
            && status["updatedReplicas"] == *replicas
            && status["replicas"] == *replicas
    })
}

fn at(world: &World, name: &str, wanted: &str) -> bool {
    world.get(&(Kind::Deployment, name.to_owned())).is_some_and(|o| image(o) == wanted)
}

fn all_ended(world: &World) -> bool {
    let ended = |o: &Value| !o["status"]["completionTime"].is_null();
    let free = |o: &Value| o["metadata"]["labels"]["trackdown.dev/rolling"].is_null();
    world.iter().all(|((kind, _), o)| match kind {
        Kind::Record => ended(o),
        Kind::Ticket => true,
        Kind::Deployment | Kind::StatefulSet => free(o),
    })
}

fn state<'a>(world: &'a World, name: &str) -> Option<&'a str> {
    world.get(&(Kind::Ticket, name.to_owned()))?["status"]["state"].as_str()
}

fn reason<'a>(world: &'a World, name: &str) -> Option<&'a str> {
    world.get(&(Kind::Ticket, name.to_owned()))?["status"]["reason"].as_str()
}
