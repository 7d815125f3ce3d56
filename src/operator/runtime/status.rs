//! Writing a status: with an optimistic lock, and making sure that it stays.

use std::fmt::Debug;

use kube::api::PostParams;
use kube::core::NamespaceResourceScope;
use kube::{Api, Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::runtime::call::{Reply, call};
use crate::runtime::context::Context;
use crate::runtime::error::Error;
use crate::runtime::fresh::Fresh;
use trackdown_api::FIELD_MANAGER;
use trackdown_core::kept::Kept;

/// What is written of a kind.
pub struct Kind<'a, K> {
    /// What is done, for error messages.
    pub action: &'static str,
    /// Name of the CRD.
    pub crd: &'static str,
    /// Own writes of the kind.
    pub fresh: &'a Fresh<K>,
}

/// Writes the status of `sent`, which is `before` with another one, with the resource version it was decided on; what is stored
/// then. What the API server answers must be what was sent: if a field is missing, the installed CRD does not know it, and
/// nothing Trackdown remembers there would be safe.
///
/// # Errors
/// [`Error::Conflict`] if somebody else wrote the object, [`Error::CrdTooOld`] if the status does not stay, any failure of the call.
pub async fn write<K>(ctx: &Context, kind: &Kind<'_, K>, before: &K, sent: &K) -> Result<K, Error>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Kept + Clone + Debug + DeserializeOwned + Serialize,
{
    let (namespace, name) = (sent.namespace().unwrap_or_default(), sent.name_any());
    let action = kind.action;
    let api: Api<K> = Api::namespaced(ctx.client.clone(), &namespace);
    let params = PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() };
    // The API server takes nothing but the status, and these as they are sent: a cache keeps only a part of them.
    let mut body = sent.clone();
    body.meta_mut().managed_fields = None;
    let answer = match call(action, api.replace_status(&name, &params, &body)).await {
        Ok(Reply::Ok(answer)) => answer,
        Ok(Reply::Refused(why)) => return Err(Error::refused(action, why)),
        Ok(Reply::NotFound) | Err(Error::Conflict { .. }) => {
            kind.fresh.forget(&namespace, &name);
            return Err(Error::Conflict { action });
        }
        Err(error) => return Err(error),
    };
    let status = |object: &K| serde_json::to_value(object).ok().and_then(|o| o.get("status").cloned());
    if status(&answer) != status(sent) {
        return Err(ctx.stop_for_old_crd(kind.crd));
    }
    kind.fresh.wrote(Some(before), &answer);
    Ok(answer)
}
