#!/usr/bin/env bash
# Lets a real Prometheus scrape a running openseat, with the rules of deploy/. Every rule must evaluate, and every expression of the
# Grafana dashboard must return a series, except those about clusters.
#
#   scripts/prometheus.sh URL     the address of a daemon that needs no token
#
# It needs prometheus, curl and jq, and takes about 15 s.
set -euo pipefail
cd "$(dirname "$0")/.."

url=${1:?the URL of a running openseat}
scratch=$(mktemp -d)
pid=
trap '[[ -z $pid ]] || kill "$pid" 2>/dev/null || true; rm -rf "$scratch"' EXIT

ask() { curl --silent --show-error --fail --max-time 5 "$@"; }

# The shipped scrape config with the demo's address. It scrapes every second, so that rates are available soon.
target=${url#http://}
{
    printf 'global:\n  scrape_interval: 1s\n  evaluation_interval: 1s\nrule_files: ["%s"]\n' "$PWD/deploy/prometheus/openseat.rules.yml"
    sed -e "s|127\.0\.0\.1:7717|$target|" -e 's|scrape_interval: .*|scrape_interval: 1s|' deploy/prometheus.yml
} >"$scratch/prometheus.yml"

# Prometheus does not accept port 0, so ports are tried until it stays up.
start() {
    local try
    for try in {1..10}; do
        port=$((20000 + RANDOM % 10000))
        prometheus --config.file="$scratch/prometheus.yml" --storage.tsdb.path="$scratch/data$try" \
            --web.listen-address="127.0.0.1:$port" >"$scratch/log" 2>&1 &
        pid=$!
        # A minute: it takes a second, and longer on a busy machine.
        for _ in {1..300}; do
            if ! kill -0 "$pid" 2>/dev/null; then break; fi
            if ask "http://127.0.0.1:$port/-/ready" >/dev/null 2>&1; then return; fi
            sleep 0.2
        done
        kill "$pid" 2>/dev/null || true
        wait "$pid" 2>/dev/null || true
        pid=
    done
    cat "$scratch/log" >&2
    return 1
}
start
api=http://127.0.0.1:$port/api/v1

# samples EXPRESSION: prints the number of series that it returns.
samples() { ask --get "$api/query" --data-urlencode "query=$1" | jq -e '.data.result | length'; }

# Creates data to show: decisions, and a reserved seat.
queue=$(ask "$url/v1/queues" | jq -r '[.queues[] | select(.accept)][0].queue_id // .queues[0].queue_id')
curl --silent --output /dev/null --max-time 5 --data '{"call_id":"prometheus"}' "$url/v1/queues/$queue/reservations"
for _ in {1..10}; do
    ask "$url/v1/queues/$queue/decision" >/dev/null
    sleep 1
done
for _ in {1..100}; do
    [[ $(samples 'count_over_time(up{job="openseat"}[1m]) >= 5') == 1 ]] && break
    sleep 0.2
done

# A single scrape may be too late on a busy machine.
[[ $(samples 'max_over_time(up{job="openseat"}[1m]) == 1') == 1 ]] || { echo "the scrape fails" >&2; exit 1; }
ask "$api/rules" | jq -e '[.data.groups[].rules[]] | length > 0 and all(.health == "ok")' >/dev/null ||
    { ask "$api/rules" | jq '.data.groups[].rules[] | select(.health != "ok")' >&2; exit 1; }

# has_series EXPRESSION: succeeds if it returns a series within 30 s: after a scrape that failed, a rate needs two more. Fails with 2 if Prometheus
# does not understand it.
has_series() {
    local count _
    for _ in {1..30}; do
        count=$(samples "$1") || return 2
        if ((count > 0)); then return; fi
        # A daemon without [cluster] has no such metrics.
        if [[ $1 == *openseat_cluster_* ]]; then return; fi
        sleep 1
    done
    return 1
}

total=0 silent=0
while IFS= read -r expression; do
    # Replaces Grafana's variables by what Grafana would insert.
    expression=${expression//\$account/.*}
    expression=${expression//\$queue/.*}
    expression=${expression//\$__rate_interval/30s}
    total=$((total + 1))
    status=0
    has_series "$expression" || status=$?
    if ((status == 2)); then
        echo "Prometheus does not understand $expression" >&2
        exit 1
    fi
    if ((status)); then
        silent=$((silent + 1))
        echo "no series: $expression" >&2
    fi
done < <(jq -r '.panels[].targets[].expr' deploy/grafana/openseat.json)
((silent == 0)) || exit 1
echo "scraped; all rules are healthy; all $total expressions of the dashboard work"
