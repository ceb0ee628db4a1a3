#!/usr/bin/env bash
# Tests the recipes in deploy/routers/: the real router, with the shipped file (only addresses replaced), asks a real openseat, which
# watches a simulated CallTools that always has three seats in each queue.
#
#   scripts/routers.sh curl|callgrid|dialplans|asterisk|nginx|nginx-without-the-token|haproxy|kamailio|kamailio-while-openseat-hangs…
#
# It needs the router itself and curl, SIPp as well for kamailio, and a built openseat ($OPENSEAT, or target/debug/openseat).
# Debian 12 has no Asterisk: $ASTERISK is its program, $ASTERISK_MODULES the folder with its modules, which must include
# res_clioriginate. Everything runs on loopback and in a folder of its own. The system chooses ports, or the script looks for a free
# one. Nothing survives the script. Each part takes a few seconds.
set -euo pipefail
cd "$(dirname "$0")/.."

# Debian has daemons in sbin, which is not in most users' PATH.
PATH=$PATH:/usr/sbin

# Each router is tested in a process of its own, so that one leaves nothing behind for the next.
if (($# > 1)); then
    for router in "$@"; do scripts/routers.sh "$router"; done
    exit
fi
case ${1:-} in
curl | callgrid | dialplans | asterisk | nginx | nginx-without-the-token | haproxy | kamailio | kamailio-while-openseat-hangs) ;;
*)
    echo "usage: scripts/routers.sh curl|callgrid|dialplans|asterisk|nginx|nginx-without-the-token|haproxy|kamailio|kamailio-while-openseat-hangs…" >&2
    exit 2
    ;;
esac

openseat=${OPENSEAT:-${CARGO_TARGET_DIR:-target}/debug/openseat}
recipes=deploy/routers
sip=tests/routers
scratch=$(mktemp -d)
trap clean_up EXIT

clean_up() {
    local status=$? pid
    if ((status)); then show_logs; fi
    # This ends only jobs that still run: another process may have the id of one that has ended.
    for pid in $(jobs -pr); do
        # A process that a test has stopped gets no signal until it continues.
        kill -CONT "$pid" 2>/dev/null || true
        kill "$pid" 2>/dev/null || true
    done
    wait
    rm -rf "$scratch"
}

show_logs() {
    local log
    for log in "$scratch"/*.{out,errors}; do
        [[ -e $log ]] || continue
        printf '\n--- the end of %s\n' "${log##*/}"
        tail -n 20 "$log"
    done >&2
}

# start NAME COMMAND…: runs it in the background, with its output in NAME.out. Sets $started.
start() {
    local log=$scratch/$1.out
    shift
    "$@" >"$log" 2>&1 </dev/null &
    started=$!
}

# stop PID: ends a process and waits for it.
stop() {
    kill "$1"
    wait "$1" 2>/dev/null || true
}

# eventually COMMAND…: retries it until it succeeds, for about a minute. Routers take a moment to start and to notice changes, and longer on a
# busy machine.
eventually() {
    local _
    for _ in {1..600}; do
        if "$@" >/dev/null 2>&1; then return; fi
        sleep 0.1
    done
    printf 'failed for a minute: %s\n' "$*" >&2
    return 1
}

# expect WHAT WANTED FOUND: exits unless the two are equal.
expect() {
    if [[ $2 != "$3" ]]; then
        printf 'FAILED: %s: expected "%s", found "%s"\n' "$1" "$2" "$3" >&2
        exit 1
    fi
    printf '  %s: %s\n' "$1" "$3"
}

# Prints an unused port below the system's ephemeral ports, so that no other process gets it by chance.
free_port() {
    local port
    while :; do
        port=$((16000 + RANDOM % 16000))
        if ! cat /proc/net/{tcp,udp}{,6} 2>/dev/null | grep -qi ":$(printf %04X "$port") "; then
            echo "$port"
            return
        fi
    done
}

get() { curl --silent --max-time 5 "$@"; }

# --- openseat and its CallTools -------------------------------------------------------------------------------------

