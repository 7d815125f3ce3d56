//! The operator in a namespace of its own, with neighbours that mean well.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::valid::{self, NEW};
use crate::ROOT;
use crate::api::Body;
use crate::ground::Ground;
use crate::history::{Kind, World};
use crate::operator::Operator;
use crate::proxy::{Plan, Proxy, Traffic};
use crate::reading::image;

/// Longest wait for the operator to be ready.
const READY: Duration = Duration::from_secs(60);

/// Longest wait for a good ticket.
const GOOD_WITHIN: Duration = Duration::from_secs(30);

pub struct Stage {
    pub ground: Ground,
    pub namespace: String,
    pub traffic: Traffic,
    pub operator: Operator,
    proxy: Proxy,
    neighbours: AtomicUsize,
}

impl Stage {
    /// Sets it up: two neighbours are deployed before anything bad comes.
    pub async fn set(ground: &Ground, namespace: &str) -> Result<Self, String> {
        ground.namespace(namespace).await?;
        let traffic = Traffic::default();
        let proxy = Proxy::start(ground.upstream.clone(), ground.api.clone(), traffic.clone(), namespace, "a", Plan::Never).await;
        let mut launch = ground.launch.clone();
        // Apart from those of other runs, which may begin with a clean folder.
        launch.dir = Path::new(ROOT).join("target/faults/bad-input/operators");
        let operator = Operator::start(&launch, namespace, "a", &proxy.address);
        proxy.serves(&operator);
        let (ground, namespace, neighbours) = (ground.clone(), namespace.to_owned(), AtomicUsize::new(0));
        let stage = Self { ground, namespace, traffic, operator, proxy, neighbours };
        if !stage.operator.ready(READY).await {
            return Err("the operator does not get ready".to_owned());
        }
        for name in ["good-a", "good-b"] {
            stage.neighbour(name).await?;
        }
        Ok(stage)
    }

    /// A good ticket for a good workload that nobody has seen before; how long it took.
    pub async fn new_neighbour(&self) -> Result<Duration, String> {
        let number = self.neighbours.fetch_add(1, Ordering::Relaxed);
        self.neighbour(&format!("good-{number}")).await
    }

    async fn neighbour(&self, name: &str) -> Result<Duration, String> {
        let began = Instant::now();
        let (api, namespace) = (&self.ground.api, &self.namespace);
        let workload = valid::workload("Deployment", name);
        api.send("POST", &Kind::Deployment.path(namespace), Body::Create(&workload)).await?;
        let ticket = valid::ticket(name, name, NEW);
        api.send("POST", &Kind::Ticket.path(namespace), Body::Create(&ticket)).await?;
        if self.ground.history.until(namespace, GOOD_WITHIN, |world| is_done(world, name)).await {
            return Ok(began.elapsed());
        }
        let world = self.ground.history.now(namespace);
        let status = world.get(&(Kind::Ticket, name.to_owned())).map(|t| t["status"].to_string());
        Err(format!("neighbour {name} is not done after {} s: {}", GOOD_WITHIN.as_secs(), status.unwrap_or_default()))
    }

    /// The neighbours that were there first are as they were.
    pub fn first_neighbours_are_well(&self) -> bool {
        let world = self.ground.history.now(&self.namespace);
        ["good-a", "good-b"].iter().all(|name| is_done(&world, name))
    }

    /// Kills the operator; whether it gets ready again, with everything there is to be listed.
    pub async fn restart(&self) -> bool {
        self.operator.kill().await;
        // What its log says about where it listens is the last life's until it has said it anew.
        let started = Instant::now();
        while started.elapsed() < READY && self.operator.get("/healthz").await.is_none() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        self.operator.ready(READY).await
    }

    /// Takes everything away that costs something to keep.
    pub async fn end(self) {
        self.operator.end().await;
        self.proxy.end();
        super::cleanup::clean(&self.ground, &self.namespace).await;
    }
}

fn is_done(world: &World, name: &str) -> bool {
    let of = |kind: Kind| world.get(&(kind, name.to_owned()));
    of(Kind::Ticket).is_some_and(|t| t["status"]["state"] == "done") && of(Kind::Deployment).is_some_and(|w| image(w) == NEW)
}
