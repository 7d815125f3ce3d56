//! Exact failures of the API server, played by a mock: every request is asserted, every answer chosen.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::channel::mpsc::unbounded;
use http::{Request, Response};
use jiff::Timestamp;
use kube::Client;
use kube::client::Body;
use kube::runtime::controller::Action;
use kube::runtime::watcher::Event;
use serde_json::{Value, json};
use tower_test::mock::{self, Handle};
use trackdown::checks::CheckRuns;
use trackdown::kinds::{record, ticket};
use trackdown::runtime::checkups::Checkups;
use trackdown::runtime::context::{Context, Parts};
use trackdown::runtime::drive;
use trackdown::runtime::error::Error;
use trackdown::runtime::known::Keeper;
use trackdown::sinks::metrics::Metrics;
use trackdown::sinks::{Sink, Sinks};
use trackdown::workloads::pods::PodWatches;
use trackdown::workloads::rolling::RollingWorkloads;
use trackdown::workloads::watches::WorkloadWatches;
use trackdown_api::record::Record;
use trackdown_api::ticket::Ticket;
use trackdown_core::checks::Limits;
use trackdown_core::happening::{News, wording};

type Server = Handle<Request<Body>, Response<Body>>;

/// What was told, by the words of the audit log.
#[derive(Default)]
struct Heard(Mutex<Vec<&'static str>>);

impl Sink for Heard {
    fn take(&self, news: &News) {
        self.0.lock().unwrap().extend(wording::line(news).map(|line| line.decision));
    }
}

impl Heard {
    fn so_far(&self) -> Vec<&'static str> {
        self.0.lock().unwrap().clone()
    }
}

/// A context whose API server is the returned handle, and whose caches hold what is given.
fn context(tickets: &[Ticket], records: &[Record]) -> (Arc<Context>, Server) {
    context_that_tells(tickets, records, &Arc::default())
}

fn context_that_tells(tickets: &[Ticket], records: &[Record], heard: &Arc<Heard>) -> (Arc<Context>, Server) {
    let (service, server) = mock::pair::<Request<Body>, Response<Body>>();
    let (mut known_tickets, mut known_records) = (Keeper::default(), Keeper::default());
    for ticket in tickets {
        known_tickets.take_in(Event::Apply(ticket.clone()));
    }
    for record in records {
        known_records.take_in(Event::Apply(record.clone()));
    }
    let (wake, _) = unbounded();
    let context = Context::new(Parts {
        client: Client::new(service, "shop"),
        sinks: Sinks::new(vec![heard.clone()]),
        monitor_only: false,
        limits: Limits::default(),
        history_limit: 10,
        metrics: Arc::new(Metrics::default()),
        crd_too_old: Arc::default(),
        tickets: known_tickets.known(),
        records: known_records.known(),
        checkups: Checkups::new(Duration::from_secs(300)),
        policies: tokio::sync::watch::channel(None).1,
        workloads: RollingWorkloads::default(),
        pods: PodWatches::new(wake.clone()),
        checks: CheckRuns::new(wake.clone(), Limits::default()),
        watched: WorkloadWatches::new(unbounded().0, wake),
    });
    (Arc::new(context), server)
}

/// The next request, which must be this one; its body.
async fn expect(server: &mut Server, method: &str, path: &str) -> (Value, mock::SendResponse<Response<Body>>) {
    let (request, send) = server.next_request().await.expect("no request");
    assert_eq!((request.method().as_str(), request.uri().path()), (method, path));
    let bytes = request.into_body().collect_bytes().await.unwrap();
    (serde_json::from_slice(&bytes).unwrap_or(Value::Null), send)
}

fn answer(code: u16, body: &Value) -> Response<Body> {
    Response::builder().status(code).body(Body::from(body.to_string().into_bytes())).unwrap()
}

fn failure(code: u16, reason: &str) -> Response<Body> {
    answer(
        code,
        &json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason, "message": reason}),
    )
}

const TICKET: &str = "/apis/trackdown.dev/v1alpha1/namespaces/shop/tickets/iss-1";
const RECORDS: &str = "/apis/trackdown.dev/v1alpha1/namespaces/shop/deployments";
const WORKLOAD: &str = "/apis/apps/v1/namespaces/shop/deployments/web";

fn ready() -> Ticket {
    serde_json::from_value(json!({
        "apiVersion": "trackdown.dev/v1alpha1", "kind": "Ticket",
        "metadata": {"name": "iss-1", "namespace": "shop", "uid": "t", "generation": 1, "resourceVersion": "1"},
        "spec": {"title": "x", "state": "ready_for_deployment", "automationEligible": true, "targets": [{"name": "web", "image": "web:2"}]},
    }))
    .unwrap()
}

