#!/usr/bin/env bash
# Everything that has to hold before a change is good: format, lints, docs, scripts, deployment files, a real scrape, real
# routers, the Debian package on a real systemd, tests, benchmarks. CI runs this and nothing else.
#
# It runs to the end whatever fails, so that one run shows all there is to mend, and exits with 1 if anything did. What a
# machine lacks is installed from Debian's packages where that is allowed (root); otherwise the check is skipped, and said so.
# The last line counts tests and checks alike: `N passed, N failed, N skipped`.
set -euo pipefail
cd "$(dirname "$0")/.."

# A process whose parent has ended becomes a child of this one instead of init's, so that the end of the run sees what is left. That is
# prctl(PR_SET_CHILD_SUBREAPER, 1), which bash cannot call; it stays set over exec.
adopts=${OPENSEAT_TEST_ADOPTS:-}
unset OPENSEAT_TEST_ADOPTS
if [[ -z $adopts ]] && command -v perl >/dev/null; then
    declare -A prctl=([x86_64]=157 [aarch64]=167)
    # shellcheck disable=SC2016 # Perl's own variables
    OPENSEAT_TEST_ADOPTS=tried exec perl -e '
        my ($prctl, @command) = @ARGV;
        $ENV{OPENSEAT_TEST_ADOPTS} = "yes" if $prctl && syscall($prctl + 0, 36, 1, 0, 0, 0) == 0;
        exec @command' "${prctl[$(uname -m)]:-0}" "$BASH" scripts/test.sh "$@"
fi

# Where Debian has daemons, and where people's shells do not look.
PATH=$PATH:/usr/sbin

target=${CARGO_TARGET_DIR:-target}
scratch=$(mktemp -d)
demo_pid=
policy_made=
trap 'clean_up' EXIT

passed=0 failed=0 skipped=0
failures=() gaps=()

clean_up() {
    if [[ -n $demo_pid ]]; then
        kill "$demo_pid" 2>/dev/null || true
    fi
    if [[ -n $policy_made ]]; then rm -f "$policy_made"; fi
    rm -rf "$scratch"
}

say() { printf '\n==> %s\n' "$*"; }

has() { command -v "$1" >/dev/null 2>&1; }

pass() { passed=$((passed + 1)); }

fail() {
    failed=$((failed + 1))
    failures+=("$1")
    printf 'FAILED: %s\n' "$1" >&2
}

skip() {
    skipped=$((skipped + 1))
    gaps+=("$1: $2")
    printf 'NOT RUN: %s: %s\n' "$1" "$2" >&2
}

# check NAME COMMAND…: runs one check and goes on.
check() {
    local name=$1
    shift
    say "$name"
    if "$@"; then pass; else fail "$name"; fi
}

# --- what the checks need -------------------------------------------------------------------------------------------

apt_updated=no

# Fetches the package lists once, and only if something is missing. A mirror that hangs must not take the whole run's time.
apt_ready() {
    has apt-get && ((EUID == 0)) || return 1
    if [[ $apt_updated == no ]]; then
        apt_updated=failed
        timeout 180 apt-get -qq update && apt_updated=yes
    fi
    [[ $apt_updated == yes ]]
}

# install PACKAGE…: without starting the daemons among them, as Debian does unless a file forbids it.
install() {
    local policy=/usr/sbin/policy-rc.d installed=0
    say "installing $*"
    apt_ready || return
    if [[ ! -e $policy ]]; then
        policy_made=$policy
        printf '#!/bin/sh\nexit 101\n' >"$policy"
        chmod +x "$policy"
    fi
    timeout 300 env DEBIAN_FRONTEND=noninteractive \
        apt-get -qq install --yes --no-install-recommends "$@" >/dev/null || installed=1
    if [[ -n $policy_made ]]; then rm -f "$policy_made"; fi
    policy_made=
    return $installed
}

# want COMMAND PACKAGE: makes sure that a command is there.
want() { has "$1" || { install "$2" && has "$1"; }; }

# Prometheus and promtool come in one of Debian's packages, whose service would be started if it were installed. Only the programs are
# taken out of it.
want_prometheus() {
    has promtool && has prometheus && return
    say "fetching prometheus"
    apt_ready && (
        cd "$scratch"
        # apt would drop its rights for the download, and then could not write into this folder of root's.
        timeout 300 apt-get -qq -o APT::Sandbox::User=root download prometheus && dpkg -x prometheus_*.deb prometheus
    ) && PATH=$PATH:$scratch/prometheus/usr/bin && has promtool
}

