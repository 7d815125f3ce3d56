//! One run: a scenario in a namespace of its own, one fault at one write, and the judgement.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::api::Body;
use crate::fault::Fault;
use crate::ground::Ground;
use crate::history::Kind;
use crate::judge;
use crate::operator::Operator;
use crate::person::{Outcome, Person};
use crate::proxy::{Plan, Progress, Proxy, Traffic};
use crate::scenario::Scenario;
use crate::timeline;

/// Longest wait for the operator to be ready, and for everything to be quiet in the end.
const READY: Duration = Duration::from_secs(60);
const QUIET_WITHIN: Duration = Duration::from_secs(100);

/// How long nothing may be asked for, in the end.
const SILENCE: Duration = Duration::from_millis(2500);

/// How a scenario goes undisturbed.
#[derive(Clone, Debug)]
pub struct Undisturbed {
    pub end: Value,
    /// Objects changed, in the audit log.
    pub writes: usize,
    /// Writes that pass the proxy, Events too: where faults strike.
    pub places: usize,
}

/// What came of a run.
#[derive(Clone, Debug)]
pub struct Verdict {
    pub wrong: Vec<String>,
    /// Whether the fault has struck.
    pub struck: bool,
    pub undisturbed: Undisturbed,
    /// What happened, for people.
    pub timeline: String,
}

impl Verdict {
    /// All of it, for people.
    pub fn told(&self, name: &str) -> String {
        format!("{name}\n{}\n\n{}\n", self.wrong.join("\n"), self.timeline)
    }
}

/// Plays a scenario. Without something to compare with it is itself what others are compared with.
pub async fn run(ground: &Ground, namespace: &str, scenario: &Scenario, plan: Plan, like: Option<&Undisturbed>) -> Verdict {
    let _ = ground.namespace(namespace).await;
    let mut stage = Stage::set(ground, namespace, plan).await;
    let person = ground.person(namespace);
    let mut wrong = Vec::new();
    if let Err(why) = stage.play(&person, scenario).await {
        wrong.push(why);
    }
    wrong.extend(stage.aftermath(plan).await);
    let (versions, world) = (ground.history.of(namespace), ground.history.now(namespace));
    let requests = ground.audit.of(namespace);
    wrong.extend(judge::history(&versions, ground.history.has_gaps()));
    let undisturbed = Undisturbed {
        end: judge::end(&world, scenario.open),
        writes: judge::writes(&requests),
        places: stage.traffic.all().iter().filter_map(|e| e.number).count(),
    };
    if let Some(like) = like {
        if like.end != undisturbed.end {
            wrong.push(format!("it ended otherwise than undisturbed:\n    {}\n    {}", undisturbed.end, like.end));
        }
        let skewed = plan.fault().is_some_and(|f| f.moves_clock().is_some());
        let more = if scenario.open || skewed { judge::MORE_WRITES_OPEN } else { judge::MORE_WRITES };
        if undisturbed.writes > like.writes + more {
            wrong.push(format!("{} writes, undisturbed {}: {}", undisturbed.writes, like.writes, judge::told(&requests)));
        }
    }
    let struck = stage.proxy.progress() != Progress::Waiting;
    let timeline = timeline::render(&versions, &stage.traffic.all(), &stage.operators);
    stage.end().await;
    clean(ground, namespace).await;
    Verdict { wrong, struck, undisturbed, timeline }
}

/// The operator, one or two replicas of it, each behind a proxy.
struct Stage {
    ground: Ground,
    namespace: String,
    traffic: Traffic,
    proxy: Proxy,
    stand_by: Option<Proxy>,
    operators: Vec<Operator>,
}

impl Stage {
    async fn set(ground: &Ground, namespace: &str, plan: Plan) -> Self {
        let traffic = Traffic::default();
        let (upstream, api) = (ground.upstream.clone(), ground.api.clone());
        let proxy = Proxy::start(upstream, api, traffic.clone(), namespace, "a", plan).await;
        Self { ground: ground.clone(), namespace: namespace.to_owned(), traffic, proxy, stand_by: None, operators: Vec::new() }
    }

