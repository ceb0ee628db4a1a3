#!/usr/bin/env bash
# How fast openseat answers, compared with nginx on the same machine at the same time.
#
#   ./benches/serve.sh            15 rounds of one second with the `dist` build that packages have; prints a table of medians
#   ./benches/serve.sh --check    the same, and fails if a bound is missed
#   ./benches/serve.sh --smoke    one short round of each with the debug build, or with $OPENSEAT, to see that it works; checks no figure
#
# One core answers: nginx with one worker, or openseat with everything it does (one thread that serves, one that polls), is pinned to it.
# The other core asks: wrk with one thread and 32 connections that stay open, next to the simulated CallTools that openseat polls
# meanwhile. The servers run in parallel and are asked in turn. The speed of a machine changes from minute to minute, so each ratio is of two
# rounds that follow each other; the table has the medians of these ratios. Rounds are short and many: a pause of the machine spoils one round, not
# the median.
# nginx serves a fixed text, which is openseat's own answer; and, from its proxy_cache, the agents of a queue as CallTools lists them.
#
# wrk itself needs a whole core at these rates. So the table also compares the answers per second of processor time: what a core of the server could
# do with a client that is fast enough. Over TLS, wrk is slower than either server: openseat waits for it a seventh of the time, and each time that
# openseat has fallen asleep, wrk pays for waking it. So there, the bound is on the answers per second of processor time. Any pause of the
# machine is among the slowest answers of its round, so the table also has the 99th percentiles of each server's quietest round.
#
# Two serving threads would need a third core for the client. So their row compares only the answers per second of processor time, with one
# thread and with two, while client and server share the cores: threads that wait for each other would need more of it for each answer.
#
# It needs nginx, wrk, curl, openssl, and h2load for the Unix socket, which wrk cannot ask. As root, on Debian:
#   apt-get install --no-install-recommends nginx wrk curl openssl nghttp2-client
set -euo pipefail
cd "$(dirname "$0")/.."

turns=15 seconds=1 profile=dist check=no
for argument in "$@"; do
    case $argument in
    --check) check=yes ;;
    --smoke) turns=1 seconds=1 profile=debug ;;
    *)
        printf 'usage: %s [--check | --smoke]\n' "$0" >&2
        exit 2
        ;;
    esac
done

for tool in nginx wrk h2load curl openssl taskset; do
    command -v "$tool" >/dev/null || {
        printf '%s is not installed; the top of %s says how to get it\n' "$tool" "$0" >&2
        exit 2
    }
done

connections=32
scheme=http
server_core=0
client_core=$(($(nproc) > 1 ? 1 : 0))
scratch=$(mktemp -d)
pids=()
trap 'clean_up' EXIT

clean_up() {
    local pid
    for pid in "${pids[@]}"; do
        kill "$pid" 2>/dev/null || true
    done
    wait
    rm -rf "$scratch"
}

say() { printf '%s\n' "$*" >&2; }

