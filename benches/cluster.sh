#!/usr/bin/env bash
# What a cluster costs: decisions on a follower compared with a daemon without [cluster], with the engine running and stopped; and the load
# that accounts put on the engine.
#
#   ./benches/cluster.sh                   five rounds of two seconds with the `dist` build; then 1,000 accounts on two nodes for 20 s
#   ./benches/cluster.sh --check           the same, and fails if a bound is missed
#   ./benches/cluster.sh --accounts=100    the same with another number of accounts; 0 skips that part
#
# $OPENSEAT is another binary to measure. $BEFORE is an older binary: it runs without [cluster], in turn with the new one.
#
# The daemons are pinned to one core and asked in turn, so that other load on the machine affects them equally. wrk, the simulated CallTools
# and the engine have the other core.
#
# It needs wrk, curl, redis-server and redis-cli. As root, on Debian:
#   apt-get install --no-install-recommends wrk curl redis-server
set -euo pipefail
cd "$(dirname "$0")/.."

turns=5 seconds=2 accounts=1000 watched=20 check=no
for argument in "$@"; do
    case $argument in
    --check) check=yes ;;
    --accounts=*) accounts=${argument#*=} ;;
    *)
        printf 'usage: %s [--check] [--accounts=N]\n' "$0" >&2
        exit 2
        ;;
    esac
done

for tool in wrk curl redis-server redis-cli taskset; do
    command -v "$tool" >/dev/null || {
        printf '%s is not installed; the top of %s says how to get it\n' "$tool" "$0" >&2
        exit 2
    }
done

server_core=0
client_core=$(($(nproc) > 1 ? 1 : 0))
scratch=$(mktemp -d)
pids=()
trap 'clean_up' EXIT

clean_up() {
    local pid
    for pid in "${pids[@]}"; do
        kill -CONT "$pid" 2>/dev/null || true
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
    for _ in {1..600}; do
        text=$(sed -n "s|.*$2.*|\1|p" "$1" 2>/dev/null | head -n 1)
        if [[ -n $text ]]; then
            printf '%s' "$text"
            return
        fi
        sleep 0.1
    done
    fail "$1 never had the expected line"
}

redis() { redis-cli -s "$scratch/redis.sock" "$@"; }