# has_router NAME: with all that its recipe needs.
has_router() {
    case $1 in
    kamailio) has kamailio && has sipp && has_kamailio_module http_client && has_kamailio_module jansson ;;
    *) has "$1" ;;
    esac
}

has_kamailio_module() {
    compgen -G "/usr/lib*/kamailio/modules/$1.so" >/dev/null || compgen -G "/usr/lib*/*/kamailio/modules/$1.so" >/dev/null
}

# want_router NAME PACKAGE…: makes sure that a router is there.
want_router() {
    local router=$1
    shift
    has_router "$router" || { install "$@" && has_router "$router"; }
}

# cargo deb is built where it is missing, once: it stays in the target folder. This version, since the package was checked with it.
want_cargo_deb() {
    PATH=$PATH:$(realpath "$target")/tools/bin
    has cargo-deb && return
    say "building cargo deb"
    CARGO_PROFILE_DEV_DEBUG=false timeout 900 nice cargo install --quiet --locked --debug --root "$target/tools" cargo-deb@3.8.0 && has cargo-deb
}

# As cargo deb.
want_cargo_deny() {
    PATH=$PATH:$(realpath "$target")/tools/bin
    cargo deny --version >/dev/null 2>&1 && return
    say "building cargo deny"
    CARGO_PROFILE_DEV_DEBUG=false timeout 900 nice cargo install --quiet --locked --debug --root "$target/tools" cargo-deny@0.20.2 &&
        cargo deny --version >/dev/null
}

# want_axe: makes sure that axe-core, which looks for what keeps people out of a page, is there. It is a script for browsers, so npm only
# fetches it.
axe=$target/axe/node_modules/axe-core/axe.min.js
want_axe() {
    [[ -e $axe ]] && return
    say "fetching axe-core"
    want npm npm && mkdir -p "$target/axe" &&
        timeout 180 npm install --silent --no-audit --no-fund --ignore-scripts --prefix "$target/axe" axe-core@4 >/dev/null && [[ -e $axe ]]
}

# Python itself comes with every system that has apt; what makes virtual environments is a package of its own there.
want_venv() {
    has python3 && python3 -c 'import ensurepip' 2>/dev/null && return
    install python3-venv && python3 -c 'import ensurepip'
}

how_to_get() { printf '%s is not installed; as root: apt-get install --no-install-recommends %s' "$1" "$2"; }

# --- checks ---------------------------------------------------------------------------------------------------------

documentation() {
    # Private items too, and links to them: these docs are for whoever reads the code next.
    RUSTDOCFLAGS="-D warnings -A rustdoc::private_intra_doc_links" cargo doc --locked --no-deps --document-private-items
}

