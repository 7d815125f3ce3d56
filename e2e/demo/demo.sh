#!/usr/bin/env bash
# make demo: two tickets, one that is deployed and one that is rolled back, on a real control plane. README.md has the settings.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source=check.sh
. "$sources/check.sh"

KEEP=${KEEP:-}
CHECK=${CHECK:-}
CONTEXT=${CONTEXT:-}
YES=${YES:-}

manifests=e2e/demo
# The process that tells of the tries meanwhile, see follow_tries.
follower=''
interrupted=''

web_new=ghcr.io/acme/web:1.4.2
api_fixed=ghcr.io/acme/api:2.1.0

main() {
	find_programs
	introduce
	claim_folder
	if [ -n "$CONTEXT" ]; then
		use_context
	else
		start_control_plane
	fi
	install
	start_apps
	apply_tickets
	show_result
	[ "$CHECK" != 1 ] || check_end_state
	if [ "$KEEP" = 1 ]; then
		keep
	else
		finish
	fi
	conclude
}

# --- Preparation ---

# program VARIABLE: the absolute path of the program that an environment variable names.
program() {
	local path=${!1:-}
	[ -n "$path" ] || die "the environment variable $1 is not set; make demo sets it"
	[ -x "$path" ] || die "there is no program $path ($1); make demo builds it"
	echo "$(cd "$(dirname "$path")" && pwd)/$(basename "$path")"
}

find_programs() {
	local needed
	cluster_program=$(program CLUSTER_BIN)
	trackdown_program=$(program TRACKDOWN_BIN)
	for needed in curl awk ps diff; do
		type -P "$needed" >/dev/null || die "the demo needs $needed, which is not on the PATH"
	done
	if [ -n "$CONTEXT" ]; then
		for needed in kubectl helm; do
			type -P "$needed" >/dev/null || die "CONTEXT needs $needed, which is not on the PATH"
		done
		kubectl_program=$(type -P kubectl)
		helm_program=$(type -P helm)
	fi
	cd "$repository"
}

introduce() {
	echo "${bold}Trackdown: a ticket that deploys, and one that is rolled back${plain}"
	echo
	if [ -n "$CONTEXT" ]; then
		say "Runs on your cluster, in the namespaces $system_namespace and $demo_namespace."
		say "The operator runs as a process on this machine. Takes about a minute."
	else
		say "Real: API server, etcd, controllers, scheduler, and the Trackdown operator."
		say "Simulated (by kwok): the nodes, and the pods on them. No image is pulled."
		say "Takes about 25 seconds, and before the first time about eight minutes, once, to build the"
		say "control plane from source."
	fi
	if [ "$KEEP" = 1 ]; then
		say "KEEP=1: cluster and operator stay until you run make demo-down."
	else
		say "Everything is removed at the end. Ctrl-C ends it at any time."
	fi
}

claim_folder() {
	mkdir -p "$(dirname "$DEMO_DIR")"
	mkdir -m 700 "$DEMO_DIR" 2>/dev/null || die "there is a demo already, in $DEMO_DIR; make demo-down removes it"
	trap leave EXIT
	trap 'interrupted=1; exit 130' INT
	trap 'interrupted=1; exit 143' TERM HUP
	save_settings
}

