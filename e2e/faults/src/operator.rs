//! The real operator as a process that can be killed, stopped and woken, and that is started again when it ends, as a kubelet would.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::sync::{Notify, watch};

/// How the operator is started: as the chart says, but for where and as whom.
#[derive(Clone)]
pub struct Launch {
    pub binary: PathBuf,
    /// Arguments of the chart's Deployment.
    pub arguments: Vec<String>,
    pub token: String,
    /// Namespace of the release.
    pub home: String,
    /// Folder for logs and configurations.
    pub dir: PathBuf,
    /// Library that moves the clock of a process, for one whose clock is to be moved.
    pub clock: Option<PathBuf>,
}

/// One replica. It ends with this value.
#[derive(Clone)]
pub struct Operator(Arc<Inner>);

struct Inner {
    launch: Launch,
    namespace: String,
    identity: String,
    pid: watch::Sender<Option<u32>>,
    ended: Notify,
    wanted: watch::Sender<bool>,
    lives: Mutex<Lives>,
    dir: PathBuf,
}

/// What became of the process so far.
#[derive(Clone, Debug, Default)]
pub struct Lives {
    pub starts: u32,
    /// Killed on purpose.
    pub killed: u32,
    /// Exit codes of ends that were not asked for.
    pub exits: Vec<Option<i32>>,
}

