//! Between the operator and the API server: passes everything on, and breaks one write in the way it is told.

mod distort;
mod exchange;
mod stale;
mod strike;

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use kube::Client;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::api::Api;
use crate::fault::Fault;
use crate::operator::Operator;
use distort::Mode;
pub use exchange::{Exchange, Traffic};

/// The connection ends here, without a reply or in the middle of one.
pub type Lost = io::Error;
type Payload = UnsyncBoxBody<Bytes, Lost>;
type Reply = Result<Response<Payload>, Lost>;

/// How far the fault has come.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Progress {
    /// Its write has not come.
    Waiting,
    /// It has struck; something is still to come of it.
    Striking,
    /// It is over.
    Over,
}

/// When which fault strikes.
#[derive(Clone, Copy, Debug)]
pub enum Plan {
    Never,
    /// At that write, counted from 1.
    At(Fault, usize),
    /// At one write of so many, by chance, one of those that pass.
    Sometimes {
        seed: u64,
        of: u64,
    },
}

impl Plan {
    /// What strikes at this write.
    fn strikes(self, number: usize) -> Option<Fault> {
        match self {
            Self::Never => None,
            Self::At(fault, at) => (at == number).then_some(fault),
            Self::Sometimes { seed, of } => {
                let mut chance = fastrand::Rng::with_seed(seed ^ (number as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15));
                (chance.u64(..of) == 0).then(|| chance.choice(Fault::PASSING)).flatten()
            }
        }
    }

    /// The one fault there is.
    pub fn fault(self) -> Option<Fault> {
        if let Self::At(fault, _) = self { Some(fault) } else { None }
    }
}

/// A running proxy of one replica; clones share it.
#[derive(Clone)]
pub struct Proxy {
    pub address: String,
    line: Arc<Line>,
}

/// One replica's way to the API server.
struct Line {
    replica: &'static str,
    namespace: String,
    plan: Plan,
    upstream: Client,
    api: Api,
    traffic: Traffic,
    writes: AtomicUsize,
    /// Resource versions from before each write, if the fault needs them.
    before: Mutex<Vec<u64>>,
    progress: watch::Sender<Progress>,
    over_since: Mutex<Option<Instant>>,
    mode: watch::Sender<Mode>,
    /// Whether connections are possible.
    open: watch::Sender<bool>,
    operator: Mutex<Option<Operator>>,
    /// The other replica's way.
    other: Mutex<Option<Proxy>>,
}

impl Proxy {
    /// Starts one for the replica `replica` in `namespace`.
    pub async fn start(upstream: Client, api: Api, traffic: Traffic, namespace: &str, replica: &'static str, plan: Plan) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let line = Arc::new(Line {
            replica,
            namespace: namespace.to_owned(),
            plan,
            upstream,
            api,
            traffic,
            writes: AtomicUsize::new(0),
            before: Mutex::default(),
            progress: watch::channel(if plan.fault().is_some() { Progress::Waiting } else { Progress::Over }).0,
            over_since: Mutex::default(),
            mode: watch::channel(Mode::Plain).0,
            open: watch::channel(true).0,
            operator: Mutex::default(),
            other: Mutex::default(),
        });
        tokio::spawn(listen(listener, Arc::downgrade(&line)));
        Self { address: format!("http://{address}"), line }
    }

    /// Whom to kill.
    pub fn serves(&self, operator: &Operator) {
        *self.line.operator.lock().unwrap() = Some(operator.clone());
    }

    /// Who takes over while this one's operator is stopped.
    pub fn beside(&self, other: &Self) {
        *self.line.other.lock().unwrap() = Some(other.clone());
    }

    pub fn plan(&self) -> Plan {
        self.line.plan
    }

    pub fn progress(&self) -> Progress {
        *self.line.progress.borrow()
    }

    /// Since when the fault is over.
    pub fn over_since(&self) -> Option<Instant> {
        *self.line.over_since.lock().unwrap()
    }

    /// Whether connections are possible, from now on; those there are end.
    pub fn set_open(&self, open: bool) {
        self.line.open.send_replace(open);
    }

    /// Lets go of everything.
    pub fn end(&self) {
        self.line.operator.lock().unwrap().take();
        self.line.other.lock().unwrap().take();
        self.set_open(false);
    }
}

/// Pause before a socket is tried again.
const AGAIN: Duration = Duration::from_millis(20);

async fn listen(listener: TcpListener, line: std::sync::Weak<Line>) {
    let address = listener.local_addr().unwrap();
    let mut listener = Some(listener);
    let Some(mut open) = line.upgrade().map(|line| line.open.subscribe()) else { return };
    loop {
        match &listener {
            Some(listening) => tokio::select! {
                changed = open.changed() => if changed.is_err() { return },
                accepted = listening.accept() => {
                    let Some(line) = line.upgrade() else { return };
                    match accepted {
                        Ok((stream, _)) => drop(tokio::spawn(connection(stream, line))),
                        Err(_) => tokio::time::sleep(AGAIN).await,
                    }
                }
            },
            // Connections are refused, not only unanswered.
            None => {
                if open.changed().await.is_err() {
                    return;
                }
            }
        }
        let wanted = *open.borrow_and_update();
        if !wanted {
            listener = None;
        } else if listener.is_none() {
            // Somebody's connection may have the port for a moment.
            while listener.is_none() && line.strong_count() > 0 {
                match TcpListener::bind(address).await {
                    Ok(bound) => listener = Some(bound),
                    Err(_) => tokio::time::sleep(AGAIN).await,
                }
            }
        }
    }
}

