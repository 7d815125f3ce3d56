//! Whether the admission policies that say who may deploy are in force, as they were installed.
//!
//! Without them whoever may edit a ticket deploys with the operator's rights, so nothing starts until they are back.

use std::fmt::Write as _;
use std::str::FromStr;
use std::time::{Duration, Instant};

use k8s_openapi::api::admissionregistration::v1::{
    MatchResources, ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding, ValidatingAdmissionPolicyBindingSpec,
    ValidatingAdmissionPolicySpec,
};
use sha2::{Digest, Sha256};

/// Digits of a [`digest`].
const DIGITS: usize = 32;

/// A policy that has to be there: its binding has the same name.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Required {
    /// Name of the policy.
    pub name: String,
    /// [`digest`] of its spec as it was installed.
    pub digest: String,
}

impl FromStr for Required {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once('=') {
            Some((name, digest)) if !name.is_empty() && digest.len() == DIGITS => {
                Ok(Self { name: name.to_owned(), digest: digest.to_owned() })
            }
            _ => Err(format!("{text:?}: expected NAME=DIGEST with {DIGITS} hexadecimal digits")),
        }
    }
}

/// What is known of an object.
#[derive(Clone, Debug, PartialEq)]
pub enum Seen<K> {
    /// Nothing yet.
    Unread,
    /// It does not exist.
    Missing,
    /// It cannot be read, for this reason.
    Unreadable(String),
    /// As last seen.
    Found(Box<K>),
}

/// How long an object that was shown before must be refused until that counts. An API server that is just starting refuses everybody for
/// about a second, because its roles are not loaded.
const REFUSED_FOR: Duration = Duration::from_secs(10);

/// An object that is looked at for as long as the process lives.
#[derive(Clone, Debug, PartialEq)]
pub struct Sight<K> {
    /// What is known of it.
    pub seen: Seen<K>,
    refused_since: Option<Instant>,
}

impl<K> Default for Sight<K> {
    fn default() -> Self {
        Self { seen: Seen::Unread, refused_since: None }
    }
}

impl<K> Sight<K> {
    /// Takes in what was seen now. A refusal that does not last leaves what was seen before.
    pub fn take_in(&mut self, news: Seen<K>, now: Instant) {
        let refused = matches!(news, Seen::Unreadable(_));
        let since = refused.then(|| *self.refused_since.get_or_insert(now));
        self.refused_since = since;
        let shown_before = matches!(self.seen, Seen::Found(_) | Seen::Missing);
        let passing = since.is_some_and(|since| now.duration_since(since) < REFUSED_FOR);
        if !(shown_before && passing) {
            self.seen = news;
        }
    }
}

/// What keeps a required policy from being in force; `None`: nothing.
#[must_use]
pub fn problem(
    required: &Required,
    policy: &Seen<ValidatingAdmissionPolicy>,
    binding: &Seen<ValidatingAdmissionPolicyBinding>,
) -> Option<String> {
    let name = &required.name;
    let of = |what: &str, why: &str| Some(format!("{what} {name} {why}"));
    match policy {
        Seen::Unread => return of("admission policy", "was not looked at yet"),
        Seen::Missing => return of("admission policy", "does not exist"),
        Seen::Unreadable(why) => return of("admission policy", &format!("cannot be read: {why}")),
        Seen::Found(policy) => {
            if policy.spec.as_ref().is_none_or(|spec| digest(spec) != required.digest || is_narrowed(spec)) {
                return of("admission policy", "is not as it was installed");
            }
        }
    }
    match binding {
        Seen::Unread => of("the binding of admission policy", "was not looked at yet"),
        Seen::Missing => of("the binding of admission policy", "does not exist"),
        Seen::Unreadable(why) => of("the binding of admission policy", &format!("cannot be read: {why}")),
        Seen::Found(binding) if denies(&binding.spec, name) => None,
        Seen::Found(_) => of("the binding of admission policy", "is not as it was installed"),
    }
}

