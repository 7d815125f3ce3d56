//! One control plane for the whole test process.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::ROOT;

/// How long a control plane may take to come up when its binaries are built.
const GONE_WITHIN: Duration = Duration::from_secs(20);

/// A running control plane. It ends with this value, and also if the test process dies: its standard input ends then.
pub struct Cluster {
    child: Child,
    control: Mutex<Option<ChildStdin>>,
    replies: Mutex<BufReader<std::process::ChildStdout>>,
    facts: Value,
}

impl Cluster {
    /// Starts one, with these options on top.
    pub fn start(options: &[&str]) -> Self {
        let mut command = Command::new(launcher());
        command.args(["run", "--source"]).arg(Path::new(ROOT).join("e2e/cluster"));
        if let Ok(version) = std::env::var("KUBERNETES_VERSION") {
            command.args(["--version", &version]);
        }
        let mut child = command
            .args(options)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("target/cluster is built by the Makefile: make test-e2e");
        let control = child.stdin.take();
        let mut replies = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        replies.read_line(&mut line).unwrap();
        let facts = serde_json::from_str(&line).expect("the control plane did not come up");
        Self { child, control: Mutex::new(control), replies: Mutex::new(replies), facts }
    }

    /// Starts one with the CRDs installed, as the chart's users have them.
    pub fn with_crds(options: &[&str]) -> Self {
        let cluster = Self::start(options);
        cluster.run("kubectl", &["apply", "--server-side", "-f", "crds/"]);
        cluster
    }

    /// Address of the API server.
    pub fn server(&self) -> String {
        self.facts["server"].as_str().unwrap().to_owned()
    }

    /// Runs a program that came with the control plane as its administrator, which must succeed; its output.
    pub fn run(&self, program: &str, arguments: &[&str]) -> String {
        let mut command = Command::new(self.program(program));
        let output = command.args(arguments).env("KUBECONFIG", self.kubeconfig()).current_dir(ROOT).output().unwrap();
        assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Path of the administrator's kubeconfig.
    pub fn kubeconfig(&self) -> PathBuf {
        self.fact("kubeconfig").into()
    }

    /// Path of the audit log.
    pub fn audit_log(&self) -> PathBuf {
        self.fact("auditLog").into()
    }

    /// Path of a program that came with the control plane.
    pub fn program(&self, name: &str) -> PathBuf {
        Path::new(self.fact("binDir")).join(name)
    }

    /// `stop`, `kill` or `start` a component; returns when it is done.
    pub fn control(&self, what: &str, component: &str) {
        use std::io::Write;
        let mut replies = self.replies.lock().unwrap();
        writeln!(self.control.lock().unwrap().as_mut().unwrap(), "{what} {component}").unwrap();
        let mut line = String::new();
        replies.read_line(&mut line).unwrap();
        let reply: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(reply["ok"], true, "{line}");
    }

    /// Process of a component as it was started first.
    #[allow(dead_code, reason = "benchmarks ask")]
    pub fn pid(&self, component: &str) -> u64 {
        self.facts["pids"][component].as_u64().unwrap()
    }

    fn fact(&self, name: &str) -> &str {
        self.facts[name].as_str().unwrap()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        drop(self.control.lock().unwrap().take());
        let started = Instant::now();
        while started.elapsed() < GONE_WITHIN {
            if self.child.try_wait().is_ok_and(|status| status.is_some()) {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        let _ = self.child.kill();
    }
}

/// The launcher, built by the Makefile.
pub fn launcher() -> PathBuf {
    Path::new(ROOT).join("target/cluster")
}