start_control_plane() {
	# Somebody's own settings must not get in here.
	unset KUBECONFIG
	step "Control plane: building what has not been built before"
	attended build_control_plane
	kubectl_program=$(cat "$DEMO_DIR/bin")/kubectl
	helm_program=$(cat "$DEMO_DIR/bin")/helm
	save_settings

	step "Control plane: starting it, with three simulated nodes"
	job_must_finish=1
	attended bring_up || die "the control plane did not start: $(cat "$DEMO_DIR/up.log")"
	job_must_finish=''
	cp "$DEMO_DIR/cluster/admin.kubeconfig" "$DEMO_DIR/kubeconfig"
	kubectl config set-context --current --namespace "$demo_namespace" >/dev/null
	say "Kubernetes $(sed -n 's/.*"version":"\([^"]*\)".*/\1/p' "$DEMO_DIR/cluster.json") at $(server)"
}

bring_up() { "$cluster_program" up --dir "$DEMO_DIR/cluster" >"$DEMO_DIR/cluster.json" 2>"$DEMO_DIR/up.log"; }

build_control_plane() { "$cluster_program" build 2>&1 >"$DEMO_DIR/bin" | indented; }

server() { kubectl config view --minify -o 'jsonpath={.clusters[0].cluster.server}'; }

# --- Somebody's own cluster ---

use_context() {
	local answer
	mode=context
	"$kubectl_program" config view --context "$CONTEXT" --minify --flatten --raw >"$DEMO_DIR/kubeconfig" 2>"$DEMO_DIR/error" ||
		die "there is no context $CONTEXT: $(cat "$DEMO_DIR/error")"
	unset KUBECONFIG
	kubectl config set-context --current --namespace "$demo_namespace" >/dev/null
	step "Your cluster: context $CONTEXT, server $(server)"
	check_untouched
	if [ "$YES" != 1 ]; then
		[ -t 0 ] || die "this is no terminal to ask on: set YES=1 to let the demo install into the cluster of context $CONTEXT"
		printf '         Install Trackdown and two small applications there, and remove them afterwards? [y/N] '
		read -r answer
		case $answer in
		y | Y | yes) ;;
		*)
			rm -rf "$DEMO_DIR"
			die "nothing was done"
			;;
		esac
	fi
	use_real_images
	save_settings
	touch "$DEMO_DIR/installing"
}

# The demo removes what it has made. That nothing of the kind was there before makes sure that it removes nothing else.
check_untouched() {
	local found
	found=$(kubectl get namespaces "$system_namespace" "$demo_namespace" --ignore-not-found -o name) || die "the cluster does not answer"
	[ -z "$found" ] || die "the cluster has $(echo "$found" | paste -sd ' ' -) already; the demo wants to make that itself"
	found=$(kubectl get crd -o name) || die "the cluster's custom resource definitions cannot be listed"
	! grep -q '\.trackdown\.dev$' <<<"$found" ||
		die "the cluster has Trackdown already; a second operator would work on the same tickets"
}

