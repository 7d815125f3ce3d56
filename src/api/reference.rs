//! The API reference as Markdown, from the CRDs.

use std::fmt::Write as _;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{JSONSchemaProps, JSONSchemaPropsOrArray};

/// The reference of every kind.
#[must_use]
pub fn markdown() -> String {
    let mut text = String::from(
        "# API reference\n\nGenerated from the types by `make generate`. `kubectl explain tickets --recursive` shows the same.\n",
    );
    for crd in crate::crds::all() {
        for version in &crd.spec.versions {
            let Some(schema) = version.schema.as_ref().and_then(|s| s.open_api_v3_schema.as_ref()) else { continue };
            let names = &crd.spec.names;
            let short = names.short_names.iter().flatten().map(|s| format!("`{s}`")).collect::<Vec<_>>().join(", ");
            let _ = write!(text, "\n## {}\n\n`{}/{}`, short name {short}. ", names.kind, crd.spec.group, version.name);
            let _ = writeln!(text, "{}", schema.description.as_deref().unwrap_or_default());
            for part in ["spec", "status"] {
                if let Some(schema) = schema.properties.as_ref().and_then(|p| p.get(part)) {
                    let _ = writeln!(text, "\n### {}.{part}\n\n| field | type | meaning |\n|---|---|---|", names.kind);
                    rows(&mut text, schema, "");
                }
            }
        }
    }
    text
}

fn rows(text: &mut String, schema: &JSONSchemaProps, prefix: &str) {
    for (name, field) in schema.properties.iter().flatten() {
        let required = schema.required.iter().flatten().any(|r| r == name);
        let meaning = field.description.as_deref().unwrap_or_default().replace('|', "\\|").replace('\n', " ");
        let marks = [required.then(|| "required".to_owned()), limits(field)];
        let marks = marks.into_iter().flatten().collect::<Vec<_>>().join("; ");
        let marks = if marks.is_empty() { marks } else { format!(" *({marks})*") };
        let _ = writeln!(text, "| `{prefix}{name}` | {} | {meaning}{marks} |", kind(field));
        match &field.items {
            Some(JSONSchemaPropsOrArray::Schema(items)) => rows(text, items, &format!("{prefix}{name}[].")),
            _ => rows(text, field, &format!("{prefix}{name}.")),
        }
    }
}

fn kind(field: &JSONSchemaProps) -> String {
    if let Some(values) = &field.enum_ {
        return values.iter().map(|v| format!("`{}`", v.0.as_str().unwrap_or_default())).collect::<Vec<_>>().join(" ");
    }
    match (&field.items, field.format.as_deref()) {
        (Some(JSONSchemaPropsOrArray::Schema(items)), _) => format!("list of {}", kind(items)),
        (_, Some("date-time")) => "time".to_owned(),
        _ => field.type_.clone().unwrap_or_default(),
    }
}

fn limits(field: &JSONSchemaProps) -> Option<String> {
    let mut parts = Vec::new();
    if let Some(max) = field.max_length.filter(|_| field.enum_.is_none()) {
        parts.push(format!("at most {max} characters"));
    }
    if let Some(max) = field.max_items {
        parts.push(format!("at most {max}"));
    }
    if let (Some(min), Some(max)) = (field.minimum, field.maximum) {
        parts.push(format!("{min} to {max}"));
    }
    (!parts.is_empty()).then(|| parts.join(", "))
}
