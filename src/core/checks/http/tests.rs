use super::*;
use crate::checks::{Progress, TIMEOUT};

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
    let ended = probes.iter().find_map(|p| progress.take(judge(&check, p), thresholds(&check)));
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
