//! HTTP checks: what may be probed, what an answer means, and when enough answers are in.
//!
//! Who writes a ticket may reach less than the operator does. So a check reaches services of its target's namespace, and more only
//! if an administrator says so.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use url::{Host, Url};

use trackdown_api::check::{HealthState, HttpCheck};
use trackdown_api::workload_ref::Workload;

/// The answer was as it must be.
pub const HEALTHY: &str = "Healthy";
/// The answer was right, but late.
pub const TOO_SLOW: &str = "TooSlow";
/// The answer had another status.
pub const WRONG_STATUS: &str = "WrongStatus";
/// The answer's body lacks the text it must contain.
pub const WRONG_BODY: &str = "WrongBody";
/// The answer was a redirect, which is never followed.
pub const REDIRECTED: &str = "Redirected";
/// There was no complete answer in time.
pub const TIMEOUT: &str = "Timeout";
/// There was no connection, or it broke off.
pub const CONNECTION_FAILED: &str = "ConnectionFailed";
/// The host has an address that may not be probed.
pub const ADDRESS_NOT_ALLOWED: &str = "AddressNotAllowed";
/// The URL may not be probed.
pub const HOST_NOT_ALLOWED: &str = "HostNotAllowed";
/// The URL cannot be read.
pub const INVALID_URL: &str = "InvalidUrl";

/// Reasons that another probe would only repeat.
const FINAL: [&str; 3] = [ADDRESS_NOT_ALLOWED, HOST_NOT_ALLOWED, INVALID_URL];

/// Longest piece of somebody else's text in a message, in characters.
const EXCERPT_MAX: usize = 200;

/// Where clouds hand out credentials, outside the link-local networks: Alibaba, Azure, Oracle.
const METADATA: [Ipv4Addr; 3] = [Ipv4Addr::new(100, 100, 100, 200), Ipv4Addr::new(168, 63, 129, 16), Ipv4Addr::new(192, 0, 0, 192)];

/// What an administrator lets checks reach beside the services of a target's namespace.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Allowed {
    hosts: Vec<String>,
    networks: Vec<IpNet>,
}

impl Allowed {
    /// `hosts` are exact names, or `*.example.com` for every name below `example.com`.
    #[must_use]
    pub fn new(hosts: &[String], networks: &[IpNet]) -> Self {
        let hosts = hosts.iter().map(|h| h.trim().trim_end_matches('.').to_ascii_lowercase()).filter(|h| !h.is_empty());
        Self { hosts: hosts.collect(), networks: networks.to_vec() }
    }

    fn has_name(&self, name: &str) -> bool {
        self.hosts.iter().any(|host| match host.strip_prefix("*.") {
            Some(parent) => name.strip_suffix(parent).is_some_and(|below| below.len() > 1 && below.ends_with('.')),
            None => host == name,
        })
    }

    fn has_literal(&self, ip: IpAddr) -> bool {
        self.hosts.iter().any(|host| host.trim_matches(['[', ']']).parse().is_ok_and(|listed: IpAddr| canonical(listed) == ip))
    }

    fn has_network_of(&self, ip: IpAddr) -> bool {
        self.networks.iter().any(|network| network.contains(&ip))
    }
}

/// What tickets may check.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Limits {
    /// Hosts and networks HTTP checks may reach.
    pub allowed: Allowed,
    /// Whether checks may be Jobs.
    pub jobs: bool,
}

/// The URL with the names of the target filled in.
#[must_use]
pub fn url(template: &str, namespace: &str, workload: &str) -> String {
    template.replace("{namespace}", namespace).replace("{workload}", workload)
}

