//! Between the operator and the real API server: holds a write back while somebody else acts, and keeps events from arriving.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::State;
use axum::http::{Request, Response, StatusCode};
use futures::StreamExt;
use futures::stream;
use kube::config::{AuthInfo, KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use tokio::sync::watch;

use super::cluster::Cluster;

/// Largest request that is passed on.
const REQUEST_MAX: usize = 4 << 20;

/// A running proxy. It ends with the process.
#[derive(Clone)]
pub struct Proxy {
    pub address: String,
    rules: Arc<Rules>,
}

#[derive(Default)]
struct Rules {
    silent: AtomicBool,
    /// Events that are lost: those that contain one of these texts.
    lost: Mutex<Vec<String>>,
    cases: Mutex<HashMap<String, Arc<Case>>>,
}

/// The writes about everything that has a name, counted; one of them is held back.
pub struct Case {
    name: String,
    /// Which write is held back, or the answer to which patch that took effect, counted from 1.
    held: usize,
    /// The answer is held back, and then lost.
    answer_lost: bool,
    count: watch::Sender<usize>,
    released: watch::Sender<bool>,
    /// Patches of the workload that took effect.
    pub landed: Mutex<usize>,
}

impl Case {
    /// Waits until the write has come; false: it does not come while `patience` lasts.
    pub async fn is_held(&self, patience: std::time::Duration) -> bool {
        let mut count = self.count.subscribe();
        let come = tokio::time::timeout(patience, count.wait_for(|n| *n >= self.held)).await;
        come.is_ok()
    }

    /// Counts a write; whether it is the one that is held back.
    fn is_next(&self) -> bool {
        let mut place = 0;
        self.count.send_modify(|count| {
            *count += 1;
            place = *count;
        });
        place == self.held
    }

    async fn wait_released(&self) {
        let _ = self.released.subscribe().wait_for(|released| *released).await;
    }

    /// Lets everything through from now on.
    pub fn release(&self) {
        self.released.send_replace(true);
    }

    pub fn landed(&self) -> usize {
        *self.landed.lock().unwrap()
    }
}

impl Proxy {
    /// Starts one before this control plane, on a thread of its own: what a test waits for does not hold it up.
    pub fn start(cluster: &Cluster) -> Self {
        let kubeconfig = Kubeconfig::read_from(cluster.kubeconfig()).unwrap();
        let rules = Arc::new(Rules::default());
        let (known, address) = std::sync::mpsc::channel();
        let served = rules.clone();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async move {
                let mut config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap();
                // The operator's own token goes along.
                config.auth_info = AuthInfo::default();
                config.default_retry = false;
                let upstream = Client::try_from(config).unwrap();
                let app = Router::new().fallback(pass_on).with_state((upstream, served));
                let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
                known.send(format!("http://{}", listener.local_addr().unwrap())).unwrap();
                axum::serve(listener, app).await.unwrap();
            });
        });
        Self { address: address.recv().unwrap(), rules }
    }

    /// Watches give nothing any more, and do not end either; new ones work.
    pub fn silence(&self) {
        self.rules.silent.store(true, Ordering::SeqCst);
    }

    /// Events whose text contains this are lost from now on.
    pub fn lose(&self, text: &str) {
        self.rules.lost.lock().unwrap().push(text.to_owned());
    }

    /// Events arrive again.
    pub fn lose_nothing(&self) {
        self.rules.lost.lock().unwrap().clear();
    }

    /// Counts the writes about `name` from now on, and holds the `held`th back.
    pub fn hold(&self, name: &str, held: usize) -> Arc<Case> {
        self.case(name, held, false)
    }

    /// Holds back and loses the answer to the `held`th patch of the workload that took effect.
    pub fn lose_answer(&self, name: &str, held: usize) -> Arc<Case> {
        self.case(name, held, true)
    }

    fn case(&self, name: &str, held: usize, answer_lost: bool) -> Arc<Case> {
        let case = Arc::new(Case {
            name: name.to_owned(),
            held,
            answer_lost,
            count: watch::channel(0).0,
            released: watch::channel(false).0,
            landed: Mutex::default(),
        });
        self.rules.cases.lock().unwrap().insert(name.to_owned(), case.clone());
        case
    }
}

async fn pass_on(State((upstream, rules)): State<(Client, Arc<Rules>)>, request: Request<Body>) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let Ok(body) = to_bytes(body, REQUEST_MAX).await else { return failure("the request is too large") };
    let is_watch = parts.uri.query().is_some_and(|q| q.contains("watch=true") || q.contains("watch=1"));
    let is_write = parts.method != "GET" && !parts.uri.path().contains("/events") && !parts.uri.path().contains("/leases");
    let case = if is_write { case_of(&rules, parts.uri.path(), &body) } else { None };
    if let Some(case) = case.as_ref().filter(|case| case.is_next() && !case.answer_lost) {
        case.wait_released().await;
    }
    let patches_workload = parts.method == "PATCH";
    let answer = upstream.send(Request::from_parts(parts, kube::client::Body::from(body.to_vec()))).await;
    let Ok(answer) = answer else { return failure("the API server did not answer") };
    if let Some(case) = case.filter(|_| patches_workload && answer.status().is_success()) {
        let landed = {
            let mut landed = case.landed.lock().unwrap();
            *landed += 1;
            *landed
        };
        if case.answer_lost && landed == case.held {
            case.wait_released().await;
            return failure("the answer was lost");
        }
    }
    let (parts, body) = answer.into_parts();
    let body = Body::new(body);
    Response::from_parts(parts, if is_watch { overheard(body, rules) } else { body })
}

fn case_of(rules: &Rules, path: &str, body: &Bytes) -> Option<Arc<Case>> {
    let text = String::from_utf8_lossy(body);
    let about = |name: &str| {
        path.contains(&format!("/{name}")) || (path.ends_with("/deployments") && text.contains(&format!("\"{name}\"")))
    };
    let cases = rules.cases.lock().unwrap();
    cases.values().find(|case| about(&case.name)).cloned()
}

/// A watch whose events can be lost, and that can go silent.
fn overheard(body: Body, rules: Arc<Rules>) -> Body {
    let was_silent = rules.silent.load(Ordering::SeqCst);
    let events = stream::unfold((body.into_data_stream(), rules), move |(mut events, rules)| async move {
        loop {
            let event = events.next().await;
            if !was_silent && rules.silent.load(Ordering::SeqCst) {
                std::future::pending::<()>().await;
            }
            let bytes = event?.ok()?;
            let text = String::from_utf8_lossy(&bytes);
            if rules.lost.lock().unwrap().iter().any(|lost| text.contains(lost)) {
                continue;
            }
            return Some((Ok::<_, Infallible>(bytes), (events, rules)));
        }
    });
    Body::from_stream(events)
}

fn failure(why: &'static str) -> Response<Body> {
    let mut response = Response::new(Body::from(why));
    *response.status_mut() = StatusCode::BAD_GATEWAY;
    response
}
