//! What strikes everybody at once: the API server and etcd killed, history lost. All scenarios run beside each other on a control plane of
//! their own, and it happens at a moment by chance.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use futures::{StreamExt, stream};

use crate::ROOT;
use crate::case;
use crate::ground::Ground;
use crate::matrix::{baselines, keep_failure};
use crate::proxy::Plan;
use crate::scenario;

/// How long the control plane is away, beside what its start takes.
const AWAY: Duration = Duration::from_secs(1);

/// It happens within this time after the scenarios began, in milliseconds.
const WITHIN: std::ops::Range<u64> = 300..6000;

#[derive(Clone, Copy)]
enum Disaster {
    ApiServerKilled,
    EtcdKilled,
    /// etcd forgets its history while watches are cut: none can go on where it was.
    Compacted,
}

impl fmt::Display for Disaster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ApiServerKilled => "api-server-killed",
            Self::EtcdKilled => "etcd-killed",
            Self::Compacted => "etcd-compacted",
        })
    }
}

impl Disaster {
    const ALL: [Self; 3] = [Self::ApiServerKilled, Self::EtcdKilled, Self::Compacted];

    fn happen(self, ground: &Ground) {
        let cluster = &ground.cluster;
        // It gives itself up when a new API server contradicts its cache, and the test cluster with it.
        cluster.control("stop", "kube-scheduler");
        match self {
            Self::ApiServerKilled => {
                cluster.control("kill", "kube-apiserver");
                std::thread::sleep(AWAY);
            }
            Self::EtcdKilled => {
                cluster.control("kill", "etcd");
                cluster.control("kill", "kube-apiserver");
                std::thread::sleep(AWAY);
                cluster.control("start", "etcd");
            }
            Self::Compacted => {
                cluster.control("kill", "kube-apiserver");
                cluster.control("compact", "etcd");
            }
        }
        cluster.control("start", "kube-apiserver");
        cluster.control("start", "kube-scheduler");
    }
}

/// Runs each disaster `rounds` times; whether all held.
pub async fn run(binary: &Path, rounds: u64, lanes: usize) -> bool {
    let failures = Path::new(ROOT).join("target/faults/disasters");
    let _ = std::fs::remove_dir_all(&failures);
    std::fs::create_dir_all(&failures).unwrap();
    let scenarios: Vec<_> = scenario::ALL.iter().collect();
    let ground = Ground::new(binary, &[]).await;
    let Some(undisturbed) = baselines(&ground, &scenarios, lanes, &failures).await else { return false };
    drop(ground);
    let mut rows = Vec::new();
    let mut all_held = true;
    for disaster in Disaster::ALL {
        let (mut runs, mut held) = (0, 0);
        for round in 0..rounds {
            let ground = Ground::new(binary, &[]).await;
            let moment = Duration::from_millis(fastrand::Rng::with_seed(round).u64(WITHIN));
            let stories = scenario::ALL.iter().map(|scenario| {
                let (ground, like) = (&ground, &undisturbed[scenario.name]);
                async move {
                    let namespace = format!("{}-{round}", scenario.name);
                    (scenario, case::run(ground, &namespace, scenario, Plan::Never, Some(like)).await)
                }
            });
            let mut stories = stream::iter(stories).buffer_unordered(scenario::ALL.len());
            let strike = async {
                tokio::time::sleep(moment).await;
                let ground = ground.clone();
                tokio::task::spawn_blocking(move || disaster.happen(&ground)).await.unwrap();
            };
            let told = async {
                while let Some((scenario, verdict)) = stories.next().await {
                    runs += 1;
                    held += usize::from(verdict.wrong.is_empty());
                    if !verdict.wrong.is_empty() {
                        keep_failure(&format!("{}/{disaster}/{round}", scenario.name), &verdict, &failures);
                    }
                }
            };
            futures::join!(strike, told);
        }
        println!("{disaster}: {runs} runs, {held} held");
        all_held &= runs == held;
        rows.push(format!("| {disaster} | {runs} | {held} |"));
    }
    let text = format!("| disaster | runs | held |\n|---|---:|---:|\n{}\n", rows.join("\n"));
    std::fs::write(Path::new(ROOT).join("target/faults/disasters.md"), &text).unwrap();
    println!("\n{text}");
    all_held
}