/// What a policy says, without what the API server fills in. The chart computes the same (`trackdown.policyDigest`).
#[must_use]
pub fn digest(spec: &ValidatingAdmissionPolicySpec) -> String {
    let mut text = String::new();
    let _ = writeln!(text, "failurePolicy {}", spec.failure_policy.as_deref().unwrap_or_default());
    for rule in spec.match_constraints.iter().flat_map(|m| m.resource_rules.iter().flatten()) {
        let joined = |list: &Option<Vec<String>>| list.iter().flatten().cloned().collect::<Vec<_>>().join(",");
        let (groups, versions) = (joined(&rule.api_groups), joined(&rule.api_versions));
        let _ = writeln!(text, "rule {groups} {versions} {} {}", joined(&rule.operations), joined(&rule.resources));
    }
    for condition in spec.match_conditions.iter().flatten() {
        let _ = writeln!(text, "matchCondition {} {}", condition.name, condition.expression);
    }
    for variable in spec.variables.iter().flatten() {
        let _ = writeln!(text, "variable {} {}", variable.name, variable.expression);
    }
    for validation in spec.validations.iter().flatten() {
        let _ = writeln!(text, "validation {}", validation.expression);
    }
    let mut digits = Sha256::digest(text.as_bytes()).iter().fold(String::new(), |mut digits, byte| {
        let _ = write!(digits, "{byte:02x}");
        digits
    });
    digits.truncate(DIGITS);
    digits
}

/// Whether the policy looks at less than its rules say: by what is not in the digest, because the chart never sets it.
fn is_narrowed(spec: &ValidatingAdmissionPolicySpec) -> bool {
    let by_name = |m: &MatchResources| {
        let rules = m.resource_rules.iter().flatten();
        rules
            .into_iter()
            .any(|r| r.resource_names.as_ref().is_some_and(|n| !n.is_empty()) || r.scope.as_deref().unwrap_or("*") != "*")
    };
    let constraints = spec.match_constraints.as_ref();
    spec.param_kind.is_some()
        || constraints.is_none_or(|m| selects(m) || by_name(m) || m.match_policy.as_deref().unwrap_or("Equivalent") != "Equivalent")
}

/// Whether only some of the objects are meant.
fn selects(resources: &MatchResources) -> bool {
    let selectors = [&resources.namespace_selector, &resources.object_selector];
    let picks = |s: &&k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector| {
        s.match_labels.as_ref().is_some_and(|l| !l.is_empty()) || s.match_expressions.as_ref().is_some_and(|e| !e.is_empty())
    };
    selectors.into_iter().flatten().any(|s| picks(&s)) || resources.exclude_resource_rules.as_ref().is_some_and(|r| !r.is_empty())
}

