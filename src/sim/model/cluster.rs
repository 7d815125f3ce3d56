//! The API server's storage as the model has it, and the workloads' controller.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::shared::Shared;
use crate::api_server;
use crate::world::{BAD, view};
use trackdown_api::record::{Digest, Record, RootCause};
use trackdown_api::ticket::Ticket;
use trackdown_api::workload_ref::ContainerImage;
use trackdown_core::preflight::Holder;
use trackdown_core::workload::pods::PodView;
use trackdown_core::workload::view::WorkloadView;

/// The name of a workload, and of the target that is about it.
pub type Name = &'static str;

/// The objects, as the API server stores them or an operator has them in its cache.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Objects {
    pub ticket: Option<Shared<Ticket>>,
    pub records: BTreeMap<String, Shared<Record>>,
    /// By name; one that is not here was deleted.
    pub workloads: BTreeMap<Name, Shared<Value>>,
}

impl Objects {
    pub fn view(&self, name: &str) -> Option<WorkloadView> {
        self.workloads.get(name).map(|w| view(w))
    }

    /// The image that is set; empty where there is no workload.
    pub fn image(&self, name: &str) -> String {
        self.workloads.get(name).map(|w| image(w)).unwrap_or_default()
    }

    /// Stores the workload in place of the one that is there.
    pub fn put(&mut self, name: &str, workload: Value) {
        if let Some(stored) = self.workloads.get_mut(name) {
            *stored = Shared::new(workload);
        }
    }

    /// The workloads their controller has yet to do its work for.
    pub fn unsettled(&self) -> impl Iterator<Item = Name> {
        self.workloads.iter().filter(|(_, w)| settled(w) != ***w).map(|(name, _)| *name)
    }

    pub fn holder(&self, view: &WorkloadView) -> Holder {
        match view.marker().filter(|m| !m.succeeded) {
            None => Holder::Nobody,
            Some(marker) => self.records.get(&marker.record).map_or(Holder::Gone, |r| match &self.ticket {
                Some(_) => Holder::Record(Box::new(r.owned())),
                None => Holder::Orphan(Box::new(r.owned())),
            }),
        }
    }

    /// The pods a real cluster would show for the workload as it is.
    pub fn pods(&self, name: &str) -> Vec<PodView> {
        let Some(view) = self.view(name).filter(|v| v.replicas.desired > 0) else { return Vec::new() };
        let image = view.containers[0].image.clone();
        let broken = image == BAD && view.observed();
        vec![PodView {
            name: format!("{name}-1"),
            uid: "pod-uid".into(),
            version: "1".into(),
            revision: None,
            images: vec![ContainerImage { container: "web".into(), image }],
            terminating: false,
            created: None,
            ready: !broken && view.complete(),
            fatal: broken.then(|| RootCause::of("ImagePullBackOff", "")),
            hint: None,
            digests: vec![Digest { container: "web".into(), image_id: "sha256:x".into() }],
        }]
    }
}

/// A template the workload's controller has seen, with the annotations it had then: what `kubectl rollout undo` puts back.
pub type Revision = Shared<(String, Value)>;

pub fn image(workload: &Value) -> String {
    workload["spec"]["template"]["spec"]["containers"][0]["image"].as_str().unwrap().to_owned()
}

pub fn set_image(workload: &mut Value, image: &str) {
    workload["spec"]["template"]["spec"]["containers"][0]["image"] = json!(image);
    api_server::new_generation(workload);
}

/// The workload after its controller has done its work.
pub fn settled(workload: &Value) -> Value {
    let mut settled = workload.clone();
    let desired = workload["spec"]["replicas"].clone();
    let broken = image(workload) == BAD && desired != json!(0);
    let (total, updated) = if broken { (json!(3), json!(1)) } else { (desired.clone(), desired.clone()) };
    settled["status"] = json!({
        "observedGeneration": workload["metadata"]["generation"], "replicas": total, "updatedReplicas": updated, "availableReplicas": desired,
    });
    settled
}

/// The revisions after the controller has seen the workload: the newest last, each template once.
pub fn with_revision(revisions: &[Revision], workload: &Value) -> Vec<Revision> {
    let newest = (image(workload), workload["metadata"]["annotations"].clone());
    let mut all: Vec<_> = revisions.iter().filter(|r| r.0 != newest.0).cloned().collect();
    all.push(Shared::new(newest));
    all
}
