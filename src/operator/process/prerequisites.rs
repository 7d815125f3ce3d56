//! Waiting for what the operator cannot work without, instead of crashing: its CRDs, and the right to read them.

use std::fmt::Debug;
use std::time::Duration;

use kube::api::ListParams;
use kube::core::NamespaceResourceScope;
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;

use crate::process::health::Vitals;
use crate::runtime::call::{Reply, call};
use trackdown_api::record::Record;
use trackdown_api::ticket::Ticket;

/// Pause between two looks.
const PAUSE: Duration = Duration::from_secs(2);

/// Returns when both kinds can be listed.
pub async fn wait(client: &Client, scope: Option<&str>, vitals: &Vitals) {
    served::<Ticket>(client, scope, "tickets.trackdown.dev", vitals).await;
    served::<Record>(client, scope, "deployments.trackdown.dev", vitals).await;
}

async fn served<K>(client: &Client, scope: Option<&str>, name: &str, vitals: &Vitals)
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + DeserializeOwned + Debug,
{
    let api: Api<K> = match scope {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    };
    let mut said = String::new();
    loop {
        let missing = match call("list", api.list_metadata(&ListParams::default().limit(1))).await {
            Ok(Reply::Ok(_)) => None,
            Ok(Reply::NotFound) => Some(format!("CRD {name}: trackdown crds | kubectl apply --server-side -f -")),
            Ok(Reply::Refused(why)) => Some(format!("the right to list {name}: {why}")),
            Err(error) => Some(format!("the API server: {error}")),
        };
        if missing.as_deref() != Some(said.as_str()) {
            vitals.arrived(&said);
        }
        let Some(missing) = missing else { return };
        if missing != said {
            tracing::warn!("waiting for {missing}");
            vitals.wait_for(&missing);
            said = missing;
        }
        tokio::time::sleep(PAUSE).await;
    }
}
