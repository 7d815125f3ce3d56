//! What the API server itself refuses, and what it never refuses.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::Scene;
use crate::harness::cluster::Cluster;
use crate::harness::scene::ready_ticket;

const OLD: &str = "ghcr.io/acme/web:1";

fn ticket(name: &str, state: &str) -> Value {
    let mut ticket = ready_ticket(name, "web", "ghcr.io/acme/web:2");
    ticket["spec"]["state"] = json!(state);
    ticket["spec"]["automationEligible"] = json!(false);
    ticket
}

/// Every pair of states, tried on the API server.
pub async fn illegal_steps_are_refused(cluster: &Arc<Cluster>) {
    let scene = Scene::new(cluster, "illegal-steps").await;
    let open = ["planning", "active", "ready_for_qa", "ready_for_deployment"];
    let legal = |from: &str, to: &str| {
        let place = |s| open.iter().position(|o| *o == s);
        match (place(from), place(to)) {
            _ if from == to => true,
            (Some(_), Some(_)) => true,
            (Some(_), None) if to == "won_t_do" => true,
            (Some(at), None) => at >= 2,
            (None, Some(_)) => to != "ready_for_deployment",
            (None, None) => false,
        }
    };
    let states: Vec<_> = open.into_iter().chain(["done", "won_t_do"]).collect();
    for from in &states {
        for to in &states {
            let name = format!("{from}-to-{to}").replace('_', "-");
            scene.apply(&ticket(&name, from));
            if legal(from, to) {
                scene.apply(&ticket(&name, to));
            } else {
                let said = scene.refused(&ticket(&name, to), &[]);
                let expected = format!("a ticket cannot go from {from} to {to}; from {from} it can go to: ");
                assert!(said.contains(&expected) && said.contains("spec.state"), "{said}");
            }
        }
    }
    // Where the operator has moved a ticket counts, not where it was asked to go.
    scene.workload("web", OLD, 1).await;
    let mut deployed = ready_ticket("deployed", "web", "ghcr.io/acme/web:2");
    scene.apply(&deployed);
    scene.wait_done("deployed").await;
    deployed["spec"]["state"] = json!("won_t_do");
    assert!(scene.refused(&deployed, &[]).contains("cannot go from done to won_t_do"));
    deployed["spec"]["state"] = json!("active");
    scene.apply(&deployed);
}

pub async fn malformed_tickets_are_refused(cluster: &Arc<Cluster>) {
    let scene = Scene::new(cluster, "malformed").await;
    let cases: [(&str, Value, &str); 11] = [
        ("state", json!("deployed"), "spec.state: Unsupported value"),
        ("title", json!(""), "spec.title"),
        ("targets", json!([{"name": "web"}]), "spec.targets[0].image: Required value"),
        ("targets", json!([{"name": "web", "image": "not an image"}]), "spec.targets[0].image"),
        ("targets", json!([{"name": "Web", "image": OLD}]), "spec.targets[0].name"),
        ("targets", json!([{"name": "a", "image": OLD}, {"name": "a", "image": OLD}]), "Duplicate value"),
        ("rollout", json!({"timeoutSeconds": 0}), "spec.rollout.timeoutSeconds"),
        ("rollout", json!({"maxAttempts": 1000}), "spec.rollout.maxAttempts"),
        ("deployBefore", json!("tomorrow"), "spec.deployBefore"),
        // Legal times, but past what the operator can read.
        ("deployBefore", json!("9999-12-31T23:59:59Z"), "spec.deployBefore"),
        ("stateMetadata", json!({"deployedTime": "2026-01-01T00:00:00+99:99"}), "spec.stateMetadata.deployedTime"),
    ];
    for (field, value, expected) in cases {
        let mut bad = ticket("bad", "planning");
        bad["spec"][field] = value;
        let said = scene.refused(&bad, &["--validate=false"]);
        assert!(said.contains(expected), "{field}: {said}");
    }
    for odd in ["web?x", "web/", "../web", "Web", "we b", "w%62"] {
        let mut bad = ticket("bad", "planning");
        bad["spec"]["targets"][0]["workloadRef"] = json!({"name": odd});
        let said = scene.refused(&bad, &[]);
        assert!(said.contains("spec.targets[0].workloadRef.name"), "{odd}: {said}");
        let mut bad = ticket("bad", "planning");
        bad["spec"]["rollback"] = json!({"request": "1", "to": odd});
        let said = scene.refused(&bad, &[]);
        assert!(said.contains("spec.rollback.to"), "{odd}: {said}");
    }
    let not_an_image = [
        ("https://ghcr.io/acme/web:1", "an image has no scheme"),
        ("ghcr.io/acme/web:", "not an image"),
        ("ghcr.io/Acme/web:1", "the repository in small letters"),
        ("acme/web@sha256:abc", "not an image"),
        ("1.4.2", "only a tag"),
        ("v2", "only a tag"),
        (":1.4.2", "only a tag"),
        ("latest", "only a tag"),
    ];
    for (image, expected) in not_an_image {
        let mut bad = ticket("bad", "planning");
        bad["spec"]["targets"][0]["image"] = json!(image);
        let said = scene.refused(&bad, &[]);
        assert!(said.contains(expected) && said.contains("spec.targets[0].image"), "{image}: {said}");
    }
    let digest = format!("ghcr.io/acme/web:V1@sha256:{}", "a".repeat(64));
    for image in
        ["nginx", "localhost:5000/web:1", "Registry.Example.COM/acme/my_web.app--x:1.4-RC1", "127.0.0.1:5000/a/b/c", &digest]
    {
        let mut good = ticket("good", "planning");
        good["spec"]["targets"][0]["image"] = json!(image);
        scene.apply(&good);
    }
    let mut by_id = ticket("bad", "planning");
    by_id["spec"]["dependsOn"] = json!(["ISS-42"]);
    assert!(scene.refused(&by_id, &[]).contains("not their ids"));
    let mut typo = ticket("bad", "planning");
    typo["spec"]["automationElegible"] = json!(true);
    assert!(scene.refused(&typo, &[]).contains("automationElegible"));
}