/// Whether the binding puts the policy into force everywhere.
fn denies(spec: &ValidatingAdmissionPolicyBindingSpec, policy: &str) -> bool {
    let everywhere =
        spec.match_resources.as_ref().is_none_or(|m| !selects(m) && m.resource_rules.as_ref().is_none_or(Vec::is_empty));
    spec.policy_name == policy
        && spec.validation_actions.iter().any(|action| action == "Deny")
        && spec.param_ref.is_none()
        && everywhere
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn policy() -> Value {
        json!({
            "failurePolicy": "Fail",
            "matchConstraints": {
                "matchPolicy": "Equivalent", "namespaceSelector": {}, "objectSelector": {},
                "resourceRules": [{
                    "apiGroups": ["trackdown.dev"], "apiVersions": ["v1alpha1"], "operations": ["CREATE", "UPDATE"],
                    "resources": ["tickets"], "scope": "*",
                }],
            },
            "matchConditions": [{"name": "changed", "expression": "true"}],
            "variables": [{"name": "spec", "expression": "object.spec"}],
            "validations": [{"expression": "variables.spec.x <= 1", "message": "no"}],
        })
    }

    fn judged(policy: &Value, binding: &Value) -> Option<String> {
        let spec: ValidatingAdmissionPolicySpec = serde_json::from_value(self::policy()).unwrap();
        let required = Required { name: "who".into(), digest: digest(&spec) };
        let found = |spec: &Value| json!({"metadata": {"name": "who"}, "spec": spec});
        problem(
            &required,
            &Seen::Found(serde_json::from_value(found(policy)).unwrap()),
            &Seen::Found(serde_json::from_value(found(binding)).unwrap()),
        )
    }

    #[test]
    #[allow(clippy::disallowed_methods, reason = "some moment")]
    fn a_refusal_counts_once_it_lasts() {
        let (found, refused, start) = (|| Seen::Found(Box::new(1)), || Seen::Unreadable("no".to_owned()), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut sight = Sight::default();
        sight.take_in(refused(), at(0));
        assert_eq!(sight.seen, refused(), "nothing better is known");
        sight.take_in(found(), at(1));
        for second in [2, 11] {
            sight.take_in(refused(), at(second));
            assert_eq!(sight.seen, found(), "the API server may be starting");
        }
        sight.take_in(refused(), at(12));
        assert_eq!(sight.seen, refused());
        sight.take_in(found(), at(13));
        sight.take_in(refused(), at(14));
        assert_eq!(sight.seen, found(), "a new row");
        sight.take_in(Seen::Missing, at(15));
        assert_eq!(sight.seen, Seen::Missing, "what is gone counts at once");
    }

    #[test]
    fn every_way_to_strip_a_policy_is_seen() {
        let binding = json!({"policyName": "who", "validationActions": ["Deny"]});
        assert_eq!(judged(&policy(), &binding), None);
        let with = |path: &str, value: Value| {
            let mut changed = json!({"policy": policy(), "binding": binding});
            let (parent, key) = path.rsplit_once('/').unwrap();
            let parent = changed.pointer_mut(parent).unwrap();
            match key.parse::<usize>() {
                Ok(index) => parent.as_array_mut().unwrap()[index] = value,
                Err(_) => parent[key] = value,
            }
            judged(&changed["policy"], &changed["binding"])
        };
        for (path, value) in [
            ("/policy/failurePolicy", json!("Ignore")),
            ("/policy/validations/0", json!({"expression": "true"})),
            ("/policy/validations", json!([])),
            ("/policy/variables/0", json!({"name": "spec", "expression": "object"})),
            ("/policy/matchConditions/0", json!({"name": "changed", "expression": "false"})),
            (
                "/policy/matchConditions",
                json!([{"name": "changed", "expression": "true"}, {"name": "never", "expression": "false"}]),
            ),
            ("/policy/paramKind", json!({"apiVersion": "v1", "kind": "ConfigMap"})),
            ("/policy/matchConstraints/namespaceSelector", json!({"matchLabels": {"a": "b"}})),
            ("/policy/matchConstraints/objectSelector", json!({"matchExpressions": [{"key": "a", "operator": "Exists"}]})),
            ("/policy/matchConstraints/excludeResourceRules", json!([{"resources": ["tickets"]}])),
            ("/policy/matchConstraints/matchPolicy", json!("Exact")),
            ("/policy/matchConstraints/resourceRules/0/resourceNames", json!(["one"])),
            ("/policy/matchConstraints/resourceRules/0/operations", json!(["CREATE"])),
            ("/binding/policyName", json!("other")),
            ("/binding/validationActions", json!(["Audit"])),
            ("/binding/matchResources", json!({"namespaceSelector": {"matchLabels": {"a": "b"}}})),
            ("/binding/matchResources", json!({"resourceRules": [{"resources": ["tickets"]}]})),
            ("/binding/paramRef", json!({"name": "p", "parameterNotFoundAction": "Allow"})),
        ] {
            assert!(with(path, value.clone()).is_some(), "{path} {value}");
        }
        assert_eq!(with("/policy/validations/0", json!({"expression": "variables.spec.x <= 1", "message": "another text"})), None);
        let unseen = Required { name: "who".into(), digest: String::new() };
        for (seen, text) in
            [(Seen::Unread, "not looked at"), (Seen::Missing, "does not exist"), (Seen::Unreadable("no".into()), "no")]
        {
            assert!(problem(&unseen, &seen, &Seen::Missing).unwrap().contains(text));
        }
    }
}
