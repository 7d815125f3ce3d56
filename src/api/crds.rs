//! The CRDs as they are installed: generated from the types of [`crate`].

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSON, JSONSchemaProps, JSONSchemaPropsOrArray,
};
use kube::CustomResourceExt;

use crate::record::Record;
use crate::ticket::{Ticket, TicketState};

/// Every CRD, in the order of the documentation.
#[must_use]
pub fn all() -> Vec<CustomResourceDefinition> {
    let ticket = with_legal_steps(Ticket::crd());
    [ticket, Record::crd()].into_iter().map(with_unobserved_status).map(without_null).map(with_defaults_told).collect()
}

/// The CRDs as one YAML stream.
///
/// # Errors
/// If a CRD cannot be serialised, which a test excludes.
pub fn yaml() -> Result<String, serde_saphyr::ser::Error> {
    let documents = all().iter().map(serde_saphyr::to_string).collect::<Result<Vec<_>, _>>()?;
    Ok(documents.join("---\n"))
}

/// A fresh object gets `status.observedGeneration: -1`, so that kstatus does not take "no status yet" for "done".
fn with_unobserved_status(mut crd: CustomResourceDefinition) -> CustomResourceDefinition {
    for schema in schemas(&mut crd) {
        if let Some(status) = schema.properties.as_mut().and_then(|p| p.get_mut("status")) {
            status.default = Some(JSON(serde_json::json!({"observedGeneration": -1})));
        }
    }
    crd
}

/// An optional field is absent or has its type. `null` would be a third case that every CEL rule had to know.
fn without_null(mut crd: CustomResourceDefinition) -> CustomResourceDefinition {
    schemas(&mut crd).for_each(forbid_null);
    crd
}

fn forbid_null(schema: &mut JSONSchemaProps) {
    schema.nullable = None;
    schema.properties.iter_mut().flat_map(|p| p.values_mut()).for_each(forbid_null);
    if let Some(JSONSchemaPropsOrArray::Schema(items)) = &mut schema.items {
        forbid_null(items);
    }
}

/// What `spec.state` is.
const STATE: &str =
    "The state asked for; `status.state` is where the ticket is. Absent asks for nothing and is never a transition.";

/// `kubectl explain` shows descriptions, but not which steps a rule allows.
fn with_legal_steps(mut crd: CustomResourceDefinition) -> CustomResourceDefinition {
    let step = |from: &TicketState| {
        let to: Vec<_> = from.next().iter().map(|to| to.as_str()).collect();
        format!("{from} -> {}", to.join(", "))
    };
    let steps: Vec<_> = TicketState::ALL.iter().map(step).collect();
    for schema in schemas(&mut crd) {
        let spec = schema.properties.as_mut().and_then(|p| p.get_mut("spec"));
        if let Some(state) = spec.and_then(|s| s.properties.as_mut()?.get_mut("state")) {
            // The schema of an enum comes with the description of its type, not of the field.
            state.description = Some(STATE.to_owned());
            tell(state, &format!("Legal steps: {}.", steps.join("; ")));
        }
    }
    crd
}

/// Nor does it show defaults.
fn with_defaults_told(mut crd: CustomResourceDefinition) -> CustomResourceDefinition {
    schemas(&mut crd).for_each(tell_defaults);
    crd
}

fn tell_defaults(schema: &mut JSONSchemaProps) {
    // A struct's default only repeats those of its fields.
    let default = schema.default.as_ref().filter(|d| !d.0.is_object()).map(|d| d.0.as_str().map_or(d.0.to_string(), str::to_owned));
    if let Some(default) = default {
        tell(schema, &format!("Default: {default}."));
    }
    schema.properties.iter_mut().flat_map(|p| p.values_mut()).for_each(tell_defaults);
    if let Some(JSONSchemaPropsOrArray::Schema(items)) = &mut schema.items {
        tell_defaults(items);
    }
}

fn tell(schema: &mut JSONSchemaProps, text: &str) {
    let description = schema.description.take().unwrap_or_default();
    schema.description = Some(format!("{description} {text}"));
}

fn schemas(crd: &mut CustomResourceDefinition) -> impl Iterator<Item = &mut JSONSchemaProps> {
    crd.spec.versions.iter_mut().filter_map(|v| v.schema.as_mut()?.open_api_v3_schema.as_mut())
}
