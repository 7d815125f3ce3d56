#!/usr/bin/env bash
# Builds the operator of the version before, from the commit in e2e/upgrade/previous, and prints the path of its program. Its source is
# then in target/previous/tree, with its chart. Ends with 3 if that commit cannot be had here.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

tree=target/previous/tree
build=target/previous/build
# The commit that is in the tree.
stamp=target/previous/commit

main() {
	local commit
	commit=$(grep -v '^#' e2e/upgrade/previous)
	if [ "$(cat "$stamp" 2>/dev/null)" != "$commit" ]; then
		find_commit "$commit"
		unpack "$commit"
	fi
	# Standard output is for the path alone.
	cargo build --locked --manifest-path "$tree/Cargo.toml" --target-dir "$build" >&2
	printf '%s\n' "$PWD/$build/debug/trackdown"
}

# A shallow clone may lack it, and the source without its history does.
find_commit() {
	# A source archive may have been unpacked inside of somebody else's repository.
	GIT_CEILING_DIRECTORIES=$(dirname "$(pwd -P)")
	export GIT_CEILING_DIRECTORIES GIT_TERMINAL_PROMPT=0
	is_here "$1" || git fetch --quiet --depth 1 origin "$1" 2>/dev/null || true
	is_here "$1" || {
		echo "the commit of the version before, $1 (e2e/upgrade/previous), is not in the history at hand, and origin does not give it." >&2
		echo "What to do: clone the repository with its history, or: git fetch --unshallow" >&2
		exit 3
	}
}

is_here() {
	git cat-file -e "$1^{commit}" 2>/dev/null
}

unpack() {
	rm -rf "$tree" "$stamp"
	mkdir -p "$tree"
	# Files get the time of now: cargo takes those that are older than its last build for unchanged.
	git archive "$1" | tar -x -m -f - -C "$tree"
	echo "$1" > "$stamp"
}

main