/// What was stored under older rules stays writable, as long as what they are about is left alone.
pub async fn stored_tickets_stay_writable(_: &Arc<Cluster>) {
    let own = Arc::new(Cluster::with_crds(&[]));
    let scene = Scene::without_operator(&own, "stored-tickets", &["--set", "crds.install=false"]).await;
    let mut crd: Value = serde_json::from_str(&scene.kubectl(&["get", "crd", "tickets.trackdown.dev", "--output=json"])).unwrap();
    let rules = crd.clone();
    let spec = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties";
    for field in ["targets/items/properties/image", "dependsOn"] {
        let field = crd.pointer_mut(&format!("{spec}/{field}")).unwrap().as_object_mut().unwrap();
        assert!(field.remove("x-kubernetes-validations").is_some());
    }
    scene.kubectl_with(&["replace", "-f", "-"], &crd);
    let mut old = ticket("iss-1", "planning");
    old["spec"]["targets"][0]["image"] = json!("ghcr.io/Acme/web:");
    old["spec"]["dependsOn"] = json!(["ISS-42"]);
    scene.until("the older rules count", || async { scene.try_apply(&old, &[]).status.success().then_some(()) }).await;
    let mut rules = rules;
    rules["metadata"]["resourceVersion"] = Value::Null;
    scene.kubectl_with(&["replace", "-f", "-"], &rules);
    let mut new = ticket("iss-2", "planning");
    new["spec"]["targets"][0]["image"] = json!("ghcr.io/Acme/web:");
    scene
        .until("the rules count", || async { (!scene.try_apply(&new, &["--dry-run=server"]).status.success()).then_some(()) })
        .await;
    old["spec"]["title"] = json!("another title");
    scene.apply(&old);
    old["spec"]["targets"][0]["image"] = json!("ghcr.io/Acme/web:2:");
    assert!(scene.refused(&old, &[]).contains("not an image"));
}

