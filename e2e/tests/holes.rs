//! Attacks by users with real rights on the real API server, and by whoever holds the operator's token.

use std::process::Output;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::Scene;
use crate::harness::cluster::Cluster;
use crate::harness::scene::ready_ticket;

const OLD: &str = "ghcr.io/acme/web:1";
const NEW: &str = "ghcr.io/acme/web:2";

/// Gives a user a role of the namespace, with these `kubectl create role` options.
fn grant(scene: &Scene, user: &str, rules: &str) {
    let mut arguments = vec!["create", "role", user];
    arguments.extend(rules.split(' '));
    scene.kubectl(&arguments);
    scene.kubectl(&["create", "rolebinding", user, "--role", user, "--user", user]);
}

fn patch(scene: &Scene, user: &str, what: &[&str], patch: &Value) -> Output {
    let patch = patch.to_string();
    let arguments: Vec<_> =
        ["patch"].into_iter().chain(what.iter().copied()).chain(["--type=merge", "--patch", &patch, "--as", user]).collect();
    scene.try_kubectl(&arguments, None)
}

fn assert_refused(output: &Output, expected: &str) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "accepted: {}", String::from_utf8_lossy(&output.stdout));
    assert!(said.contains(expected), "{said}");
}

fn assert_accepted(output: &Output) {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Whoever could write a ticket's status would deploy without the right to.
pub async fn only_the_operator_writes_status(cluster: &Arc<Cluster>) {
    let scene = Scene::new(cluster, "only-the-operator").await;
    scene.workload("web", OLD, 1).await;
    grant(&scene, "wide", "--verb=* --resource=*.trackdown.dev");
    scene.kubectl(&["create", "role", "wide-status", "--verb=*", "--resource=tickets.trackdown.dev,tickets.trackdown.dev/status"]);
    scene.kubectl(&["create", "rolebinding", "wide-status", "--role=wide-status", "--user=wide"]);
    let mut ticket = ready_ticket("iss-1", "web", NEW);
    ticket["spec"]["state"] = json!("ready_for_qa");
    scene.apply(&ticket);
    scene.wait_reason("iss-1", "NotReady").await;
    let forged = json!({"status": {"state": "ready_for_deployment", "requestedState": "ready_for_deployment"}});
    assert_refused(&patch(&scene, "wide", &["ticket", "iss-1", "--subresource=status"], &forged), "only the");
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(scene.image("web").await, OLD);
}

/// Between a person's request for a rollback and its being taken in, nobody without the right makes something else of it.
pub async fn a_rollback_is_what_was_asked_for(cluster: &Arc<Cluster>) {
    let mut scene = Scene::new(cluster, "what-was-asked-for").await;
    scene.workload("web", OLD, 1).await;
    scene.workload("api", OLD, 1).await;
    grant(&scene, "author", "--verb=get,create,update,patch --resource=tickets.trackdown.dev");
    for n in 2..4 {
        scene.apply(&ready_ticket(&format!("iss-{n}"), "web", &format!("ghcr.io/acme/web:{n}")));
        scene.wait_done(&format!("iss-{n}")).await;
    }
    scene.kill_operator();
    let asked = json!({"spec": {"rollback": {"request": "1", "by": "alice", "reason": "checkout is slow"}}});
    assert_refused(&patch(&scene, "author", &["ticket", "iss-3"], &asked), "may not deploy");
    scene.kubectl(&["patch", "ticket", "iss-3", "--type=merge", "--field-manager=oncall", "--patch", &asked.to_string()]);
    for attack in [
        json!({"spec": {"rollback": {"to": "another-record"}}}),
        json!({"spec": {"rollback": {"by": "mallory"}}}),
        json!({"spec": {"rollback": {"reason": "because"}}}),
        json!({"spec": {"rollback": {"targets": ["web"]}}}),
        json!({"spec": {"rollback": {"request": "2"}}}),
        json!({"spec": {"rollback": null}}),
        json!({"spec": {"state": "done", "targets": [{"name": "web", "image": NEW, "workloadRef": {"name": "api"}}]}}),
        json!({"spec": {"state": "done", "targets": []}}),
        json!({"spec": {"state": "done", "rollout": {"timeoutSeconds": 1}}}),
    ] {
        assert_refused(&patch(&scene, "author", &["ticket", "iss-3"], &attack), "author");
    }
    // What changes nothing about it passes.
    let output = scene.try_kubectl(&["label", "ticket", "iss-3", "team=shop", "--as=author"], None);
    assert_accepted(&output);
    scene.start_operator();
    let status = scene.wait_reason("iss-3", "TakenBack").await.status.unwrap();
    assert!(status.message.unwrap().contains("alice asked for it: checkout is slow"));
    assert_eq!((scene.image("web").await.as_str(), scene.image("api").await.as_str()), (NEW, OLD));
}

/// What a stolen token of the operator is good for.
pub async fn the_operators_own_bounds(cluster: &Arc<Cluster>) {
    let scene = Scene::without_operator(cluster, "own-bounds", &["--set", "checks.jobs.enabled=true"]).await;
    scene.workload("web", OLD, 1).await;
    // A policy takes effect about a second after it was made.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let operator = format!("system:serviceaccount:{}:trackdown", scene.namespace);
    let set_image = |image: &str, annotations: Value| {
        let spec = json!({"template": {"spec": {"containers": [{"name": "web", "image": image}]}}});
        let change = json!({"metadata": {"annotations": annotations}, "spec": spec}).to_string();
        let arguments = [
            "patch",
            "deployment.apps",
            "web",
            "--type=strategic",
            "--field-manager=trackdown",
            "--patch",
            &change,
            "--as",
            &operator,
        ];
        scene.try_kubectl(&arguments, None)
    };
    assert_refused(&set_image("ghcr.io/evil/web:1", json!({})), "trackdown.dev/deployment");
    let uid = scene.get_workload("web").await.metadata.uid.unwrap();
    let marker = |uid: &str, image: &str| {
        let marker = format!(
            r#"{{"workloadUid":"{uid}","ticketUid":"t","namespace":"{}","record":"r","set":[{{"container":"web","image":"{image}"}}],"undo":[{{"container":"web","image":"{OLD}"}}]}}"#,
            scene.namespace
        );
        json!({"trackdown.dev/deployment": marker})
    };
    assert_refused(&set_image("ghcr.io/evil/web:1", marker(&uid, NEW)), "trackdown.dev/deployment");
    assert_refused(&set_image(NEW, marker("another-uid", NEW)), "trackdown.dev/deployment");
    let generate_name = json!({"metadata": {"generateName": "evil-"}});
    let web = ["deployment.apps", "web", "--field-manager=trackdown"];
    assert_refused(&patch(&scene, &operator, &web, &generate_name), "Trackdown operator may");
    let label = json!({"metadata": {"labels": {"trackdown.dev/rolling": "x"}}});
    assert_refused(&patch(&scene, &operator, &web[..2], &label), "field manager");
    assert_accepted(&set_image(NEW, marker(&uid, NEW)));

    let job = |pod: Value, owner: Value| {
        let mut spec = json!({
            "restartPolicy": "Never",
            "securityContext": {"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [{
                "name": "check", "image": "ghcr.io/acme/check:1",
                "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
            }],
        });
        spec.as_object_mut().unwrap().extend(pod.as_object().unwrap().clone());
        let manifest = json!({
            "apiVersion": "batch/v1", "kind": "Job",
            "metadata": {"name": "check", "labels": {"trackdown.dev/record": "r"}, "ownerReferences": owner},
            "spec": {"backoffLimit": 0, "template": {"spec": spec}},
        });
        scene.try_kubectl(&["create", "--dry-run=server", "-f", "-", "--as", &operator], Some(&manifest.to_string()))
    };
    let record =
        json!([{"apiVersion": "trackdown.dev/v1alpha1", "kind": "Deployment", "name": "r", "uid": "u", "controller": true}]);
    assert_accepted(&job(json!({}), record.clone()));
    let workload = json!([{"apiVersion": "apps/v1", "kind": "Deployment", "name": "web", "uid": uid, "controller": true}]);
    assert_refused(&job(json!({}), workload), "record");
    for pod in [
        json!({"hostNetwork": true}),
        json!({"hostPID": true}),
        json!({"securityContext": {}}),
        json!({"volumes": [{"name": "root", "hostPath": {"path": "/"}}]}),
        json!({"containers": [{"name": "check", "image": "x", "securityContext": {"privileged": true}}]}),
    ] {
        assert_refused(&job(pod.clone(), record.clone()), "Trackdown operator");
    }
}

