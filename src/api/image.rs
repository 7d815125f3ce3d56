//! What an image may be: the rules the API server checks at `kubectl apply`.
//!
//! Source: the grammar of `github.com/distribution/reference` (`regexp.go`), and of its `splitDockerDomain` what makes the first part a
//! registry: a dot, a port, or `localhost`.

use std::sync::LazyLock;

/// An image has no scheme.
pub const SCHEME: (&str, &str) =
    ("!self.contains('://')", "an image has no scheme: leave out https://, e.g. ghcr.io/acme/web:1.4.2");

/// A tag or a version alone names no repository.
pub const ONLY_A_TAG: (&str, &str) = (
    r"!self.matches(r'^(:.*|latest|v?[0-9]+(\.[0-9]+)*([-+._][A-Za-z0-9._-]*)?)$')",
    "this is only a tag: give the image whole, e.g. ghcr.io/acme/web:1.4.2",
);

/// The grammar.
pub static REFERENCE: LazyLock<String> = LazyLock::new(|| {
    let label = "[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?";
    let registry = format!(r"((localhost|{label}(\.{label})+)(:[0-9]+)?|{label}:[0-9]+)");
    let part = r"[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*";
    let digest = "[A-Za-z][A-Za-z0-9]*([-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,128}";
    let tag = r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}";
    format!("self.matches(r'^({registry}/)?{part}(/{part})*(:{tag})?(@{digest})?$')")
});

/// What to do about an image that is none.
pub const REFERENCE_MESSAGE: &str = "not an image: [registry[:port]/]repository[:tag][@digest], the repository in small letters, e.g. \
ghcr.io/acme/web:1.4.2";
