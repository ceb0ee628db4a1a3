#!/usr/bin/env bash
# Schemathesis asks a running openseat everything that its /openapi.json allows, and much that it does not, and holds every answer
# against it, with all its checks.
#
# openapi.sh URL CONFIG: of a demo, and the config that it printed. Needs python3 with venv, curl and jq; installs schemathesis
# into the build folder if it is not there. About a minute.
#
# Exits with 77 where schemathesis cannot be had.
set -euo pipefail
cd "$(dirname "$0")/.."

url=${1:?the URL of a running demo}
folder=$(dirname "${2:?the config of that demo}")
version=4.32.5
venv=${CARGO_TARGET_DIR:-target}/schemathesis-$version

install() { python3 -m venv "$venv" && timeout 180 "$venv/bin/pip" install --quiet --disable-pip-version-check "schemathesis==$version"; }

# Half of it must not pass for it at the next run.
if [[ ! -x $venv/bin/schemathesis ]] && ! install; then
    rm -rf "$venv"
    echo "schemathesis $version cannot be installed" >&2
    exit 77
fi

# What there is to ask for in this demo.
OPENSEAT_DEMO_TOKEN=$(<"$folder/token")
OPENSEAT_DEMO_AGENT=$(curl --silent --show-error --fail --max-time 5 "$url/v1/queues/sales-queue" | jq -er '.agents[0].id')
export OPENSEAT_DEMO_TOKEN OPENSEAT_DEMO_AGENT

# It writes what it found into the folder where it runs.
schemathesis=$PWD/$venv/bin/schemathesis config=$PWD/scripts/schemathesis.toml
[[ $venv == /* ]] && schemathesis=$venv/bin/schemathesis
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cd "$scratch"
# Bounded by tries: given a time, it would use all of it.
timeout 300 "$schemathesis" --config-file "$config" run "$url/openapi.json" \
    --checks all --mode all --max-examples 20 --request-timeout 20 --no-color
