//! What Trackdown knows of a workload from one read of it.

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::core::v1::{Container, PodTemplateSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::core::ObjectMeta;
use kube::core::Selector;

use super::owner::{self, ImageOwner, Mark};
use trackdown_api::marker::Marker;
use trackdown_api::record::{Replicas, RootCause};
use trackdown_api::workload_ref::{ContainerImage, Workload, WorkloadKind};
use trackdown_api::{FIELD_MANAGER, MARKER_ANNOTATION, ROLLING_LABEL};

/// A container of the pod template.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct ContainerView {
    /// Its name, unique among containers and init containers together.
    pub name: String,
    /// Its image.
    pub image: String,
    /// The list of the pod template it stands in: `containers` or `initContainers`.
    pub list: &'static str,
    /// Its place in that list.
    pub index: usize,
}

/// A failure the workload's own controller reports, and since when: it may be that of an earlier rollout.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct ReportedFailure {
    /// What it says.
    pub cause: RootCause,
    /// A person ended the rollout there: nothing failed.
    pub by_person: bool,
    /// When it last said something new, in whole seconds.
    pub since: Option<Timestamp>,
    /// What tells that it is about this rollout, and does not pass.
    pub counts: Counts,
}

/// When a failure that a workload's controller reports counts.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Counts {
    /// When it is told after the write.
    Told,
    /// When it is told after the write and is still there some time later: it may pass. While the API server starts, its controllers have no
    /// rights.
    ToldAndStands,
    /// When it is there some time after the write, whenever it was told: its controller says nothing new of it as long as it stays.
    Stands,
    /// When it is told after the write, or is there some time after that.
    ToldOrStands,
}

/// What a controller that promotes templates goes back to by itself, while the newest is not promoted.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Unpromoted {
    /// Name of the `ReplicaSet` of the template that is promoted.
    pub replica_set: String,
    /// Its images: only a live read of the workload reads them, too.
    pub images: Vec<ContainerImage>,
    /// Why that could not be done.
    pub unread: Option<String>,
}

/// One read of the `ReplicaSet` of a template.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TemplateSeen {
    /// Its images, init containers included.
    pub images: Vec<ContainerImage>,
    /// Its pods that are available.
    pub available: i32,
}

impl From<&ReplicaSet> for TemplateSeen {
    fn from(set: &ReplicaSet) -> Self {
        let pod = set.spec.as_ref().and_then(|s| s.template.as_ref()).and_then(|t| t.spec.as_ref());
        let containers = pod.into_iter().flat_map(|p| p.containers.iter().chain(p.init_containers.iter().flatten()));
        Self {
            images: containers
                .map(|c| ContainerImage { container: c.name.clone(), image: c.image.clone().unwrap_or_default() })
                .collect(),
            available: set.status.as_ref().and_then(|s| s.available_replicas).unwrap_or_default(),
        }
    }
}

/// One read of a workload.
#[allow(clippy::struct_excessive_bools, reason = "independent facts of one read")]
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct WorkloadView {
    /// Which workload.
    pub workload: Workload,
    /// `metadata.uid`.
    pub uid: String,
    /// `metadata.resourceVersion`, if it can be compared (Kubernetes 1.35 guarantees it). Only ever used to save a request.
    pub version: Option<u64>,
    /// `metadata.generation`.
    pub generation: i64,
    /// `status.observedGeneration`.
    pub observed_generation: i64,
    /// The value of the marker annotation, whoever wrote it.
    pub marker: Option<String>,
    /// Value of the label of a rollout in flight, if the workload carries it: see [`trackdown_api::witness`].
    pub rolling: Option<String>,
    /// Whether it has any annotation.
    pub has_annotations: bool,
    /// Whether it has any label.
    pub has_labels: bool,
    /// Containers, then init containers.
    pub containers: Vec<ContainerView>,
    /// Rollouts are paused by the workload's owner.
    pub paused: bool,
    /// Why this workload cannot be followed to an end, if so.
    pub unsupported: Option<String>,
    /// A Rollout that takes its pod template from this workload, as far as somebody looked.
    pub referenced_by: Option<String>,
    /// Why its controller cannot carry out what it asks for as it stands, if so.
    pub invalid: Option<String>,
    /// Name of the `ReplicaSet` of the newest template, where the status can be that of an older one although it says otherwise.
    pub newest: Option<String>,
    /// The newest template is not the one that is promoted. Never so for kinds that promote nothing.
    pub unpromoted: Option<Unpromoted>,
    /// Pods of every template that exist.
    pub total: i32,
    /// Pods asked for, of the new template, and available.
    pub replicas: Replicas,
    /// The workload's own controller counts the newest template as promoted. Always so for kinds that promote nothing.
    pub promoted: bool,
    /// A pod that is not ready keeps the workload's controller from replacing it, even by one that would be.
    pub blocked_by_broken_pods: bool,
    /// The workload's controller waits for a person to let it go on.
    pub awaits_person: bool,
    /// What the workload's controller says of a rollout that goes on.
    pub progress: Option<RootCause>,
    /// Failures the workload's own controller reports.
    pub failures: Vec<ReportedFailure>,
    /// The workload's own revision number.
    pub revision: Option<String>,
    /// Label selector of its pods, as a query string.
    pub selector: String,
    /// Who else owns the image.
    pub owner: ImageOwner,
    /// The marks `owner` and `consent` were told from.
    pub marks: Vec<Mark>,
    /// Its owner allows Trackdown to write although a GitOps tool owns the image.
    pub consent: bool,
    /// When Trackdown last wrote to it, in whole seconds.
    pub written: Option<Timestamp>,
}

