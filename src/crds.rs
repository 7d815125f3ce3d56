//! The CRDs as they are installed: generated from the types of [`crate::api`].

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSON, JSONSchemaProps, JSONSchemaPropsOrArray,
};
use kube::CustomResourceExt;

use crate::api::{deployment::Deployment, ticket::Ticket};

/// Every CRD, in the order of the documentation.
#[must_use]
pub fn all() -> Vec<CustomResourceDefinition> {
    [Ticket::crd(), Deployment::crd()].into_iter().map(with_unobserved_status).map(without_null).collect()
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

fn schemas(crd: &mut CustomResourceDefinition) -> impl Iterator<Item = &mut JSONSchemaProps> {
    crd.spec.versions.iter_mut().filter_map(|v| v.schema.as_mut()?.open_api_v3_schema.as_mut())
}