scripts() { shellcheck scripts/*.sh fuzz/*.sh benches/*.sh deploy/routers/*.sh deploy/debian/post* .ci/run; }

supply_chain() {
    # It reads the manifests of all systems' crates, and a build fetches only those of its own.
    cargo fetch --quiet --locked && cargo deny --offline --locked check bans licenses sources
}

# Only with a copy of the advisories at hand: this run reads nothing from the network beside the registries.
advisories() { cargo deny --offline --locked check advisories; }

# systemd-analyze wants the program to exist; here it is still in the build folder. And nobody has installed its manual.
unit_files() {
    local binary
    binary=$(realpath "$target/debug/openseat")
    cp deploy/openseat.socket "$scratch/"
    sed -E "s|^(Exec[A-Za-z]+)=openseat|\1=$binary|" deploy/openseat.service >"$scratch/openseat.service"
    systemd-analyze verify --man=no "$scratch/openseat.service" "$scratch/openseat.socket" &&
        # In tenths: systemd's own scale of exposure, 10 being a service that may do anything.
        systemd-analyze security --offline=true --threshold=15 "$scratch/openseat.service" | tail -n 1
}

# Nothing here can build or run containers, so their files are only read.
container_files() {
    yamllint --strict --config-data '{extends: default, rules: {document-start: disable, comments-indentation: disable, line-length: {max: 140}}}' \
        deploy/docker/*.yaml deploy/kubernetes/*.yaml deploy/docker/*.yml deploy/*.yml
}

# What `kubectl apply --kustomize` would send, with tokens that are none; and that another config or token starts no new pod.
kubernetes_files() {
    cp -r deploy/kubernetes "$scratch/" && echo none | tee "$scratch/kubernetes/"{main,bearer}.token >/dev/null &&
        kubectl kustomize "$scratch/kubernetes" >"$scratch/first.yaml" &&
        echo other >"$scratch/kubernetes/main.token" && echo "# edited" >>"$scratch/kubernetes/openseat.toml" &&
        kubectl kustomize "$scratch/kubernetes" >"$scratch/second.yaml" &&
        sed -i 's/# - podmonitor.yaml/- podmonitor.yaml/' "$scratch/kubernetes/kustomization.yaml" &&
        kubectl kustomize "$scratch/kubernetes" | grep --count '^kind: ' &&
        ! cmp --silent "$scratch/first.yaml" "$scratch/second.yaml" &&
        of_kind Deployment "$scratch/first.yaml" | grep --quiet openseat-config &&
        diff <(of_kind Deployment "$scratch/first.yaml") <(of_kind Deployment "$scratch/second.yaml")
}

# of_kind KIND FILE: the documents of that kind.
of_kind() { awk -v kind="$1" 'BEGIN { RS = "---\n" } $0 ~ "\nkind: " kind "\n"' "$2" | grep .; }

# The configs that deploy/ brings: each is taken, wherever its tokens will be.
configs() {
    local config
    for config in deploy/openseat.toml deploy/docker/openseat.toml deploy/kubernetes/openseat.toml; do
        "$target/debug/openseat" plan --config "$config" >/dev/null || return 1
    done
}

package() { scripts/package.sh dev; }

# Whether the package has the bill of materials, and this names each crate that is compiled into the program.
materials() {
    dpkg-deb --fsys-tarfile "$target/package/openseat.deb" | tar --extract --to-stdout ./usr/share/doc/openseat/openseat.cdx.json >"$scratch/sbom" &&
        [[ $(jq --raw-output '.components[] | select(.hashes and .licenses) | .name + " v" + .version' "$scratch/sbom" | sort) == \
            $(cargo tree --locked --edges normal,build --prefix none | awk '$1 && $1 != "openseat" { print $1 " " $2 }' | sort --unique) ]]
}

package_lint() { lintian --fail-on error,warning --allow-root "$target/package/openseat.deb"; }

# The pages are made by a program, whose taste in paragraphs is not mandoc's; errors are another matter.
manual() { mandoc -Tlint -Werror <(zcat target/package/man/*.gz); }

# boot_test: the package on a real systemd, where this machine allows it.
boot_test() {
    local status=0
    say "the package on a real systemd"
    # The first time it fetches a base system, in at most ten minutes.
    timeout 900 scripts/systemd.sh "$target/package/openseat.deb" 2>"$scratch/boot.err" || status=$?
    cat "$scratch/boot.err" >&2
    case $status in
    0) pass ;;
    77) skip "the package on a real systemd" "$(tail -n 1 "$scratch/boot.err")" ;;
    *) fail "the package on a real systemd" ;;
    esac
}

# The second with the rules that its container finds beside it.
scrape_config() {
    promtool check config --syntax-only deploy/prometheus.yml &&
        mkdir -p "$scratch/etc" && cp deploy/docker/prometheus.yml deploy/prometheus/openseat.rules.yml "$scratch/etc/" &&
        promtool check config "$scratch/etc/prometheus.yml" | tee "$scratch/etc/said" && grep -q ' 1[0-9] rules found' "$scratch/etc/said" &&
        grep -q '/etc/prometheus/openseat.rules.yml:ro$' deploy/docker/compose.yaml
}

caddyfile() { caddy validate --adapter caddyfile --config deploy/caddy/Caddyfile; }

# start_demo: sets $url, and $config to its config. The port is the system's choice, so nothing else can have it.
start_demo() {
    "$target/debug/openseat" demo --listen 127.0.0.1:0 >"$scratch/demo.out" 2>"$scratch/demo.err" &
    demo_pid=$!
    url=
    for _ in {1..150}; do
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

stop_demo() {
    local pid=$demo_pid
    demo_pid=
    kill -TERM "$pid" && wait "$pid"
}

# What promtool says of a scrape of the running demo, what a real Prometheus makes of it, and that the demo ends with 0 when it is told
# to.
scrape() {
    start_demo &&
        curl --silent --fail --max-time 5 "$url/v1/queues/sales-queue/decision" && echo &&
        curl --silent --fail --max-time 5 "$url/metrics" >"$scratch/metrics" &&
        promtool check metrics <"$scratch/metrics" &&
        scripts/prometheus.sh "$url" &&
        stop_demo
}

# routers NAME…: the recipes in deploy/routers/ with the real router; each is bounded, in case that one hangs.
routers() { OPENSEAT=$target/debug/openseat timeout 120 scripts/routers.sh "$@"; }

# check_router NAME PACKAGE…: with each of the script's parts that bear its name.
check_router() {
    local parts=("$1")
    case $1 in
    nginx) parts+=(nginx-without-the-token) ;;
    kamailio) parts+=(kamailio-while-openseat-hangs) ;;
    esac
    if want_router "$@"; then
        check "deploy/routers: $1" routers "${parts[@]}"
    else
        skip "deploy/routers: $1" "$(how_to_get "$1, or a part of it," "${*:2}")"
    fi
}

# Whether the API is what its document says, or 77 where the judge cannot be had.
openapi() {
    local ended=0
    start_demo || return 1
    scripts/openapi.sh "$url" "$config" || ended=$?
    stop_demo && return $ended
}

# find_children: sets $children to this process's own. Not in a subshell, which would be one of them. The list ends without a newline.
find_children() { read -r -a children <"/proc/$$/task/$$/children" || true; }

# Whether all that the run started has ended. An orphan that is made here has to be found, or nothing else would be.
nothing_is_left() {
    local orphan children
    # With no output of its own, or reading its number would wait for its end.
    orphan=$(sleep 300 >/dev/null 2>&1 & echo $!)
    # Browsers and routers need a moment to end.
    for _ in {1..100}; do
        find_children
        [[ ${children[*]} != "$orphan" ]] || break
        sleep 0.1
    done
    if [[ ${children[*]} == "$orphan" ]]; then
        kill "$orphan"
        return
    fi
    printf 'left behind (beside %s, a trial):\n' "$orphan" >&2
    ps -o pid,etime,args -p "${children[*]}" >&2 || true
    # What these have started in turn comes here once they are gone.
    for _ in {1..20}; do
        kill -KILL "${children[@]}" 2>/dev/null || true
        sleep 0.1
        find_children
    done
    return 1
}

# tests NAME ARGUMENTS…: runs `cargo test` and adds up what it reports.
tests() {
    local name=$1 log=$scratch/tests.log running follower counts p f i
    shift
    say "$name"
    local well=yes
    # Not into a pipe: a process that a test leaves behind would keep it open, and this run would wait for it instead of failing.
    : >"$log"
    sleep infinity &
    running=$!
    tail --quiet --follow --lines=+1 --pid="$running" "$log" &
    follower=$!
    cargo test --locked --no-fail-fast "$@" >"$log" 2>&1 || well=no
    kill "$running"
    wait "$follower" || true
    counts=$(sed -nE 's/^test result: .* ([0-9]+) passed; ([0-9]+) failed; ([0-9]+) ignored.*/\1 \2 \3/p' "$log")
    local failed_before=$failed
    while read -r p f i; do
        passed=$((passed + ${p:-0})) failed=$((failed + ${f:-0})) skipped=$((skipped + ${i:-0}))
    done <<<"$counts"
    if [[ $well == no ]]; then
        failures+=("$name")
        # It did not compile, or a benchmark failed, which reports no number.
        if ((failed == failed_before)); then failed=$((failed + 1)); fi
    fi
}

