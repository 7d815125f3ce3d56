//! Probing a URL: one plain request, to addresses that were judged before, and nothing it leads to.

use std::error::Error;
use std::iter;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use reqwest::header::LOCATION;
use reqwest::redirect::Policy;
use reqwest::{Client, Response};
use rustls::client::{Resumption, WantsClientCert};
use rustls::crypto::ring;
use rustls::{ClientConfig, ConfigBuilder, RootCertStore, WantsVerifier};
use rustls_platform_verifier::BuilderVerifierExt;
use tokio::net::lookup_host;
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use url::{Host, Url};

use super::Round;
use trackdown_api::check::HttpCheck;
use trackdown_core::checks::http::{ADDRESS_NOT_ALLOWED, CONNECTION_FAILED, HOST_NOT_ALLOWED, INVALID_URL};
use trackdown_core::checks::http::{Allowed, Probe, address_allowed, host_allowed, judge, thresholds, url};
use trackdown_core::checks::{Outcome, Progress, TIMEOUT, excerpt};

/// Longest part of a body that is read and searched.
const BODY_MAX: usize = 64 * 1024;

/// Read once: the certificates of an image do not change while it runs.
static SYSTEM_TRUST: OnceLock<Result<ClientConfig, rustls::Error>> = OnceLock::new();

/// Runs the check for a record. That may last for ever, if good and bad answers take turns: the caller sets the limit, by dropping
/// the future.
pub async fn run(round: Round<'_>, check: &HttpCheck) -> Outcome {
    let workload = &round.record.spec.workload;
    let url = url(&check.url, &workload.namespace, &workload.name);
    until_decided(check, &url, &workload.namespace, &round.limits.allowed, round.turns).await
}

/// Probes `url` until the check has an outcome. Each probe waits for one of the `turns`.
async fn until_decided(check: &HttpCheck, url: &str, namespace: &str, allowed: &Allowed, turns: &Semaphore) -> Outcome {
    let mut progress = Progress::default();
    loop {
        let turn = turns.acquire().await;
        let verdict = judge(check, &probe(check, url, namespace, allowed).await);
        drop(turn);
        if let Some(outcome) = progress.take(verdict, thresholds(check)) {
            return outcome;
        }
        sleep(seconds(check.period_seconds)).await;
    }
}

/// Probes `url` once, for a target in `namespace`.
pub async fn probe(check: &HttpCheck, url: &str, namespace: &str, allowed: &Allowed) -> Probe {
    let within = seconds(check.timeout_seconds);
    // Around everything: reqwest's own limit would not count the time that resolving the name takes.
    match timeout(within, attempt(check, url, namespace, allowed)).await {
        Ok(Ok(probe) | Err(probe)) => probe,
        Err(_) => failed(TIMEOUT, format!("there was no complete answer within {} s", within.as_secs())),
    }
}

/// At least one: a check must neither fail at once nor never pause.
fn seconds(seconds: i32) -> Duration {
    Duration::from_secs(u64::try_from(seconds).unwrap_or_default().max(1))
}

fn failed(reason: &'static str, message: impl Into<String>) -> Probe {
    Probe::Failed { reason, message: message.into(), latency_milliseconds: None }
}

async fn attempt(check: &HttpCheck, url: &str, namespace: &str, allowed: &Allowed) -> Result<Probe, Probe> {
    let url = Url::parse(url).map_err(|error| failed(INVALID_URL, format!("the URL cannot be read: {error}")))?;
    host_allowed(&url, namespace, allowed).map_err(|why| failed(HOST_NOT_ALLOWED, why))?;
    let tls = tls(&url).map_err(|error| failed(CONNECTION_FAILED, format!("TLS cannot be set up: {}", text(&error))))?;

    let started = Instant::now();
    let addresses = addresses(&url, allowed).await?;
    let client = client(check, &url, &addresses, tls).map_err(|error| failure(&error))?;
    let mut response = client.get(url).send().await.map_err(|error| failure(&error))?;
    let status = response.status().as_u16();
    // The body of an answer that is wrong anyway is not waited for.
    let body_matches = i32::from(status) == check.expected_status && body_matches(check, &mut response).await?;
    Ok(Probe::Answered {
        status,
        body_matches,
        latency_milliseconds: i64::try_from(started.elapsed().as_millis()).unwrap_or(i64::MAX),
        location: response.headers().get(LOCATION).map(|l| String::from_utf8_lossy(l.as_bytes()).into_owned()),
    })
}

