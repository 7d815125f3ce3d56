//! What objects say, read off their JSON.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::history::{Kind, World};

/// Manager of everything the operator writes.
pub const OPERATOR: &str = "trackdown";

/// Containers of a workload, init containers too, with their images.
pub fn images(workload: &Value) -> BTreeMap<String, String> {
    let pod = &workload["spec"]["template"]["spec"];
    let all = ["initContainers", "containers"].iter().filter_map(|list| pod[*list].as_array()).flatten();
    all.map(|c| (text(&c["name"]), text(&c["image"]))).collect()
}

/// Image of the first container.
pub fn image(workload: &Value) -> &str {
    workload["spec"]["template"]["spec"]["containers"][0]["image"].as_str().unwrap_or_default()
}

/// Who set a container's image last, as the API server keeps account of it.
pub fn setter(workload: &Value, container: &str) -> Option<String> {
    let key = format!("k:{{\"name\":\"{container}\"}}");
    let entries = workload["metadata"]["managedFields"].as_array()?;
    let owns = |entry: &&Value| {
        let pod = &entry["fieldsV1"]["f:spec"]["f:template"]["f:spec"];
        ["f:containers", "f:initContainers"].iter().any(|list| !pod[*list][&key]["f:image"].is_null())
    };
    let newest = entries.iter().filter(owns).max_by_key(|e| text(&e["time"]))?;
    Some(text(&newest["manager"]))
}

/// The marker the operator left.
pub fn marker(workload: &Value) -> Option<Value> {
    serde_json::from_str(workload["metadata"]["annotations"]["trackdown.dev/deployment"].as_str()?).ok()
}

/// Images of a list of `{container, image}`.
pub fn listed(list: &Value) -> BTreeMap<String, String> {
    let all = list.as_array().into_iter().flatten();
    all.map(|i| (text(&i["container"]), text(&i["image"]))).collect()
}

/// How a record ended: status and reason of its condition Succeeded, once it is complete.
pub fn result(record: &Value) -> Option<(String, String)> {
    record["status"]["completionTime"].as_str()?;
    let found = record["status"]["conditions"].as_array()?.iter().find(|c| c["type"] == "Succeeded")?;
    Some((text(&found["status"]), text(&found["reason"])))
}

/// Whether a condition of a ticket is True.
pub fn condition(world: &World, ticket: &str, name: &str) -> bool {
    let conditions = world.get(&(Kind::Ticket, ticket.to_owned())).and_then(|t| t["status"]["conditions"].as_array());
    conditions.is_some_and(|all| all.iter().any(|c| c["type"] == name && c["status"] == "True"))
}

/// A record of that ticket.
pub fn record_of<'a>(world: &'a World, ticket: &str) -> Option<&'a Value> {
    let records = world.iter().filter(|((kind, _), _)| *kind == Kind::Record);
    records.map(|(_, o)| &**o).find(|o| o["spec"]["ticket"]["name"] == ticket)
}

/// Whether a GitOps tool's marks are on it.
pub fn owned_by_git(workload: &Value) -> bool {
    let labels = &workload["metadata"]["labels"];
    !labels["kustomize.toolkit.fluxcd.io/name"].is_null() && workload["metadata"]["annotations"]["trackdown.dev/write"] != "allow"
}

pub fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