# --- the run --------------------------------------------------------------------------------------------------------

check "cargo fmt" cargo fmt --all --check
check "cargo clippy" cargo clippy --locked --all-targets -- -D warnings
check "cargo doc" documentation
check "cargo build" cargo build --locked
check "the image and the crate, from their own files" scripts/sources.sh image crate

if want shellcheck shellcheck; then
    check "shellcheck" scripts
else
    skip "shellcheck" "$(how_to_get shellcheck shellcheck)"
fi

if want_cargo_deny; then
    check "cargo deny" supply_chain
    if [[ -d ${CARGO_HOME:-$HOME/.cargo}/advisory-dbs ]]; then
        check "cargo deny: advisories" advisories
    else
        skip "cargo deny: advisories" "there is no copy of them; \`cargo deny fetch\` makes one"
    fi
else
    skip "cargo deny" "it cannot be built; \`cargo install --locked cargo-deny\` takes some minutes"
fi

if has systemd-analyze; then
    check "systemd-analyze" unit_files
else
    skip "systemd-analyze" "this machine has no systemd"
fi

check "the configs of deploy/" configs

if want yamllint yamllint; then
    check "yamllint: container files" container_files
else
    skip "yamllint" "$(how_to_get yamllint yamllint)"
fi

if want_router caddy caddy; then
    check "caddy validate" caddyfile
