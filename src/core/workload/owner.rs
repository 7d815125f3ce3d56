//! Who owns the image of a workload: Trackdown never fights another writer.
//!
//! Sources: Argo CD "Resource Tracking" (annotation and label), Flux "Kustomization / `HelmRelease`: reconciliation metadata" and
//! "Kustomization: controlling the apply behavior of resources", Helm's `meta.helm.sh` annotations.

use std::collections::BTreeMap;
use std::fmt;

use kube::core::ObjectMeta;

use trackdown_api::WRITE_CONSENT_ANNOTATION;

/// The tool that will write the image again sooner or later.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum ImageOwner {
    /// Nobody known.
    Nobody,
    /// Somebody's `kubectl apply`: restores the old image when the old manifest is applied again.
    Kubectl,
    /// A Helm release: restores the old image at the next `helm upgrade` with old values.
    Helm(String),
    /// An Argo CD application.
    ArgoCd(String),
    /// A Flux Kustomization or `HelmRelease`.
    Flux(String),
}

impl ImageOwner {
    /// Whether the owner reconciles from Git by itself, so that writing would be a fight.
    #[must_use]
    pub fn is_gitops(&self) -> bool {
        matches!(self, Self::ArgoCd(_) | Self::Flux(_))
    }
}

impl ImageOwner {
    /// How a GitOps tool is kept from bringing the image back.
    #[must_use]
    pub fn keep_out(&self) -> Option<&'static str> {
        match self {
            Self::ArgoCd(_) => Some("ignoreDifferences on the image and RespectIgnoreDifferences=true"),
            Self::Flux(_) => Some("the image in .spec.ignore"),
            _ => None,
        }
    }
}

impl fmt::Display for ImageOwner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nobody => f.write_str("nobody"),
            Self::Kubectl => f.write_str("kubectl apply"),
            Self::Helm(release) => write!(f, "Helm release {release}"),
            Self::ArgoCd(application) => write!(f, "Argo CD application {application}"),
            Self::Flux(object) => write!(f, "Flux {object}"),
        }
    }
}

/// Annotations and labels that tell who owns the image, and whether Trackdown may write all the same.
const ANNOTATIONS: [&str; 4] = ["argocd.argoproj.io/tracking-id", FLUX_RECONCILE, FLUX_APPLY, WRITE_CONSENT_ANNOTATION];
const LABELS: [&str; 5] =
    ["argocd.argoproj.io/instance", "kustomize.toolkit.fluxcd.io/name", "helm.toolkit.fluxcd.io/name", FLUX_RECONCILE, FLUX_APPLY];

/// Label or annotation, as Flux reads it: `disabled` and Flux leaves the object alone.
const FLUX_RECONCILE: &str = "kustomize.toolkit.fluxcd.io/reconcile";

/// The same: how Flux applies the object. What it applies only when absent, or not at all, it never delivers an image to.
const FLUX_APPLY: &str = "kustomize.toolkit.fluxcd.io/ssa";

/// A mark of an owner as it was found: a write tests that it still is so.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Mark {
    /// `annotations` or `labels`.
    pub map: &'static str,
    /// Its key.
    pub key: &'static str,
    /// Its value, if it is there.
    pub value: Option<String>,
}

/// Every mark of an owner, those that are absent too.
#[must_use]
pub fn marks(meta: &ObjectMeta) -> Vec<Mark> {
    let found = |map: &'static str, values: Option<&BTreeMap<String, String>>, key: &'static str| Mark {
        map,
        key,
        value: get(values, key).map(str::to_owned),
    };
    let annotations = ANNOTATIONS.into_iter().map(|key| found("annotations", meta.annotations.as_ref(), key));
    annotations.chain(LABELS.into_iter().map(|key| found("labels", meta.labels.as_ref(), key))).collect()
}

/// Whether the workload's owner consents to a write by Trackdown in any case.
#[must_use]
pub fn consents(meta: &ObjectMeta) -> bool {
    get(meta.annotations.as_ref(), WRITE_CONSENT_ANNOTATION) == Some("allow")
}

/// The strongest owner that left a trace in the object's metadata.
#[must_use]
pub fn detect(meta: &ObjectMeta) -> ImageOwner {
    let labels = meta.labels.as_ref();
    let annotations = meta.annotations.as_ref();
    argo_cd(meta)
        .or_else(|| flux(labels, annotations))
        .or_else(|| get(annotations, "meta.helm.sh/release-name").map(|r| ImageOwner::Helm(r.to_owned())))
        .or_else(|| {
            let applied = get(annotations, "kubectl.kubernetes.io/last-applied-configuration").is_some();
            (applied || managed_by(meta, |m| m.starts_with("kubectl"))).then_some(ImageOwner::Kubectl)
        })
        .unwrap_or(ImageOwner::Nobody)
}

fn argo_cd(meta: &ObjectMeta) -> Option<ImageOwner> {
    // The id reads `<application>:<group>/<kind>:<namespace>/<name>`.
    let tracked = get(meta.annotations.as_ref(), "argocd.argoproj.io/tracking-id").and_then(|id| id.split(':').next());
    let labels = meta.labels.as_ref();
    let name = tracked.or_else(|| get(labels, "argocd.argoproj.io/instance")).or_else(|| {
        // Argo CD's default label is everybody's label; only with Argo CD among the writers does it mean Argo CD.
        let writes = managed_by(meta, |m| m.starts_with("argocd"));
        writes.then(|| get(labels, "app.kubernetes.io/instance").unwrap_or("unknown"))
    })?;
    Some(ImageOwner::ArgoCd(name.to_owned()))
}

fn flux(labels: Option<&BTreeMap<String, String>>, annotations: Option<&BTreeMap<String, String>>) -> Option<ImageOwner> {
    let says = |key: &str, values: &[&str]| {
        let said = [labels, annotations].into_iter().filter_map(|m| get(m, key));
        said.into_iter().any(|said| values.iter().any(|value| said.eq_ignore_ascii_case(value)))
    };
    let left_alone = says(FLUX_RECONCILE, &["disabled"]) || says(FLUX_APPLY, &["IfNotPresent", "Ignore"]);
    let kinds = [("Kustomization", "kustomize"), ("HelmRelease", "helm")];
    kinds.into_iter().filter(|(_, group)| *group != "kustomize" || !left_alone).find_map(|(kind, group)| {
        let name = get(labels, &format!("{group}.toolkit.fluxcd.io/name"))?;
        let namespace = get(labels, &format!("{group}.toolkit.fluxcd.io/namespace")).unwrap_or("?");
        Some(ImageOwner::Flux(format!("{kind} {namespace}/{name}")))
    })
}

fn managed_by(meta: &ObjectMeta, is: impl Fn(&str) -> bool) -> bool {
    meta.managed_fields.iter().flatten().any(|f| f.manager.as_deref().is_some_and(&is))
}

fn get<'a>(map: Option<&'a BTreeMap<String, String>>, key: &str) -> Option<&'a str> {
    map.and_then(|m| m.get(key)).map(String::as_str)
}
