//! Where what happened is told: each sink takes the news and makes its own of it.

pub mod audit;
pub mod events;
pub mod metrics;

use std::sync::Arc;

use kube::Client;

use self::metrics::Metrics;
use trackdown_core::happening::News;

/// Somebody who is told what happened.
pub trait Sink: Send + Sync {
    /// Takes something in that has happened. Called in the middle of the work: what takes time or may fail is done beside it.
    fn take(&self, news: &News);
}

/// Everybody who is told.
#[derive(Clone, Default)]
pub struct Sinks(Vec<Arc<dyn Sink>>);

impl Sinks {
    /// These.
    #[must_use]
    pub fn new(sinks: Vec<Arc<dyn Sink>>) -> Self {
        Self(sinks)
    }

    /// Those of the operator. `identity`: name of this process among others.
    #[must_use]
    pub fn start(client: &Client, identity: &str, metrics: &Arc<Metrics>) -> Self {
        Self::new(vec![Arc::new(audit::Log), Arc::new(events::Publisher::start(client.clone(), identity)), metrics.clone()])
    }

    /// Tells everybody, in the order in which it happened.
    pub fn tell(&self, news: impl IntoIterator<Item = News>) {
        for news in news {
            self.0.iter().for_each(|sink| sink.take(&news));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use trackdown_core::happening::{About, Happening};

    fn ended(result: &str) -> News {
        let took = Some(jiff::SignedDuration::from_secs(3));
        let what = Happening::AttemptEnded { result: result.into(), message: String::new(), took };
        News { about: About::default(), what }
    }

    #[test]
    fn everybody_is_told_everything() {
        let (one, other) = (Arc::new(Metrics::default()), Arc::new(Metrics::default()));
        let deployed = News { about: About::default(), what: Happening::Deployed };
        Sinks::new(vec![one.clone(), other.clone()]).tell([ended("RolledBack"), deployed, ended("RolledBack")]);
        for metrics in [one, other] {
            let text = metrics.text().unwrap();
            assert!(text.contains("trackdown_rollouts_total{result=\"RolledBack\"} 2"), "{text}");
            assert!(text.contains("trackdown_rollout_duration_seconds_sum 6.0"), "{text}");
        }
    }
}