else
    skip "caddy validate" "$(how_to_get caddy caddy)"
fi

if has kubectl; then
    check "kubectl kustomize" kubernetes_files
else
    skip "kubectl kustomize" "kubectl is not installed"
fi

if want_cargo_deb && want jq jq; then
    check "cargo deb" package
    check "the bill of materials" materials
    if want lintian lintian; then
        check "lintian" package_lint
    else
        skip "lintian" "$(how_to_get lintian lintian)"
    fi
    if want mandoc mandoc; then
        check "mandoc" manual
    else
        skip "mandoc" "$(how_to_get mandoc mandoc)"
    fi
    # Where it is missing, the boot test itself says so.
    want debootstrap debootstrap || true
    boot_test
else
    skip "the Debian package" "cargo deb or jq is missing; \`cargo install --locked cargo-deb\` takes some minutes"
fi

if want curl curl && want jq jq && want_prometheus; then
    check "prometheus: scrape configs" scrape_config
    check "prometheus: rules" scripts/rules.sh
    check "prometheus: a scrape of the demo" scrape
else
    skip "prometheus" "$(how_to_get "prometheus, curl or jq" "prometheus curl jq")"
fi

if want curl curl; then
    check "deploy/routers: requests" routers curl callgrid dialplans
    check_router nginx nginx
    check_router haproxy haproxy
    check_router kamailio kamailio kamailio-utils-modules kamailio-extra-modules sip-tester
else
    skip "deploy/routers" "$(how_to_get curl curl)"
fi

if want curl curl && want_router nginx nginx && want wrk wrk && want h2load nghttp2-client; then
    check "benches/serve.sh" benches/serve.sh --smoke
else
    skip "benches/serve.sh" "$(how_to_get "nginx, wrk, h2load or curl" "nginx wrk nghttp2-client curl")"
fi

name="schemathesis: the API against its document"
if want curl curl && want jq jq && want_venv; then
    say "$name"
    ended=0
    openapi || ended=$?
    case $ended in
        0) pass ;;
        77) skip "$name" "schemathesis could not be installed with pip" ;;
        *) fail "$name" ;;
    esac
else
    skip "$name" "$(how_to_get "python3-venv, curl or jq" "python3-venv curl jq")"
fi

# The pages are tested in a real Chromium, and by axe-core; without them those tests are told so, and say it, rather than fail.
export OPENSEAT_SCREENSHOTS=$target/screenshots OPENSEAT_BROWSER=chromium OPENSEAT_AXE=none
if want chromium chromium && want chromedriver chromium-driver; then
    if want_axe; then
        OPENSEAT_AXE=$(realpath "$axe")
    else
        skip "tests/dashboard: axe-core" "npm cannot fetch it"
    fi
else
    OPENSEAT_BROWSER=none
    skip "tests/dashboard" "$(how_to_get "Chromium or its driver" "chromium chromium-driver")"
fi

tests "benchmarks, each once" --bench '*'
tests "cargo test"
if want g++ g++; then
    check "fuzzing, each target for 10 s" scripts/fuzz.sh 10
else
    skip "fuzzing" "$(how_to_get g++ g++)"
fi

if [[ $adopts == yes ]]; then
    check "no process is left" nothing_is_left
else
    skip "no process is left" "it takes perl and Linux on x86_64 or aarch64 to see them"
fi

printf '\nPictures of the pages: %s\n\n' "$OPENSEAT_SCREENSHOTS"
if ((${#gaps[@]})); then
    printf '*** NOT RUN: %s\n' "${gaps[@]}"
fi
if ((${#failures[@]})); then
    printf '*** FAILED: %s\n' "${failures[@]}"
fi
printf '%d passed, %d failed, %d skipped\n' "$passed" "$failed" "$skipped"
((failed == 0))