/// Whether `url` may be probed for a target in `namespace`, as far as the URL itself tells.
///
/// # Errors
/// What is wrong, for people.
pub fn host_allowed(url: &Url, namespace: &str, allowed: &Allowed) -> Result<(), String> {
    if !matches!(url.scheme(), "http" | "https") {
        return Err(format!("the URL's scheme is {}, not http or https", excerpt(url.scheme())));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("the URL contains a user name or a password; a check sends no credentials".to_owned());
    }
    match url.host() {
        Some(Host::Domain(name)) => name_allowed(name.strip_suffix('.').unwrap_or(name), namespace, allowed),
        Some(Host::Ipv4(ip)) => literal_allowed(IpAddr::V4(ip), allowed),
        Some(Host::Ipv6(ip)) => literal_allowed(IpAddr::V6(ip), allowed),
        None => Err("the URL names no host".to_owned()),
    }
}

/// Why the check may not be run on the workload, as far as can be told before it is.
#[must_use]
pub fn refused(http: &HttpCheck, workload: &Workload, allowed: &Allowed) -> Option<String> {
    match Url::parse(&url(&http.url, &workload.namespace, &workload.name)) {
        Ok(url) => host_allowed(&url, &workload.namespace, allowed).err(),
        Err(error) => Some(format!("the URL cannot be read: {error}")),
    }
}

fn name_allowed(name: &str, namespace: &str, allowed: &Allowed) -> Result<(), String> {
    if is_service(name, namespace) || allowed.has_name(name) {
        return Ok(());
    }
    let shown = excerpt(name);
    if is_label(name) {
        return Err(format!("{shown} would be looked up in the operator's own namespace: write {shown}.{namespace}.svc"));
    }
    if is_service(&format!("{name}.svc"), namespace) && name.split('.').count() == 2 {
        return Err(format!("{shown} could also be a name on the internet: write {shown}.svc"));
    }
    Err(format!(
        "{shown} is not a service of the namespace {namespace} (such as web.{namespace}.svc); an administrator can allow the host \
         with the chart value checks.http.hosts"
    ))
}

/// Whether the name can only be a service of the namespace, or a pod of a headless one. What follows `.svc.` may be a domain on the
/// internet, and so may `<service>.<namespace>`: of these only the default domain of clusters counts.
fn is_service(name: &str, namespace: &str) -> bool {
    let name = name.strip_suffix(".cluster.local").unwrap_or(name);
    let service = name.strip_suffix(".svc").and_then(|n| n.strip_suffix(namespace)).and_then(|n| n.strip_suffix('.'));
    service.is_some_and(|s| s.split('.').count() <= 2 && s.split('.').all(is_label))
}

fn is_label(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

fn literal_allowed(ip: IpAddr, allowed: &Allowed) -> Result<(), String> {
    let meant = canonical(ip);
    if allowed.has_network_of(meant) || allowed.has_literal(meant) {
        return Ok(());
    }
    Err(format!(
        "{ip} is an address, not the name of a service; an administrator can allow it with the chart value checks.http.hosts or \
         checks.http.networks"
    ))
}

/// Whether a connection to the address may be made: not to the operator itself, its node, many hosts at once, or a cloud's
/// credentials, however the address is written. Clusters live in private networks, so those are allowed.
#[must_use]
pub fn address_allowed(ip: IpAddr, allowed: &Allowed) -> bool {
    let meant = canonical(ip);
    let harmful = match meant {
        IpAddr::V4(ip) => is_harmful_v4(ip),
        IpAddr::V6(ip) => is_harmful_v6(ip),
    };
    !harmful || allowed.has_network_of(meant)
}

fn is_harmful_v4(ip: Ipv4Addr) -> bool {
    let is_this_network = ip.octets()[0] == 0;
    is_this_network || ip.is_loopback() || ip.is_link_local() || ip.is_multicast() || ip.is_broadcast() || METADATA.contains(&ip)
}

fn is_harmful_v6(ip: Ipv6Addr) -> bool {
    let is_metadata = matches!(ip.segments(), [0xfd00, 0x0ec2, ..] | [0xfd20, 0x00ce, 0, 0, 0, 0, 0, 0x0254]);
    // Site-local, Teredo and local NAT64: what an address of these reaches cannot be told.
    let is_opaque = matches!(ip.segments(), [0xfec0..=0xfeff, ..] | [0x2001, 0, ..] | [0x0064, 0xff9b, 1, ..]);
    ip.is_loopback() || ip.is_unspecified() || ip.is_unicast_link_local() || ip.is_multicast() || is_metadata || is_opaque
}

/// The address in the form in which it is judged: an IPv4 address in the clothes of IPv6 is that IPv4 address.
fn canonical(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V6(v6) => embedded_v4(v6).map_or(ip, IpAddr::V4),
        IpAddr::V4(_) => ip,
    }
}

