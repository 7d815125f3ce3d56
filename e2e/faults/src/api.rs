//! The API server, spoken to as a person or a tool would: paths and JSON.

use std::path::Path;

use http::Request;
use kube::config::{AuthInfo, KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde_json::Value;

/// Why a request was not granted.
#[derive(Debug)]
pub struct Refusal {
    /// HTTP status; 0 if there was no answer.
    pub code: u16,
    pub message: String,
}

impl From<Refusal> for String {
    fn from(refusal: Refusal) -> Self {
        format!("{} {}", refusal.code, refusal.message)
    }
}

/// How a body is meant.
#[derive(Clone, Copy)]
pub enum Body<'a> {
    None,
    Create(&'a Value),
    Merge(&'a Value),
    /// A forced server-side apply.
    Apply(&'a Value),
}

#[derive(Clone)]
pub struct Api {
    client: Client,
}

impl Api {
    /// As the administrator of the cluster this kubeconfig is for.
    pub async fn admin(kubeconfig: &Path) -> Self {
        Self { client: Client::try_from(config(kubeconfig).await).unwrap() }
    }

    /// As nobody: whoever uses this brings its own token along.
    pub async fn anonymous(kubeconfig: &Path) -> Client {
        let mut config = config(kubeconfig).await;
        config.auth_info = AuthInfo::default();
        Client::try_from(config).unwrap()
    }

    pub async fn get(&self, path: &str) -> Result<Value, Refusal> {
        self.send("GET", path, Body::None).await
    }

    pub async fn send(&self, method: &str, path: &str, body: Body<'_>) -> Result<Value, Refusal> {
        let (kind, body) = match body {
            Body::None => ("application/json", Vec::new()),
            Body::Create(value) => ("application/json", value.to_string().into_bytes()),
            Body::Merge(value) => ("application/merge-patch+json", value.to_string().into_bytes()),
            Body::Apply(value) => ("application/apply-patch+yaml", value.to_string().into_bytes()),
        };
        let request = Request::builder().method(method).uri(path).header("content-type", kind).body(body).unwrap();
        self.client.request(request).await.map_err(|error| match error {
            kube::Error::Api(status) => Refusal { code: status.code, message: status.message.clone() },
            other => Refusal { code: 0, message: other.to_string() },
        })
    }

    pub fn client(&self) -> &Client {
        &self.client
    }
}

async fn config(kubeconfig: &Path) -> Config {
    let kubeconfig = Kubeconfig::read_from(kubeconfig).unwrap();
    let mut config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap();
    config.default_retry = false;
    config
}
