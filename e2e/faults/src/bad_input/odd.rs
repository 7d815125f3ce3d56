//! Values nobody means well with.

use serde_json::{Value, json};

use super::random::Random;

/// Right-to-left, zero width, emoji with joiners, combining marks, control characters, what looks like a path or a template.
const TEXTS: &[&str] = &[
    "",
    " ",
    "\u{0}",
    "a\u{0}b",
    "\u{1b}[31mred\u{7}",
    "a\nb\r\nc\td",
    "\u{202e}gnol\u{202c}",
    "مرحبا بالعالم",
    "שלום",
    "a\u{200b}b\u{200d}c\u{feff}",
    "👩‍👩‍👧‍👦🏳️‍🌈",
    "Z̷̨̛͇a̴̡l̸̢g̶̨o̷",
    "ẞßİıſﬁ",
    "\u{fffd}\u{ffff}\u{10ffff}",
    "../../../etc/passwd",
    "/",
    ".",
    "..",
    "-",
    "{{ .Values.image }}",
    "${IMAGE}",
    "{namespace}{workload}",
    "%00%2e%2e%s%n",
    "'; DROP TABLE tickets; --",
    "<script>alert(1)</script>",
    "null",
    "true",
    "1e400",
    "~",
    "*",
    "?watch=true&x=y#z",
];

pub fn text(random: &mut Random) -> String {
    let text = (*random.pick(TEXTS)).to_owned();
    if random.chance(25) { text.repeat(1 + random.below(200)) } else { text }
}

pub fn huge(random: &mut Random) -> String {
    let length = random.weighted(&[(5, 64), (5, 254), (5, 1025), (5, 10_240), (1, 300_000)]);
    let piece = *random.pick(&["a", "é", "👩", "0", "a.", "\u{202e}"]);
    piece.repeat(length / piece.len() + 1)
}

pub fn number(random: &mut Random) -> Value {
    const NUMBERS: &[i64] =
        &[0, -1, 1, 2, 59, 86_400, 86_401, 1_000_000, i32::MAX as i64, i32::MAX as i64 + 1, i32::MIN as i64, i64::MAX, i64::MIN];
    match random.below(5) {
        0 => json!(*random.pick(&[0.5, -0.0, 1.0, 1e18, 1e300, -1e-300, 9_007_199_254_740_993.0])),
        1 => json!(u64::MAX),
        _ => json!(*random.pick(NUMBERS)),
    }
}

pub fn time(random: &mut Random) -> Value {
    let times = [
        "0000-00-00T00:00:00Z",
        "0001-01-01T00:00:00Z",
        "1000-01-01T00:00:00Z",
        "1969-12-31T23:59:59Z",
        "1970-01-01T00:00:00.000000Z",
        "2024-02-30T00:00:00Z",
        "2024-13-01T00:00:00Z",
        "2024-06-30T23:59:60Z",
        "2024-01-01T25:00:00Z",
        "2024-01-01T24:00:00Z",
        "2024-01-01T00:00:00+14:59",
        "2024-01-01T00:00:00-14:59",
        "2024-01-01T00:00:00+24:00",
        "2024-01-01T00:00:00.123456789Z",
        "2024-01-01t00:00:00z",
        "2024-01-01 00:00:00Z",
        "2024-01-01",
        "8999-12-31T23:59:59-14:59",
        "9999-12-31T23:59:59Z",
        "9999-12-31T23:59:59-23:59",
        "10000-01-01T00:00:00Z",
        "+292277026596-12-04T15:30:07Z",
        "-0001-01-01T00:00:00Z",
        "now",
        "",
    ];
    match random.below(10) {
        0 => number(random),
        _ => json!(random.pick(&times)),
    }
}