# start_node NAME BINARY [LINE…]: starts a daemon with these lines of [cluster]. With such lines it uses the last simulated account, if
# there is one; otherwise it starts an account of its own. Sets $url, $pid.
start_node() {
    local name=$1 program=$2
    if (($# < 3)) || [[ -z ${api:-} ]]; then
        start "$name-simulator" "$client_core" "$binary" simulate --listen 127.0.0.1:0 --queues 20 --agents 100 --requests-per-hour 1000
        api=$(found "$scratch/$name-simulator.out" 'answers at \(http[^ ]*\)')
        token=$(found "$scratch/$name-simulator.out" "Token \([^']*\)'")
        mapfile -t ids < <(sed -nE 's/^ +([0-9]+)  .*/\1/p' "$scratch/$name-simulator.out")
    fi
    {
        printf '[server]\nlisten = "127.0.0.1:0"\n[state]\ndir = false\n'
        (($# < 3)) || printf '%s\n' "${@:3}"
        printf '[[account]]\nname = "main"\nbase_url = "%s"\ntoken_env = "CALLTOOLS_API_TOKEN"\nqueue = [' "$api"
        printf '{ queue = %d }, ' "${ids[@]}"
        printf ']\n'
    } >"$scratch/$name.toml"
    CALLTOOLS_API_TOKEN=$token start "$name" "$server_core" "$program" run --config "$scratch/$name.toml"
    pid=${pids[-1]}
    url=http://$(found "$scratch/$name.log" '"listener":"\([0-9.:]*\)"')
    for _ in {1..600}; do
        if curl --silent --max-time 5 "$url/v1/queues/${ids[0]}/decision" | grep -q '"count":[0-9]'; then
            return
        fi
        sleep 0.1
    done
    fail "$name has no data for its queue"
}

# ask WHAT URL: runs one round; records requests per second and the 99th percentile in microseconds.
ask() {
    taskset -c "$client_core" wrk --threads 1 --connections 32 --duration "${seconds}s" --latency "$2" >"$scratch/wrk"
    if grep -E 'Non-2xx|Socket errors' "$scratch/wrk" >&2; then
        fail "$1 had bad answers"
    fi
    awk '
        $1 == "99%" { n = $2 + 0; p99 = $2 ~ /us$/ ? n : $2 ~ /ms$/ ? n * 1e3 : n * 1e6 }
        $1 == "Requests/sec:" { printf "%.0f %d\n", $2, p99 }
    ' "$scratch/wrk" >>"$scratch/turns.$1"
}

# median WHAT FIELD: prints the median over all rounds.
median() { cut -d ' ' -f "$2" "$scratch/turns.$1" | sort -g | sed -n "$(((turns + 1) / 2))p"; }

ratio() { awk -v a="$1" -v b="$2" 'BEGIN { printf "%.2f", (b > 0) ? a / b : 0 }'; }

# memory PID: prints its resident memory in MiB.
memory() { awk '$1 == "VmRSS:" { printf "%.1f", $2 / 1024 }' "/proc/$1/status"; }

rows=() missed=()

# row TITLE ONE OTHER LEAST: adds a row. LEAST bounds the throughput of ONE as a ratio to OTHER.
row() {
    local throughput
    throughput=$(ratio "$(median "$2" 1)" "$(median "$3" 1)")
    rows+=("| $1 | $(median "$3" 1) | $(median "$2" 1) | $throughput, at least $4 | $(median "$3" 2) | $(median "$2" 2) |")
    if awk -v a="$throughput" -v b="$4" 'BEGIN { exit !(a < b) }'; then
        missed+=("$1: $throughput, at least $4")
    fi
}

if [[ -n ${OPENSEAT:-} ]]; then
    binary=$OPENSEAT
else
    say "building openseat"
    cargo build --profile dist --locked
    binary=${CARGO_TARGET_DIR:-target}/dist/openseat
fi
binary=$(realpath "$binary")

start redis "$client_core" redis-server --port 0 --save '' --unixsocket "$scratch/redis.sock" --dir "$scratch"
redis_pid=${pids[-1]}
until redis ping >"$scratch/ping" 2>&1; do sleep 0.1; done

# cluster NAME: prints the [cluster] section of a node.
cluster() { printf '[cluster]\nurl = "unix://%s"\nlease = "3s"\nnode = "%s"\n' "$scratch/redis.sock" "$1"; }

start_node alone "$binary"
alone=$url alone_pid=$pid path=/v1/queues/${ids[0]}/decision
if [[ -n ${BEFORE:-} ]]; then
    api=''
    start_node before "$(realpath "$BEFORE")"
    before=$url before_pid=$pid before_path=/v1/queues/${ids[0]}/decision
fi
api=''
start_node leader "$binary" "$(cluster leader)"
start_node follower "$binary" "$(cluster follower)"
follower=$url follower_pid=$pid follower_path=/v1/queues/${ids[0]}/decision

say "a follower and a daemon without [cluster]: $turns rounds of $seconds s each"
for ((turn = 0; turn < turns; turn++)); do
    ask alone "$alone$path"
    ask follower "$follower$follower_path"
    [[ -z ${BEFORE:-} ]] || ask before "$before$before_path"
done
row "a follower, compared with a daemon without \`[cluster]\`" follower alone 0.9
say "the same with the engine stopped"
kill -STOP "$redis_pid"
for ((turn = 0; turn < turns; turn++)); do
    ask alone-then "$alone$path"
    ask stopped "$follower$follower_path"
done
kill -CONT "$redis_pid"
row "the same with the engine stopped (SIGSTOP)" stopped alone-then 0.9
[[ -z ${BEFORE:-} ]] || row "without \`[cluster]\`, compared with the older binary" alone before 0.9

printf '\n| medians of %d rounds | other 1/s | this 1/s | ratio | other 99 %% µs | this 99 %% µs |\n|---|---:|---:|---:|---:|---:|\n' "$turns"
printf '%s\n' "${rows[@]}"
printf '\nresident memory: %s MiB without [cluster], %s MiB as a follower%s\n' "$(memory "$alone_pid")" "$(memory "$follower_pid")" \
    "${BEFORE:+, $(memory "${before_pid:-0}") MiB with the older binary}"

# ticks PID: prints the processor time of a process so far.
ticks() { awk '{ sub(/.*\) /, ""); print $12 + $13 }' "/proc/$1/stat"; }

# The load of accounts that no router asks about: leases, looks and reads. CallTools refuses their connections, so that polls cost next to
# nothing.
if ((accounts > 0)); then
    say "$accounts accounts on two nodes, for $watched s"
    redis flushall >"$scratch/flushed"
    for name in one two; do
        {
            printf '[server]\nlisten = "127.0.0.1:0"\n[state]\ndir = false\n'
            printf '[cluster]\nurl = "unix://%s"\nnode = "%s"\n' "$scratch/redis.sock" "$name"
            for ((account = 0; account < accounts; account++)); do
                printf 'none0of0your0business0%018d' "$account" >"$scratch/$account.token"
                printf '[[account]]\nname = "a%d"\nbase_url = "http://127.0.0.1:9"\ntoken_file = "%s"\nqueue = [{ queue = 1 }]\n' \
                    "$account" "$scratch/$account.token"
            done
        } >"$scratch/$name.toml"
        chmod 600 "$scratch"/*.token
        start "$name" "$server_core" "$binary" run --config "$scratch/$name.toml"
    done
    one_pid=${pids[-2]} two_pid=${pids[-1]}
    sleep $((accounts / 50 + 30)) # By then each account has a leader.
    processed() { redis info stats | awk -F: '$1 == "total_commands_processed" { print $2 + 0 }'; }
    # Commands of several accounts arrive in one read if they are sent at about the same time.
    reads() { redis info stats | awk -F: '$1 == "total_reads_processed" { print $2 + 0 }'; }
    scripts() { redis info commandstats | tr -d '\r' | awk -F '[=,]' '/^cmdstat_evalsha:/ { print $2 }'; }
    bytes() { redis info stats | awk -F: '$1 ~ /^total_net_(in|out)put_bytes$/ { sum += $2 } END { print sum }'; }
    engine=$(ticks "$redis_pid") one=$(ticks "$one_pid") two=$(ticks "$two_pid") commands=$(processed) traffic=$(bytes)
    scripts=$(scripts) reads=$(reads)
    sleep "$watched"
    hertz=$(getconf CLK_TCK)
    percent() { awk -v a="$1" -v b="$2" -v s="$watched" -v h="$hertz" 'BEGIN { printf "%.1f", 100 * (b - a) / h / s }'; }
    printf '\n%d accounts on two nodes cost the engine %s %% of a core, %d commands (of %d scripts, in %d reads) and %d kB per second; the nodes use %s %% and %s %% of a core\n' \
        "$accounts" "$(percent "$engine" "$(ticks "$redis_pid")")" "$((($(processed) - commands) / watched))" \
        "$((($(scripts) - scripts) / watched))" "$((($(reads) - reads) / watched))" \
        "$((($(bytes) - traffic) / watched / 1000))" "$(percent "$one" "$(ticks "$one_pid")")" "$(percent "$two" "$(ticks "$two_pid")")"
fi

if [[ $check == yes ]] && ((${#missed[@]})); then
    printf 'MISSED: %s\n' "${missed[@]}" >&2
    exit 1
fi
