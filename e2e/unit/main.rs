//! Tests that need no cluster but more than one module: the API server played by a mock for exact failures, and the manifests.

// Tests may fail.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod argocd;
mod command_line;
mod exact_failures;
