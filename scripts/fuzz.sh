#!/usr/bin/env bash
# Throws mutated input at everything that reads what others wrote: bodies, configs, criteria, queries of the drop-in.
#
#   scripts/fuzz.sh [SECONDS]       each target for so long; 10 if left out
#
# The stable compiler will do, and a C++ compiler, which builds libFuzzer. Input that breaks something is printed and kept in
# fuzz/artifacts; to see it again: target/debug/fuzz_body fuzz/artifacts/body-crash-….
set -euo pipefail
cd "$(dirname "$0")/.."

seconds=${1:-10}
target=${CARGO_TARGET_DIR:-target}
finds=$(mktemp -d)
trap 'rm -rf "$finds"' EXIT
mkdir -p fuzz/artifacts

RUSTC_WORKSPACE_WRAPPER=$PWD/fuzz/rustc.sh cargo build --locked --quiet --package openseat-fuzz

# fuzz NAME LONGEST FOLDER…: begins with what is in the folders; what it finds on the way is not kept.
fuzz() {
    local name=$1 longest=$2 log=$finds/$1.log
    shift 2
    mkdir "$finds/$name"
    # Half a gigabyte and ten seconds for a single input are far beyond what any may take.
    if ! "$target/debug/fuzz_$name" -max_total_time="$seconds" -max_len="$longest" -timeout=10 -rss_limit_mb=512 \
        -print_final_stats=1 -artifact_prefix="fuzz/artifacts/$name-" "$finds/$name" "$@" >"$log" 2>&1; then
        tail -n 60 "$log" >&2
        return 1
    fi
    printf '%s: %s inputs, %s places reached\n' "$name" \
        "$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")" \
        "$(sed -n 's/.* cov: \([0-9]*\) .*/\1/p' "$log" | tail -n 1)"
}

fuzz body 16384 fuzz/corpus/body
fuzz config 8192 tests/config/good tests/config/bad
fuzz criteria 16384 fuzz/corpus/criteria
fuzz drop_in 1024 fuzz/corpus/drop_in