# A cluster with real nodes pulls real images.
use_real_images() {
	local file
	manifests=$DEMO_DIR/manifests
	mkdir "$manifests"
	for file in e2e/demo/*.yaml; do
		sed -e 's|ghcr.io/acme/web:1.4.1|registry.k8s.io/pause:3.8|' -e 's|ghcr.io/acme/web:1.4.2|registry.k8s.io/pause:3.9|' \
			-e 's|ghcr.io/acme/web:slow-1.5.0|registry.k8s.io/pause:3.10|' -e 's|ghcr.io/acme/api:2.0.0|registry.k8s.io/pause:3.8|' \
			-e 's|ghcr.io/acme/api:bad-2.1.0|registry.k8s.io/pause:bad-2.1.0|' "$file" >"$manifests/$(basename "$file")"
	done
	web_new=registry.k8s.io/pause:3.9
	api_fixed=registry.k8s.io/pause:3.9
}

# --- The story ---

install() {
	local values=logFormat=text
	# Real pods would be a second operator beside the process here.
	[ "$mode" = own ] || values=$values,replicas=0
	step "Installing Trackdown with its Helm chart"
	run helm install "$release" charts/trackdown --namespace "$system_namespace" --create-namespace --set "$values" --hide-notes
	step "Starting the operator, with the arguments and the service account of the chart's Deployment"
	if [ "$mode" = own ]; then
		say "(It is a process of this machine: the Deployment's own pod is simulated.)"
	fi
	start_operator
}

start_apps() {
	step "Two applications, web and api, as they have been running for long"
	run kubectl create namespace "$demo_namespace"
	run kubectl apply -f "$manifests/apps.yaml"
	run kubectl rollout status deployment/web --timeout 180s
	run kubectl rollout status deployment/api --timeout 180s
	pod_template api >"$DEMO_DIR/api-template"
}

apply_tickets() {
	step "Two tickets: iss-42 gives web a new image, iss-43 gives api one that cannot be pulled"
	run kubectl apply -f "$manifests/ticket-good.yaml"
	run kubectl apply -f "$manifests/ticket-bad.yaml"
	step "Waiting for iss-42 to be deployed"
	run kubectl wait --for=condition=Deployed ticket/iss-42 --timeout 180s
	step "Waiting for iss-43 to give up: three tries, each of them rolled back"
	follow_tries &
	follower=$!
	run kubectl wait --for=condition=Stalled ticket/iss-43 --timeout 300s
	let_follower_finish
	end_follower
}

# Tells of the records of iss-43 as they change. Only for show: it may be behind.
follow_tries() {
	local attempt rolling_back ended cause line last=
	# shellcheck disable=SC2016 # a template's variables, not the shell's
	local template='{{with .status}}{{$.spec.attempt}} {{or .rollbackTime "-"}} {{or .completionTime "-"}} {{with .rootCause}}{{.reason}}{{end}}{{"\n"}}{{end}}'
	while read -r attempt rolling_back ended cause; do
		[ "$rolling_back" != - ] || continue
		line="try $attempt: $cause; putting the previous image back"
		[ "$ended" = - ] || line="try $attempt: the previous image is back"
		[ "$line" = "$last" ] || say "$line"
		last=$line
		[ "$attempt" != 3 ] || [ "$ended" = - ] || break
	done < <(kubectl get tdep --field-selector spec.ticket.name=iss-43 --watch -o "go-template=$template" 2>/dev/null)
}

# Lets the follower tell what it has just heard.
let_follower_finish() {
	local deadline=$((SECONDS + 2))
	while kill -0 "$follower" 2>/dev/null && [ "$SECONDS" -lt "$deadline" ]; do
		sleep 0.05
	done
}

end_follower() {
	[ -n "$follower" ] || return 0
	kill -- "-$follower" 2>/dev/null || true
	wait "$follower" 2>/dev/null || true
	follower=''
}

show_result() {
	step "The result"
	show "kubectl get tickets | cut -c -$width"
	kubectl get tickets | cut -c "-$width" | indented
	echo
	show "kubectl get ticket iss-43 -o jsonpath='{.status.blockedReason}'"
	field ticket/iss-43 .status.blockedReason | wrapped
	printf '\n\n'
	show "kubectl get tdep"
	kubectl get tdep | cut -c "-$width" | indented
	show_timelines
	echo
	say "The image of api, as before: $(field deployments.v1.apps/api '.spec.template.spec.containers[0].image')"
	say "Total time: $(elapsed) s"
}

show_timelines() {
	local ticket
	# shellcheck disable=SC2016 # a template's variables, not the shell's
	local template='{{range .items}}{{$n := .metadata.name}}{{with .status}}{{$n}} patched={{or .patchedTime "-"}} healthy={{or .healthyTime "-"}} verified={{or .verifiedTime "-"}} {{if .rollbackTime}}rollback_decided={{.rollbackTime}} rolled_back={{or .completionTime "-"}}{{else}}complete={{or .completionTime "-"}}{{end}}{{"\n"}}{{end}}{{end}}'
	echo
	say "What the records say of each attempt:"
	for ticket in iss-42 iss-43; do
		kubectl get tdep --field-selector "spec.ticket.name=$ticket" --sort-by .spec.attempt -o "go-template=$template"
	done | awk -f "$sources/timeline.awk" | indented
	[ "$mode" = own ] || return 0
	echo
	say "From the ticket stored in the API server (its audit log says when) to the workload changed:"
	for ticket in iss-42 iss-43; do
		echo "$ticket stored=$(stored_time "$ticket") patched=$(first_patched_time "$ticket")"
	done | awk -f "$sources/timeline.awk" | indented
}

# When the API server answered the request that made a ticket.
stored_time() {
	grep -F "\"resource\":\"tickets\",\"namespace\":\"$demo_namespace\",\"name\":\"$1\"" "$DEMO_DIR/cluster/audit.log" |
		grep -F '"verb":"create"' | sed -n '1s/.*"stageTimestamp":"\([^"]*\)".*/\1/p'
}

