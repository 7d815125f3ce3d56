//! What the end-to-end tests stand on: a real control plane, the chart installed in a namespace of the test's own, the operator
//! running under the chart's service account, and kubectl.

pub mod audit;
pub mod cluster;
pub mod operator;
pub mod proxy;
pub mod scene;

pub use scene::Scene;

/// Repository root.
pub const ROOT: &str = env!("CARGO_MANIFEST_DIR");