impl Operator {
    /// Starts a replica that works in `namespace` alone and reaches the API server at `server`.
    pub fn start(launch: &Launch, namespace: &str, identity: &str, server: &str) -> Self {
        let dir = launch.dir.join(namespace).join(identity);
        // Another run's log says nothing of this one.
        let _ = std::fs::remove_dir_all(&dir);
        std::fs::create_dir_all(&dir).unwrap();
        let kubeconfig = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "c",
            "clusters": [{"name": "c", "cluster": {"server": server}}],
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u", "namespace": launch.home}}],
            "users": [{"name": "u", "user": {"token": launch.token}}],
        });
        std::fs::write(dir.join("kubeconfig"), kubeconfig.to_string()).unwrap();
        std::fs::write(dir.join("clock"), "0").unwrap();
        let operator = Self(Arc::new(Inner {
            launch: launch.clone(),
            namespace: namespace.to_owned(),
            identity: identity.to_owned(),
            pid: watch::channel(None).0,
            ended: Notify::new(),
            wanted: watch::channel(true).0,
            lives: Mutex::default(),
            dir,
        }));
        tokio::spawn(keep(operator.0.clone()));
        operator
    }

    /// SIGKILL; returns when the process is gone. It is started again at once.
    pub async fn kill(&self) {
        let ended = self.0.ended.notified();
        tokio::pin!(ended);
        ended.as_mut().enable();
        // Counted first: whoever sees it end must know that it was asked for.
        self.0.lives.lock().unwrap().killed += 1;
        if self.signal(Signal::KILL) {
            ended.await;
        }
    }

    pub fn pause(&self) {
        self.signal(Signal::STOP);
    }

    pub fn resume(&self) {
        self.signal(Signal::CONT);
    }

    /// Moves the wall clock of the process, from now on, by so many seconds.
    pub fn move_clock(&self, seconds: i64) {
        std::fs::write(self.0.dir.join("clock"), seconds.to_string()).unwrap();
    }

    /// Ends it for good, without waiting for that.
    pub fn abandon(&self) {
        self.0.wanted.send_replace(false);
        self.signal(Signal::KILL);
    }

    /// Ends it for good.
    pub async fn end(&self) {
        self.0.wanted.send_replace(false);
        let ended = self.0.ended.notified();
        tokio::pin!(ended);
        ended.as_mut().enable();
        if self.signal(Signal::KILL) {
            ended.await;
        }
    }

    pub fn pid(&self) -> Option<u32> {
        *self.0.pid.borrow()
    }

    /// One of the process's sizes in `/proc`, such as `VmRSS`, in MiB.
    pub fn memory(&self, size: &str) -> Option<f64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid()?)).ok()?;
        let line = status.lines().find_map(|l| l.strip_prefix(size)?.strip_prefix(':'))?;
        line.split_whitespace().next()?.parse::<f64>().ok().map(|kib| kib / 1024.0)
    }

    pub fn lives(&self) -> Lives {
        self.0.lives.lock().unwrap().clone()
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.0.dir.join("operator.log")).unwrap_or_default()
    }

    /// Waits until it says that it is ready.
    pub async fn ready(&self, patience: Duration) -> bool {
        let started = Instant::now();
        while started.elapsed() < patience {
            if matches!(self.get("/readyz").await, Some((200, _))) {
                return true;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        false
    }

    /// `GET path`: status and body. `None` while nobody listens.
    pub async fn get(&self, path: &str) -> Option<(u16, String)> {
        let address = self.address()?;
        let ask = async {
            let mut stream = TcpStream::connect(address).await.ok()?;
            let request = format!("GET {path} HTTP/1.1\r\nHost: trackdown\r\nConnection: close\r\n\r\n");
            stream.write_all(request.as_bytes()).await.ok()?;
            let mut text = String::new();
            stream.read_to_string(&mut text).await.ok()?;
            let (head, body) = text.split_once("\r\n\r\n")?;
            Some((head.split(' ').nth(1)?.parse().ok()?, body.to_owned()))
        };
        tokio::time::timeout(Duration::from_secs(5), ask).await.ok()?
    }

    /// Where it listens: the last address its log names.
    fn address(&self) -> Option<String> {
        let log = self.log();
        let line = log.lines().rev().find(|l| l.contains("serving /healthz"))?;
        let line: Value = serde_json::from_str(line).ok()?;
        let address = line["address"].as_str().or_else(|| line["fields"]["address"].as_str())?;
        Some(address.to_owned())
    }

    fn signal(&self, signal: Signal) -> bool {
        let pid = self.pid().and_then(|pid| Pid::from_raw(pid.cast_signed()));
        pid.is_some_and(|pid| kill_process(pid, signal).is_ok())
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Some(pid) = self.pid.borrow().and_then(|pid| Pid::from_raw(pid.cast_signed())) {
            let _ = kill_process(pid, Signal::KILL);
        }
    }
}

async fn keep(operator: Arc<Inner>) {
    loop {
        if !*operator.wanted.borrow() {
            return;
        }
        let killed_before = {
            let mut lives = operator.lives.lock().unwrap();
            lives.starts += 1;
            lives.killed
        };
        let mut child = spawn(&operator);
        operator.pid.send_replace(child.id());
        if !*operator.wanted.borrow() {
            // Ended before anybody could signal it.
            let _ = child.start_kill();
        }
        let status = child.wait().await.unwrap();
        operator.pid.send_replace(None);
        let wanted = *operator.wanted.borrow();
        let unasked = {
            let mut lives = operator.lives.lock().unwrap();
            let unasked = wanted && lives.killed == killed_before;
            if unasked {
                lives.exits.push(status.code());
            }
            unasked
        };
        operator.ended.notify_waiters();
        if !wanted {
            return;
        }
        if unasked {
            // As a kubelet would, but sooner.
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }
}

fn spawn(operator: &Inner) -> Child {
    let Inner { launch, namespace, identity, dir, .. } = operator;
    let log = std::fs::File::options().create(true).append(true).open(dir.join("operator.log")).unwrap();
    let mut command = Command::new(&launch.binary);
    command
        .args(launch.arguments.iter().filter(|a| !replaced(a)))
        .args([&format!("--namespaces={namespace}"), &format!("--lease-name={namespace}"), "--listen-address=127.0.0.1:0"])
        .env_clear()
        .env("KUBECONFIG", dir.join("kubeconfig"))
        .env("TRACKDOWN_IDENTITY", identity)
        .env("TRACKDOWN_LEASE_NAMESPACE", &launch.home)
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .kill_on_drop(true);
    if let Some(clock) = &launch.clock {
        command.env("LD_PRELOAD", clock).env("CLOCK_OFFSET_FILE", dir.join("clock"));
    }
    command.spawn().unwrap()
}

fn replaced(argument: &str) -> bool {
    ["--namespaces=", "--lease-name=", "--listen-address="].iter().any(|known| argument.starts_with(known))
}

/// The library that moves clocks, built from `clock.c`; `None` where that cannot be done.
pub fn clock_library(source: &Path, dir: &Path) -> Option<PathBuf> {
    if !cfg!(target_os = "linux") {
        return None;
    }
    let library = dir.join("clock.so");
    let done =
        std::process::Command::new("cc").args(["-shared", "-fPIC", "-O2", "-o"]).arg(&library).arg(source).arg("-ldl").status();
    done.is_ok_and(|status| status.success()).then_some(library)
}