pub fn image(random: &mut Random) -> String {
    let digest = "a".repeat(64);
    let images = [
        "GHCR.io/Acme/App:1".to_owned(),
        "ghcr.io/Acme/app:1".to_owned(),
        "ghcr.io/acme/app:1 ".to_owned(),
        " ghcr.io/acme/app:1".to_owned(),
        "ghcr.io/acme/a pp:1".to_owned(),
        "ghcr.io/acme/app@sha256:abc".to_owned(),
        "ghcr.io/acme/app@sha256:".to_owned(),
        "ghcr.io/acme/app@".to_owned(),
        "@sha256:abc".to_owned(),
        format!("ghcr.io/acme/app@sha256:{digest}"),
        format!("ghcr.io/acme/app:2@sha256:{digest}"),
        format!("ghcr.io/acme/app@sha256:{digest}:2"),
        format!("ghcr.io/acme/app@md5:{}", "b".repeat(32)),
        "::".to_owned(),
        ":".to_owned(),
        "app::1".to_owned(),
        "app:".to_owned(),
        "ghcr.io/acme/app:1:2".to_owned(),
        "ghcr.io:99999999/acme/app:1".to_owned(),
        "ghcr.io//acme//app:1".to_owned(),
        "/app:1".to_owned(),
        "app/".to_owned(),
        "https://ghcr.io/acme/app:1".to_owned(),
        "latest".to_owned(),
        "1.4.2".to_owned(),
        "v2".to_owned(),
        format!("ghcr.io/acme/{}:1", "a".repeat(600)),
        format!("ghcr.io/acme/app:{}", "t".repeat(129)),
        format!("ghcr.io/acme/{}app:2", "a/".repeat(200)),
        "ghcr.io/acme/app:1\n".to_owned(),
        "ghcr.io/acme/app\u{0}:1".to_owned(),
        "ghcr.io/acme/app:\u{202e}2".to_owned(),
        "{{ .Values.image }}".to_owned(),
        "ghcr.io/acme/app:{{ tag }}".to_owned(),
        "${IMAGE}".to_owned(),
        "[::1]:5000/app:1".to_owned(),
        "localhost/app:1".to_owned(),
        "127.0.0.1:5000/app:1".to_owned(),
        "xn--nxasmq6b.example/app:1".to_owned(),
        "a__b/c--d/e.f:_".to_owned(),
        "app".to_owned(),
        "../app:1".to_owned(),
        "ghcr.io/acme/app:-1".to_owned(),
        "ghcr.io/acme/app:2?x=y#z".to_owned(),
        String::new(),
    ];
    random.pick(&images).clone()
}

pub fn url(random: &mut Random) -> String {
    let urls = [
        "http://".to_owned(),
        "https://".to_owned(),
        "http:///well".to_owned(),
        "http://127.0.0.1:1/well".to_owned(),
        "http://127.0.0.1:99999/".to_owned(),
        "http://127.0.0.1:0/".to_owned(),
        "http://127.0.0.1:-1/".to_owned(),
        "http://[::1]:1/".to_owned(),
        "http://[::1".to_owned(),
        "http://[fe80::1%25eth0]/".to_owned(),
        "http://user:password@127.0.0.1/".to_owned(),
        "http://169.254.169.254/latest/meta-data".to_owned(),
        "http://kubernetes.default.svc".to_owned(),
        "http://{workload}.{namespace}.svc:8080/healthz".to_owned(),
        "http://{workload}.{unknown}.svc/".to_owned(),
        "http://{".to_owned(),
        "http://}{/".to_owned(),
        "http://a b/".to_owned(),
        "http://a\r\nHost: b/".to_owned(),
        "http://ü.example/".to_owned(),
        "http://xn--a/".to_owned(),
        "http://127.1/".to_owned(),
        "http://0x7f000001/".to_owned(),
        "http://2130706433/".to_owned(),
        "http://127.0.0.1/\u{0}".to_owned(),
        "http://127.0.0.1/%zz".to_owned(),
        "http://127.0.0.1/#a#b?c?d".to_owned(),
        "HTTP://127.0.0.1/".to_owned(),
        "http:127.0.0.1".to_owned(),
        "file:///etc/passwd".to_owned(),
        "javascript:alert(1)".to_owned(),
        format!("http://{}.example/", "a".repeat(64)),
        format!("http://127.0.0.1/{}", "a".repeat(2100)),
        format!("http://{}/", "a.".repeat(300)),
    ];
    random.pick(&urls).clone()
}

/// Something of another type than `like`.
pub fn other_type(like: &Value, random: &mut Random) -> Value {
    let all =
        [json!("text"), json!(7), json!(true), json!([]), json!({}), json!(["a"]), json!({"a": 1}), json!(1.5), json!([[null]])];
    let kind = |v: &Value| std::mem::discriminant(v);
    let others: Vec<_> = all.iter().filter(|v| kind(v) != kind(like)).collect();
    (*random.pick(&others)).clone()
}

/// Lists in maps in lists. Not deeper than JSON readers commonly allow, which is 128.
pub fn deep(random: &mut Random) -> Value {
    (0..20 + random.below(60))
        .fold(json!("bottom"), |inner, _| if random.chance(50) { json!([inner]) } else { json!({"a": inner}) })
}
