# shellcheck shell=bash disable=SC2034 # used by those who read this file
# What demo.sh, operator.sh and down.sh have in common. DEMO_DIR holds everything of the one demo that can be there at a time.

# Every command runs in a process group of its own: Ctrl-C reaches this script alone, which then ends the command.
set -m
export LC_ALL=C KUBERC=off

sources=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
repository=$(cd "$sources/../.." && pwd)
DEMO_DIR=${DEMO_DIR:-${TRACKDOWN_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/trackdown}/demo}
case $DEMO_DIR in
/*) ;;
*) DEMO_DIR=$PWD/$DEMO_DIR ;;
esac

system_namespace=trackdown-system
demo_namespace=trackdown-demo
release=trackdown

# What save_settings keeps: who runs the demo, whether on its "own" control plane or in somebody's "context", and with what.
owner=$$
mode=own
manifests=''
cluster_program=''
trackdown_program=''
kubectl_program=''
helm_program=''

# The process that is being waited for, and whether it may be ended. Its process group has the same number.
job=''
job_must_finish=''

# --- What is printed ---

bold=''
plain=''
if [ -t 1 ] && [ -z "${NO_COLOR:-}" ]; then
	bold=$(printf '\033[1m')
	plain=$(printf '\033[0m')
fi

# Milliseconds, for differences only; whole seconds before bash 5.
milliseconds() {
	if [ -n "${EPOCHREALTIME:-}" ]; then
		local microseconds=${EPOCHREALTIME/[.,]/}
		echo "${microseconds%???}"
	else
		echo "${SECONDS}000"
	fi
}
started=$(milliseconds)

# Seconds since the start, such as 3.2.
elapsed() {
	local passed=$(($(milliseconds) - started))
	printf '%d.%d' $((passed / 1000)) $((passed % 1000 / 100))
}

current_step=''
step() {
	current_step=$*
	printf '\n%s[%5ss] %s%s\n' "$bold" "$(elapsed)" "$*" "$plain"
}

# What is left of 100 columns beside the times.
width=91
say() { printf '         %s\n' "$*"; }
indented() { sed 's/^/         /; s/ *$//'; }
wrapped() { fold -s -w "$width" | indented; }
# A command that is run, on as many lines as it takes, and one that can be tried.
show() { printf '%s\n' "$*" | fold -s -w $((width - 6)) | sed "1s/^/\$ /; 2,\$s/^/    /; \$!s/\$/\\\\/; s/.*/         $bold&$plain/"; }
try() { say "  $*"; }

die() {
	echo "demo: $*" >&2
	exit 1
}

# --- Commands ---

# Runs a command and waits for it in a way that signals interrupt.
attended() {
	local status=0
	"$@" </dev/null &
	job=$!
	wait "$job" || status=$?
	job=''
	return "$status"
}

through_indented() { "$@" 2>&1 | indented; }

# Shows a command and runs it.
run() {
	show "$*"
	attended through_indented "$@"
}

kubectl() { "$kubectl_program" --kubeconfig "$DEMO_DIR/kubeconfig" --cache-dir "$DEMO_DIR/kubectl" "$@"; }

helm() {
	HELM_CACHE_HOME=$DEMO_DIR/helm HELM_CONFIG_HOME=$DEMO_DIR/helm HELM_DATA_HOME=$DEMO_DIR/helm \
		"$helm_program" --kubeconfig "$DEMO_DIR/kubeconfig" "$@"
}

# One field of an object: field ticket/iss-42 .status.state
field() { kubectl get "$1" -o "jsonpath={$2}"; }

# --- Settings of a demo, for those who come later ---

save_settings() {
	local name
	for name in owner mode manifests cluster_program trackdown_program kubectl_program helm_program; do
		printf '%s=%q\n' "$name" "${!name}"
	done >"$DEMO_DIR/settings"
}

load_settings() {
	[ -e "$DEMO_DIR/settings" ] || return 1
	# shellcheck source=/dev/null
	. "$DEMO_DIR/settings"
}

# --- The operator ---

# Starts the operator and waits until it is ready. Its process keeps running when this script ends.
start_operator() {
	: >"$DEMO_DIR/operator.log"
	NO_COLOR=1 "$cluster_program" operator --kubectl "$kubectl_program" --kubeconfig "$DEMO_DIR/kubeconfig" \
		--namespace "$system_namespace" --deployment "$release" --binary "$trackdown_program" \
		--listen-address 127.0.0.1:0 --dir "$DEMO_DIR" </dev/null >>"$DEMO_DIR/operator.log" 2>&1 &
	local pid=$! deadline=$((SECONDS + 60)) address
	disown "$pid"
	echo "$pid" >"$DEMO_DIR/operator.pid"
	while [ "$SECONDS" -lt "$deadline" ]; do
		address=$(sed -n 's/.* address=\(127\.[0-9.:]*\).*/\1/p' "$DEMO_DIR/operator.log")
		if [ -n "$address" ] && curl --silent --fail --noproxy '*' --max-time 5 "http://$address/readyz" >"$DEMO_DIR/readyz"; then
			say "process $pid; http://$address/readyz says: $(cat "$DEMO_DIR/readyz")"
			return
		fi
		kill -0 "$pid" 2>/dev/null || die "the operator ended instead of becoming ready"
		sleep 0.1
	done
	die "the operator was not ready within a minute"
}

operator_pid() { cat "$DEMO_DIR/operator.pid" 2>/dev/null || true; }

operator_runs() {
	local pid
	pid=$(operator_pid)
	# The number may belong to another process by now.
	[ -n "$pid" ] && ps -p "$pid" -o args= 2>/dev/null | grep -qF "$trackdown_program"
}

# Returns when the operator is gone.
stop_operator() {
	local pid deadline=$((SECONDS + 10))
	operator_runs || return 0
	pid=$(operator_pid)
	kill "$pid" 2>/dev/null || true
	while operator_runs; do
		[ "$SECONDS" -lt "$deadline" ] || kill -KILL "$pid" 2>/dev/null || true
		sleep 0.05
	done
}

# --- The end ---

# Ends what is being waited for.
end_job() {
	[ -n "$job" ] || return 0
	[ -n "$job_must_finish" ] || kill -- "-$job" 2>/dev/null || true
	wait "$job" 2>/dev/null || true
	job=''
}

# Removes everything the demo made, and returns when it is gone.
tear_down() {
	local status=0
	stop_operator
	case $mode in
	own) "$cluster_program" down --dir "$DEMO_DIR/cluster" 2>/dev/null || status=1 ;;
	context) [ ! -e "$DEMO_DIR/installing" ] || uninstall || status=1 ;;
	esac
	[ "$status" != 0 ] || rm -rf "$DEMO_DIR"
	return "$status"
}

# Removes the demo from somebody's cluster. Nothing of it was there before, see check_untouched in demo.sh.
uninstall() {
	local status=0 definitions
	kubectl delete namespace "$demo_namespace" --ignore-not-found --timeout=180s >/dev/null || status=1
	if helm status "$release" --namespace "$system_namespace" >/dev/null 2>&1; then
		helm uninstall "$release" --namespace "$system_namespace" --wait >/dev/null 2>&1 || status=1
	fi
	if definitions=$(kubectl get crd -o name | grep '\.trackdown\.dev$'); then
		# shellcheck disable=SC2086 # one word each
		kubectl delete $definitions --timeout=180s >/dev/null || status=1
	fi
	kubectl delete namespace "$system_namespace" --ignore-not-found --timeout=180s >/dev/null || status=1
	return "$status"
}