# start_openseat [LINE]: starts it with this line under [server]. Each queue has three seats: enough for sales-queue, too few for
# support-queue.
start_openseat() {
    local base
    start calltools "$openseat" simulate --listen 127.0.0.1:0 --queues 2 --agents 10 --seats 3 --latency 1ms
    eventually grep -q 'answers at' "$scratch/calltools.out"
    base=$(sed -n 's/.*answers at //p' "$scratch/calltools.out")
    cat >"$scratch/openseat.toml" <<END
[server]
listen = "127.0.0.1:0"
agent_check_listen = "127.0.0.1:0"
${1:-}
[state]
dir = "state"
[[account]]
name = "main"
base_url = "$base"
token_env = "TOKEN"
[[account.queue]]
queue = "sales-queue"
[[account.queue]]
queue = "support-queue"
threshold = 3
END
    export TOKEN=simulated0token0of0a0simulated0account00
    start openseat "$openseat" run --config "$scratch/openseat.toml" --log-format json
    openseat_pid=$started
    eventually grep -q 'answers agent-checks' "$scratch/openseat.out"
    address=$(sed -n 's/.*"openseat answers","listener":"\([^"]*\)".*/\1/p' "$scratch/openseat.out")
    agent_address=$(sed -n 's/.*"openseat answers agent-checks","listener":"\([^"]*\)".*/\1/p' "$scratch/openseat.out")
    eventually get --fail "http://$address/readyz"
}

