//! One test's place: a namespace, the chart in it, an operator, and the hands of a user.

use std::io::Write;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use k8s_openapi::api::apps;
use kube::api::{ListParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config};
use serde_json::{Value, json};
use trackdown_api::condition::{ConditionStatus, find_condition};
use trackdown_api::record::Record;
use trackdown_api::ticket::{Ticket, TicketState};

use super::ROOT;
use super::audit::{self, Request};
use super::cluster::Cluster;
use super::operator::Operator;
use super::proxy::Proxy;

/// How long anything may take before the test fails.
const PATIENCE: Duration = Duration::from_secs(60);

/// A namespace with the chart installed.
pub struct Scene {
    pub cluster: Arc<Cluster>,
    pub namespace: String,
    pub client: Client,
    pub operator: Option<Operator>,
}

impl Scene {
    /// A namespace with an operator that works in it alone.
    pub async fn new(cluster: &Arc<Cluster>, name: &str) -> Self {
        let scene = Self::without_operator(cluster, name, &[]).await;
        scene.with_operator()
    }

    /// The same, the operator not started, with more `helm install` options.
    pub async fn without_operator(cluster: &Arc<Cluster>, name: &str, options: &[&str]) -> Self {
        let scene = Self::bare(cluster, name).await;
        let watched = format!("watchNamespaces={{{}}}", scene.namespace);
        scene.install(&["--set", &watched], options);
        scene
    }

    /// A namespace with a release that works in the whole cluster, its operator not started. The cluster has to be the test's own.
    pub async fn cluster_wide(cluster: &Arc<Cluster>, name: &str) -> Self {
        let scene = Self::bare(cluster, name).await;
        scene.install(&[], &[]);
        scene
    }

    fn install(&self, scope: &[&str], options: &[&str]) {
        let arguments = [&["install", "trackdown", "charts/trackdown", "--set", "crds.install=false"], scope, options];
        self.helm(&arguments.concat());
    }

    /// A namespace with nothing in it.
    pub async fn bare(cluster: &Arc<Cluster>, name: &str) -> Self {
        let namespace = name.replace('_', "-");
        let kubeconfig = Kubeconfig::read_from(cluster.kubeconfig()).unwrap();
        let mut config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap();
        config.default_namespace.clone_from(&namespace);
        let scene = Self { client: Client::try_from(config).unwrap(), cluster: cluster.clone(), namespace, operator: None };
        scene.kubectl(&["create", "namespace", &scene.namespace]);
        scene
    }

    /// Starts the operator.
    pub fn with_operator(mut self) -> Self {
        self.start_operator();
        self
    }

    /// Starts the operator (again), as the same replica.
    pub fn start_operator(&mut self) {
        self.start_operator_within(PATIENCE);
    }

    /// The same, with much to read.
    pub fn start_operator_within(&mut self, patience: Duration) {
        let operator = Operator::start(&self.cluster, &self.namespace, "trackdown-0");
        operator.wait_ready_within(patience);
        self.operator = Some(operator);
    }

    /// Starts the operator behind a proxy.
    pub fn start_operator_behind_proxy(&mut self) -> Proxy {
        let proxy = Proxy::start(&self.cluster);
        let operator = Operator::start_through(&self.cluster, &self.namespace, "trackdown-0", Some(&proxy.address));
        operator.wait_ready();
        self.operator = Some(operator);
        proxy
    }

    pub fn kill_operator(&mut self) {
        if let Some(mut operator) = self.operator.take() {
            operator.kill();
        }
    }

    /// `helm`, which must succeed.
    pub fn helm(&self, arguments: &[&str]) -> String {
        let mut command = Command::new(self.cluster.program("helm"));
        command.args(arguments).args(["--namespace", &self.namespace]);
        text(&run(self.environment(&mut command), None), &format!("helm {arguments:?}"))
    }

    /// `kubectl`, which must succeed.
    pub fn kubectl(&self, arguments: &[&str]) -> String {
        text(&self.try_kubectl(arguments, None), &format!("kubectl {arguments:?}"))
    }

    /// `kubectl`, which may fail.
    pub fn try_kubectl(&self, arguments: &[&str], input: Option<&str>) -> Output {
        let mut command = Command::new(self.cluster.program("kubectl"));
        command.args(["--namespace", &self.namespace]).args(arguments);
        run(self.environment(&mut command), input)
    }

    /// `kubectl apply` of a manifest.
    pub fn apply(&self, manifest: &Value) -> String {
        text(&self.try_apply(manifest, &[]), &format!("kubectl apply of {manifest}"))
    }

    /// `kubectl apply` of a manifest that may be refused, with more options.
    pub fn try_apply(&self, manifest: &Value, options: &[&str]) -> Output {
        let mut arguments = vec!["apply", "-f", "-"];
        arguments.extend(options);
        self.try_kubectl(&arguments, Some(&manifest.to_string()))
    }

    /// `kubectl apply` of a manifest that must be refused: what kubectl says.
    pub fn refused(&self, manifest: &Value, options: &[&str]) -> String {
        let output = self.try_apply(manifest, options);
        assert!(!output.status.success(), "accepted: {manifest}");
        String::from_utf8_lossy(&output.stderr).into_owned()
    }