fn workload(image: &str) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "shop", "uid": "w", "generation": 4, "resourceVersion": "9", "annotations": {"a": "b"}},
        "spec": {
            "replicas": 1, "selector": {"matchLabels": {"app": "web"}},
            "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "web", "image": image}]}},
        },
        "status": {"observedGeneration": 4, "replicas": 1, "updatedReplicas": 1, "availableReplicas": 1},
    })
}

/// A record as the API server stores it.
fn stored(mut record: Value) -> Value {
    record["metadata"].as_object_mut().unwrap().extend(
        json!({"uid": "r", "resourceVersion": "3", "generation": 1, "creationTimestamp": "2026-01-01T00:00:00Z"})
            .as_object()
            .unwrap()
            .clone(),
    );
    record
}

/// A record of the ticket that has not written anything, and the ticket that names it.
async fn intended() -> (Ticket, Record) {
    let (ctx, mut server) = context(&[ready()], &[]);
    let pass = tokio::spawn(ticket::reconcile(Arc::new(ready()), ctx));
    let (_, send) = expect(&mut server, "GET", WORKLOAD).await;
    send.send_response(answer(200, &workload("web:1")));
    let (mut named, send) = expect(&mut server, "PUT", &format!("{TICKET}/status")).await;
    named["metadata"]["resourceVersion"] = json!("2");
    send.send_response(answer(200, &named));
    let (created, send) = expect(&mut server, "POST", RECORDS).await;
    let created = stored(created);
    send.send_response(answer(201, &created));
    pass.await.unwrap().unwrap();
    (serde_json::from_value(named).unwrap(), serde_json::from_value(created).unwrap())
}

/// A pass of the record whose patch is answered like this.
async fn patch_answered(response: Response<Body>) -> (Server, tokio::task::JoinHandle<Result<Action, Error>>) {
    let (named, record) = intended().await;
    let (ctx, mut server) = context(&[named], std::slice::from_ref(&record));
    let pass = tokio::spawn(record::reconcile(Arc::new(record), ctx));
    let (_, send) = expect(&mut server, "GET", WORKLOAD).await;
    send.send_response(answer(200, &workload("web:1")));
    let (_, send) = expect(&mut server, "PATCH", WORKLOAD).await;
    send.send_response(response);
    (server, pass)
}

#[tokio::test]
async fn a_status_that_does_not_stay_stops_the_operator() {
    let (ctx, mut server) = context(&[ready()], &[]);
    let pass = tokio::spawn(ticket::reconcile(Arc::new(ready()), ctx.clone()));
    let (_, send) = expect(&mut server, "GET", WORKLOAD).await;
    send.send_response(answer(200, &workload("web:1")));
    let (mut body, send) = expect(&mut server, "PUT", &format!("{TICKET}/status")).await;
    // An older CRD does not know this field: the API server drops it.
    body["status"]["targets"][0].as_object_mut().unwrap().remove("requestHash");
    send.send_response(answer(200, &body));
    assert!(matches!(pass.await.unwrap(), Err(Error::CrdTooOld { .. })));
    assert!(ctx.crd_too_old.load(std::sync::atomic::Ordering::Relaxed));
}

#[tokio::test]
async fn a_lost_race_for_the_status_has_no_effect() {
    let (ctx, mut server) = context(&[ready()], &[]);
    let pass = tokio::spawn(ticket::reconcile(Arc::new(ready()), ctx));
    let (_, send) = expect(&mut server, "GET", WORKLOAD).await;
    send.send_response(answer(200, &workload("web:1")));
    let (_, send) = expect(&mut server, "PUT", &format!("{TICKET}/status")).await;
    send.send_response(failure(409, "Conflict"));
    assert!(matches!(pass.await.unwrap(), Err(Error::Conflict { .. })));
}

#[tokio::test]
async fn what_is_written_is_told_and_nothing_before() {
    let heard = Arc::new(Heard::default());
    let (ctx, mut server) = context_that_tells(&[ready()], &[], &heard);
    let pass = tokio::spawn(ticket::reconcile(Arc::new(ready()), ctx));
    let (_, send) = expect(&mut server, "GET", WORKLOAD).await;
    send.send_response(answer(200, &workload("web:1")));
    let (mut named, send) = expect(&mut server, "PUT", &format!("{TICKET}/status")).await;
    assert!(heard.so_far().is_empty(), "{:?}", heard.so_far());
    named["metadata"]["resourceVersion"] = json!("2");
    send.send_response(answer(200, &named));
    let (created, send) = expect(&mut server, "POST", RECORDS).await;
    assert_eq!(heard.so_far(), ["TransitionTaken", "AttemptIntended"]);
    send.send_response(answer(201, &stored(created)));
    pass.await.unwrap().unwrap();
    assert_eq!(heard.so_far(), ["TransitionTaken", "AttemptIntended", "RecordCreated"]);
}

