#!/usr/bin/env bash
# Removes what a demo with KEEP=1 left running, or what is left of one that was killed.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

if [ ! -d "$DEMO_DIR" ]; then
	echo "demo: there is none"
	exit
fi
# A demo that was killed before it had settings has not started anything.
load_settings || mode=none
if [ ! -e "$DEMO_DIR/kept" ] && [ -n "$owner" ] && ps -p "$owner" -o args= | grep -q 'demo\.sh'; then
	die "it is still going on, as process $owner: end it with Ctrl-C"
fi
tear_down || die "not everything could be removed; see what is said above, and run this again"
echo "demo: everything is removed ($(elapsed) s)"
