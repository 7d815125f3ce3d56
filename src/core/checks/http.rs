//! HTTP checks: what may be probed, and what an answer means.
//!
//! Who writes a ticket may reach less than the operator does. So a check reaches services of its target's namespace, and more only
//! if an administrator says so.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use url::{Host, Url};

use super::{Forbidden, HEALTHY, Thresholds, Verdict, excerpt};
use trackdown_api::check::{HealthState, HttpCheck};
use trackdown_api::workload_ref::Workload;

/// The answer was right, but late.
pub const TOO_SLOW: &str = "TooSlow";
/// The answer had another status.
pub const WRONG_STATUS: &str = "WrongStatus";
/// The answer's body lacks the text it must contain.
pub const WRONG_BODY: &str = "WrongBody";
/// The answer was a redirect, which is never followed.
pub const REDIRECTED: &str = "Redirected";
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

/// See [`super::permitted`].
///
/// # Errors
/// What is in the way.
pub fn permitted(check: &HttpCheck, path: &str, workload: &Workload, allowed: &Allowed) -> Result<(), Forbidden> {
    let judged = match Url::parse(&url(&check.url, &workload.namespace, &workload.name)) {
        Ok(url) => host_allowed(&url, &workload.namespace, allowed),
        Err(error) => Err(format!("the URL cannot be read: {error}")),
    };
    judged.map_err(|why| Forbidden { reason: "CheckNotAllowed", message: format!("{path}.http.url: {why}") })
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
        /// One `CamelCase` word of this module or of the family's.
        reason: &'static str,
        /// Why, for people.
        message: String,
        /// Until it failed, if that says anything.
        latency_milliseconds: Option<i64>,
    },
}

/// What the probe means for the check.
#[must_use]
pub fn judge(check: &HttpCheck, probe: &Probe) -> Verdict {
    match probe {
        Probe::Answered { status, body_matches, latency_milliseconds, location } => {
            let wrong = wrong_answer(check, *status, *body_matches, location.as_deref());
            let (state, reason, message) = wrong.unwrap_or_else(|| right_answer(check, *status, *latency_milliseconds));
            Verdict { state, reason, message, latency_milliseconds: Some(*latency_milliseconds), lasting: false }
        }
        Probe::Failed { reason, message, latency_milliseconds } => Verdict {
            state: HealthState::Down,
            reason,
            message: message.clone(),
            latency_milliseconds: *latency_milliseconds,
            lasting: FINAL.contains(reason),
        },
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

/// How many probes in a row decide.
#[must_use]
pub fn thresholds(check: &HttpCheck) -> Thresholds {
    Thresholds { successes: check.success_threshold, failures: check.failure_threshold }
}

#[cfg(test)]
mod tests;
