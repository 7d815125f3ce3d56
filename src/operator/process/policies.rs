//! Keeping an eye on the admission policies that Trackdown relies on.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::stream::{SelectAll, StreamExt};
use futures::{Stream, stream};
use k8s_openapi::api::admissionregistration::v1::{ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding};
use kube::core::ClusterResourceScope;
use kube::runtime::watcher;
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;
use tokio::sync::watch;

use crate::process::health::Vitals;
use crate::runtime::watch_one::watch_one;
use crate::sinks::metrics::Metrics;
use trackdown_core::policy::{self, Required, Seen, Sight};
use trackdown_core::reason::POLICY_MISSING;

/// What keeps the policies from being in force, in a sentence; `None`: nothing.
pub type InForce = watch::Receiver<Option<String>>;

enum News {
    Policy(Seen<ValidatingAdmissionPolicy>),
    Binding(Seen<ValidatingAdmissionPolicyBinding>),
}

/// The state of the required policies from now on, once each was looked at. Without any, there is nothing to miss.
pub async fn follow(client: &Client, required: &[Required], metrics: &Arc<Metrics>, vitals: &Arc<Vitals>) -> InForce {
    if required.is_empty() {
        tracing::warn!("nobody looks whether admission policies say who may deploy: none is required (--required-policies)");
        return watch::channel(None).1;
    }
    let mut news = SelectAll::new();
    for (index, policy) in required.iter().enumerate() {
        let name = &policy.name;
        news.push(seen(client, name).map(move |seen| (index, News::Policy(seen))).boxed());
        news.push(seen(client, name).map(move |seen| (index, News::Binding(seen))).boxed());
    }
    let mut known: Vec<_> = required.iter().map(|r| (r.clone(), Sight::default(), Sight::default())).collect();
    let judge = |known: &[(Required, Sight<_>, Sight<_>)]| {
        known.iter().find_map(|(required, policy, binding)| policy::problem(required, &policy.seen, &binding.seen))
    };
    let (told, in_force) = watch::channel(judge(&known));
    let (looked, all_looked_at) = tokio::sync::oneshot::channel();
    let mut looked = Some(looked);
    let (metrics, vitals) = (metrics.clone(), vitals.clone());
    let mut said = None;
    report(&metrics, &vitals, &mut said, told.borrow().as_deref());
    tokio::spawn(async move {
        while let Some((index, news)) = news.next().await {
            match news {
                News::Policy(seen) => known[index].1.take_in(seen, Instant::now()),
                News::Binding(seen) => known[index].2.take_in(seen, Instant::now()),
            }
            let problem = judge(&known);
            report(&metrics, &vitals, &mut said, problem.as_deref());
            told.send_if_modified(|before| {
                let changed = *before != problem;
                *before = problem;
                changed
            });
            if known.iter().all(|(_, policy, binding)| policy.seen != Seen::Unread && binding.seen != Seen::Unread) {
                looked.take().map(|looked| looked.send(()));
            }
        }
    });
    let _ = all_looked_at.await;
    in_force
}

fn report(metrics: &Metrics, vitals: &Vitals, said: &mut Option<String>, problem: Option<&str>) {
    metrics.set_policies_in_force(problem.is_none());
    if said.as_deref() == problem {
        return;
    }
    if let Some(before) = said.take() {
        vitals.arrived(&format!("{POLICY_MISSING}: {before}"));
    }
    if let Some(problem) = problem {
        vitals.wait_for(&format!("{POLICY_MISSING}: {problem}"));
        tracing::warn!("{problem}: nothing new starts");
    } else {
        tracing::info!("the admission policies are in force");
    }
    *said = problem.map(str::to_owned);
}

/// Pauses after a refusal: doubled from the first to the longest.
const REFUSED_PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// What is seen of an object of this name from now on. After a refusal it is looked at anew: a watch that goes on where it was says
/// nothing as long as the object stays the same.
fn seen<K>(client: &Client, name: &str) -> impl Stream<Item = Seen<K>> + Send + use<K>
where
    K: Resource<DynamicType = (), Scope = ClusterResourceScope> + Clone + Debug + DeserializeOwned + Send + 'static,
{
    let (api, name) = (Api::<K>::all(client.clone()), name.to_owned());
    let look = move || watch_one(api.clone(), &name).boxed();
    let (first, longest) = REFUSED_PAUSES;
    let start = look();
    stream::unfold((Some(start), first), move |(watch, pause)| {
        let look = look.clone();
        async move {
            let (mut watch, next_pause) = if let Some(watch) = watch {
                (watch, first)
            } else {
                tokio::time::sleep(pause).await;
                (look(), (pause * 2).min(longest))
            };
            loop {
                match watch.next().await? {
                    Ok(Some(object)) => return Some((Seen::Found(Box::new(object)), (Some(watch), first))),
                    Ok(None) => return Some((Seen::Missing, (Some(watch), first))),
                    // While the API server cannot be reached, what was seen last is the best that is known.
                    Err(error) => {
                        if let Some(why) = unreadable(&error) {
                            return Some((Seen::Unreadable(why), (None, next_pause)));
                        }
                    }
                }
            }
        }
    })
}

/// Why the API server will not show it; `None`: it only cannot be asked now.
fn unreadable(error: &watcher::Error) -> Option<String> {
    let (watcher::Error::InitialListFailed(source)
    | watcher::Error::WatchStartFailed(source)
    | watcher::Error::WatchFailed(source)) = error
    else {
        return None;
    };
    match source {
        kube::Error::Api(status) if matches!(status.code, 401 | 403 | 404) => Some(status.message.clone()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use http::{Request, Response};
    use kube::client::Body;
    use serde_json::{Value, json};
    use tower_test::mock;

    use super::*;

    const NAME: &str = "who";

    /// Refused for a moment, and the same as ever after that: a watch that goes on where it was would never tell.
    #[tokio::test]
    async fn after_a_refusal_it_is_listed_again() {
        let (service, mut server) = mock::pair::<Request<Body>, Response<Body>>();
        let client = Client::new(service, "default");
        let mut stream = std::pin::pin!(seen::<ValidatingAdmissionPolicy>(&client, NAME));
        let list = json!({"kind": "List", "metadata": {"resourceVersion": "7"}, "items": [{"metadata": {"name": NAME}}]});
        let refused =
            json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": "no", "reason": "Forbidden", "code": 403});
        let api_server = tokio::spawn(async move {
            let mut asked = Vec::new();
            for (code, answer) in [(200, &list), (403, &refused), (200, &list)] {
                let (request, send) = server.next_request().await.expect("no request");
                asked.push(request.uri().query().unwrap_or_default().contains("watch=true"));
                let body = Value::to_string(answer).into_bytes();
                send.send_response(Response::builder().status(code).body(Body::from(body)).unwrap());
            }
            asked
        });
        let mut told = Vec::new();
        for _ in 0..3 {
            told.push(match stream.next().await.unwrap() {
                Seen::Found(_) => "found",
                Seen::Unreadable(_) => "refused",
                _ => "nothing",
            });
        }
        assert_eq!(told, ["found", "refused", "found"]);
        assert_eq!(api_server.await.unwrap(), [false, true, false], "listed, watched, listed");
    }
}