/// The reply to the patch is lost. The next pass reads, finds its own marker, and does not write again.
#[tokio::test]
async fn a_lost_reply_is_found_out_by_reading() {
    let (named, record) = intended().await;
    let (ctx, mut server) = context(std::slice::from_ref(&named), std::slice::from_ref(&record));
    let pass = tokio::spawn(record::reconcile(Arc::new(record.clone()), ctx.clone()));
    let (_, send) = expect(&mut server, "GET", WORKLOAD).await;
    send.send_response(answer(200, &workload("web:1")));
    let (patch, send) = expect(&mut server, "PATCH", WORKLOAD).await;
    send.send_error(std::io::Error::other("connection reset"));
    assert!(matches!(pass.await.unwrap(), Err(Error::Api { .. })));
    let operations = patch.as_array().unwrap();
    let tested: Vec<_> = operations.iter().filter(|o| o["op"] == "test").map(|o| o["path"].as_str().unwrap()).collect();
    assert_eq!(
        tested,
        [
            "/metadata/uid",
            "/metadata/generation",
            "/metadata/annotations/trackdown.dev~1deployment",
            "/metadata/annotations/argocd.argoproj.io~1tracking-id",
            "/metadata/annotations/kustomize.toolkit.fluxcd.io~1reconcile",
            "/metadata/annotations/kustomize.toolkit.fluxcd.io~1ssa",
            "/metadata/annotations/trackdown.dev~1write",
            "/metadata/labels",
            "/spec/template/spec/containers/0/name",
            "/spec/template/spec/containers/0/image"
        ]
    );

    let marker = operations.iter().find(|o| o["op"] == "add" && o["path"] == tested[2]).unwrap()["value"].clone();
    let mut landed = workload("web:2");
    landed["metadata"]["generation"] = json!(5);
    landed["metadata"]["annotations"]["trackdown.dev/deployment"] = marker;
    landed["metadata"]["labels"] = json!({"trackdown.dev/rolling": "true"});
    let pass = tokio::spawn(record::reconcile(Arc::new(record), ctx));
    let (_, send) = expect(&mut server, "GET", WORKLOAD).await;
    send.send_response(answer(200, &landed));
    let (holder, send) = server.next_request().await.map(|(r, s)| (r.uri().path().to_owned(), s)).unwrap();
    assert_eq!(holder, format!("{RECORDS}/{}/status", named.status.unwrap().targets[0].record.clone().unwrap()), "no second patch");
    send.send_response(failure(409, "Conflict"));
    assert!(pass.await.unwrap().is_err());
}

/// The answer is a refusal and the workload has moved: nothing was written, and a new attempt follows without a try being used.
#[tokio::test]
async fn a_failed_test_ends_the_attempt_unwritten() {
    let (mut server, pass) = patch_answered(failure(422, "Invalid")).await;
    let mut moved = workload("web:1");
    moved["metadata"]["generation"] = json!(5);
    let (_, send) = expect(&mut server, "GET", WORKLOAD).await;
    send.send_response(answer(200, &moved));
    let (request, send) = server.next_request().await.unwrap();
    let body: Value = serde_json::from_slice(&request.into_body().collect_bytes().await.unwrap()).unwrap();
    assert_eq!(body["status"]["conditions"][0]["reason"], "Superseded", "{body}");
    assert!(body["status"].get("patchedTime").is_none());
    send.send_response(answer(200, &body));
    pass.await.unwrap().unwrap();
}

/// A server error says nothing about the effect: the pass ends, and is tried again.
#[tokio::test]
async fn server_errors_end_the_pass() {
    for (code, reason) in [(500, "InternalError"), (503, "ServiceUnavailable"), (504, "Timeout"), (429, "TooManyRequests")] {
        let (_server, pass) = patch_answered(failure(code, reason)).await;
        assert!(matches!(pass.await.unwrap(), Err(Error::Api { .. })), "{code}");
    }
}

#[test]
fn now_is_what_the_api_keeps() {
    let now = drive::now();
    assert_eq!(now, Timestamp::from_microsecond(now.as_microsecond()).unwrap());
}
