# Checks of the running program: Prometheus, routers, speed, and the API against its document. Sourced by test.sh.

# The second config is checked together with the rules that its container mounts next to it.
check_prometheus() {
    promtool check config --syntax-only deploy/prometheus.yml &&
        mkdir -p "$scratch/etc" && cp deploy/docker/prometheus.yml deploy/prometheus/openseat.rules.yml "$scratch/etc/" &&
        echo none >"$scratch/etc/openseat.token" &&
        promtool check config "$scratch/etc/prometheus.yml" | tee "$scratch/etc/output" && grep -q ' 1[0-9] rules found' "$scratch/etc/output" &&
        grep -q '/etc/prometheus/openseat.rules.yml:ro$' deploy/docker/compose.yaml
}

check_rules() { scripts/rules.sh; }

# --- the demo -------------------------------------------------------------------------------------------------------

# start_demo: sets $url, $config (the demo's own) and $demo. The system chooses the port, so that it is free.
start_demo() {
    "$target/debug/openseat" demo --listen 127.0.0.1:0 >"$scratch/demo.out" 2>"$scratch/demo.err" &
    demo=$!
    # Two minutes: on a busy machine a debug build takes its time.
    for _ in {1..600}; do
        url=$(sed -n 's|^Open *\(.*\)/$|\1|p' "$scratch/demo.out")
        config=$(sed -n 's|.*, the config \(.*\)\.$|\1|p' "$scratch/demo.out")
        # Ready: every queue has its first snapshot, so no metric is missing.
        if [[ -n $url ]] && curl --silent --fail --max-time 5 --output /dev/null "$url/readyz"; then
            return
        fi
        sleep 0.2
    done
    cat "$scratch/demo.err" >&2
    return 1
}

# On SIGTERM the demo must exit with 0.
stop_demo() { kill -TERM "$demo" && wait "$demo"; }

check_scrape() {
    local status=0
    start_demo || return 1
    {
        curl --silent --fail --max-time 5 "$url/v1/queues/sales-queue/decision" && echo &&
            curl --silent --fail --max-time 5 "$url/metrics" >"$scratch/metrics" &&
            promtool check metrics <"$scratch/metrics" &&
            scripts/prometheus.sh "$url"
    } || status=1
    stop_demo && return $status
}

check_openapi() {
    local status=0
    start_demo || return 1
    scripts/openapi.sh "$url" "$config" || status=$?
    if ((status == 77)); then why="schemathesis could not be installed with pip"; fi
    stop_demo && return $status
}

# --- routers and speed ----------------------------------------------------------------------------------------------

# routers NAME…: tests recipes of deploy/routers/ with the real routers, with a time limit in case one hangs.
routers() { OPENSEAT=$target/debug/openseat timeout 600 scripts/routers.sh "$@"; }

check_requests() { routers curl callgrid dialplans; }
check_nginx() { routers nginx nginx-without-the-token; }
check_haproxy() { routers haproxy; }
check_kamailio() { routers kamailio kamailio-while-openseat-hangs; }

check_speed() { OPENSEAT=$target/debug/openseat benches/serve.sh --smoke; }
