//! A control plane with the chart installed, and everything that looks at it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use kube::Client;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::ROOT;
use crate::api::{Api, Body, Refusal};
use crate::audit::Audit;
use crate::cluster::Cluster;
use crate::history::History;
use crate::operator::{Launch, clock_library};
use crate::person::Person;
use crate::probed;
use crate::reading::text;

/// Namespace of the release.
const HOME: &str = "trackdown-system";

/// What runs share.
#[derive(Clone)]
pub struct Ground {
    pub cluster: Arc<Cluster>,
    pub api: Api,
    /// To whoever brings its own token.
    pub upstream: Client,
    pub history: History,
    pub audit: Audit,
    pub launch: Launch,
    /// Library that moves the clock of a process, where there can be one.
    pub clock: Option<PathBuf>,
    /// Address of a server that health checks can ask.
    pub probed: String,
    /// What looks at it, until the last clone is gone.
    _tasks: Arc<JoinSet<()>>,
}

impl Ground {
    /// A new control plane, the chart installed with these options on top.
    pub async fn new(binary: &Path, options: &[&str]) -> Self {
        let cluster = Arc::new(tokio::task::spawn_blocking(|| Cluster::start(&[])).await.unwrap());
        let release = ["install", "trackdown", "charts/trackdown", "--namespace", HOME, "--create-namespace"];
        let checks = ["--set", "checks.http.hosts={127.0.0.1}", "--set", "checks.http.networks={127.0.0.0/8}"];
        cluster.run("helm", &[release.as_slice(), &checks, options].concat());
        let deployment = cluster.run("kubectl", &["get", "deployment.apps", "trackdown", "--namespace", HOME, "--output=json"]);
        let token = cluster.run("kubectl", &["create", "token", "trackdown", "--namespace", HOME, "--duration=24h"]);
        let api = Api::admin(&cluster.kubeconfig()).await;
        grant_leases(&api).await;
        let dir = Path::new(ROOT).join("target/faults");
        std::fs::create_dir_all(&dir).unwrap();
        let launch = Launch {
            binary: std::path::absolute(binary).unwrap(),
            arguments: arguments(&deployment),
            token: token.trim().to_owned(),
            home: HOME.to_owned(),
            clock: None,
            dir: dir.join("operators"),
        };
        let mut tasks = JoinSet::new();
        let user = format!("system:serviceaccount:{HOME}:trackdown");
        Self {
            upstream: Api::anonymous(&cluster.kubeconfig()).await,
            history: History::follow(&api, &mut tasks),
            audit: Audit::follow(cluster.audit_log(), user, &mut tasks),
            probed: probed::serve(&mut tasks).await,
            clock: clock_library(&Path::new(ROOT).join("e2e/faults/clock.c"), &dir),
            _tasks: Arc::new(tasks),
            launch,
            api,
            cluster,
        }
    }

    /// Makes a namespace for a run.
    pub async fn namespace(&self, name: &str) -> Result<(), Refusal> {
        let manifest = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
        self.api.send("POST", "/api/v1/namespaces", Body::Create(&manifest)).await.map(|_| ())
    }

    /// Somebody at work in that namespace.
    pub fn person(&self, namespace: &str) -> Person {
        Person {
            api: self.api.clone(),
            cluster: self.cluster.clone(),
            history: self.history.clone(),
            namespace: namespace.to_owned(),
            probed: self.probed.clone(),
        }
    }

    /// One field of the objects that Events of a sort are about, e.g. `reason=Unreadable`.
    pub async fn warned_about(&self, namespace: &str, sort: &str, field: &str) -> BTreeSet<String> {
        let path = format!("/api/v1/namespaces/{namespace}/events?fieldSelector={sort}");
        let events = self.api.get(&path).await.unwrap_or_default();
        events["items"].as_array().into_iter().flatten().map(|e| text(&e["involvedObject"][field])).collect()
    }
}

fn arguments(deployment: &str) -> Vec<String> {
    let deployment: Value = serde_json::from_str(deployment).unwrap();
    let arguments = &deployment["spec"]["template"]["spec"]["containers"][0]["args"];
    arguments.as_array().unwrap().iter().map(|a| a.as_str().unwrap().to_owned()).collect()
}

/// The chart's own role names one Lease. Here many operators share one release, each with a Lease of its own.
async fn grant_leases(api: &Api) {
    let role = json!({
        "metadata": {"name": "faults-leases"},
        "rules": [{"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["get", "list", "watch", "patch", "update"]}],
    });
    let binding = json!({
        "metadata": {"name": "faults-leases"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "faults-leases"},
        "subjects": [{"kind": "ServiceAccount", "name": "trackdown", "namespace": HOME}],
    });
    for (resource, object) in [("clusterroles", role), ("clusterrolebindings", binding)] {
        let path = format!("/apis/rbac.authorization.k8s.io/v1/{resource}");
        api.send("POST", &path, Body::Create(&object)).await.map_err(String::from).unwrap();
    }
}
