//! Calls to the API server: each with a time limit, each error told apart by what it means for a decision.

use std::fmt::Debug;
use std::future::Future;
use std::time::Duration;

use kube::{Api, Resource};
use serde::de::DeserializeOwned;

use crate::runtime::error::Error;
use crate::runtime::guarded::Guarded;

/// Longest wait for an answer. The client itself never retries (see [`crate::process::client`]), so an answer is about one try.
const ANSWER_WITHIN: Duration = Duration::from_secs(15);

/// What a call gave, as far as decisions care.
#[derive(Debug)]
pub enum Reply<T> {
    /// What was asked for.
    Ok(T),
    /// It does not exist.
    NotFound,
    /// The API server understood and refused, and changed nothing: rights, admission, or a failed test.
    Refused(String),
}

/// Waits for the answer to `call`.
///
/// # Errors
/// [`Error::Conflict`] for a lost optimistic lock, [`Error::AlreadyExists`] for a name that is taken; any failure after which it is not known whether the call had an effect.
pub async fn call<T>(action: &'static str, call: impl Future<Output = kube::Result<T>>) -> Result<Reply<T>, Error> {
    let Ok(result) = tokio::time::timeout(ANSWER_WITHIN, call).await else {
        return Err(Error::Timeout { action, seconds: ANSWER_WITHIN.as_secs() });
    };
    match result {
        Ok(value) => Ok(Reply::Ok(value)),
        // No request can be made of it, so none was sent.
        Err(kube::Error::BuildRequest(why)) => Ok(Reply::Refused(format!("it cannot be asked for: {why}"))),
        Err(kube::Error::Api(status)) => match (status.code, status.reason.as_str()) {
            (404, _) => Ok(Reply::NotFound),
            (409, "AlreadyExists") => Err(Error::AlreadyExists { action }),
            (409, _) => Err(Error::Conflict { action }),
            (400 | 403 | 405 | 413 | 415 | 422, _) => Ok(Reply::Refused(status.message.clone())),
            _ => Err(Error::Api { action, source: Box::new(kube::Error::Api(status)) }),
        },
        Err(source) => Err(Error::Api { action, source: Box::new(source) }),
    }
}

/// Reads one object. One that this version cannot read is refused: asked again, the answer is the same.
///
/// # Errors
/// As [`call`].
pub async fn read<K>(action: &'static str, api: Api<Guarded<K>>, name: &str) -> Result<Reply<K>, Error>
where
    K: Resource + Clone + Debug + DeserializeOwned,
{
    Ok(match call(action, api.get(name)).await? {
        Reply::Ok(Guarded(Ok(object))) => Reply::Ok(object),
        Reply::Ok(Guarded(Err(bad))) => Reply::Refused(format!("this version of Trackdown cannot read it: {}", bad.error)),
        Reply::NotFound => Reply::NotFound,
        Reply::Refused(why) => Reply::Refused(why),
    })
}

impl<T> Reply<T> {
    /// The same with what was asked for changed.
    pub fn map<U>(self, f: impl FnOnce(T) -> U) -> Reply<U> {
        match self {
            Self::Ok(value) => Reply::Ok(f(value)),
            Self::NotFound => Reply::NotFound,
            Self::Refused(why) => Reply::Refused(why),
        }
    }
}
