#!/usr/bin/env bash
# Writes what is generated into the folder $1: CRDs (twice: for people, and inside the chart), the rendered install, the API reference.
set -euo pipefail

out=$1
bin=$("$CLUSTER_BIN" build)
mkdir -p "$out/crds" "$out/charts/trackdown/files/crds" "$out/manifests" "$out/docs"

"$TRACKDOWN_BIN" crds | awk -v out="$out" '
	function flush() {
		if (name == "") return
		for (i in folders) printf "%s", text > (out "/" folders[i] "/trackdown.dev_" name ".yaml")
		text = ""; name = ""
	}
	BEGIN { split("crds charts/trackdown/files/crds", folders, " ") }
	/^---$/ { flush(); next }
	/^  name: .*\.trackdown\.dev$/ { name = $2; sub(/\..*/, "", name) }
	{ text = text $0 "\n" }
	END { flush() }'

{
	printf 'apiVersion: v1\nkind: Namespace\nmetadata:\n  name: trackdown-system\n  labels:\n    pod-security.kubernetes.io/enforce: restricted\n'
	"$bin/helm" template trackdown charts/trackdown --namespace trackdown-system --skip-tests
} > "$out/manifests/install.yaml"

"$TRACKDOWN_BIN" api-reference > "$out/docs/api-reference.md"
