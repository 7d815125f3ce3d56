//! What the API server does with a request, as far as the model needs it. `e2e/tests/conformance.rs` holds it against the real one: it knows
//! nothing but JSON, so that both can use it.

use json_patch::{AddOperation, Patch, PatchOperation};
use serde_json::{Value, json};

/// What it does with a JSON patch of a workload: all of it or nothing; a change of spec or annotations is a new generation. `lenient`:
/// broken on purpose, the tests are ignored.
///
/// # Errors
/// Which test failed, or what of the patch means nothing.
pub fn patch(workload: &Value, patch: &Patch, lenient: bool) -> Result<Value, String> {
    let mut changed = workload.clone();
    for operation in &patch.0 {
        if let PatchOperation::Test(test) = operation {
            // The API server's library reads a missing member as null, if what it would be a member of is there.
            let pointer = test.path.as_str();
            let parent = pointer.rsplit_once('/').and_then(|(parent, _)| changed.pointer(parent));
            let found = parent.map(|_| changed.pointer(pointer).unwrap_or(&Value::Null));
            if found != Some(&test.value) && !lenient {
                return Err(format!("test {pointer} failed"));
            }
        } else {
            let operation = replaced_or_added(&changed, operation);
            json_patch::patch(&mut changed, std::slice::from_ref(&operation)).map_err(|e| e.to_string())?;
        }
    }
    // As it is stored: a map without entries is no map.
    let meta = changed["metadata"].as_object_mut().ok_or("no metadata")?;
    meta.retain(|key, value| !matches!(key.as_str(), "labels" | "annotations") || value.as_object().is_some_and(|m| !m.is_empty()));
    if changed["spec"] != workload["spec"] || changed["metadata"]["annotations"] != workload["metadata"]["annotations"] {
        new_generation(&mut changed);
    }
    Ok(changed)
}

/// The API server's library replaces what is not there, too, if it would be a member of a map.
fn replaced_or_added(object: &Value, operation: &PatchOperation) -> PatchOperation {
    let PatchOperation::Replace(replace) = operation else { return operation.clone() };
    let parent = replace.path.as_str().rsplit_once('/').and_then(|(parent, _)| object.pointer(parent));
    if !parent.is_some_and(Value::is_object) {
        return operation.clone();
    }
    PatchOperation::Add(AddOperation { path: replace.path.clone(), value: replace.value.clone() })
}

/// The workload changed in what its controller acts on.
pub fn new_generation(workload: &mut Value) {
    workload["metadata"]["generation"] = json!(workload["metadata"]["generation"].as_i64().unwrap_or_default() + 1);
}

/// Whether it takes a status that was decided on the version `sent` when `stored` is there.
#[must_use]
pub fn takes_status(stored: Option<&str>, sent: Option<&str>) -> bool {
    sent.is_some() && stored == sent
}

/// The version after a write it has taken: one that changes nothing makes none.
#[must_use]
pub fn version_after(stored: Option<&str>, changed: bool) -> String {
    let version = stored.and_then(|v| v.parse::<u64>().ok()).unwrap_or_default();
    (version + u64::from(changed)).to_string()
}
