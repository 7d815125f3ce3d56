# Trackdown: `make help` lists the targets.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# Part of a test's name: make test-e2e FILTER=bad_image
FILTER ?=
# One run of the fault matrix: make proof-faults CASE=success/reply-lost/3
CASE ?=
# One in so many of its runs: make proof SLICE=4
SLICE ?= 1
# Tickets in the scale benchmark; each has two records on average
SIZES ?= 1000,10000,50000
# How long the soak takes
MINUTES ?= 60
FAULTS := target/debug/trackdown-faults
CLUSTER := target/cluster
CLUSTER_SOURCES := $(wildcard e2e/cluster/*.go) e2e/cluster/go.mod

.PHONY: help
help: ## Show this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: demo
demo: tools build $(CLUSTER) ## Watch a ticket become a rollout, and a bad one roll back (CONTEXT=name: on your own cluster)
	@TRACKDOWN_BIN=target/debug/trackdown CLUSTER_BIN=$(CLUSTER) e2e/demo/demo.sh

.PHONY: demo-down
demo-down: ## Stop what `make demo KEEP=1` left running
	@CLUSTER_BIN=$(CLUSTER) e2e/demo/down.sh

.PHONY: test
test: tools ## Everything: formatting, lints, unit tests and the model, then end to end on a real control plane
	@started=$$SECONDS; \
	for stage in check-format lint test-unit check-generated test-chart test-e2e test-upgrade test-faults; do \
		printf '\n==> make %s (%ss)\n' "$$stage" "$$((SECONDS - started))"; \
		$(MAKE) --no-print-directory "$$stage" || { printf '\nmake %s failed; again: make %s\n' "$$stage" "$$stage"; exit 1; }; \
	done; \
	printf '\nall stages passed in %ss\n' "$$((SECONDS - started))"

.PHONY: tools
tools: # Names what is missing on this machine at once
	@command -v cargo >/dev/null || { echo 'cargo is missing: install Rust 1.89 or newer from https://rustup.rs'; exit 1; }
	@command -v go >/dev/null || { echo 'go is missing: install Go 1.26 or newer from https://go.dev/dl'; exit 1; }
	@command -v cc >/dev/null || { echo 'cc is missing: install a C compiler (Debian: apt-get install build-essential)'; exit 1; }

.PHONY: build
build: ## Build the operator
	cargo build --locked

.PHONY: format
format: ## Format the code
	cargo fmt
	gofmt -w e2e/cluster/*.go

.PHONY: check-format
check-format:
	cargo fmt --check
	@unformatted=$$(gofmt -l e2e/cluster/*.go); [ -z "$$unformatted" ] || { echo "gofmt: $$unformatted"; exit 1; }

.PHONY: lint
lint: ## Lint: clippy (pedantic) and go vet
	cargo clippy --locked --workspace --all-targets -- --deny warnings
	@# Alone, without what other crates of the workspace turn on: with a client or a runtime in it, it does not compile.
	cargo clippy --locked --package trackdown-api --package trackdown-core -- --deny warnings
	cd e2e/cluster && go vet ./...

.PHONY: test-unit
test-unit: ## Unit and property tests, mocked API, the model: no cluster
	cargo test --locked --workspace --lib --bins --test unit -- $(FILTER)
	cd e2e/cluster && go test ./...

.PHONY: model
model: ## The model, every state of it: a person's every move with every fault, at every step (minutes)
	MODEL=all cargo test --locked --package trackdown-sim -- --nocapture --test-threads=1 model

.PHONY: test-chart
test-chart: $(CLUSTER) ## Lint and unit tests of the chart
	@bin=$$($(CLUSTER) build); "$$bin/helm" lint --strict charts/trackdown; "$$bin/untt" charts/trackdown

.PHONY: test-e2e
test-e2e: build $(CLUSTER) ## End-to-end tests on a real control plane (FILTER=part of a name)
	@$(CLUSTER) build --argo-rollouts
	cargo test --locked --test e2e -- $(FILTER)

.PHONY: test-upgrade
test-upgrade: build $(CLUSTER) ## The operator of the version before is killed in the middle, this one goes on (FILTER=start of a name)
	@code=0; previous=$$(e2e/upgrade/build.sh) || code=$$?; \
	if [ "$$code" -eq 3 ]; then echo 'test-upgrade is skipped: the version before is not in the history at hand, see above'; exit 0; fi; \
	[ "$$code" -eq 0 ] || exit "$$code"; \
	$(CLUSTER) build; \
	TRACKDOWN_PREVIOUS="$$previous" cargo test --locked --test e2e -- upgrade::$(FILTER)

.PHONY: faults
faults: build $(CLUSTER)
	cargo build --locked --package trackdown-faults
	@$(CLUSTER) build

.PHONY: test-faults
test-faults: faults ## A bounded part of the fault matrix: what did not hold once, and one run of so many
	$(FAULTS) matrix --slice 89 --quick

.PHONY: proof
proof: faults ## Everything that can go wrong, in every way, judged from outside (hours; SLICE=4: a part of it, MINUTES=60 of soak)
	@started=$$SECONDS; failed=; \
	tables='target/faults/table.md target/faults/disasters.md target/faults/bad-input/table.md target/faults/mutants.md'; rm -f $$tables; mkdir -p target/faults; \
	printf '==> make proof-soak, beside the others: target/faults/soak.log\n'; \
	$(MAKE) --no-print-directory proof-soak > target/faults/soak.log 2>&1 & soak=$$!; trap 'kill $$soak 2>/dev/null || true' EXIT; \
	for part in proof-faults proof-disasters proof-conformance proof-bad-input proof-mutants; do \
		printf '\n==> make %s (%ss)\n' "$$part" "$$((SECONDS - started))"; \
		$(MAKE) --no-print-directory "$$part" || failed="$$failed $$part"; \
	done; \
	printf '\n==> the end of make proof-soak (%ss)\n' "$$((SECONDS - started))"; \
	wait $$soak || failed="$$failed proof-soak"; tail -n 12 target/faults/soak.log; \
	for table in $$tables; do printf '\n'; cat "$$table" || true; done; \
	[ -z "$$failed" ] || { printf '\ndid not hold:%s\n' "$$failed"; exit 1; }; \
	printf '\neverything held, %ss\n' "$$((SECONDS - started))"

.PHONY: proof-faults
proof-faults: faults ## Every scenario, every write, every fault (CASE=success/reply-lost/3: that one)
	$(FAULTS) matrix --slice $(SLICE) $(addprefix --case ,$(CASE))

.PHONY: proof-disasters
proof-disasters: faults ## API server and etcd killed, history compacted, under all scenarios at once
	$(FAULTS) disasters

.PHONY: proof-conformance
proof-conformance: build $(CLUSTER) ## The model's API server and the real one answer alike
	@$(CLUSTER) build
	cargo test --locked --test e2e -- conformance

.PHONY: proof-bad-input
proof-bad-input: faults ## Thousands of objects with something wrong in them
	$(FAULTS) bad-input

.PHONY: proof-mutants
proof-mutants: faults ## Defects put into the operator: each must be found (MUTANT=part of a name)
	$(FAULTS) mutants $(addprefix --only ,$(MUTANT))

.PHONY: proof-soak
proof-soak: faults ## Mixed work with faults by chance; memory, tasks and connections stay where they are
	$(FAULTS) soak --minutes $(MINUTES)

.PHONY: bench
bench: $(CLUSTER) ## Measure against a minimal client on the same API server (release build)
	cargo build --locked --release
	@$(CLUSTER) build
	TRACKDOWN_BIN=target/release/trackdown cargo bench --locked --bench rollouts
	@$(MAKE) --no-print-directory bench-scale

.PHONY: bench-scale
bench-scale: $(CLUSTER) ## CPU and memory of the operator with many tickets (SIZES=1000,10000,50000)
	cargo build --locked --release
	@$(CLUSTER) build
	TRACKDOWN_BIN=target/release/trackdown SIZES=$(SIZES) cargo bench --locked --bench scale

.PHONY: generate
generate: build $(CLUSTER) ## Write everything that is generated from the types and the chart
	@CLUSTER_BIN=$(CLUSTER) TRACKDOWN_BIN=target/debug/trackdown e2e/generate.sh .

.PHONY: check-generated
check-generated: build $(CLUSTER) ## Fail if something generated is not up to date
	@rm -rf target/generated && mkdir -p target/generated
	@CLUSTER_BIN=$(CLUSTER) TRACKDOWN_BIN=target/debug/trackdown e2e/generate.sh target/generated
	@cd target/generated && find . -type f | while read -r file; do \
		diff -u "../../$$file" "$$file" || { echo "$$file is out of date: run make generate"; exit 1; }; done

.PHONY: deny
deny: ## Licenses, sources and advisories of dependencies (needs cargo-deny and the network)
	cargo deny check

.PHONY: cluster-up
cluster-up: $(CLUSTER) ## A control plane to play with
	@$(CLUSTER) up

.PHONY: cluster-down
cluster-down: $(CLUSTER) ## Stop it
	@$(CLUSTER) down

.PHONY: clean
clean: ## Remove build results (the control plane's binaries stay cached, see e2e/cluster/README.md)
	cargo clean

$(CLUSTER): $(CLUSTER_SOURCES)
	@mkdir -p target
	go build -C e2e/cluster -o "$(CURDIR)/$(CLUSTER)" .
