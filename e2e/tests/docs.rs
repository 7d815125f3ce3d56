//! Every command in the documentation runs, one page after the other in one cluster, as somebody reads them. The chart is installed
//! cluster-wide, as the documentation tells people to.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use crate::harness::ROOT;
use crate::harness::cluster::Cluster;
use crate::harness::operator::Operator;

const NAMESPACE: &str = "trackdown-system";

pub async fn every_page_runs(_: &Arc<Cluster>) {
    let own = Cluster::start(&[]);
    own.run("helm", &["install", "trackdown", "charts/trackdown", "--namespace", NAMESPACE, "--create-namespace"]);
    let operator = Operator::start(&own, NAMESPACE, "trackdown-0");
    operator.wait_ready();
    let mut pages: Vec<_> = std::fs::read_dir(Path::new(ROOT).join("docs")).unwrap().map(|e| e.unwrap().path()).collect();
    pages.push(Path::new(ROOT).join("README.md"));
    pages.sort();
    let kubeconfig = Path::new(ROOT).join("target/e2e/docs.kubeconfig");
    std::fs::create_dir_all(kubeconfig.parent().unwrap()).unwrap();
    std::fs::copy(own.kubeconfig(), &kubeconfig).unwrap();
    let mut ran = 0;
    for page in pages.iter().filter(|p| p.extension().is_some_and(|e| e == "md")) {
        let script = commands(&std::fs::read_to_string(page).unwrap());
        if script.is_empty() {
            continue;
        }
        run(&own, page, &script, &kubeconfig, &operator);
        ran += 1;
    }
    assert!(ran >= 5, "only {ran} pages have commands");

    // What the chart brought, it takes away again; tickets, records and their definitions stay.
    own.run("helm", &["uninstall", "trackdown", "--namespace", NAMESPACE]);
    let kept = own.run("kubectl", &["get", "crds", "--output=name"]);
    assert!(kept.contains("tickets.trackdown.dev") && kept.contains("deployments.trackdown.dev"), "{kept}");
    let left = own.run("kubectl", &["get", "validatingadmissionpolicies,clusterroles,clusterrolebindings", "--output=name"]);
    assert!(!left.contains("trackdown"), "{left}");
}

/// Examples and the rendered install are accepted by the API server, and kustomize builds what it is said to build.
pub async fn manifests_are_accepted(_: &Arc<Cluster>) {
    let own = Cluster::start(&[]);
    own.run("kubectl", &["apply", "--server-side", "-f", "manifests/install.yaml"]);
    own.run("kubectl", &["wait", "--for=condition=Established", "crd/tickets.trackdown.dev", "--timeout=30s"]);
    own.run("kubectl", &["apply", "--dry-run=server", "-f", "manifests/examples/"]);
    let built = own.run("kubectl", &["kustomize", "manifests/kustomize/example/overlay"]);
    let expected = std::fs::read_to_string(Path::new(ROOT).join("manifests/kustomize/example/expected.yaml")).unwrap();
    assert_eq!(built, expected);
    own.run("kubectl", &["delete", "-f", "manifests/install.yaml", "--wait=false"]);
}

/// The `sh` blocks of a page, in order.
fn commands(page: &str) -> String {
    let mut script = String::new();
    let mut inside = false;
    for line in page.lines() {
        match line.trim() {
            "```sh" => inside = true,
            "```" => inside = false,
            _ if inside => script.extend([line, "\n"]),
            _ => {}
        }
    }
    script
}

fn run(cluster: &Cluster, page: &Path, script: &str, kubeconfig: &Path, operator: &Operator) {
    let programs: Vec<PathBuf> = vec![cluster.program("kubectl").parent().unwrap().into(), Path::new(ROOT).join("target/debug")];
    let path = std::env::join_paths(programs.into_iter().chain(std::env::split_paths(&std::env::var_os("PATH").unwrap()))).unwrap();
    let output = Command::new("bash")
        .args(["-c", &format!("set -euo pipefail\n{script}")])
        .env("KUBECONFIG", kubeconfig)
        .env("PATH", path)
        .current_dir(ROOT)
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}:\n{}\n{}\n{}", page.display(), text(&output.stdout), text(&output.stderr), operator.log());
}