/// Where to connect to. One address that is not allowed refuses them all: a name that mixes them is up to something.
async fn addresses(url: &Url, allowed: &Allowed) -> Result<Vec<SocketAddr>, Probe> {
    let found = resolve(url).await?;
    if let Some(refused) = found.iter().map(SocketAddr::ip).find(|ip| !address_allowed(*ip, allowed)) {
        let host = excerpt(url.host_str().unwrap_or_default());
        let how = "an administrator can allow it with the chart value checks.http.networks";
        return Err(failed(ADDRESS_NOT_ALLOWED, format!("{host} has the address {refused}, which may not be probed; {how}")));
    }
    if found.is_empty() {
        return Err(failed(CONNECTION_FAILED, "the host has no address"));
    }
    Ok(found)
}

async fn resolve(url: &Url) -> Result<Vec<SocketAddr>, Probe> {
    let port = url.port_or_known_default().unwrap_or_default();
    let name = match url.host() {
        Some(Host::Domain(name)) => name,
        Some(Host::Ipv4(ip)) => return Ok(vec![SocketAddr::from((ip, port))]),
        Some(Host::Ipv6(ip)) => return Ok(vec![SocketAddr::from((ip, port))]),
        None => return Err(failed(INVALID_URL, "the URL names no host")),
    };
    let found = lookup_host((name, port)).await;
    found.map(Iterator::collect).map_err(|error| failed(CONNECTION_FAILED, format!("the host was not found: {}", text(&error))))
}

/// A client for one request: no connection, cookie or name of an earlier probe can decide this one. The name is pinned to the
/// addresses that were judged; asked a second time, it could have others.
fn client(check: &HttpCheck, url: &Url, addresses: &[SocketAddr], tls: ClientConfig) -> reqwest::Result<Client> {
    Client::builder()
        .tls_backend_preconfigured(tls)
        .resolve_to_addrs(url.host_str().unwrap_or_default(), addresses)
        .redirect(Policy::none())
        .no_proxy()
        .pool_max_idle_per_host(0)
        // Shared out among the addresses: a dead one leaves time for the others.
        .connect_timeout(seconds(check.timeout_seconds))
        .user_agent("trackdown-check")
        .build()
}

/// Given to reqwest ready-made: left to itself, it panics where the process has no default provider, and reads the certificates again
/// for each client, even one that speaks plain HTTP.
fn tls(url: &Url) -> Result<ClientConfig, rustls::Error> {
    if url.scheme() == "https" {
        return SYSTEM_TRUST.get_or_init(|| Ok(without_memory(tls_builder()?.with_platform_verifier()?))).clone();
    }
    // Never used, and made so that an image without certificates can still probe plain HTTP.
    Ok(without_memory(tls_builder()?.with_root_certificates(RootCertStore::empty())))
}

fn tls_builder() -> Result<ConfigBuilder<ClientConfig, WantsVerifier>, rustls::Error> {
    ClientConfig::builder_with_provider(Arc::new(ring::default_provider())).with_safe_default_protocol_versions()
}

/// Without resumption: each probe is to see the certificate of now.
fn without_memory(builder: ConfigBuilder<ClientConfig, WantsClientCert>) -> ClientConfig {
    let mut config = builder.with_no_client_auth();
    config.resumption = Resumption::disabled();
    config
}

async fn body_matches(check: &HttpCheck, response: &mut Response) -> Result<bool, Probe> {
    // Read even if nothing is searched for: an answer that breaks off is not complete.
    let body = read(response).await.map_err(|error| failure(&error))?;
    let wanted = check.body_contains.as_deref().unwrap_or_default();
    Ok(String::from_utf8_lossy(&body).contains(wanted))
}

async fn read(response: &mut Response) -> reqwest::Result<Vec<u8>> {
    let mut body = Vec::new();
    while body.len() < BODY_MAX
        && let Some(chunk) = response.chunk().await?
    {
        let room = BODY_MAX - body.len();
        body.extend(chunk.iter().take(room));
    }
    Ok(body)
}

fn failure(error: &reqwest::Error) -> Probe {
    let (reason, what) = if error.is_timeout() {
        (TIMEOUT, "the connection timed out")
    } else if error.is_connect() {
        (CONNECTION_FAILED, "no connection could be made")
    } else if error.is_builder() {
        (CONNECTION_FAILED, "the request could not be made")
    } else {
        (CONNECTION_FAILED, "the connection broke off before the answer was complete")
    };
    // The outer errors repeat the URL, and its query may hold a secret; the innermost says what happened.
    let cause = iter::successors(error.source(), |&error| error.source()).last();
    failed(reason, cause.map_or(what.to_owned(), |cause| format!("{what}: {}", text(cause))))
}