impl WorkloadView {
    /// What all kinds have in common; what a kind's own status says is left as if its controller had not looked yet.
    #[must_use]
    pub fn of(kind: WorkloadKind, meta: &ObjectMeta, template: Option<&PodTemplateSpec>, selector: Option<&LabelSelector>) -> Self {
        let pod = template.and_then(|t| t.spec.as_ref());
        let mut containers = containers("containers", pod.map(|p| p.containers.as_slice()).unwrap_or_default());
        containers.extend(self::containers("initContainers", pod.and_then(|p| p.init_containers.as_deref()).unwrap_or_default()));
        let annotations = meta.annotations.clone().unwrap_or_default();
        let labels = meta.labels.clone().unwrap_or_default();
        let own_writes = meta.managed_fields.iter().flatten().filter(|f| f.manager.as_deref() == Some(FIELD_MANAGER));
        Self {
            workload: Workload {
                kind,
                namespace: meta.namespace.clone().unwrap_or_default(),
                name: meta.name.clone().unwrap_or_default(),
            },
            uid: meta.uid.clone().unwrap_or_default(),
            version: meta.resource_version.as_deref().and_then(|v| v.parse().ok()),
            generation: meta.generation.unwrap_or_default(),
            observed_generation: 0,
            marker: annotations.get(MARKER_ANNOTATION).cloned(),
            rolling: labels.get(ROLLING_LABEL).cloned(),
            has_annotations: !annotations.is_empty(),
            has_labels: !labels.is_empty(),
            containers,
            paused: false,
            unsupported: None,
            referenced_by: None,
            invalid: None,
            newest: None,
            unpromoted: None,
            total: 0,
            replicas: Replicas::default(),
            promoted: true,
            blocked_by_broken_pods: false,
            awaits_person: false,
            progress: None,
            failures: Vec::new(),
            revision: None,
            selector: selector.and_then(|s| Selector::try_from(s.clone()).ok()).map(|s| s.to_string()).unwrap_or_default(),
            owner: owner::detect(meta),
            marks: owner::marks(meta),
            consent: owner::consents(meta),
            written: own_writes.filter_map(|f| f.time.as_ref().map(|t| t.0)).max(),
        }
    }

    /// Whether the workload's controller has seen the newest template and every pod runs it and is available. All numbers are
    /// of one read: a rollout that passes through zero pods (Recreate, `maxUnavailable: 100%`) is complete only at the end.
    #[must_use]
    pub fn complete(&self) -> bool {
        let desired = self.replicas.desired;
        self.observed()
            && self.promoted
            && self.total == desired
            && self.replicas.updated == desired
            && self.replicas.available == desired
    }

    /// Whether the workload's controller has seen the newest template.
    #[must_use]
    pub fn observed(&self) -> bool {
        self.observed_generation >= self.generation
    }

    /// The marker, if it was written to this very workload.
    #[must_use]
    pub fn marker(&self) -> Option<Marker> {
        Marker::parse(self.marker.as_deref()?, &self.uid, &self.workload.namespace)
    }

    /// The GitOps tool that owns the image and has not consented to a write.
    #[must_use]
    pub fn foreign_owner(&self) -> Option<&ImageOwner> {
        Some(&self.owner).filter(|owner| owner.is_gitops() && !self.consent)
    }

    /// The images that run now and are to stay, in the containers of `like`: of a template that is not promoted those that its controller
    /// goes back to, if they are known.
    #[must_use]
    pub fn good_images_of(&self, like: &[ContainerImage]) -> Vec<ContainerImage> {
        let mut images = self.images_of(like);
        for image in &mut images {
            let good = self.unpromoted.iter().flat_map(|u| &u.images).find(|good| good.container == image.container);
            if let Some(good) = good {
                image.image.clone_from(&good.image);
            }
        }
        images
    }

    /// The container of that name.
    #[must_use]
    pub fn container(&self, name: &str) -> Option<&ContainerView> {
        self.containers.iter().find(|c| c.name == name)
    }

    /// The images that run now in the containers of `like`. A container that no longer exists is left out.
    #[must_use]
    pub fn images_of(&self, like: &[ContainerImage]) -> Vec<ContainerImage> {
        like.iter()
            .filter_map(|i| self.container(&i.container))
            .map(|c| ContainerImage { container: c.name.clone(), image: c.image.clone() })
            .collect()
    }
}

fn containers(list: &'static str, containers: &[Container]) -> Vec<ContainerView> {
    containers
        .iter()
        .enumerate()
        .map(|(index, c)| ContainerView { name: c.name.clone(), image: c.image.clone().unwrap_or_default(), list, index })
        .collect()
}
