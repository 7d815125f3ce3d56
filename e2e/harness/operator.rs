//! The operator as a process, with the arguments and under the service account of the installed chart.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::ROOT;
use super::cluster::{Cluster, launcher};

/// A running operator; killed with this value.
pub struct Operator {
    child: Child,
    address: String,
    log: PathBuf,
}

impl Operator {
    /// Starts the operator of the release in `namespace` under a name among its replicas.
    pub fn start(cluster: &Cluster, namespace: &str, identity: &str) -> Self {
        Self::start_through(cluster, namespace, identity, None)
    }

    /// The same, the API server reached at another address.
    pub fn start_through(cluster: &Cluster, namespace: &str, identity: &str, server: Option<&str>) -> Self {
        let binary = std::env::var("TRACKDOWN_BIN").unwrap_or_else(|_| "target/debug/trackdown".to_owned());
        Self::start_binary(cluster, namespace, identity, server, Path::new(&binary))
    }

    /// The same, of another build.
    pub fn start_binary(cluster: &Cluster, namespace: &str, identity: &str, server: Option<&str>, binary: &Path) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let address = format!("127.0.0.1:{port}");
        let dir = Path::new(ROOT).join("target/e2e").join(namespace).join(identity);
        std::fs::create_dir_all(&dir).unwrap();
        let log = dir.join("operator.log");
        let file = std::fs::File::options().create(true).append(true).open(&log).unwrap();
        let child = Command::new(launcher())
            .args(["operator", "--namespace", namespace, "--deployment", "trackdown", "--identity", identity])
            .args(["--listen-address", &address])
            .args(server.iter().flat_map(|server| ["--server", *server]))
            .arg("--kubeconfig")
            .arg(cluster.kubeconfig())
            .arg("--binary")
            .arg(Path::new(ROOT).join(binary))
            .arg("--dir")
            .arg(&dir)
            .current_dir(ROOT)
            .stdin(Stdio::null())
            .stdout(file.try_clone().unwrap())
            .stderr(file)
            .spawn()
            .unwrap();
        Self { child, address, log }
    }

    /// `GET path`: status and body. `None` while nobody listens.
    pub fn get(&self, path: &str) -> Option<(u16, String)> {
        use std::io::{Read, Write};
        let mut stream = std::net::TcpStream::connect(&self.address).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
        write!(stream, "GET {path} HTTP/1.1\r\nHost: trackdown\r\nConnection: close\r\n\r\n").ok()?;
        let mut text = String::new();
        stream.read_to_string(&mut text).ok()?;
        let (head, body) = text.split_once("\r\n\r\n")?;
        Some((head.split(' ').nth(1)?.parse().ok()?, body.to_owned()))
    }

    /// Its process.
    #[allow(dead_code, reason = "benchmarks ask")]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits until the operator is ready.
    pub fn wait_ready(&self) {
        self.wait_ready_within(Duration::from_secs(60));
    }

    /// The same with more patience.
    pub fn wait_ready_within(&self, patience: Duration) {
        let started = Instant::now();
        while !matches!(self.get("/readyz"), Some((200, _))) {
            assert!(started.elapsed() < patience, "not ready: {:?}\n{}", self.get("/readyz"), self.log());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// A signal by name, e.g. `TERM`, `STOP`, `CONT`.
    pub fn signal(&self, name: &str) {
        let done = Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status();
        assert!(done.is_ok_and(|s| s.success()));
    }

    /// Waits for the process to end; its exit code.
    pub fn wait_exit(&mut self) -> Option<i32> {
        let started = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            assert!(started.elapsed() < Duration::from_secs(30), "still running\n{}", self.log());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// What it logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        self.kill();
    }
}