# hang PID: stops a process, and returns once each of its threads has stopped. One that runs on another core may still answer.
hang() {
    kill -STOP "$1"
    while grep --quiet --invert-match '^State:[[:space:]]*T' <(cat "/proc/$1/task"/*/status | grep '^State:'); do
        sleep 0.01
    done
}

# --- curl -----------------------------------------------------------------------------------------------------------

asked() {
    local status=0
    OPENSEAT_URL=http://$address sh "$recipes/curl.sh" "$1" 2>/dev/null || status=$?
    echo "$status"
}

# asked_in_time QUEUE: the same, again while there is no answer within the recipe's 0.5 s: a busy machine may be later.
asked_in_time() {
    local status=2 _
    for _ in {1..50}; do
        status=$(asked "$1")
        if ((status != 2)); then break; fi
    done
    echo "$status"
}

try_curl() {
    start_openseat
    expect "a queue with seats" 0 "$(asked_in_time sales-queue)"
    expect "a queue with too few" 1 "$(asked_in_time support-queue)"
    expect "a queue that is not configured" 2 "$(asked slaes)"
    hang "$openseat_pid"
    expect "openseat hangs" 2 "$(asked sales-queue)"
    kill -CONT "$openseat_pid"
    stop "$openseat_pid"
    expect "openseat is gone" 2 "$(asked sales-queue)"
}

# --- CallGrid -------------------------------------------------------------------------------------------------------

# CallGrid reads one member of the answer, which must be at the top level, and a number or null.
try_callgrid() {
    start_openseat
    expect "seats" 3 "$(get "http://$address/v1/queues/sales-queue/decision" | sed -n 's/.*"count":\([^,]*\),.*/\1/p')"
}

# --- the requests of Asterisk and FreeSWITCH ------------------------------------------------------------------------

# send URL BODY: posts as libcurl would, which both of them use. Prints the status, and leaves the answer in $scratch/answer.
send() {
    get --output "$scratch/answer" --write-out '%{http_code}' --header "Content-Type: application/json" \
        --data-raw "$2" "${1/127.0.0.1:7717/$address}"
}

# requests FILE PATTERN: prints URL and body of each request in a recipe, one per line.
requests() { sed -nE "s~.*$2.*~\1 \2~p" "$recipes/$1"; }

# try_dialplan RECIPE CALL_ID PATTERN: the first request reserves a seat, the second releases it.
try_dialplan() {
    local url body
    {
        read -r url body
        body=${body//$2/a-call}
        expect "$1 reserves" 201 "$(send "$url" "$(printf %b "${body//%/\\x}")")"
        expect "its call" '"call_id":"a-call"' "$(grep -o '"call_id":"[^"]*"' "$scratch/answer")"
        local id
        id=$(grep -oE '"id":"[^"]+"' "$scratch/answer" | cut -d'"' -f4)
        read -r url body
        expect "$1 releases" 204 "$(send "${url/\$\{RESERVATION\}/$id}" "$(printf %b "${body//%/\\x}")")"
    } < <(requests "$1" "$3" | sed "s/\\\$1/\${RESERVATION}/")
}

try_dialplans() {
    start_openseat
    # shellcheck disable=SC2016 # These are the dial plans' variables.
    {
        try_dialplan extensions.conf '${UNIQUEID}' 'CURL\((http[^,]*),(.*)\)\}\)'
        try_dialplan freeswitch.xml '${uuid}' '(http[^ ]*) .* post ([^"]*)"'
    }
}

# --- Asterisk -------------------------------------------------------------------------------------------------------

# Writes the recipe, and a centre that answers for two seconds. It is dialled within Asterisk, not over SIP.
asterisk_config() {
    mkdir "$scratch"/{etc,lib,spool,log}
    sed -e "s|127\.0\.0\.1:7717|$address|" -e 's|PJSIP/sales@centre|Local/answer@centre|' \
        "$recipes/extensions.conf" >"$scratch/etc/extensions.conf"
    printf '[centre]\nexten => answer,1,Answer()\n same => n,Wait(2)\n same => n,Hangup()\n' >>"$scratch/etc/extensions.conf"
    printf '[modules]\nautoload=yes\n' >"$scratch/etc/modules.conf"
    printf '[logfiles]\nsteps => notice,warning,error,verbose\n' >"$scratch/etc/logger.conf"
    cat <<END
[directories]
astetcdir => $scratch/etc
astmoddir => ${ASTERISK_MODULES:-/usr/lib/asterisk/modules}
astvarlibdir => $scratch/lib
astdbdir => $scratch/lib
astkeydir => $scratch/lib
astdatadir => $scratch/lib
astagidir => $scratch/lib
astspooldir => $scratch/spool
astrundir => $scratch
astlogdir => $scratch/log
END
}

asterisk_says() { "$asterisk" -C "$scratch/asterisk.conf" -rx "$1"; }

# dial: starts a call to the recipe, and returns before it ends.
dial() { asterisk_says "channel originate Local/sales@from-carrier application Wait 10" >/dev/null; }

# steps PATTERN: prints how many steps of the dial plan have matched so far.
steps() { grep -ac "Executing .*$1" "$scratch/log/steps" || true; }

steps_are() { [[ $(steps "$1") == "$2" ]]; }

held_are() { [[ $(reservations) == "$1" ]]; }

try_asterisk() {
    asterisk=${ASTERISK:-asterisk}
    start_openseat
    asterisk_config >"$scratch/asterisk.conf"
    start asterisk "$asterisk" -C "$scratch/asterisk.conf" -f -vvvv
    eventually asterisk_says "core waitfullybooted"
    dial
    eventually held_are 1
    expect "a call with a seat" "1 held, 1 dialled" "$(reservations) held, $(steps 'Dial(') dialled"
    eventually held_are 0
    expect "it has ended" "0 held, 1 released" "$(reservations) held, $(steps 'RELEASED=') released"
    hold_all
    dial
    eventually steps_are 'Hangup(.*"20")' 1
    expect "no seat is left" "1 dialled, 1 rejected" "$(steps 'Dial(') dialled, $(steps 'Hangup(.*"20")') rejected"
    release_all
    hang "$openseat_pid"
    dial
    eventually steps_are 'Hangup(.*"20")' 2
    expect "openseat hangs" 2 "$(steps 'Hangup(.*"20")')"
    kill -CONT "$openseat_pid"
    stop "$openseat_pid"
    dial
    eventually steps_are 'Hangup(.*"20")' 3
    expect "openseat is gone" "1 dialled, 3 rejected" "$(steps 'Dial(') dialled, $(steps 'Hangup(.*"20")') rejected"
}

# --- nginx ----------------------------------------------------------------------------------------------------------

# The recipe, and two sites for nginx to route to, which answer with their names.
nginx_config() {
    sed -e "s/127\.0\.0\.1:7717/$address/" \
        -e "s|192\.0\.2\.10:8080|unix:$scratch/centre.sock|" \
        -e "s|192\.0\.2\.20:8080|unix:$scratch/overflow.sock|" \
        -e "s|listen 127\.0\.0\.1:8080|listen unix:$scratch/front.sock|" \
        "$recipes/nginx.conf" >"$scratch/recipe.conf"
    # Started as root, nginx would change to a user who may not enter this folder.
    cat <<END
daemon off;
pid $scratch/nginx.pid;
error_log stderr;
user $(id -un) $(id -gn);
worker_processes 1;
events {}
http {
    access_log off;
    client_body_temp_path $scratch/body;
    proxy_temp_path $scratch/proxy;
    fastcgi_temp_path $scratch/fastcgi;
    uwsgi_temp_path $scratch/uwsgi;
    scgi_temp_path $scratch/scgi;
    include $scratch/recipe.conf;
    server { listen unix:$scratch/centre.sock; return 200 centre; }
    server { listen unix:$scratch/overflow.sock; return 200 overflow; }
}
END
}

called() { get --unix-socket "$scratch/front.sock" --write-out ' %{http_code}' "http://localhost/calls/$1" | tr '\n' ' '; }

called_is() {
    last_answer=$(called "$1")
    [[ $last_answer == "$2" ]]
}

# call_gets WHAT QUEUE ANSWER: retries a call until it gets this answer. nginx waits 0.5 s for openseat, and a busy machine may be later.
call_gets() {
    eventually called_is "$2" "$3" || true
    expect "$1" "$3" "$last_answer"
}

try_nginx() {
    start_openseat
    nginx_config >"$scratch/nginx.conf"
    start nginx nginx -e stderr -p "$scratch" -c "$scratch/nginx.conf"
    call_gets "a queue with seats" sales-queue "centre 200"
    call_gets "a queue with too few" support-queue "overflow 200"
    expect "a queue that is not configured" "no answer from openseat  503" "$(called slaes)"
    hang "$openseat_pid"
    expect "openseat hangs" "no answer from openseat  503" "$(called sales-queue)"
    kill -CONT "$openseat_pid"
    call_gets "openseat continues" sales-queue "centre 200"
    stop "$openseat_pid"
    expect "openseat is gone" "no answer from openseat  503" "$(called sales-queue)"
}

# If openseat needs a token and nginx has none, callers must not be asked for it.
try_nginx_without_the_token() {
    (umask 077 && echo "a-token-that-nginx-does-not-know" >"$scratch/bearer.token")
    start_openseat "bearer_token_file = \"$scratch/bearer.token\""
    nginx_config >"$scratch/nginx.conf"
    start nginx nginx -e stderr -p "$scratch" -c "$scratch/nginx.conf"
    eventually called sales-queue
    expect "openseat needs a token" "no answer from openseat  503" "$(called sales-queue)"
    expect "requests to callers for a token" 0 "$(get --unix-socket "$scratch/front.sock" --head http://localhost/calls/sales-queue |
        grep -ci www-authenticate || true)"
    sed -i 's|# proxy_set_header Authorization "Bearer …"|proxy_set_header Authorization "Bearer a-token-that-nginx-does-not-know"|' \
        "$scratch/recipe.conf"
    # Not a reload: for a moment after one, nginx may still answer with its old configuration.
    stop "$started"
    start nginx nginx -e stderr -p "$scratch" -c "$scratch/nginx.conf"
    call_gets "nginx has the token" sales-queue "centre 200"
}

# --- HAProxy --------------------------------------------------------------------------------------------------------

# The recipe with an additional server whose queue is misspelt, and its centres, which answer with their names.
haproxy_config() {
    admin_port=$(free_port) front_port=$(free_port)
    sed -e "s|stats socket .*|stats socket ipv4@127.0.0.1:$admin_port level admin|" \
        -e 's|log /dev/log local0|log stdout format raw daemon|' \
        -e "s|bind 127\.0\.0\.1:8080|bind unix@$scratch/front.sock\n    bind 127.0.0.1:$front_port|" \
        -e "s|127\.0\.0\.1 agent-port 7718|${agent_address%:*} agent-port ${agent_address##*:}|" \
        -e "s|127\.0\.0\.1 port 7717|${address%:*} port ${address##*:}|" \
        -e "s|192\.0\.2\.10:8080|unix@$scratch/sales.sock|" \
        -e "s|192\.0\.2\.11:8080|unix@$scratch/support.sock|" \
        -e "s|192\.0\.2\.20:8080|unix@$scratch/overflow.sock|" \
        -e '/^ *server support/{p;s/support-queue/slaes/;s/server support/server misspelt/}' \
        "$recipes/haproxy.cfg"
    local centre
    for centre in sales support overflow; do
        printf 'frontend the_%s_centre\n mode http\n timeout http-request 5s\n bind unix@%s\n' "$centre" "$scratch/$centre.sock"
        printf ' http-request return status 200 content-type text/plain string %s\n' "$centre"
    done
}

# admin COMMAND: sends it to HAProxy's runtime socket.
admin() {
    exec 3<>"/dev/tcp/127.0.0.1/$admin_port"
    printf '%s\n' "$1" >&3
    cat <&3
    exec 3>&-
}

# server NAME: prints its state and its weight.
server() { admin "show stat" | awk -F, -v name="$1" '$1 == "centres" && $2 == name { print $18, $19 }'; }

server_is() { [[ $(server "$1") == "$2" ]]; }

# becomes WHAT SERVER STATE: waits for a server's state and weight.
becomes() {
    eventually server_is "$2" "$3" || true
    expect "$1" "$3" "$(server "$2")"
}

called_through_haproxy() { get --unix-socket "$scratch/front.sock" http://localhost/; }

# open_line: opens a connection as file descriptor 4. ask_on_the_line: sends one request on it, and prints which centre answered.
open_line() { exec 4<>"/dev/tcp/127.0.0.1/$front_port"; }

ask_on_the_line() {
    local line
    printf 'GET / HTTP/1.1\r\nHost: localhost\r\n\r\n' >&4
    while read -r -t 5 -u 4 line && [[ $line != $'\r' ]]; do
        if [[ ${line,,} == content-length:* ]]; then
            line=${line//[!0-9]/}
            length=$line
        fi
    done
    read -r -t 5 -N "$length" -u 4 line
    echo "$line"
}

# hold_all: reserves every seat of the sales queue, so that its weight becomes 0. release_all releases them.
hold_all() {
    local n
    for n in 1 2 3; do
        get --output /dev/null --header "Content-Type: application/json" --data-raw "{\"call_id\":\"held-$n\"}" \
            "http://$address/v1/queues/sales-queue/reservations"
    done
}

start_haproxy() {
    start haproxy haproxy -db -f "$scratch/haproxy.cfg"
    haproxy_pid=$started
    eventually admin "show stat"
    becomes "the weight of a queue with three seats" sales "UP 3"
}

try_haproxy() {
    start_openseat
    haproxy_config >"$scratch/haproxy.cfg"
    start_haproxy
    open_line
    expect "a call on an open connection" sales "$(ask_on_the_line)"
    hold_all
    becomes "its weight without a seat" sales "UP 0"
    expect "the next call on that connection" overflow "$(ask_on_the_line)"
    exec 4>&-
    release_all
    try_haproxy_over_tcp
    start_haproxy
    becomes "the weight of a queue with too few seats" support "UP 0"
    becomes "a queue that is not configured" misspelt "DOWN (agent) 1"
    grep -q "no such queue is configured in openseat" "$scratch/haproxy.out"
    expect "four calls" "sales sales sales sales" "$(for _ in 1 2 3 4; do called_through_haproxy; echo; done | paste -sd' ')"
    admin "set server centres/sales state maint" >/dev/null
    # By then HAProxy has checked twice.
    sleep 2.2
    expect "taken out by an administrator" "MAINT 3" "$(server sales)"
    expect "a call then" overflow "$(called_through_haproxy)"
    admin "set server centres/sales state ready" >/dev/null
    becomes "put back" sales "UP 3"
    stop "$openseat_pid"
    becomes "openseat is gone" sales "DOWN 3"
    expect "a call then" overflow "$(called_through_haproxy)"
}

# What the recipe and docs/routers.md say about SIP trunks: in TCP mode a connection stays where it is, at any weight.
try_haproxy_over_tcp() {
    stop "$haproxy_pid"
    sed -e '/^defaults/,/^frontend calls/s/mode http$/mode tcp/' "$scratch/haproxy.cfg" >"$scratch/tcp.cfg"
    cp "$scratch/haproxy.cfg" "$scratch/http.cfg"
    mv "$scratch/tcp.cfg" "$scratch/haproxy.cfg"
    start_haproxy
    open_line
    expect "over TCP, a call on an open trunk" sales "$(ask_on_the_line)"
    hold_all
    becomes "its weight without a seat" sales "UP 0"
    expect "over TCP, the next call on that trunk" sales "$(ask_on_the_line)"
    expect "over TCP, a new connection" overflow "$(called_through_haproxy)"
    exec 4>&-
    release_all
    stop "$haproxy_pid"
    mv "$scratch/http.cfg" "$scratch/haproxy.cfg"
}

# --- Kamailio -------------------------------------------------------------------------------------------------------

start_kamailio() {
    local name=$1
    shift
    proxy=$(free_port) centre=$(free_port)
    sed -e "s|^listen=.*|listen=udp:127.0.0.1:$proxy|" \
        -e "s|192\.0\.2\.10:5060|127.0.0.1:$centre|" \
        -e "s|http://127\.0\.0\.1:7717|http://$address|" \
        "$recipes/kamailio.cfg" >"$scratch/$name.cfg"
    start "$name" kamailio -f "$scratch/$name.cfg" -P "$scratch/$name.pid" -Y "$scratch" -DD -E "$@"
    kamailio_pid=$started
    eventually is_bound "$proxy"
}

# is_bound PORT: succeeds if a process listens on it over UDP.
is_bound() { grep -qi ":$(printf %04X "$1") " /proc/net/udp; }

# become_sipp NAME SCENARIO OPTION…: replaces this shell, so that its process can be stopped.
become_sipp() {
    local name=$1 scenario=$2
    shift 2
    TERM=dumb exec sipp -sf "$sip/$scenario.xml" -i 127.0.0.1 -nostdin -trace_logs -log_file "$scratch/$name.log" \
        -trace_err -error_file "$scratch/$name.errors" "$@"
}

# make_calls NAME SCENARIO OPTION…: makes calls to Kamailio, and waits until they have ended. On a busy machine SIPp sometimes ends without a
# call, because another process has taken one of its ports; it then starts again.
make_calls() {
    local name=$1 scenario=$2 status _
    shift 2
    for _ in 1 2 3; do
        status=0
        (become_sipp "$name" "$scenario" -p "$(free_port)" "$@" "127.0.0.1:$proxy") >"$scratch/$name.out" 2>&1 || status=$?
        # By its manual: 99 without any call, 254 and 255 for a fatal error.
        if ((status < 99)); then return; fi
        echo "  SIPp made no call (status $status)" >&2
    done
}

# start_centre SCENARIO: starts a centre that answers what Kamailio routes to it.
start_centre() {
    start centre become_sipp centre "$1" -p "$centre"
    centre_pid=$started
    eventually is_bound "$centre"
}

# calls COUNT SCENARIO: makes this many calls at once, and prints how they ended.
calls() {
    rm -f "$scratch/callers.log"
    make_calls callers "$2" -m "$1" -l "$1" -r "$1" -rp 10 -timeout 60s
    sort "$scratch/callers.log" | uniq -c | sed 's/^ *//' | paste -sd, | sed 's/,/, /g'
}

# calls_in_time ENDS COUNT SCENARIO: the same, again while the calls do not end like this, at most three times: Kamailio rightly rejects a call
# if openseat takes longer than 1 s, and the calls of the next two seconds. Seats that such calls still got are released.
calls_in_time() {
    local found _
    for _ in 1 2 3; do
        found=$(calls "$2" "$3")
        if [[ $found == "$1" ]]; then break; fi
        sleep 2.5
        release_all
    done
    echo "$found"
}

reservations() { get "http://$address/v1/reservations" | grep -o '"call_id"' | wc -l; }

holds() { [[ $(reservations) == "$1" ]]; }

release_all() {
    local id
    for id in $(get "http://$address/v1/reservations" | grep -o '"id":"[^"]*"' | cut -d'"' -f4); do
        get --request DELETE "http://$address/v1/reservations/$id"
    done
}

try_kamailio() {
    start_openseat
    start_kamailio kamailio

    start_centre centre
    local ends="7 rejected, 3 talked"
    expect "ten calls at once, three seats" "$ends" "$(calls_in_time "$ends" 10 caller)"
    expect "reservations of answered calls" 3 "$(reservations)"
    expect "an eleventh call" "1 rejected" "$(calls 1 caller)"
    stop "$centre_pid"

    release_all
    start_centre ringing_centre
    # If openseat was late, not all three ring; see calls_in_time.
    local _
    for _ in 1 2 3; do
        calls 3 quitter >"$scratch/quitters" &
        if eventually holds 3; then break; fi
        wait $!
        release_all
    done
    wait $!
    expect "three callers hang up, each with a seat while it rings" "3 quit" "$(<"$scratch/quitters")"
    eventually holds 0
    stop "$centre_pid"

    start_centre busy_centre
    expect "four calls, one after the other, the centre is busy" \
        "1 busy 1 busy 1 busy 1 busy" "$(for _ in 1 2 3 4; do calls_in_time "1 busy" 1 caller; done | paste -sd' ')"
    eventually holds 0
    stop "$centre_pid"

    start_centre centre
    hang "$openseat_pid"
    local begun=$SECONDS
    expect "openseat hangs" "1 rejected" "$(calls 1 caller)"
    # The timeout is 1 s; the rest is for SIPp and a busy machine. A call without an answer ends after a minute.
    expect "the call was answered within 20 s" yes "$( ((SECONDS - begun <= 20)) && echo yes || echo "$((SECONDS - begun)) s")"
    kill -CONT "$openseat_pid"
    release_all
    expect "openseat continues" "1 talked" "$(calls_in_time "1 talked" 1 caller)"
    stop "$openseat_pid"
    expect "openseat is gone" "1 rejected" "$(calls 1 caller)"
    stop "$centre_pid"
    stop "$kamailio_pid"

    start_kamailio kamailio_that_routes -A ROUTE_WITHOUT_ANSWER
    start_centre centre
    expect "openseat is gone, and calls are routed without it" "1 talked" "$(calls 1 caller)"
}

# milliseconds COMMAND…: prints how long it takes.
milliseconds() {
    local begun
    begun=$(date +%s%N)
    "$@" >/dev/null
    echo $((($(date +%s%N) - begun) / 1000000))
}

# answers_options: sends one OPTIONS to Kamailio, and succeeds if it is answered.
answers_options() {
    rm -f "$scratch/neighbour.log"
    make_calls neighbour options -m 1 -timeout 20s
    grep -q alive "$scratch/neighbour.log"
}

# openseat hangs while 200 calls arrive within five seconds: more than Kamailio's workers could wait for one by one.
try_kamailio_while_openseat_hangs() {
    start_openseat
    start_kamailio kamailio
    start_centre centre
    expect "before" "1 talked" "$(calls_in_time "1 talked" 1 caller)"
    expect "alive" yes "$(answers_options && echo yes)"
    release_all
    hang "$openseat_pid"
    rm -f "$scratch/crowd.log"
    make_calls crowd caller -m 200 -l 200 -r 40 -timeout 60s &
    local crowd=$! fastest=999999 elapsed
    # Before the first timeout, Kamailio does not know that openseat hangs.
    sleep 1.5
    for _ in 1 2 3 4; do
        elapsed=$(milliseconds answers_options)
        echo "  OPTIONS, answer and SIPp's own start: $elapsed ms"
        ((elapsed >= fastest)) || fastest=$elapsed
        sleep 0.5
    done
    wait "$crowd" || true
    expect "the calls meanwhile" "200 rejected" "$(sort "$scratch/crowd.log" | uniq -c | sed 's/^ *//')"
    # Each of the eight workers waits once, and then one in two seconds: a dozen in all, and more on a slow machine.
    expect "few calls waited for openseat" yes "$( (($(grep -c ': 28 ' "$scratch/kamailio.out") <= 60)) && echo yes || echo no)"
    # A worker that tries again waits for 1 s, and SIPp itself takes a moment. A machine that is busy with something else delays single ones; a
    # router whose workers all wait delays every one.
    expect "OPTIONS are answered within 3 s" yes "$( ((fastest <= 3000)) && echo yes || echo "$fastest ms")"

    kill -CONT "$openseat_pid"
    # openseat now answers the requests that timed out; release_all ends the reservations that they made.
    eventually get --fail "http://$address/livez"
    release_all
    eventually talks
    expect "openseat continues" "1 talked" "$last_call"
}

# talks: succeeds if a call gets through. A call that arrives while Kamailio does not ask openseat is rejected.
talks() {
    release_all
    last_call=$(calls 1 caller)
    [[ $last_call == "1 talked" ]]
}

# --- the run --------------------------------------------------------------------------------------------------------

printf '%s\n' "$1"
"try_${1//-/_}"
