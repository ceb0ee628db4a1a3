#!/usr/bin/env bash
# Feeds mutated input to everything that parses input from outside: bodies, configs, criteria, queries of the drop-in.
#
#   scripts/fuzz.sh [SECONDS] [TARGET…]     runs each target for this time; the default is 10
#   scripts/fuzz.sh --runs N [TARGET…]      runs each target with N inputs, however long that takes
#
# Targets are body, config, criteria and drop_in; the default is all of them. A million inputs take some minutes per target.
#
# It needs a C++ compiler for libFuzzer; the stable Rust compiler is enough. Input that makes a target fail is printed and kept in
# fuzz/artifacts. To run it again: target/debug/fuzz_body fuzz/artifacts/body-crash-….
set -euo pipefail
cd "$(dirname "$0")/.."

usage() {
    sed -n '3,7s/^# \{0,1\}//p' "$0" >&2
    exit 2
}

limit=-max_total_time=10
# The limit for one input, in seconds of real time. No input should come anywhere near it, but a busy machine can stall the process.
input_timeout=120
case ${1-} in
    --runs)
        [[ ${2-} =~ ^[1-9][0-9]*$ ]] || usage
        limit=-runs=$2
        # Long runs are started with a low priority, and a busy machine can stall such a process for minutes.
        input_timeout=600
        shift 2
        ;;
    [0-9]*)
        [[ $1 =~ ^[1-9][0-9]*$ ]] || usage
        limit=-max_total_time=$1
        shift
        ;;
esac
targets=("$@")
[[ ${#targets[@]} -gt 0 ]] || targets=(body config criteria drop_in)
for name in "${targets[@]}"; do
    [[ -f fuzz/fuzz_targets/$name.rs ]] || usage
done

binaries=${CARGO_TARGET_DIR:-target}/debug
finds=$(mktemp -d)
trap 'rm -rf "$finds"' EXIT
mkdir -p fuzz/artifacts

RUSTC_WORKSPACE_WRAPPER=$PWD/fuzz/rustc.sh cargo build --locked --quiet --package openseat-fuzz

# fuzz NAME MAX_LENGTH FOLDER…: starts from the inputs in the folders. New inputs are discarded afterwards.
fuzz() {
    local name=$1 max_length=$2 log=$finds/$1.log
    shift 2
    mkdir "$finds/$name"
    # No input should use anywhere near half a gigabyte.
    if ! "$binaries/fuzz_$name" "$limit" -max_len="$max_length" -timeout="$input_timeout" -rss_limit_mb=512 \
        -print_final_stats=1 -artifact_prefix="fuzz/artifacts/$name-" "$finds/$name" "$@" >"$log" 2>&1; then
        tail -n 60 "$log" >&2
        return 1
    fi
    printf '%s: %s inputs, %s coverage points\n' "$name" \
        "$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")" \
        "$(sed -n 's/.* cov: \([0-9]*\) .*/\1/p' "$log" | tail -n 1)"
}

for name in "${targets[@]}"; do
    case $name in
        body | criteria) fuzz "$name" 16384 "fuzz/corpus/$name" ;;
        config) fuzz config 8192 tests/config/good tests/config/bad ;;
        drop_in) fuzz drop_in 1024 fuzz/corpus/drop_in ;;
    esac
done
