# shellcheck shell=bash
# CHECK=1: the demo looks at its own result.
# shellcheck disable=SC2154 # variables of lib.sh and demo.sh

passed=0
failed=0

# verdict DESCRIPTION STATUS [DETAIL]
verdict() {
	if [ "$2" = 0 ]; then
		passed=$((passed + 1))
		say "ok    $1"
	else
		failed=$((failed + 1))
		say "FAIL  $1${3:+: $3}"
	fi
}

# expect DESCRIPTION WANTED GOT: the last two are equal.
expect() {
	local status=0
	[ "$2" = "$3" ] || status=1
	verdict "$1" "$status" "expected '$2', got '$3'"
}

# expect_match DESCRIPTION REGEX GOT
expect_match() {
	local status=0
	printf '%s\n' "$3" | grep -qE -- "$2" || status=1
	verdict "$1" "$status" "expected a match of '$2', got '$3'"
}

# What tells whether anything was changed: every ticket, workload and record with its generation.
generations() {
	kubectl get tickets,deployments.v1.apps,deployments.trackdown.dev -o \
		'jsonpath={range .items[*]}{.kind} {.metadata.name} {.metadata.uid} {.metadata.generation}{"\n"}{end}' | sort
}

pod_template() { field "deployments.v1.apps/$1" .spec.template; }

check_good_ticket() {
	expect "iss-42 is done" "done" "$(field ticket/iss-42 .status.state)"
	expect "iss-42 says who deployed" trackdown "$(field ticket/iss-42 .status.deployedBy)"
	expect_match "iss-42 says when" '^20[0-9-]+T[0-9:]+Z$' "$(field ticket/iss-42 .status.deploymentTime)"
	expect "iss-42 says where" "$demo_namespace" "$(field ticket/iss-42 .status.deployedNamespace)"
	expect "web runs the new image" "$web_new" "$(field deployments.v1.apps/web '.spec.template.spec.containers[0].image')"
	expect "web has 3 available pods of it" "3 3 3" \
		"$(kubectl get deployments.v1.apps/web -o 'jsonpath={.status.replicas} {.status.updatedReplicas} {.status.availableReplicas}')"
}

check_bad_ticket() {
	expect "iss-43 is stalled" True "$(field ticket/iss-43 '.status.conditions[?(@.type=="Stalled")].status')"
	expect_match "iss-43 names the root cause" ImagePullBackOff "$(field ticket/iss-43 .status.blockedReason)"
	expect "iss-43 has exactly three records, all rolled back" "RolledBack RolledBack RolledBack " \
		"$(kubectl get tdep --field-selector spec.ticket.name=iss-43 -o \
			'jsonpath={range .items[*]}{.status.conditions[?(@.type=="Succeeded")].reason}{" "}{end}')"
	expect "the pod template of api is what it was" "$(cat "$DEMO_DIR/api-template")" "$(pod_template api)"
}

check_apply_again() {
	local before status=0 difference
	before=$(generations)
	kubectl apply -f "$manifests/ticket-good.yaml" -f "$manifests/ticket-bad.yaml" >"$DEMO_DIR/apply" || status=1
	verdict "both tickets can be applied again" "$status"
	difference=$(kubectl diff -f "$manifests/ticket-good.yaml" -f "$manifests/ticket-bad.yaml" 2>&1) || true
	expect "kubectl diff of both tickets is empty" "" "$difference"
	# Long enough for the operator to have done something if it were to.
	sleep 1
	expect "applying them again changed nothing" "$before" "$(generations)"
}

check_end_state() {
	step "CHECK=1: is all that true?"
	check_good_ticket
	check_bad_ticket
	check_apply_again
}

# The processes of the demo, while it runs.
demo_processes() {
	operator_pid
	[ ! -e "$DEMO_DIR/cluster.json" ] || grep -oE '"[a-z-]+":[0-9]+' "$DEMO_DIR/cluster.json" | cut -d : -f 2
}

# Whether a process is there; one that only waits for its parent to take note of its end is not.
alive() {
	local state
	state=$(ps -p "$1" -o stat=) && [ "${state#Z}" = "$state" ]
}

# check_nothing_left PID...
check_nothing_left() {
	local pid left='' deadline=$((SECONDS + 5))
	for pid in "$@"; do
		# The cluster's supervisor has cleaned up a moment before it ends itself.
		while alive "$pid" && [ "$SECONDS" -lt "$deadline" ]; do sleep 0.05; done
		! alive "$pid" || left="$left $pid"
	done
	expect "every process of the demo is gone" "" "$left"
	expect "no process uses its folder" "" "$(ps -A -o args= | awk -v folder="$DEMO_DIR/" '$1 != "awk" && index($0, folder)')"
	expect "its folder is gone" "" "$(ls -d "$DEMO_DIR" 2>/dev/null || true)"
}