fail() {
    say "$*"
    tail -n 5 "$scratch"/*.log >&2
    exit 1
}

# --- the servers ----------------------------------------------------------------------------------------------------

# start NAME CORE COMMAND…: runs it in the background, with its output in files.
start() {
    local name=$1 core=$2
    shift 2
    taskset -c "$core" "$@" >"$scratch/$name.out" 2>"$scratch/$name.log" &
    pids+=("$!")
}

# found FILE PATTERN: waits for what a program writes when it listens, and prints it.
found() {
    local text
    for _ in {1..100}; do
        text=$(sed -n "s|.*$2.*|\1|p" "$1" 2>/dev/null | head -n 1)
        if [[ -n $text ]]; then
            printf '%s' "$text"
            return
        fi
        sleep 0.1
    done
    fail "$1 never had the expected line"
}

# start_openseat NAME QUEUES AGENTS LIMIT [CORES [LINE…]]: starts a simulated account and an openseat that watches all of its queues, with
# these lines in its [server]; sets $url, $socket, $ids, $pid.
start_openseat() {
    local name=$1 cores=${5:-$server_core} api token
    start "$name-simulator" "$client_core" "$binary" simulate --listen 127.0.0.1:0 \
        --queues "$2" --agents "$3" --requests-per-hour "$4"
    api=$(found "$scratch/$name-simulator.out" 'answers at \(http[^ ]*\)')
    token=$(found "$scratch/$name-simulator.out" "Token \([^']*\)'")
    mapfile -t ids < <(sed -nE 's/^ +([0-9]+)  .*/\1/p' "$scratch/$name-simulator.out")
    socket=$scratch/$name.socket
    {
        printf '[server]\nlisten = ["127.0.0.1:0", "unix:%s"]\n' "$socket"
        (($# < 6)) || printf '%s\n' "${@:6}"
        # In memory: several daemons of one user would wait for each other's folder.
        printf '[state]\ndir = false\n[[account]]\nname = "main"\nbase_url = "%s"\n' "$api"
        printf 'token_env = "CALLTOOLS_API_TOKEN"\nrequests_per_hour = %d\nqueue = [' "$4"
        printf '{ queue = %d }, ' "${ids[@]}"
        printf ']\n'
    } >"$scratch/$name.toml"
    CALLTOOLS_API_TOKEN=$token start "$name" "$cores" "$binary" run --config "$scratch/$name.toml"
    pid=${pids[-1]}
    url=$scheme://$(found "$scratch/$name.log" '"listener":"\([0-9.:]*\)"')
    upstream=$api authorization="Token $token"
    # 1,000 queues take a minute: a cold start sends some of the hour's requests at once, and the others at its usual pace.
    for _ in {1..2400}; do
        if curl --silent --insecure --fail --max-time 5 --output "$scratch/readyz" "$url/readyz"; then
            return
        fi
        sleep 0.1
    done
    fail "$name does not become ready"
}

# start_nginx NAME BODY: sets $fixed, $large, $fixed_tls, $cached, $nginx_socket and $nginx, its worker's id. $large serves $scratch/large. nginx cannot report which
# port it got, so this looks for a free one.
start_nginx() {
    local name=$1 body=$2 port root=$scratch/$1-nginx
    mkdir "$root"
    for _ in {1..20}; do
        port=$((20000 + RANDOM % 12000))
        # One for each try: an nginx that is late may still come, and a second one cannot have the same socket.
        nginx_socket=$root/socket.$port
        cat >"$root/nginx.conf" <<END
daemon off;
worker_processes 1;
pid $root/pid;
error_log $root/error.log;
$( ((EUID == 0)) && printf 'user root;')
events { worker_connections 1024; }
http {
    access_log off;
    server_tokens off;
    keepalive_requests 1000000000;
    client_body_temp_path $root/body;
    proxy_temp_path $root/proxy;
    fastcgi_temp_path $root/fastcgi;
    uwsgi_temp_path $root/uwsgi;
    scgi_temp_path $root/scgi;
    proxy_cache_path $root/cache keys_zone=cache:1m;
    default_type application/json;
    open_file_cache max=8;
    ssl_certificate $scratch/cert.pem;
    ssl_certificate_key $scratch/key.pem;
    server {
        listen 127.0.0.1:$port;
        listen 127.0.0.1:$((port + 1)) ssl;
        listen unix:$nginx_socket;
        location = /fixed { return 200 '$body'; }
        location = /large { alias $scratch/large; }
        location /api/ {
            proxy_pass $upstream;
            proxy_set_header Authorization "$authorization";
            proxy_cache cache;
            proxy_cache_valid 200 1h;
            proxy_ignore_headers Cache-Control Expires Vary Set-Cookie;
        }
    }
}
END
        start "$name-nginx" "$server_core" nginx -p "$root" -c "$root/nginx.conf" -e "$root/error.log"
        for _ in {1..100}; do
            if curl --silent --fail --output "$scratch/fixed" "http://127.0.0.1:$port/fixed" &&
                [[ $(<"$scratch/fixed") == "$body" ]]; then
                fixed=http://127.0.0.1:$port/fixed
                large=http://127.0.0.1:$port/large
                fixed_tls=https://127.0.0.1:$((port + 1))/fixed
                cached="http://127.0.0.1:$port/api/agentstatuses/?queue=${ids[0]}&page_size=250"
                nginx=$(cut -d ' ' -f 1 "/proc/${pids[-1]}/task/${pids[-1]}/children")
                return
            fi
            sleep 0.1
        done
    done
    fail "nginx does not answer"
}

# --- the requests ---------------------------------------------------------------------------------------------------

# ticks PID: prints the processor time of a process so far.
ticks() { awk '{ sub(/.*\) /, ""); print $12 + $13 }' "/proc/$1/stat"; }

# note WHAT PID TICKS ANSWERS PER_SECOND P99: records a round, and the answers per second of the processor time since TICKS.
note() { printf '%s %s %d\n' "$5" "$6" "$(($4 * $(getconf CLK_TCK) / ($(ticks "$2") - $3)))" >>"$scratch/turns.$1"; }

# ask WHAT PID URL [WRK-OPTION…]: runs one round with the server PID; records requests per second, the 99th percentile in microseconds, and
# requests per second of processor time. By default, wrk counts an answer after 2 s as an error; a busy machine may pause that long.
ask() {
    local out=$scratch/wrk before
    before=$(ticks "$2")
    taskset -c "$client_core" wrk --threads 1 --connections "$connections" --duration "${seconds}s" --timeout 30s --latency "${@:4}" "$3" >"$out"
    if grep -E 'Non-2xx|Socket errors' "$out" >&2; then
        fail "$1 had bad answers"
    fi
    # shellcheck disable=SC2046
    note "$1" "$2" "$before" $(awk '
        $1 == "99%" { n = $2 + 0; p99 = $2 ~ /us$/ ? n : $2 ~ /ms$/ ? n * 1e3 : n * 1e6 }
        $2 == "requests" && $3 == "in" { answers = $1 }
        $1 == "Requests/sec:" { printf "%d %.0f %d\n", answers, $2, p99 }
    ' "$out")
}

# ask_per_cpu WHAT PID URL: the same with client and server on all cores, which tells nothing but the answers per second of processor time.
ask_per_cpu() {
    local before answers
    before=$(ticks "$2")
    wrk --threads 2 --connections "$connections" --duration "${seconds}s" --timeout 30s "$3" >"$scratch/wrk"
    answers=$(sed -nE 's/^ *([0-9]+) requests in .*/\1/p' "$scratch/wrk")
    note "$1" "$2" "$before" "$answers" – –
}

# ask_socket WHAT PID SOCKET PATH: the same as `ask` over a Unix socket; h2load reports no percentiles.
ask_socket() {
    local before answers
    before=$(ticks "$2")
    taskset -c "$client_core" h2load --h1 --threads 1 --clients "$connections" --duration "$seconds" --warm-up-time 0 \
        --base-uri "unix:$3" "http://localhost$4" >"$scratch/h2load"
    grep -q ' 0 failed, 0 errored' "$scratch/h2load" || fail "$1 had bad answers"
    answers=$(sed -nE 's/^requests: .* ([0-9]+) succeeded.*/\1/p' "$scratch/h2load")
    note "$1" "$2" "$before" "$answers" "$(sed -nE 's|^finished in .*, ([0-9]+)[0-9.]* req/s.*|\1|p' "$scratch/h2load")" –
}

# median WHAT FIELD: prints the median over all rounds.
median() { cut -d ' ' -f "$2" "$scratch/turns.$1" | sort -g | sed -n "$(((turns + 1) / 2))p"; }

# ratio OURS THEIRS FIELD: prints the median of the rounds' ratios.
ratio() {
    paste -d ' ' <(cut -d ' ' -f "$3" "$scratch/turns.$1") <(cut -d ' ' -f "$3" "$scratch/turns.$2") |
        awk '{ printf "%.4f\n", ($2 > 0) ? $1 / $2 : 0 }' | sort -g | sed -n "$(((turns + 1) / 2))p" | awk '{ printf "%.2f", $1 }'
}

# quietest OURS THEIRS: prints the ratio of the 99th percentiles in the quietest round of each.
quietest() {
    awk '{ if (!(FILENAME in least) || $2 < least[FILENAME]) least[FILENAME] = $2 }
        END { printf "%.2f", (least[ARGV[2]] > 0) ? least[ARGV[1]] / least[ARGV[2]] : 0 }' "$scratch/turns.$1" "$scratch/turns.$2"
}

rows=() missed=()

# row TITLE OURS THEIRS [LEAST [MOST [cpu]]]: adds a row. LEAST bounds the throughput, or the answers per processor time if `cpu` is given; MOST
# bounds the 99th percentile. All are ratios to theirs.
row() {
    local title=$1 ours=$2 theirs=$3 least=${4:-} most=${5:-} of=${6:-} throughput=– per_core slowest=– quietest=– bounded
    bounded=$(ratio "$ours" "$theirs" 3)
    per_core=$bounded
    [[ $(median "$ours" 1) == – ]] || throughput=$(ratio "$ours" "$theirs" 1)
    if [[ $of == cpu ]]; then
        per_core+=${least:+ ($least)}
    else
        bounded=$throughput
        throughput+=${least:+ ($least)}
    fi
    if [[ $(median "$ours" 2) != – ]]; then
        slowest=$(ratio "$ours" "$theirs" 2) quietest=$(quietest "$ours" "$theirs")
    fi
    rows+=("| $title | $(median "$theirs" 1) | $(median "$ours" 1) | $throughput | $per_core | $(median "$theirs" 2) | $(median "$ours" 2) | $slowest${most:+ ($most)} | $quietest |")
    if [[ -n $least ]] && awk -v a="$bounded" -v b="$least" 'BEGIN { exit !(a < b) }'; then
        missed+=("$title: $bounded times as many answers, at least $least")
    fi
    if [[ -n $most ]] && awk -v a="$slowest" -v b="$most" 'BEGIN { exit !(a > b) }'; then
        missed+=("$title: 99th percentile $slowest times as long, at most $most")
    fi
}

# --- the run --------------------------------------------------------------------------------------------------------

binary=${CARGO_TARGET_DIR:-target}/$profile/openseat
if [[ $profile == dist ]]; then
    say "building openseat"
    cargo build --profile dist --locked
elif [[ -n ${OPENSEAT:-} ]]; then
    binary=$OPENSEAT
else
    cargo build --locked
fi
binary=$(realpath "$binary")

say "20 queues: one at a time, ${connections} connections, $turns rounds of $seconds s each"
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost \
    -keyout "$scratch/key.pem" -out "$scratch/cert.pem" 2>"$scratch/openssl.log"
chmod 600 "$scratch/key.pem"
(umask 077 && printf 'a-token-of-some-length-for-routers' >"$scratch/bearer")
bearer="Authorization: Bearer $(<"$scratch/bearer")"
# A new call with each request.
cat >"$scratch/calls.lua" <<'END'
local number = 0
request = function()
    number = number + 1
    return wrk.format("GET", wrk.path .. "?call_id=a84b4c76e66710-" .. number)
end
END

scheme=https start_openseat tls 20 100 1000 "$server_core" "tls_cert = \"$scratch/cert.pem\"" "tls_key = \"$scratch/key.pem\"" \
    "bearer_token_file = \"$scratch/bearer\""
tls_pid=$pid tls_url=$url tls_path=/v1/queues/${ids[0]}/decision
scheme=http
start_openseat guarded 20 100 1000 "$server_core" "bearer_token_file = \"$scratch/bearer\""
guarded_pid=$pid guarded_url=$url guarded_path=/v1/queues/${ids[0]}/decision
start_openseat few 20 100 1000
few=$pid path=/v1/queues/${ids[0]}/decision
batch="/v1/decisions?queue=${ids[0]}"
for number in {1..49}; do
    batch+="&queue=${ids[number % 20]}"
done
curl --silent --fail --output "$scratch/large" "$url$batch"
start_nginx few "$(curl --silent --fail "$url$path")"
curl --silent --fail --output "$scratch/cached" "$cached"
for ((turn = 0; turn < turns; turn++)); do
    # Each is next to what it is compared with.
    ask cached "$nginx" "$cached"
    ask decision "$few" "$url$path"
    ask fixed "$nginx" "$fixed"
    ask guarded "$guarded_pid" "$guarded_url$guarded_path" -H "$bearer"
    ask fixed-calls "$nginx" "$fixed" -s "$scratch/calls.lua"
    ask calls "$few" "$url$path" -s "$scratch/calls.lua"
    ask fixed-tls "$nginx" "$fixed_tls"
    ask tls "$tls_pid" "$tls_url$tls_path" -H "$bearer"
    ask large "$nginx" "$large"
    ask batch "$few" "$url$batch"
    ask fixed-late "$nginx" "$fixed"
    ask hold "$few" "$url$path?call_id=a84b4c76e66710&reserve=45s"
    ask_socket fixed-socket "$nginx" "$nginx_socket" /fixed
    ask_socket decision-socket "$few" "$socket" "$path"
done
row "a decision, 20 queues; nginx: a fixed text of the same size" decision fixed 1.0 1.2
row "the same with a bearer token" guarded fixed 1.0 1.2
row "the same with a new call_id each time; nginx: asked the same way" calls fixed-calls 1.0 1.2
row "the same over TLS, with a bearer token; nginx: the fixed text over TLS" tls fixed-tls 1.0 1.2 cpu
row "the same; nginx: CallTools' own list of the queue ($(stat -c %s "$scratch/cached") bytes), cached" decision cached 2.0
row "50 decisions in one answer; nginx: a file of the same size ($(stat -c %s "$scratch/large") bytes)" batch large 0.3
row "50 decisions in one answer; nginx: the fixed text" batch fixed-late 0.3
row "a decision that holds a seat (reserve=45s); nginx: the fixed text" hold fixed-late
row "a decision over the Unix socket; nginx: the fixed text over one" decision-socket fixed-socket 1.0

if (($(nproc) > 1)); then
    say "one thread and two"
    start_openseat one 20 100 1000 0,1 'threads = 1'
    one_url=$url one_path=/v1/queues/${ids[0]}/decision one_pid=$pid
    start_openseat two 20 100 1000 0,1 'threads = 2'
    for ((turn = 0; turn < turns; turn++)); do
        ask_per_cpu one "$one_pid" "$one_url$one_path"
        ask_per_cpu two "$pid" "$url/v1/queues/${ids[0]}/decision"
    done
    # 0.9 for each of two is 1.8 for both.
    row "a decision, two threads; instead of nginx: one thread" two one 0.9 "" cpu
fi

if [[ $profile == dist ]]; then
    say "1,000 queues"
    # The highest limit that a config may set.
    start_openseat many 1000 5000 20000
    for ((turn = 0; turn < turns; turn++)); do
        ask fixed-again "$nginx" "$fixed"
        ask many "$pid" "$url/v1/queues/${ids[500]}/decision"
    done
    row "a decision, 1,000 queues; nginx: the fixed text" many fixed-again
fi

printf '\n| medians of %d rounds | nginx 1/s | openseat 1/s | ratio (bound) | ratio per processor time | nginx 99 %% µs | openseat 99 %% µs | ratio (bound) | in quietest rounds |\n' "$turns"
printf -- '|---|---:|---:|---:|---:|---:|---:|---:|---:|\n'
printf '%s\n' "${rows[@]}"

if [[ $check == yes ]] && ((${#missed[@]})); then
    printf 'MISSED: %s\n' "${missed[@]}" >&2
    exit 1
fi