/// The peer has a say in some errors: its certificate's names are quoted, for one.
fn text(error: &(impl Error + ?Sized)) -> String {
    excerpt(&error.to_string())
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    /// Gives each connection the `answer`, or none and keeps it open if that is empty.
    fn serve(answer: String) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/healthz", listener.local_addr().unwrap());
        thread::spawn(move || {
            let mut silent = Vec::new();
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                if answer.is_empty() {
                    silent.push(stream);
                } else {
                    let _ = stream.read(&mut [0; 4096]);
                    let _ = stream.write_all(answer.as_bytes());
                }
            }
        });
        url
    }

    fn answer(status: &str, headers: &str, body: &str) -> String {
        let length = body.len();
        format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\n{headers}connection: close\r\n\r\n{body}")
    }

    fn check(body_contains: Option<&str>) -> HttpCheck {
        HttpCheck {
            url: String::new(),
            expected_status: 200,
            body_contains: body_contains.map(str::to_owned),
            max_latency_milliseconds: None,
            timeout_seconds: 1,
            period_seconds: 1,
            success_threshold: 2,
            failure_threshold: 1,
        }
    }

    fn loopback() -> Allowed {
        Allowed::new(&["localhost".to_owned()], &["127.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()])
    }

    async fn reason(check: &HttpCheck, url: &str, allowed: &Allowed) -> &'static str {
        judge(check, &probe(check, url, "shop", allowed).await).reason
    }

    #[tokio::test]
    async fn answers_are_read() {
        let long = format!("{}late", "x".repeat(BODY_MAX));
        for (answer, wanted, reason) in [
            (answer("200 OK", "", "ready"), None, "Healthy"),
            (answer("200 OK", "", "all is ready"), Some("ready"), "Healthy"),
            (answer("200 OK", "", "starting"), Some("ready"), "WrongBody"),
            (answer("200 OK", "", &long), Some("late"), "WrongBody"),
            (answer("200 OK", "", &long), Some("xxx"), "Healthy"),
            (answer("503 Service Unavailable", "", "ready"), Some("ready"), "WrongStatus"),
            (answer("302 Found", "location: http://127.0.0.1:1/\r\n", ""), None, "Redirected"),
            ("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf".to_owned(), None, "ConnectionFailed"),
            ("nonsense".to_owned(), None, "ConnectionFailed"),
            (String::new(), None, "Timeout"),
        ] {
            let shown = format!("{wanted:?} in {answer:.60}");
            assert_eq!(self::reason(&check(wanted), &serve(answer), &loopback()).await, reason, "{shown}");
        }
    }

    #[tokio::test]
    async fn names_are_pinned_to_addresses_that_are_allowed() {
        let url = serve(answer("200 OK", "", "")).replace("127.0.0.1", "localhost");
        assert_eq!(reason(&check(None), &url, &loopback()).await, "Healthy");
        let name_only = Allowed::new(&["localhost".to_owned()], &[]);
        assert_eq!(reason(&check(None), &url, &name_only).await, "AddressNotAllowed");
        assert_eq!(reason(&check(None), &url, &Allowed::default()).await, "HostNotAllowed");
        assert_eq!(reason(&check(None), "http://[", &loopback()).await, "InvalidUrl");
    }

    #[tokio::test]
    async fn failures_keep_the_query_to_themselves() {
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let url = format!("http://{free}/healthz?token=secret");
        let Probe::Failed { reason, message, .. } = probe(&check(None), &url, "shop", &loopback()).await else {
            panic!("nobody listens there")
        };
        assert_eq!(reason, "ConnectionFailed");
        assert!(message.starts_with("no connection could be made: ") && !message.contains("secret"), "{message}");
    }

    #[tokio::test]
    async fn probes_until_the_outcome_is_known() {
        let turns = Semaphore::new(1);
        let outcome = until_decided(&check(None), &serve(answer("200 OK", "", "")), "shop", &loopback(), &turns).await;
        assert_eq!((outcome.reason, outcome.probes), ("Healthy", 2));
        let outcome = until_decided(&check(None), "http://elsewhere.example/", "shop", &loopback(), &turns).await;
        assert_eq!((outcome.reason, outcome.probes), ("HostNotAllowed", 1));
    }
}