async fn connection(stream: TcpStream, line: Arc<Line>) {
    let mut open = line.open.subscribe();
    let _ = stream.set_nodelay(true);
    let served = http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(|request| handle(line.clone(), request)));
    tokio::select! {
        _ = served => {}
        _ = open.wait_for(|open| !open) => {}
    }
}

async fn handle(line: Arc<Line>, request: Request<Incoming>) -> Reply {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map_err(lost)?.to_bytes();
    let asked = Asked { parts, body };
    if !asked.concerns(&line.namespace) {
        return line.pass_on(&asked).await.map(plain);
    }
    let mut exchange = Exchange::begin(&asked, line.replica);
    let reply = if asked.is_write() {
        let number = line.writes.fetch_add(1, Ordering::SeqCst) + 1;
        exchange.number = Some(number);
        if let Some(fault) = line.plan.strikes(number) {
            exchange.fault = Some(fault);
            line.progress.send_replace(Progress::Striking);
            line.traffic.note(exchange.clone());
            tokio::spawn(struck(line.clone(), fault, asked)).await.map_err(lost)?
        } else {
            if matches!(line.plan.fault(), Some(Fault::StaleRestart | Fault::StaleRead)) {
                line.remember().await;
            }
            line.pass_on(&asked).await.map(plain)
        }
    } else if asked.is_watch() {
        line.clone().watch(asked).await
    } else {
        line.read(asked).await
    };
    exchange.ended = Some(Instant::now());
    exchange.code = reply.as_ref().ok().map(|r| r.status().as_u16());
    line.traffic.end(exchange);
    reply
}

/// Breaks a request. One that the API server itself did not answer is over, too.
async fn struck(line: Arc<Line>, fault: Fault, asked: Asked) -> Reply {
    let reply = line.clone().strike(fault, asked).await;
    if reply.is_err() && *line.progress.borrow() == Progress::Striking {
        line.over();
    }
    reply
}

impl Line {
    /// The API server's own reply; an error if it cannot be had.
    async fn pass_on(&self, asked: &Asked) -> Result<Response<kube::client::Body>, Lost> {
        self.upstream.send(asked.request()).await.map_err(lost)
    }

    fn over(&self) {
        *self.over_since.lock().unwrap() = Some(Instant::now());
        self.progress.send_replace(Progress::Over);
    }

    async fn sleep_then_over(&self, pause: Duration) {
        tokio::time::sleep(pause).await;
        self.mode.send_replace(Mode::Plain);
        self.over();
    }
}

/// A request of the operator.
pub struct Asked {
    parts: http::request::Parts,
    body: Bytes,
}

impl Asked {
    fn path(&self) -> &str {
        self.parts.uri.path()
    }

    fn query(&self) -> &str {
        self.parts.uri.query().unwrap_or_default()
    }

    /// Whether it is about something in that namespace, the Lease left out.
    fn concerns(&self, namespace: &str) -> bool {
        let mut segments = self.path().split('/').skip_while(|s| *s != "namespaces").skip(1);
        segments.next() == Some(namespace) && segments.next() != Some("leases")
    }

    fn is_write(&self) -> bool {
        self.parts.method != "GET"
    }

    fn is_watch(&self) -> bool {
        self.query().split('&').any(|p| p == "watch=true" || p == "watch=1")
    }

    fn request(&self) -> Request<kube::client::Body> {
        let mut request = Request::from_parts(self.parts.clone(), kube::client::Body::from(self.body.to_vec()));
        // Replies are read here.
        request.headers_mut().remove("accept-encoding");
        request
    }
}

fn plain(reply: Response<kube::client::Body>) -> Response<Payload> {
    reply.map(|body| body.map_err(lost).boxed_unsync())
}

fn whole(bytes: impl Into<Bytes>) -> Payload {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

fn lost(error: impl std::fmt::Display) -> Lost {
    io::Error::other(error.to_string())
}

/// A refusal as the API server words them.
fn status(code: u16) -> Response<Payload> {
    let reason = match code {
        403 => "Forbidden",
        409 => "Conflict",
        410 => "Expired",
        422 => "Invalid",
        429 => "TooManyRequests",
        503 => "ServiceUnavailable",
        504 => "Timeout",
        _ => "InternalError",
    };
    let body = serde_json::json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "code": code, "reason": reason,
        "message": "injected by the fault proxy",
    });
    let mut reply = Response::new(whole(body.to_string()));
    *reply.status_mut() = http::StatusCode::from_u16(code).unwrap();
    reply.headers_mut().insert("content-type", http::HeaderValue::from_static("application/json"));
    if code == 429 {
        reply.headers_mut().insert("retry-after", http::HeaderValue::from_static("1"));
    }
    reply
}
