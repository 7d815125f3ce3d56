//! The pods of a rollout: why it fails, and what really runs.
//!
//! Source of the waiting reasons: kubelet's `pkg/kubelet/images/types.go` and `pkg/kubelet/kuberuntime` (Kubernetes 1.36).

use std::collections::BTreeSet;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ContainerStatus, Event, Pod, PodSpec};
use kube::ResourceExt;

use crate::images::all_same_or_pinned;
use crate::workload::view::WorkloadView;
use trackdown_api::record::{Digest, RootCause};
use trackdown_api::text::bounded_to;
use trackdown_api::workload_ref::ContainerImage;

/// Waiting reasons a pod does not get over by itself within a rollout.
const FATAL: [&str; 9] = [
    "ImagePullBackOff",
    "InvalidImageName",
    "ImageInspectError",
    "ErrImageNeverPull",
    "CrashLoopBackOff",
    "CreateContainerConfigError",
    "CreateContainerError",
    "RunContainerError",
    "SignatureValidationFailed",
];

/// Waiting reasons of a pod that simply is not there yet.
const NORMAL: [&str; 2] = ["ContainerCreating", "PodInitializing"];

/// What Trackdown keeps of a pod.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct PodView {
    /// Its name.
    pub name: String,
    /// `metadata.uid`.
    pub uid: String,
    /// `metadata.resourceVersion`.
    pub version: String,
    /// The revision of the template it was made from, where its controller says so on the pod (`StatefulSet`, `DaemonSet`).
    pub revision: Option<String>,
    /// The images of its spec, init containers included.
    pub images: Vec<ContainerImage>,
    /// Whether it is being deleted: it says nothing about the rollout any more.
    pub terminating: bool,
    /// When it was made.
    pub created: Option<Timestamp>,
    /// Whether it is Ready.
    pub ready: bool,
    /// The first container that cannot start.
    pub fatal: Option<RootCause>,
    /// Anything else that keeps it from being ready: what a deadline is explained with.
    pub hint: Option<RootCause>,
    /// The images that really ran.
    pub digests: Vec<Digest>,
}

impl PodView {
    /// Whether it stays and its containers have these images: whether it is a pod of the new template.
    #[must_use]
    pub fn runs(&self, images: &[ContainerImage]) -> bool {
        !self.terminating && all_same_or_pinned(images, &self.images)
    }
}

impl From<&Pod> for PodView {
    fn from(pod: &Pod) -> Self {
        let spec = pod.spec.as_ref();
        let status = pod.status.as_ref();
        let containers = spec.map(|s| s.containers.iter().chain(s.init_containers.iter().flatten()));
        let statuses: Vec<_> = status
            .map(|s| s.init_container_statuses.iter().flatten().chain(s.container_statuses.iter().flatten()).collect())
            .unwrap_or_default();
        let condition = |type_: &str| status.and_then(|s| s.conditions.iter().flatten().find(|c| c.type_ == type_));
        let waiting =
            |fatal: bool| statuses.iter().find_map(|c| waiting(c).filter(|w| FATAL.contains(&w.reason.as_str()) == fatal));
        let name = pod.name_any();
        let at_pod = |cause: RootCause| RootCause { pod: Some(name.as_str().into()), ..cause };
        let unscheduled = condition("PodScheduled").filter(|c| c.status == "False").map(|c| RootCause {
            pod: None,
            container: None,
            reason: c.reason.as_deref().unwrap_or("Unschedulable").into(),
            message: c.message.as_deref().unwrap_or_default().into(),
        });
        Self {
            images: containers
                .into_iter()
                .flatten()
                .map(|c| ContainerImage { container: c.name.clone(), image: c.image.clone().unwrap_or_default() })
                .collect(),
            uid: pod.uid().unwrap_or_default(),
            version: pod.resource_version().unwrap_or_default(),
            revision: pod.labels().get("controller-revision-hash").cloned(),
            terminating: pod.metadata.deletion_timestamp.is_some(),
            created: pod.metadata.creation_timestamp.as_ref().map(|t| t.0),
            ready: condition("Ready").is_some_and(|c| c.status == "True"),
            fatal: waiting(true).map(at_pod),
            hint: waiting(false).or(unscheduled).or_else(|| unready(pod)).map(at_pod),
            digests: statuses
                .iter()
                .filter(|c| !c.image_id.is_empty())
                .map(|c| Digest { container: c.name.clone(), image_id: c.image_id.as_str().into() })
                .collect(),
            name,
        }
    }
}

fn waiting(container: &ContainerStatus) -> Option<RootCause> {
    let waiting = container.state.as_ref()?.waiting.as_ref()?;
    let reason = waiting.reason.clone().filter(|r| !NORMAL.contains(&r.as_str()))?;
    // "Back-off restarting failed container" says nothing: how the container ended does.
    let ended = container.last_state.as_ref().and_then(|s| s.terminated.as_ref()).map(|t| {
        let why = t.message.as_deref().or(t.reason.as_deref()).unwrap_or("no message");
        format!("; last exit code {}: {why}", t.exit_code)
    });
    let message = format!("{}{}", waiting.message.as_deref().unwrap_or_default(), ended.unwrap_or_default());
    Some(cause_of(container, reason, message))
}

fn cause_of(container: &ContainerStatus, reason: String, message: String) -> RootCause {
    RootCause { pod: None, container: Some(container.name.as_str().into()), reason: reason.into(), message: message.into() }
}

