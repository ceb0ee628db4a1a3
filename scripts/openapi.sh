#!/usr/bin/env bash
# Compares a running openseat with its /openapi.json. Schemathesis sends what the document allows, and much that it does not, and
# checks every answer. Takes about a minute.
#
#   scripts/openapi.sh URL CONFIG     both as a running demo prints them
#
# It needs python3 with venv, curl and jq, and installs schemathesis into the target folder. Exits with 77 if that fails.
set -euo pipefail
cd "$(dirname "$0")/.."

url=${1:?the URL of a running demo}
folder=$(dirname "${2:?the config of that demo}")
version=4.32.5
venv=${CARGO_TARGET_DIR:-target}/schemathesis-$version

install() { python3 -m venv "$venv" && timeout 180 "$venv/bin/pip" install --quiet --disable-pip-version-check "schemathesis==$version"; }

# Removes an incomplete installation, which would look complete at the next run.
if [[ ! -x $venv/bin/schemathesis ]] && ! install; then
    rm -rf "$venv"
    echo "schemathesis $version cannot be installed" >&2
    exit 77
fi

# What exists in this demo.
OPENSEAT_DEMO_TOKEN=$(<"$folder/token")
OPENSEAT_DEMO_AGENT=$(curl --silent --show-error --fail --max-time 5 "$url/v1/queues/sales-queue" | jq -er '.agents[0].id')
export OPENSEAT_DEMO_TOKEN OPENSEAT_DEMO_AGENT

# Schemathesis writes its findings into the current folder.
schemathesis=$PWD/$venv/bin/schemathesis config=$PWD/scripts/schemathesis.toml
[[ $venv == /* ]] && schemathesis=$venv/bin/schemathesis
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cd "$scratch"
# The number of examples is limited, because schemathesis would always use up a time limit. It takes a minute or two, and longer on a busy
# machine.
timeout 900 "$schemathesis" --config-file "$config" run "$url/openapi.json" \
    --checks all --mode all --max-examples 20 --request-timeout 20 --no-color