    async fn play(&mut self, person: &Person, scenario: &Scenario) -> Outcome {
        let fault = self.proxy.plan().fault();
        let mut launch = self.ground.launch.clone();
        if fault.is_some_and(|f| f.moves_clock().is_some()) {
            launch.clock.clone_from(&self.ground.clock);
        }
        let first = Operator::start(&launch, &self.namespace, "a", &self.proxy.address);
        self.proxy.serves(&first);
        self.operators.push(first.clone());
        (scenario.before)(person).await?;
        if !first.ready(READY).await {
            return Err("the operator does not get ready".to_owned());
        }
        if fault == Some(Fault::LeaderPaused) {
            let (upstream, api) = (self.ground.upstream.clone(), self.ground.api.clone());
            let proxy = Proxy::start(upstream, api, self.traffic.clone(), &self.namespace, "b", Plan::Never).await;
            let second = Operator::start(&launch, &self.namespace, "b", &proxy.address);
            self.proxy.beside(&proxy);
            self.stand_by = Some(proxy);
            self.operators.push(second.clone());
            if !second.ready(READY).await {
                return Err("the stand-by does not get ready".to_owned());
            }
        }
        (scenario.play)(person).await
    }

    /// Waits until nothing moves any more; what was wrong about how it got there.
    async fn aftermath(&self, plan: Plan) -> Vec<String> {
        let mut wrong = Vec::new();
        for operator in &self.operators {
            // One that was killed may be on its way up.
            if !operator.ready(READY).await {
                wrong.push("the operator does not get ready again".to_owned());
            }
        }
        let began = Instant::now();
        loop {
            tokio::time::sleep(Duration::from_millis(50)).await;
            // What comes of a fault shows after its end.
            let over = match self.proxy.progress() {
                Progress::Striking => false,
                Progress::Waiting | Progress::Over => self.proxy.over_since().is_none_or(|at| at.elapsed() > SILENCE),
            };
            let quiet = self.traffic.quiet_since().is_none_or(|at| at.elapsed() > SILENCE);
            if over && quiet {
                break;
            }
            if began.elapsed() > QUIET_WITHIN {
                wrong.push("it never gets quiet".to_owned());
                break;
            }
        }
        let rate = self.traffic.rate();
        if rate > judge::RATE_MAX {
            wrong.push(format!("{rate} requests within a second"));
        }
        for operator in &self.operators {
            match operator.get("/healthz").await {
                Some((200, _)) => {}
                other => wrong.push(format!("/healthz: {other:?}")),
            }
            let log = operator.log();
            if let Some(line) = log.lines().find(|l| l.contains("panicked")) {
                wrong.push(format!("panic: {line}"));
            }
            let may_exit = matches!(plan.fault(), Some(Fault::LeaderPaused | Fault::ClockForward | Fault::ClockBack));
            let exits = operator.lives().exits;
            if !exits.is_empty() && !may_exit {
                wrong.push(format!("it exited: {exits:?}"));
            }
        }
        wrong
    }

    async fn end(self) {
        for operator in &self.operators {
            operator.end().await;
        }
    }
}

/// A run that is given up leaves no process behind.
impl Drop for Stage {
    fn drop(&mut self) {
        self.operators.iter().for_each(Operator::abandon);
        self.proxy.end();
        self.stand_by.iter().for_each(Proxy::end);
    }
}

/// Deletes what costs something to keep.
async fn clean(ground: &Ground, namespace: &str) {
    for kind in Kind::ALL {
        let _ = ground.api.send("DELETE", &format!("{}?propagationPolicy=Background", kind.path(namespace)), Body::None).await;
    }
    ground.history.forget(namespace);
    ground.audit.forget(namespace);
}
