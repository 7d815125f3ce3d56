//! `/healthz`, `/readyz` and `/metrics`.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;

use crate::process::health::Vitals;
use crate::sinks::metrics::Metrics;

/// Media type of the metrics.
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

#[derive(Clone)]
struct Shown {
    vitals: Arc<Vitals>,
    metrics: Arc<Metrics>,
}

/// Serves until `stop` resolves. `bound` is told the address that is really listened on.
///
/// # Errors
/// If the address cannot be listened on.
pub async fn serve(
    address: SocketAddr,
    vitals: Arc<Vitals>,
    metrics: Arc<Metrics>,
    stop: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    let listener = tokio::net::TcpListener::bind(address).await?;
    tracing::info!(address = %listener.local_addr()?, "serving /healthz, /readyz and /metrics");
    let app = Router::new()
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/metrics", get(show_metrics))
        .with_state(Shown { vitals, metrics });
    axum::serve(listener, app).with_graceful_shutdown(stop).await
}

async fn healthz(State(shown): State<Shown>) -> impl IntoResponse {
    verdict(&shown.vitals.not_alive(), "ok")
}

async fn readyz(State(shown): State<Shown>) -> impl IntoResponse {
    verdict(&shown.vitals.not_ready(), "ready")
}

fn verdict(problems: &[String], fine: &str) -> (StatusCode, String) {
    if problems.is_empty() {
        return (StatusCode::OK, format!("{fine}\n"));
    }
    let lines = problems.iter().map(|p| format!("waiting for {p}\n"));
    (StatusCode::SERVICE_UNAVAILABLE, lines.collect())
}

async fn show_metrics(State(shown): State<Shown>) -> impl IntoResponse {
    match shown.metrics.text() {
        Ok(text) => ([(header::CONTENT_TYPE, OPENMETRICS)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
    }
}