first_patched_time() {
	kubectl get tdep --selector "trackdown.dev/ticket=$1,trackdown.dev/attempt=1" -o 'jsonpath={.items[0].status.patchedTime}'
}

# --- The end ---

finish() {
	local processes
	processes=$(demo_processes)
	[ "$failed" = 0 ] || show_operator_log
	# What follows is not to be interrupted.
	trap '' INT TERM HUP
	step "Removing everything"
	tear_down || die "not everything could be removed; see what is said above, and run make demo-down"
	if [ "$CHECK" = 1 ]; then
		# shellcheck disable=SC2086 # one word each
		check_nothing_left $processes
	fi
}

keep() {
	local patch="{\"spec\":{\"targets\":[{\"name\":\"api\",\"image\":\"$api_fixed\"}]}}"
	touch "$DEMO_DIR/kept"
	step "KEEP=1: cluster and operator stay. In another terminal, or here:"
	try "export KUBECONFIG=$DEMO_DIR/kubeconfig"
	type -P kubectl >/dev/null || try "export PATH=\$PATH:$(dirname "$kubectl_program")"
	echo
	say "Apply again: nothing happens, and there is no difference."
	try "kubectl apply -f $manifests/ticket-good.yaml"
	try "kubectl diff -f $manifests/ticket-good.yaml"
	echo
	say "Kill the operator in the middle of a rollout: the next one finishes it, as soon as the lease"
	say "of the dead one has run out (15 seconds)."
	try "kubectl apply -f $manifests/ticket-slow.yaml; sleep 1; kill -9 \$(cat $DEMO_DIR/operator.pid)"
	try "kubectl get tickets"
	try "e2e/demo/operator.sh"
	try "kubectl wait --for=condition=Deployed ticket/iss-44; kubectl get tdep"
	echo
	say "Fix the image: the blocked ticket goes on."
	try "kubectl patch ticket iss-43 --type merge -p '$patch'"
	try "kubectl wait --for=condition=Deployed ticket/iss-43"
	echo
	say "Remove everything:"
	try "make demo-down"
}

conclude() {
	if [ "$CHECK" = 1 ]; then
		printf '\ndemo: %s passed, %s failed (%s s)\n' "$passed" "$failed" "$(elapsed)"
		[ "$failed" = 0 ] || exit 1
	elif [ "$KEEP" != 1 ]; then
		printf '\ndemo: everything is removed (%s s)\n' "$(elapsed)"
	fi
}

show_operator_log() {
	[ -s "$DEMO_DIR/operator.log" ] || return 0
	echo "demo: the operator's last lines:" >&2
	tail -n 15 "$DEMO_DIR/operator.log" >&2
}

# However the demo ends.
leave() {
	local status=$?
	trap '' INT TERM HUP
	[ -d "$DEMO_DIR" ] && [ ! -e "$DEMO_DIR/kept" ] || exit "$status"
	if [ -n "$interrupted" ] || [ "$status" = 130 ]; then
		printf '\ndemo: interrupted, removing everything\n' >&2
	else
		echo "demo: failed at: $current_step" >&2
		show_operator_log
	fi
	end_job
	end_follower
	tear_down || echo "demo: not everything could be removed; see what is said above, and run make demo-down" >&2
	exit "$status"
}

main
