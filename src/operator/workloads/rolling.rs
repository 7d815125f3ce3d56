//! The workloads with a rollout in flight, as last watched.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::FutureExt;
use futures::future::{self, LocalBoxFuture};
use kube::runtime::reflector::store::WriterDropped;
use kube::runtime::reflector::{ObjectRef, Store};

use crate::workloads::kinds::WorkloadType;
use trackdown_api::workload_ref::{Workload, WorkloadKind};
use trackdown_core::workload::view::WorkloadView;

/// Workloads with a rollout in flight, cached. A kind that has no cache has no workloads.
#[derive(Clone, Default)]
pub struct RollingWorkloads(BTreeMap<WorkloadKind, Arc<dyn Shelf>>);

impl RollingWorkloads {
    /// All of them.
    #[must_use]
    pub fn all(&self) -> Vec<WorkloadView> {
        self.0.values().flat_map(|shelf| shelf.views()).collect()
    }

    /// The workload as last watched.
    #[must_use]
    pub fn get(&self, workload: &Workload) -> Option<WorkloadView> {
        self.0.get(&workload.kind)?.view_of(workload)
    }

    /// Waits until the caches of the kinds that every cluster has are filled. Not for the others, which may be gone or forbidden:
    /// what their caches lack is read live.
    ///
    /// # Errors
    /// If nobody fills them any more.
    pub async fn filled(&self) -> Result<(), WriterDropped> {
        let built_in = self.0.iter().filter(|(kind, _)| kind.is_built_in());
        future::try_join_all(built_in.map(|(_, shelf)| shelf.filled())).await?;
        Ok(())
    }
}

impl FromIterator<(WorkloadKind, Arc<dyn Shelf>)> for RollingWorkloads {
    fn from_iter<I: IntoIterator<Item = (WorkloadKind, Arc<dyn Shelf>)>>(shelves: I) -> Self {
        Self(shelves.into_iter().collect())
    }
}

/// The cache of one kind, whatever its type.
pub trait Shelf: Send + Sync {
    /// Everything in it.
    fn views(&self) -> Vec<WorkloadView>;

    /// The workload of this namespace and name.
    fn view_of(&self, workload: &Workload) -> Option<WorkloadView>;

    /// Waits for the end of the first list.
    fn filled(&self) -> LocalBoxFuture<'_, Result<(), WriterDropped>>;
}

impl<W: WorkloadType> Shelf for Store<W> {
    fn views(&self) -> Vec<WorkloadView> {
        self.state().iter().map(|w| w.view()).collect()
    }

    fn view_of(&self, workload: &Workload) -> Option<WorkloadView> {
        Some(self.get(&ObjectRef::new(&workload.name).within(&workload.namespace))?.view())
    }

    fn filled(&self) -> LocalBoxFuture<'_, Result<(), WriterDropped>> {
        self.wait_until_ready().boxed_local()
    }
}