fn embedded_v4(ip: Ipv6Addr) -> Option<Ipv4Addr> {
    if ip.is_loopback() || ip.is_unspecified() {
        return None;
    }
    match ip.segments() {
        // Compatible, mapped, translated, NAT64, 6to4.
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low]
        | [0, 0, 0, 0, 0xffff, 0, high, low]
        | [0x0064, 0xff9b, 0, 0, 0, 0, high, low]
        | [0x2002, high, low, ..] => Some(Ipv4Addr::from((u32::from(high) << 16) | u32::from(low))),
        _ => None,
    }
}

/// What one probe gave.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Probe {
    /// An answer came.
    Answered {
        /// Its status.
        status: u16,
        /// Whether its body contains what it must; means something only if the status is the expected one.
        body_matches: bool,
        /// Until the part of it that matters had been read.
        latency_milliseconds: i64,
        /// Its `Location` header.
        location: Option<String>,
    },
    /// No answer came, or no complete one.
    Failed {
        /// One `CamelCase` word of this module.
        reason: &'static str,
        /// Why, for people.
        message: String,
        /// Until it failed, if that says anything.
        latency_milliseconds: Option<i64>,
    },
}

/// What one probe means.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Verdict {
    /// How the target is.
    pub state: HealthState,
    /// One `CamelCase` word of this module.
    pub reason: &'static str,
    /// Why, for people.
    pub message: String,
    /// How long the probe took, if that says anything.
    pub latency_milliseconds: Option<i64>,
}

/// What the probe means for the check.
#[must_use]
pub fn judge(check: &HttpCheck, probe: &Probe) -> Verdict {
    match probe {
        Probe::Answered { status, body_matches, latency_milliseconds, location } => {
            let wrong = wrong_answer(check, *status, *body_matches, location.as_deref());
            let (state, reason, message) = wrong.unwrap_or_else(|| right_answer(check, *status, *latency_milliseconds));
            Verdict { state, reason, message, latency_milliseconds: Some(*latency_milliseconds) }
        }
        Probe::Failed { reason, message, latency_milliseconds } => {
            Verdict { state: HealthState::Down, reason, message: message.clone(), latency_milliseconds: *latency_milliseconds }
        }
    }
}

fn wrong_answer(
    check: &HttpCheck,
    status: u16,
    body_matches: bool,
    location: Option<&str>,
) -> Option<(HealthState, &'static str, String)> {
    let expected = check.expected_status;
    let (reason, message) = if i32::from(status) == expected {
        if body_matches {
            return None;
        }
        (WRONG_BODY, "the answer's body does not contain the text it must contain".to_owned())
    } else if (300..400).contains(&status) {
        (REDIRECTED, format!("the answer had status {status}, not {expected}; a redirect{} is not followed", target(location)))
    } else {
        (WRONG_STATUS, format!("the answer had status {status}, not {expected}"))
    };
    Some((HealthState::Down, reason, message))
}

/// A query or fragment is left out: where a redirect leads to a login, it holds tokens.
fn target(location: Option<&str>) -> String {
    let shown = location.and_then(|l| l.split(['?', '#']).next()).map(excerpt).unwrap_or_default();
    if shown.is_empty() { shown } else { format!(" to {shown}") }
}

