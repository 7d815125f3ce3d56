//! The hands of people and of the tools they use, in one namespace.

use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};

use crate::api::{Api, Body, Refusal};
use crate::cluster::Cluster;
use crate::history::{History, Kind, World};
use std::sync::Arc;

/// Longest wait for anything.
const PATIENCE: Duration = Duration::from_secs(120);

/// What goes wrong in a run, in a sentence.
pub type Outcome<T = ()> = Result<T, String>;

/// Somebody at work in a namespace.
pub struct Person {
    pub api: Api,
    pub cluster: Arc<Cluster>,
    pub history: History,
    pub namespace: String,
    /// Address of a server that health checks can ask.
    pub probed: String,
}

impl Person {
    /// A workload of that kind with one container of its name.
    pub async fn workload(&self, kind: Kind, name: &str, image: &str, labels: Value) -> Outcome {
        let mut manifest = json!({
            "apiVersion": kind.group(), "kind": kind.name(), "metadata": {"name": name, "labels": labels},
            "spec": {
                "replicas": 2, "selector": {"matchLabels": {"app": name}},
                "template": {
                    "metadata": {"labels": {"app": name}}, "spec": {"containers": [{"name": name, "image": image}]},
                },
            },
        });
        if kind == Kind::StatefulSet {
            manifest["spec"]["serviceName"] = json!(name);
        }
        self.create(kind, &manifest).await
    }

    /// An `apps/v1` Deployment.
    pub async fn deployment(&self, name: &str, image: &str) -> Outcome {
        self.workload(Kind::Deployment, name, image, json!({})).await
    }

    /// Creates an object.
    pub async fn create(&self, kind: Kind, manifest: &Value) -> Outcome {
        let path = format!("{}?fieldManager=kubectl-create", kind.path(&self.namespace));
        match self.persist("POST", &path, Body::Create(manifest)).await {
            // A try before this one took effect.
            Err(Refusal { code: 409, .. }) => Ok(()),
            other => other.map_err(|refusal| format!("creating {}: {}", kind.plural(), String::from(refusal))),
        }
    }

    /// Changes an object as `manager` would.
    pub async fn patch(&self, kind: Kind, name: &str, manager: &str, change: &Value) -> Outcome {
        let path = format!("{}/{name}?fieldManager={manager}", kind.path(&self.namespace));
        Ok(self.persist("PATCH", &path, Body::Merge(change)).await?)
    }

    /// A forced server-side apply, as GitOps tools make it.
    pub async fn apply(&self, kind: Kind, name: &str, manager: &str, manifest: &Value) -> Outcome {
        let path = format!("{}/{name}?fieldManager={manager}&force=true", kind.path(&self.namespace));
        Ok(self.persist("PATCH", &path, Body::Apply(manifest)).await?)
    }

    pub async fn delete(&self, kind: Kind, name: &str) -> Outcome {
        match self.persist("DELETE", &format!("{}/{name}", kind.path(&self.namespace)), Body::None).await {
            Err(Refusal { code: 404, .. }) => Ok(()),
            other => Ok(other?),
        }
    }

    /// Asks again while the API server is away.
    async fn persist(&self, method: &str, path: &str, body: Body<'_>) -> Result<(), Refusal> {
        let mut tries = 0;
        loop {
            tries += 1;
            match self.api.send(method, path, body).await {
                Ok(_) => return Ok(()),
                Err(away) if tries < 100 && (away.code == 0 || away.code >= 500 || away.message.contains("not yet ready")) => {
                    tokio::time::sleep(Duration::from_millis(200)).await;
                }
                Err(refusal) => return Err(refusal),
            }
        }
    }

    /// `kubectl`, for what it does in more than one step.
    pub async fn kubectl(&self, arguments: &[&str]) -> Outcome {
        let mut tries = 0;
        loop {
            tries += 1;
            let output = tokio::process::Command::new(self.cluster.program("kubectl"))
                .args(["--namespace", &self.namespace])
                .args(arguments)
                .env("KUBECONFIG", self.cluster.kubeconfig())
                .stdin(Stdio::null())
                .output()
                .await
                .map_err(|error| error.to_string())?;
            let said = String::from_utf8_lossy(&output.stderr);
            if output.status.success() {
                return Ok(());
            }
            let away = ["refused", "EOF", "ServiceUnavailable", "reset by peer", "not yet ready"];
            if tries == 20 || !away.iter().any(|sign| said.contains(sign)) {
                return Err(said.into_owned());
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }

    /// Waits until the namespace looks like that.
    pub async fn until(&self, what: &str, is: impl Fn(&World) -> bool) -> Outcome {
        if self.history.until(&self.namespace, PATIENCE, is).await {
            return Ok(());
        }
        let world = self.history.now(&self.namespace);
        let now: Vec<_> = world.iter().filter(|((kind, _), _)| *kind == Kind::Ticket).map(|((_, name), t)| told(name, t)).collect();
        Err(format!("not within {} s: {what}; {}", PATIENCE.as_secs(), now.join("; ")))
    }
}

fn told(name: &str, ticket: &Value) -> String {
    let status = &ticket["status"];
    format!("{name} is {} {}: {}", status["state"], status["reason"], status["message"])
}