    /// An environment for child processes: this cluster, and nothing of the user's.
    pub fn environment<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        command.env("KUBECONFIG", self.cluster.kubeconfig()).current_dir(ROOT)
    }

    /// Creates an `apps/v1` Deployment with one container of its name, and waits until it runs.
    pub async fn workload(&self, name: &str, image: &str, replicas: i32) -> apps::v1::Deployment {
        self.workload_with(name, json!({"replicas": replicas}), json!({"containers": [{"name": name, "image": image}]})).await
    }

    /// The same with more of the spec, and the pod spec whole.
    pub async fn workload_with(&self, name: &str, spec: Value, pod: Value) -> apps::v1::Deployment {
        let mut manifest = json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name},
            "spec": {"selector": {"matchLabels": {"app": name}}, "template": {"metadata": {"labels": {"app": name}}, "spec": pod}},
        });
        manifest["spec"].as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
        let wanted: apps::v1::Deployment = serde_json::from_value(manifest).unwrap();
        self.workloads().create(&PostParams::default(), &wanted).await.unwrap();
        self.until("the workload runs", || async {
            let workload = self.get_workload(name).await;
            let status = workload.status.clone().unwrap_or_default();
            let desired = workload.spec.as_ref().and_then(|s| s.replicas).unwrap_or(1);
            let settled =
                status.observed_generation >= workload.metadata.generation && status.available_replicas.unwrap_or(0) == desired;
            settled.then_some(workload)
        })
        .await
    }

    /// Any object as the API server gives it.
    pub fn object(&self, kind: &str, name: &str) -> Value {
        serde_json::from_str(&self.kubectl(&["get", kind, name, "--output=json"])).unwrap()
    }

    /// Creates a workload of another kind with one container of its name, and waits until all its pods run.
    pub fn workload_of(&self, kind: &str, name: &str, image: &str, spec: &Value) {
        let mut manifest = json!({
            "apiVersion": "apps/v1", "kind": kind, "metadata": {"name": name},
            "spec": {
                "selector": {"matchLabels": {"app": name}},
                "template": {"metadata": {"labels": {"app": name}}, "spec": {"containers": [{"name": name, "image": image}]}},
            },
        });
        manifest["spec"].as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
        self.kubectl_with(&["create", "-f", "-"], &manifest);
        self.wait_rolled_out(kind, name);
    }

    /// Waits until every pod of a workload runs its template and is ready.
    pub fn wait_rolled_out(&self, kind: &str, name: &str) {
        self.kubectl(&["rollout", "status", &format!("{}/{name}", kind.to_lowercase()), "--timeout=60s"]);
    }

    /// The pod template of a workload of any kind, byte for byte.
    pub fn template_of(&self, kind: &str, name: &str) -> String {
        self.object(kind, name)["spec"]["template"].to_string()
    }

    /// Has the API server refuse the operator's writes to `apps/v1` Deployments, until [`Self::thaw`].
    pub async fn freeze(&self) {
        let name = self.freeze_name();
        let operator = format!("request.userInfo.username.startsWith('system:serviceaccount:{}')", self.namespace);
        self.apply(&json!({
            "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy", "metadata": {"name": name},
            "spec": {
                "matchConstraints": {
                    "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": self.namespace}},
                    "resourceRules": [{"apiGroups": ["apps"], "apiVersions": ["v1"], "operations": ["UPDATE"], "resources": ["deployments"]}],
                },
                "matchConditions": [{"name": "by-the-operator", "expression": operator}],
                "validations": [{"expression": "false", "message": "frozen for now"}],
            },
        }));
        self.apply(&json!({
            "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicyBinding", "metadata": {"name": name},
            "spec": {"policyName": name, "validationActions": ["Deny"]},
        }));
        // A policy takes effect about a second after it was made.
        tokio::time::sleep(Duration::from_secs(2)).await;
    }

    /// Ends [`Self::freeze`].
    pub fn thaw(&self) {
        self.kubectl(&["delete", "validatingadmissionpolicybinding", &self.freeze_name()]);
    }

    fn freeze_name(&self) -> String {
        format!("frozen-{}", self.namespace)
    }

    /// `kubectl` with a manifest on its standard input, which must succeed.
    pub fn kubectl_with(&self, arguments: &[&str], manifest: &Value) -> String {
        text(&self.try_kubectl(arguments, Some(&manifest.to_string())), &format!("kubectl {arguments:?} of {manifest}"))
    }

    pub fn workloads(&self) -> Api<apps::v1::Deployment> {
        Api::default_namespaced(self.client.clone())
    }

    pub async fn get_workload(&self, name: &str) -> apps::v1::Deployment {
        self.workloads().get(name).await.unwrap()
    }

    /// The image of a workload's first container.
    pub async fn image(&self, name: &str) -> String {
        let spec = self.get_workload(name).await.spec.unwrap();
        spec.template.spec.unwrap().containers[0].image.clone().unwrap()
    }

    /// The pod template, byte for byte.
    pub async fn template(&self, name: &str) -> String {
        serde_json::to_string(&self.get_workload(name).await.spec.unwrap().template).unwrap()
    }

    /// How many `ReplicaSets` a workload has had: one a rollout.
    pub async fn replica_sets(&self, name: &str) -> usize {
        let api: Api<apps::v1::ReplicaSet> = Api::default_namespaced(self.client.clone());
        api.list(&ListParams::default().labels(&format!("app={name}"))).await.unwrap().items.len()
    }

    pub async fn ticket(&self, name: &str) -> Ticket {
        let api: Api<Ticket> = Api::default_namespaced(self.client.clone());
        api.get(name).await.unwrap()
    }

    /// The records of a ticket by attempt.
    pub async fn records(&self, ticket: &str) -> Vec<Record> {
        let api: Api<Record> = Api::default_namespaced(self.client.clone());
        let selector = format!("trackdown.dev/ticket={ticket}");
        let mut records = api.list(&ListParams::default().labels(&selector)).await.unwrap().items;
        records.sort_by_key(|r| r.spec.attempt);
        records
    }

    /// Waits until the ticket is as `is` says.
    pub async fn wait_ticket(&self, name: &str, what: &str, is: impl Fn(&Ticket) -> bool) -> Ticket {
        let started = Instant::now();
        loop {
            let ticket = self.ticket(name).await;
            if is(&ticket) {
                return ticket;
            }
            assert!(
                started.elapsed() < PATIENCE,
                "ticket {name} is not {what}: {}\n{}",
                serde_json::to_string_pretty(&ticket.status).unwrap(),
                self.operator.as_ref().map(Operator::log).unwrap_or_default()
            );
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
    }

    pub async fn wait_done(&self, name: &str) -> Ticket {
        self.wait_ticket(name, "done", |t| state(t) == Some(TicketState::Done) && observed(t)).await
    }

    /// Waits for a reason on the ticket.
    pub async fn wait_reason(&self, name: &str, reason: &str) -> Ticket {
        let is = |t: &Ticket| observed(t) && t.status.as_ref().and_then(|s| s.reason.as_deref()) == Some(reason);
        self.wait_ticket(name, reason, is).await
    }

    /// Waits until `find` finds something.
    pub async fn until<T, F: Future<Output = Option<T>>>(&self, what: &str, find: impl Fn() -> F) -> T {
        let started = Instant::now();
        loop {
            if let Some(found) = find().await {
                return found;
            }
            let log = || self.operator.as_ref().map(Operator::log).unwrap_or_default();
            assert!(started.elapsed() < PATIENCE, "waited in vain: {what}\n{}", log());
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
    }

    /// What the operator asked of the API server, beside its lease and its watches.
    pub fn requests(&self) -> Vec<Request> {
        audit::requests(&self.cluster.audit_log(), &format!("system:serviceaccount:{}:trackdown", self.namespace))
    }

    /// Waits until the operator has asked for nothing for `quiet`; then all it asked.
    pub async fn requests_when_quiet(&self, quiet: Duration) -> Vec<Request> {
        let mut last = (self.requests().len(), Instant::now());
        loop {
            tokio::time::sleep(Duration::from_millis(100)).await;
            let requests = self.requests();
            if requests.len() != last.0 {
                last = (requests.len(), Instant::now());
            }
            if last.1.elapsed() >= quiet {
                return requests;
            }
        }
    }
}

/// A ticket that is ready and eligible and sets `image` on the workload `target`.
pub fn ready_ticket(name: &str, target: &str, image: &str) -> Value {
    json!({
        "apiVersion": "trackdown.dev/v1alpha1", "kind": "Ticket", "metadata": {"name": name},
        "spec": {
            "title": format!("deploy {target}"), "state": "ready_for_deployment", "automationEligible": true,
            "targets": [{"name": target, "image": image}],
            "rollout": {"backoffSeconds": 1},
        },
    })
}

pub fn state(ticket: &Ticket) -> Option<TicketState> {
    ticket.status.as_ref().and_then(|s| s.state)
}

/// Whether the operator has seen the ticket as it is.
pub fn observed(ticket: &Ticket) -> bool {
    ticket.status.as_ref().map(|s| s.observed_generation) == ticket.metadata.generation
}

/// Whether a condition of the ticket is True.
pub fn holds(ticket: &Ticket, condition: &str) -> bool {
    let conditions = ticket.status.as_ref().map(|s| s.conditions.as_slice()).unwrap_or_default();
    find_condition(conditions, condition).is_some_and(|c| c.status == ConditionStatus::True)
}

/// How a record ended, or what it is doing.
pub fn result(record: &Record) -> &str {
    trackdown_core::condition_reason(record).map_or("", |(reason, _)| reason)
}

fn run(command: &mut Command, input: Option<&str>) -> Output {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    if let Some(input) = input {
        stdin.write_all(input.as_bytes()).unwrap();
    }
    drop(stdin);
    child.wait_with_output().unwrap()
}

fn text(output: &Output, what: &str) -> String {
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{what}: {err}{out}");
    out.into_owned()
}
