//! `metav1.Condition` with bounds, so that a status has a largest size.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::text::Sentence;

/// Whether a condition holds.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, JsonSchema, PartialEq, Serialize)]
pub enum ConditionStatus {
    /// It holds.
    True,
    /// It does not hold.
    False,
    /// It is not known yet.
    Unknown,
}

/// One aspect of an object's state, in the shape of `metav1.Condition`.
#[derive(Clone, Debug, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// Name of the aspect, unique in the list.
    #[schemars(length(max = 64))]
    pub r#type: String,
    /// Whether it holds.
    pub status: ConditionStatus,
    /// The `metadata.generation` this was judged on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// When `status` last changed.
    pub last_transition_time: Time,
    /// Why, as one CamelCase word for programs.
    #[schemars(length(min = 1, max = 64))]
    pub reason: String,
    /// Why, in a sentence for people.
    pub message: Sentence,
}

/// Puts `new` into `conditions`, keeping the transition time unless the status flips. The list stays ordered by type.
pub fn set_condition(conditions: &mut Vec<Condition>, mut new: Condition) {
    match conditions.binary_search_by(|c| c.r#type.as_str().cmp(&new.r#type)) {
        Ok(at) => {
            if conditions[at].status == new.status {
                new.last_transition_time = conditions[at].last_transition_time.clone();
            }
            conditions[at] = new;
        }
        Err(at) => conditions.insert(at, new),
    }
}

/// The condition of that type.
#[must_use]
pub fn find_condition<'a>(conditions: &'a [Condition], type_: &str) -> Option<&'a Condition> {
    conditions.iter().find(|c| c.r#type == type_)
}
