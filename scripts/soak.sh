#!/usr/bin/env bash
# Runs the whole program for hours: a full budget, routers that ask, faults, kills and reloads. It fails if memory or descriptors grow, if
# more requests than allowed leave in an hour, or if an answer rests on stale data.
#
#   scripts/soak.sh [TIME]            runs for this time, such as 8h, 90m or 120s; the default is 10m
#   scripts/soak.sh --debug [TIME]    with the debug build
#
# It is not part of scripts/test.sh, which takes minutes.
set -euo pipefail
cd "$(dirname "$0")/.."

profile=release
if [[ ${1-} == --debug ]]; then
    profile=dev
    shift
fi
time=${1:-10m}
if [[ ! $time =~ ^([1-9][0-9]{0,5})(h|m|s)$ ]]; then
    printf 'usage: %s [--debug] [TIME], with TIME such as 8h, 90m or 120s\n' "$0" >&2
    exit 2
fi
case ${BASH_REMATCH[2]} in
h) unit=3600 ;;
m) unit=60 ;;
s) unit=1 ;;
esac
export OPENSEAT_SOAK_SECONDS=$((BASH_REMATCH[1] * unit))

exec cargo test --locked --quiet --profile "$profile" --test soak -- \
    --ignored --nocapture hours_of_faults_kills_and_reloads
