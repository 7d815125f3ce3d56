#!/usr/bin/env bash
# Starts the operator of a demo that was kept (KEEP=1) again, after it was killed.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

load_settings || die "there is no demo: start one with make demo KEEP=1"
! operator_runs || die "the operator is running, as process $(operator_pid)"
cd "$repository"
step "Starting the operator"
start_operator