/// Without the policies nobody asks who may deploy: nothing starts until they are back.
pub async fn a_stripped_policy_stops_what_is_new(_: &Arc<Cluster>) {
    let own = Arc::new(Cluster::with_crds(&[]));
    let scene = Scene::cluster_wide(&own, "trackdown-system").await.with_operator();
    for name in ["one", "two", "three", "four"] {
        scene.workload(name, OLD, 1).await;
    }
    scene.apply(&ready_ticket("one", "one", NEW));
    scene.wait_done("one").await;
    let operator = scene.operator.as_ref().unwrap();
    assert!(operator.get("/metrics").unwrap().1.contains("trackdown_admission_policies_in_force{} 1"));

    let name = "trackdown-who-may-deploy";
    let kinds = ["validatingadmissionpolicybinding", "validatingadmissionpolicy"];
    let stored: Vec<_> = kinds.iter().map(|kind| scene.object(kind, name)).collect();
    let restore = |object: &Value| {
        let mut object = object.clone();
        for field in ["resourceVersion", "uid", "managedFields", "generation", "creationTimestamp"] {
            object["metadata"].as_object_mut().unwrap().remove(field);
        }
        scene.kubectl_with(&["replace", "--force", "-f", "-"], &object);
    };
    let strips: [(&str, &[&str]); 3] = [
        ("two", &["delete", kinds[0], name]),
        ("three", &["patch", kinds[0], name, "--type=merge", "-p", r#"{"spec":{"validationActions":["Audit"]}}"#]),
        ("four", &["patch", kinds[1], name, "--type=merge", "-p", r#"{"spec":{"validations":[{"expression":"true"}]}}"#]),
    ];
    for (ticket, strip) in strips {
        scene.kubectl(strip);
        scene
            .until("readiness says so", || async {
                let (code, text) = operator.get("/readyz")?;
                (code == 503 && text.contains("PolicyMissing") && text.contains(name)).then_some(())
            })
            .await;
        scene.apply(&ready_ticket(ticket, ticket, NEW));
        let waits = scene.wait_reason(ticket, "PolicyMissing").await.status.unwrap();
        assert!(waits.message.as_ref().unwrap().contains(name), "{:?}", waits.message);
        let metrics = operator.get("/metrics").unwrap().1;
        assert!(metrics.contains("trackdown_admission_policies_in_force{} 0"), "{metrics}");
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(scene.image(ticket).await, OLD);
        // A rollback by hand is a deployment, too.
        let asked = json!({"spec": {"rollback": {"request": ticket}}}).to_string();
        scene.kubectl(&["patch", "ticket", "one", "--type=merge", "--patch", &asked]);
        scene.wait_reason("one", "PolicyMissing").await;
        scene.kubectl(&["patch", "ticket", "one", "--type=merge", "--patch", r#"{"spec":{"rollback":null}}"#]);
        scene.wait_reason("one", "Deployed").await;
        stored.iter().for_each(restore);
        scene.wait_done(ticket).await;
        operator.wait_ready();
    }
}