fn right_answer(check: &HttpCheck, status: u16, latency: i64) -> (HealthState, &'static str, String) {
    match check.max_latency_milliseconds.filter(|max| latency > i64::from(*max)) {
        Some(max) => (HealthState::Degraded, TOO_SLOW, format!("the answer took {latency} ms, more than {max} ms")),
        None => (HealthState::Healthy, HEALTHY, format!("the answer had status {status} and took {latency} ms")),
    }
}

/// The beginning of a text that somebody else wrote, without what could make a terminal or a page show something else.
#[must_use]
pub fn excerpt(text: &str) -> String {
    text.chars().filter(|c| *c == ' ' || c.is_ascii_graphic()).take(EXCERPT_MAX).collect()
}

/// How a check ended.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Outcome {
    /// How the target is.
    pub state: HealthState,
    /// One `CamelCase` word of this module.
    pub reason: &'static str,
    /// Why, for people.
    pub message: String,
    /// How long the probe that says why took.
    pub latency_milliseconds: Option<i64>,
    /// How many probes it took.
    pub probes: i32,
}

/// The probes of a check so far.
#[derive(Clone, Debug, Default)]
pub struct Progress {
    successes: i32,
    failures: i32,
    probes: i32,
    /// Of the failures in a row the worst, of equally bad ones the last: the one to tell people about.
    worst: Option<Verdict>,
}

impl Progress {
    /// Counts a probe. The outcome, once the check has one.
    pub fn take(&mut self, verdict: Verdict, check: &HttpCheck) -> Option<Outcome> {
        self.probes = self.probes.saturating_add(1);
        if verdict.state == HealthState::Healthy { self.succeed(verdict, check) } else { self.fail(verdict, check) }
    }

    fn succeed(&mut self, verdict: Verdict, check: &HttpCheck) -> Option<Outcome> {
        self.failures = 0;
        self.worst = None;
        self.successes = self.successes.saturating_add(1);
        (self.successes >= check.success_threshold).then(|| self.outcome(verdict))
    }

    fn fail(&mut self, verdict: Verdict, check: &HttpCheck) -> Option<Outcome> {
        self.successes = 0;
        self.failures = self.failures.saturating_add(1);
        let done = FINAL.contains(&verdict.reason) || self.failures >= check.failure_threshold;
        let worst = self.worst.take().filter(|worst| worst.state > verdict.state).unwrap_or(verdict);
        if done {
            return Some(self.outcome(worst));
        }
        self.worst = Some(worst);
        None
    }