/// The first container that has not started yet, or runs and is not ready: what is left when nothing says that it cannot.
fn unready(pod: &Pod) -> Option<RootCause> {
    let status = pod.status.as_ref()?;
    let spec = pod.spec.as_ref()?;
    let unready = |c: &&ContainerStatus| !c.ready && c.state.as_ref().is_none_or(|s| s.terminated.is_none());
    let initialising = status.init_container_statuses.iter().flatten().find(unready);
    let container = initialising.or_else(|| status.container_statuses.iter().flatten().find(unready))?;
    let waits = container.state.as_ref().and_then(|s| s.waiting.as_ref());
    let (reason, message) = match waits {
        Some(waiting) => {
            let reason = waiting.reason.clone().unwrap_or_else(|| "ContainerCreating".to_owned());
            (reason, waiting.message.clone().unwrap_or_else(|| "the container has not been started yet".to_owned()))
        }
        None if initialising.is_some() && !is_sidecar(spec, container) => {
            ("PodInitializing".to_owned(), "the init container has not ended yet".to_owned())
        }
        None => {
            let probed = spec
                .containers
                .iter()
                .chain(spec.init_containers.iter().flatten())
                .any(|c| c.name == container.name && c.readiness_probe.is_some());
            let what =
                if probed { "the container runs, but its readiness probe fails" } else { "the container runs, but is not ready" };
            ("ContainersNotReady".to_owned(), what.to_owned())
        }
    };
    Some(cause_of(container, reason, message))
}

/// An init container that runs beside the others.
fn is_sidecar(pod: &PodSpec, container: &ContainerStatus) -> bool {
    let own = pod.init_containers.iter().flatten().find(|c| c.name == container.name);
    own.is_some_and(|c| c.restart_policy.as_deref() == Some("Always"))
}

/// The pods of a rollout, and what tells the new ones.
#[derive(Clone, Copy, Debug)]
pub struct NewPods<'a> {
    /// The pods of the workload.
    pub pods: &'a [PodView],
    /// The images of the new template.
    pub images: &'a [ContainerImage],
    /// The images of the template before.
    pub previous: &'a [ContainerImage],
    /// When the new template was written.
    pub since: Timestamp,
}

impl NewPods<'_> {
    /// Why the new pods cannot start, if one of them reports so. The first by name, so that every reader of the same pods finds the same.
    #[must_use]
    pub fn root_cause(self) -> Option<RootCause> {
        self.first(|p| p.fatal.as_ref())
    }

    /// What keeps the new pods from being ready, as far as those say that were made by `until`.
    #[must_use]
    pub fn hint(self, until: Timestamp) -> Option<RootCause> {
        self.first(|p| p.hint.as_ref().filter(|_| p.created.is_none_or(|created| created <= until)))
    }

    fn first(self, of: impl Fn(&PodView) -> Option<&RootCause>) -> Option<RootCause> {
        let rewritten = are_rewritten(self.pods, &[self.images, self.previous]);
        let made_since = |p: &PodView| p.created.is_some_and(|t| t.as_second() >= self.since.as_second());
        let new = |p: &&PodView| if rewritten { !p.terminating && made_since(p) } else { p.runs(self.images) };
        let unready = self.pods.iter().filter(new).filter(|p| !p.ready);
        unready.min_by_key(|p| (of(p).is_none(), p.name.as_str())).and_then(|p| of(p).cloned())
    }
}

/// Admission may rewrite the images of pods, but not of their workload: then no pod shows any of its images, and what tells new pods is that
/// they are new.
fn are_rewritten(pods: &[PodView], templates: &[&[ContainerImage]]) -> bool {
    !pods.iter().any(|p| templates.iter().any(|images| !images.is_empty() && p.runs(images)))
}

/// What the newest of the Events says, in a sentence.
#[must_use]
pub fn newest_warning(events: &[Event]) -> Option<String> {
    let time = |e: &Event| {
        let series = e.series.as_ref().and_then(|s| s.last_observed_time.as_ref()).map(|t| t.0);
        let last = e.last_timestamp.as_ref().map(|t| t.0).max(e.event_time.as_ref().map(|t| t.0));
        series.max(last)
    };
    let newest = events.iter().max_by_key(|e| time(e))?;
    let reason = newest.reason.as_deref().unwrap_or("Warning");
    Some(bounded_to(&format!("{reason}: {}", newest.message.as_deref().unwrap_or_default().trim()), EVENT_MAX))
}

/// Longest part of an Event that is told, in characters.
const EVENT_MAX: usize = 400;

/// The first pod that keeps an ordered `StatefulSet` from going on: of another revision than the one that is wanted now, and not
/// ready. Its controller waits for that pod, for ever if it cannot start. `hopeless`: only pods that say they cannot start.
#[must_use]
pub fn blocking<'a>(pods: &'a [PodView], view: &WorkloadView, hopeless: bool) -> Option<&'a PodView> {
    if !view.blocked_by_broken_pods || !view.observed() {
        return None;
    }
    let blocks = |p: &&PodView| {
        !p.terminating && !p.ready && p.revision.is_some() && p.revision != view.revision && (p.fatal.is_some() || !hopeless)
    };
    pods.iter().filter(blocks).min_by_key(|p| p.name.as_str())
}

/// What really runs in the containers of `images`, one entry a container and content, when all pods of the workload are new or run the
/// images of the template before.
#[must_use]
pub fn digests(pods: &[PodView], images: &[ContainerImage], previous: &[ContainerImage]) -> Vec<Digest> {
    let ours: BTreeSet<_> = images.iter().map(|i| i.container.as_str()).collect();
    let rewritten = are_rewritten(pods, &[images, previous]);
    let found: BTreeSet<_> = pods
        .iter()
        .filter(|p| p.ready && !p.terminating && (rewritten || p.runs(images)))
        .flat_map(|p| &p.digests)
        .filter(|d| ours.contains(d.container.as_str()))
        .map(|d| (d.container.clone(), d.image_id.clone()))
        .collect();
    found.into_iter().map(|(container, image_id)| Digest { container, image_id }).take(64).collect()
}