pub async fn harmless_edits_are_not_refused(cluster: &Arc<Cluster>) {
    let scene = Scene::new(cluster, "harmless-edits").await;
    scene.workload("web", OLD, 1).await;
    let done = ready_ticket("iss-1", "web", "ghcr.io/acme/web:2");
    scene.apply(&done);
    scene.wait_done("iss-1").await;
    // Its spec asks for ready_for_deployment, its status says done: neither a sync nor a label is a step back.
    scene.apply(&done);
    scene.kubectl(&["label", "ticket", "iss-1", "team=shop"]);
    scene.kubectl(&["annotate", "ticket", "iss-1", "note=x"]);
    let mut described = done.clone();
    described["spec"]["description"] = json!("more words");
    scene.apply(&described);
    scene.kubectl(&["patch", "ticket", "iss-1", "--type=merge", "--patch", r#"{"spec":{"state":"done"}}"#]);
    scene.wait_done("iss-1").await;
    assert_eq!(scene.replica_sets("web").await, 2);
}

pub async fn applying_twice_changes_nothing(cluster: &Arc<Cluster>) {
    let scene = Scene::new(cluster, "applying-twice").await;
    scene.workload("web", OLD, 1).await;
    scene.workload("api", OLD, 1).await;
    let mut bad = ready_ticket("bad", "api", "ghcr.io/acme/api:bad");
    bad["spec"]["rollout"]["maxAttempts"] = json!(1);
    let tickets = json!({"apiVersion": "v1", "kind": "List", "items": [ready_ticket("good", "web", "ghcr.io/acme/web:2"), bad]});
    scene.apply(&tickets);
    scene.wait_done("good").await;
    scene.wait_reason("bad", "RetriesExhausted").await;
    let generation = |name| {
        let scene = &scene;
        async move { scene.ticket(name).await.metadata.generation }
    };
    let before =
        (generation("good").await, generation("bad").await, scene.replica_sets("web").await, scene.replica_sets("api").await);
    let said = scene.apply(&tickets);
    assert_eq!(said.matches("unchanged").count(), 2, "{said}");
    let diff = scene.try_kubectl(&["diff", "-f", "-"], Some(&tickets.to_string()));
    assert!(diff.status.success() && diff.stdout.is_empty(), "{}", String::from_utf8_lossy(&diff.stdout));
    tokio::time::sleep(Duration::from_secs(2)).await;
    let after =
        (generation("good").await, generation("bad").await, scene.replica_sets("web").await, scene.replica_sets("api").await);
    assert_eq!(before, after);
}

/// Real RBAC, real users: the chart's admission policy lets only those deploy who may.
pub async fn rights_decide_who_may_deploy(cluster: &Arc<Cluster>) {
    let scene = Scene::new(cluster, "rights-decide").await;
    scene.workload("web", OLD, 1).await;
    for (user, rules) in [
        ("author", "--verb=get,create,update,patch --resource=tickets.trackdown.dev"),
        ("deployer", "--verb=deploy --resource=deployments.trackdown.dev"),
        ("patcher", "--verb=patch --resource=deployments.apps"),
    ] {
        let mut arguments = vec!["create", "role", user];
        arguments.extend(rules.split(' '));
        scene.kubectl(&arguments);
        scene.kubectl(&["create", "rolebinding", user, "--role", user, "--user", user]);
        scene.kubectl(&["create", "rolebinding", &format!("{user}-writes"), "--role=author", "--user", user]);
    }
    let ready = |name: &str| ready_ticket(name, "web", "ghcr.io/acme/web:2");
    let said = scene.refused(&ready("mallory"), &["--as=author"]);
    assert!(said.contains("author") && said.contains("deploy") && said.contains(&scene.namespace), "{said}");
    let mut planned = ready("planned");
    planned["spec"]["state"] = json!("ready_for_qa");
    assert!(scene.try_apply(&planned, &["--as=author"]).status.success(), "planning is everybody's");
    planned["spec"]["state"] = json!("ready_for_deployment");
    scene.refused(&planned, &["--as=author"]);

    for user in ["deployer", "patcher"] {
        let output = scene.try_apply(&ready(user), &["--as", user]);
        assert!(output.status.success(), "{user}: {}", String::from_utf8_lossy(&output.stderr));
        scene.wait_done(user).await;
    }
    let edited = |arguments: &[&str]| scene.try_kubectl(&[arguments, &["--as=author"]].concat(), None).status.success();
    assert!(edited(&["label", "ticket", "deployer", "team=shop"]), "labels are everybody's");
    assert!(!edited(&["annotate", "ticket", "deployer", "trackdown.dev/retry-requested=now"]), "a retry deploys");

    let mut elsewhere = ready("elsewhere");
    elsewhere["spec"]["targets"][0]["workloadRef"] = json!({"namespace": "default"});
    let said = scene.refused(&elsewhere, &[]);
    assert!(said.contains("another namespace"), "{said}");
}

pub async fn users_cannot_write_records(cluster: &Arc<Cluster>) {
    let scene = Scene::new(cluster, "users-cannot-write").await;
    scene.workload("web", OLD, 1).await;
    scene.apply(&ready_ticket("iss-1", "web", "ghcr.io/acme/web:2"));
    scene.wait_done("iss-1").await;
    let mut forged = serde_json::to_value(&scene.records("iss-1").await[0]).unwrap();
    forged["metadata"] = json!({"name": "forged", "namespace": scene.namespace});
    forged["apiVersion"] = json!("trackdown.dev/v1alpha1");
    forged["kind"] = json!("Deployment");
    let said = scene.refused(&forged, &[]);
    assert!(said.contains("only the operator") || said.contains("written by"), "{said}");
    let name = scene.kubectl(&["get", "tdep", "--output=name"]);
    let edit = scene.try_kubectl(&["patch", name.trim(), "--type=merge", "--patch", r#"{"spec":{"attempt":7}}"#], None);
    assert!(!edit.status.success());
    // Deleting evidence is a matter of rights, not of admission.
    scene.kubectl(&["delete", name.trim()]);
}