    fn outcome(&self, verdict: Verdict) -> Outcome {
        let Verdict { state, reason, message, latency_milliseconds } = verdict;
        Outcome { state, reason, message, latency_milliseconds, probes: self.probes }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(hosts: &[&str], networks: &[&str]) -> Allowed {
        let hosts: Vec<_> = hosts.iter().map(|&h| h.to_owned()).collect();
        let networks: Vec<_> = networks.iter().map(|n| n.parse().unwrap()).collect();
        Allowed::new(&hosts, &networks)
    }

    fn try_url(url: &str, allowed: &Allowed) -> Result<(), String> {
        host_allowed(&Url::parse(url).unwrap(), "shop", allowed)
    }

    fn check() -> HttpCheck {
        HttpCheck {
            url: "http://web.shop.svc/healthz".to_owned(),
            expected_status: 200,
            body_contains: None,
            max_latency_milliseconds: None,
            timeout_seconds: 5,
            period_seconds: 10,
            success_threshold: 2,
            failure_threshold: 3,
        }
    }

    fn answer(status: u16, body_matches: bool, latency_milliseconds: i64) -> Probe {
        Probe::Answered { status, body_matches, latency_milliseconds, location: None }
    }

    fn failure(reason: &'static str) -> Probe {
        Probe::Failed { reason, message: "no route".to_owned(), latency_milliseconds: None }
    }

    #[test]
    fn fills_in_the_url() {
        let cases = [
            ("http://{workload}.{namespace}.svc:8080/healthz", "http://web.shop.svc:8080/healthz"),
            ("http://{workload}.{namespace}.svc/{workload}", "http://web.shop.svc/web"),
            ("http://api.shop.svc/", "http://api.shop.svc/"),
            ("http://{other}.shop.svc/", "http://{other}.shop.svc/"),
        ];
        for (template, wanted) in cases {
            assert_eq!(url(template, "shop", "web"), wanted);
        }
    }

    #[test]
    fn services_of_the_namespace_are_allowed() {
        for url in [
            "http://web.shop.svc/",
            "https://web.shop.svc:8443/healthz?deep=1",
            "http://WEB.Shop.SVC/",
            "http://web.shop.svc.cluster.local/",
            "http://web.shop.svc.cluster.local./",
            "http://web-0.web.shop.svc/",
            "http://web-0.web.shop.svc.cluster.local/",
            // The same name, written so that it does not look like it.
            "http://web\u{3002}shop\u{3002}svc/",
            "http://web%2eshop.svc/",
            "http:\\\\web.shop.svc\\@evil.com/",
        ] {
            assert_eq!(try_url(url, &Allowed::default()), Ok(()), "{url}");
        }
    }

    #[test]
    fn look_alikes_are_refused() {
        for url in [
            "http://web.other.svc/",
            "http://web.other.svc.cluster.local/",
            "http://web.shop.svc.evil.com/",
            "http://web.shop.svc%2eevil.com/",
            "http://web.shop.svc\n.evil.com/",
            "http://web.shop.svc.cluster.local.evil.com/",
            "http://web.shop.svc.cluster.local.cluster.local/",
            "http://web.shop.svc.svc/",
            "http://web.shop.svc.cluster.example/",
            "http://web.shop.cluster.local/",
            "http://web.shop.pod.cluster.local/",
            "http://web.evilshop.svc/",
            "http://web.shop.evilsvc/",
            "http://webshop.svc/",
            "http://shop.svc/",
            "http://.shop.svc/",
            "http://web..shop.svc/",
            "http://web.shop..svc/",
            "http://web.shop.svc../",
            "http://*.shop.svc/",
            "http://a.b.web.shop.svc/",
            "http://evil.com/web.shop.svc",
            "http://evil.com?web.shop.svc",
            "http://evil.com#web.shop.svc",
            "http://kubernetes.default.svc/",
            "http://metadata.google.internal/",
        ] {
            let error = try_url(url, &Allowed::default()).unwrap_err();
            assert!(error.contains("checks.http.hosts"), "{url}: {error}");
        }
    }

    #[test]
    fn short_names_are_refused_with_the_name_to_write() {
        for (url, wanted) in [
            ("http://web/", "write web.shop.svc"),
            ("http://web./", "write web.shop.svc"),
            ("http://localhost:8080/", "write localhost.shop.svc"),
            ("http://web.shop/", "write web.shop.svc"),
            ("http://web.shop./", "write web.shop.svc"),
        ] {
            let error = try_url(url, &Allowed::default()).unwrap_err();
            assert!(error.ends_with(wanted), "{url}: {error}");
        }
        assert!(host_allowed(&Url::parse("http://example.com/").unwrap(), "com", &Allowed::default()).is_err());
    }

    #[test]
    fn only_http_without_credentials() {
        for (url, wanted) in [
            ("ftp://web.shop.svc/", "ftp"),
            ("file:///etc/passwd", "file"),
            ("gopher://web.shop.svc/", "gopher"),
            ("http://user@web.shop.svc/", "credentials"),
            ("http://:secret@web.shop.svc/", "credentials"),
            ("http://web.shop.svc:80@evil.com/", "credentials"),
        ] {
            let error = try_url(url, &allowed(&["evil.com"], &[])).unwrap_err();
            assert!(error.contains(wanted) && !error.contains("secret"), "{url}: {error}");
        }
    }

    #[test]
    fn listed_hosts_are_allowed() {
        let listed = allowed(&["Status.Example.com.", "*.example.org", " web.shop ", "localhost", "", "*"], &[]);
        for (url, wanted) in [
            ("https://status.example.com/", true),
            ("https://status.example.com./", true),
            ("https://STATUS.EXAMPLE.COM/", true),
            ("https://a.example.org/", true),
            ("https://a.b.example.org./", true),
            ("http://web.shop/", true),
            ("http://localhost/", true),
            ("https://example.com/", false),
            ("https://a.status.example.com/", false),
            ("https://status.example.com.evil.net/", false),
            ("https://example.org/", false),
            ("https://.example.org/", false),
            ("https://evilexample.org/", false),
            ("https://a.evilexample.org/", false),
            ("https://a.example.org.evil.net/", false),
            ("https://evil.net/", false),
        ] {
            assert_eq!(try_url(url, &listed).is_ok(), wanted, "{url}");
        }
    }

    #[test]
    fn literal_addresses_must_be_listed() {
        let listed = allowed(&["192.0.2.7", "[2001:db8::7]"], &["10.1.0.0/16", "fd12::/16"]);
        for (url, wanted) in [
            ("http://192.0.2.7/", true),
            ("http://[2001:db8::7]/", true),
            ("http://[::ffff:192.0.2.7]/", true),
            ("http://10.1.2.3:8080/", true),
            ("http://0x0a010203/", true),
            ("http://[::ffff:10.1.2.3]/", true),
            ("http://[fd12::1]/", true),
            ("http://192.0.2.8/", false),
            ("http://10.2.0.1/", false),
            ("http://167903233/", false),
            ("http://127.0.0.1/", false),
            ("http://0x7f.1/", false),
            ("http://127.0.0.1./", false),
            ("http://[::1]/", false),
            ("http://[::ffff:10.2.0.1]/", false),
            ("http://[fd13::1]/", false),
        ] {
            assert_eq!(try_url(url, &listed).is_ok(), wanted, "{url}");
        }
        let error = try_url("http://10.2.0.1/", &listed).unwrap_err();
        assert!(error.contains("checks.http.hosts") && error.contains("checks.http.networks"), "{error}");
    }

    #[test]
    fn long_hosts_are_cut_in_messages() {
        let host = format!("{}example.com", format!("{}.", "a".repeat(56)).repeat(4));
        let error = try_url(&format!("http://{host}/"), &Allowed::default()).unwrap_err();
        assert!(error.starts_with("aaa") && !error.contains(&host), "{error}");
    }

    const HARMLESS: [&str; 12] = [
        "10.96.0.10",
        "172.16.0.1",
        "192.168.1.1",
        "100.64.0.1",
        "240.0.0.1",
        "93.184.216.34",
        "fd00::1",
        "2606:2800::1",
        "::ffff:10.0.0.1",
        "64:ff9b::10.0.0.1",
        "2002:0a00:0001::1",
        "::10.0.0.1",
    ];

    const HARMFUL: [&str; 38] = [
        "127.0.0.1",
        "127.255.255.254",
        "0.0.0.0",
        "0.1.2.3",
        "169.254.0.1",
        "169.254.169.254",
        "169.254.170.2",
        "100.100.100.200",
        "168.63.129.16",
        "192.0.0.192",
        "224.0.0.1",
        "239.255.255.255",
        "255.255.255.255",
        "::",
        "::1",
        "::2",
        "fe80::1",
        "febf::1",
        "fec0::1",
        "ff02::1",
        "fd00:ec2::254",
        "fd00:ec2::23",
        "fd20:ce::254",
        "2001::1",
        "64:ff9b:1::1",
        "::ffff:127.0.0.1",
        "::ffff:169.254.169.254",
        "::ffff:0.0.0.0",
        "::ffff:100.100.100.200",
        "::127.0.0.1",
        "::169.254.169.254",
        "::ffff:0:127.0.0.1",
        "64:ff9b::127.0.0.1",
        "64:ff9b::a9fe:a9fe",
        "2002:7f00:1::",
        "2002:a9fe:a9fe::1",
        "2002:6464:64c8::1",
        "2002:ffff:ffff::1",
    ];

    #[test]
    fn harmful_addresses_are_refused() {
        for ip in HARMLESS {
            assert!(address_allowed(ip.parse().unwrap(), &Allowed::default()), "{ip}");
        }
        for ip in HARMFUL {
            assert!(!address_allowed(ip.parse().unwrap(), &Allowed::default()), "{ip}");
            let host_only = allowed(&[ip, "localhost"], &[]);
            assert!(!address_allowed(ip.parse().unwrap(), &host_only), "{ip} listed as a host");
        }
    }

    #[test]
    fn listed_networks_are_allowed() {
        let listed = allowed(&[], &["127.0.0.0/8", "::1/128", "fe80::/10"]);
        for (ip, wanted) in [
            ("127.0.0.1", true),
            ("::ffff:127.0.0.1", true),
            ("2002:7f00:1::", true),
            ("::1", true),
            ("fe80::1", true),
            ("169.254.169.254", false),
            ("::ffff:169.254.169.254", false),
            ("::", false),
        ] {
            assert_eq!(address_allowed(ip.parse().unwrap(), &listed), wanted, "{ip}");
        }
        // All of IPv6 is not all of IPv4.
        assert!(!address_allowed("::ffff:127.0.0.1".parse().unwrap(), &allowed(&[], &["::/0"])));
    }

    #[test]
    fn answers_are_judged() {
        let slow = HttpCheck { max_latency_milliseconds: Some(500), ..check() };
        let moved = HttpCheck { expected_status: 302, ..check() };
        for (check, probe, state, reason) in [
            (&check(), answer(200, true, 9000), HealthState::Healthy, HEALTHY),
            (&check(), answer(204, true, 10), HealthState::Down, WRONG_STATUS),
            (&check(), answer(503, true, 10), HealthState::Down, WRONG_STATUS),
            (&check(), answer(503, false, 10), HealthState::Down, WRONG_STATUS),
            (&check(), answer(299, true, 10), HealthState::Down, WRONG_STATUS),
            (&check(), answer(400, true, 10), HealthState::Down, WRONG_STATUS),
            (&check(), answer(200, false, 10), HealthState::Down, WRONG_BODY),
            (&check(), answer(300, true, 10), HealthState::Down, REDIRECTED),
            (&check(), answer(399, true, 10), HealthState::Down, REDIRECTED),
            (&slow, answer(200, true, 500), HealthState::Healthy, HEALTHY),
            (&slow, answer(200, true, 501), HealthState::Degraded, TOO_SLOW),
            (&slow, answer(200, false, 501), HealthState::Down, WRONG_BODY),
            (&slow, answer(500, true, 501), HealthState::Down, WRONG_STATUS),
            (&moved, answer(302, true, 10), HealthState::Healthy, HEALTHY),
            (&moved, answer(302, false, 10), HealthState::Down, WRONG_BODY),
            (&moved, answer(301, true, 10), HealthState::Down, REDIRECTED),
            (&moved, answer(200, true, 10), HealthState::Down, WRONG_STATUS),
            (&check(), failure(TIMEOUT), HealthState::Down, TIMEOUT),
            (&check(), failure(CONNECTION_FAILED), HealthState::Down, CONNECTION_FAILED),
        ] {
            let verdict = judge(check, &probe);
            assert_eq!((verdict.state, verdict.reason), (state, reason), "{probe:?}");
        }
    }

    #[test]
    fn verdicts_keep_latency_and_message() {
        assert_eq!(judge(&check(), &answer(503, true, 12)).latency_milliseconds, Some(12));
        let verdict = judge(&check(), &failure(TIMEOUT));
        assert_eq!((verdict.message.as_str(), verdict.latency_milliseconds), ("no route", None));
    }

    #[test]
    fn a_location_is_shown_only_so_far() {
        for (location, wanted) in [
            (Some("https://login.example.com/start?state=token#part"), "a redirect to https://login.example.com/start is"),
            (Some("/a\r\n\u{1b}[31m\u{202e}b\u{7f}"), "a redirect to /a[31mb is"),
            (Some("?token=1"), "a redirect is"),
            (Some(""), "a redirect is"),
            (None, "a redirect is"),
        ] {
            let probe =
                Probe::Answered { status: 302, body_matches: true, latency_milliseconds: 1, location: location.map(str::to_owned) };
            let message = judge(&check(), &probe).message;
            assert!(message.contains(wanted) && !message.contains("token"), "{message}");
        }
        assert_eq!(excerpt(&"é\u{0}x".repeat(1000)), "x".repeat(200));
    }

    /// Feeds the probes to a check with two successes and three failures, and tells how it ended.
    fn outcome(probes: &[Probe]) -> Option<(HealthState, &'static str, i32)> {
        let check = HttpCheck { max_latency_milliseconds: Some(500), ..check() };
        let mut progress = Progress::default();
        let ended = probes.iter().find_map(|p| progress.take(judge(&check, p), &check));
        ended.map(|o| (o.state, o.reason, o.probes))
    }

    #[test]
    fn probes_count_in_a_row() {
        let good = || answer(200, true, 10);
        let slow = || answer(200, true, 501);
        let bad = || answer(503, true, 10);
        let late = || failure(TIMEOUT);
        let cases: [(Vec<Probe>, _); 14] = [
            (vec![], None),
            (vec![good()], None),
            (vec![good(), good()], Some((HealthState::Healthy, HEALTHY, 2))),
            (vec![good(), bad(), good()], None),
            (vec![good(), bad(), good(), good()], Some((HealthState::Healthy, HEALTHY, 4))),
            (vec![bad(), bad()], None),
            (vec![bad(), bad(), good(), bad(), bad()], None),
            (vec![bad(), bad(), bad()], Some((HealthState::Down, WRONG_STATUS, 3))),
            (vec![bad(), bad(), late()], Some((HealthState::Down, TIMEOUT, 3))),
            (vec![slow(), slow(), slow()], Some((HealthState::Degraded, TOO_SLOW, 3))),
            (vec![good(), slow(), good()], None),
            // One failure of the row was worse than slow, and is the one to tell about.
            (vec![slow(), bad(), slow()], Some((HealthState::Down, WRONG_STATUS, 3))),
            // That row has ended.
            (vec![bad(), good(), slow(), slow(), slow()], Some((HealthState::Degraded, TOO_SLOW, 5))),
            (vec![slow(), slow(), bad()], Some((HealthState::Down, WRONG_STATUS, 3))),
        ];
        for (probes, wanted) in cases {
            assert_eq!(outcome(&probes), wanted, "{probes:?}");
        }
    }

    #[test]
    fn some_failures_are_final() {
        for reason in [HOST_NOT_ALLOWED, ADDRESS_NOT_ALLOWED, INVALID_URL] {
            assert_eq!(outcome(&[failure(reason)]), Some((HealthState::Down, reason, 1)));
            assert_eq!(outcome(&[failure(TIMEOUT), failure(reason)]), Some((HealthState::Down, reason, 2)));
        }
        for reason in [TIMEOUT, CONNECTION_FAILED] {
            assert_eq!(outcome(&[failure(reason)]), None);
        }
    }
}
