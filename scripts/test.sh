#!/usr/bin/env bash
# Runs the checks that every change must pass. CI runs this and nothing else.
#
#   scripts/test.sh                   all checks
#   scripts/test.sh NAME…             only these
#   scripts/test.sh --list            the names, and what each check does
#   scripts/test.sh --no-install …    installs nothing, even as root
#
# As root, it first installs the programs that are missing. Otherwise a check that lacks one is skipped, with the reason.
# A failed check does not stop the run. The last line counts tests and checks: `N passed, N failed, N skipped`.
set -euo pipefail
cd "$(dirname "$0")/.."

# install_packages NEED…: installs what is missing from Debian's packages, in one go. The daemons among them are not started.
install_packages() (
    wanted=() policy=/usr/sbin/policy-rc.d
    for need in "$@"; do
        have "$need" || mapfile -t -O "${#wanted[@]}" wanted < <(packages_of "$need")
    done
    ((${#wanted[@]})) || return 0
    echo "installing ${wanted[*]}"
    if [[ ! -e $policy ]]; then
        trap 'rm -f "$policy"' EXIT
        # Debian starts no daemon while this program exits with 101.
        printf '#!/bin/sh\nexit 101\n' >"$policy"
        chmod +x "$policy"
    fi
    # A mirror that hangs must not use up the time of the run.
    timeout 180 apt-get -qq update || return 1
    apt_install "${wanted[@]}" && return
    # One package that is not available must not prevent the others.
    for package in "${wanted[@]}"; do
        apt_install "$package" || echo "cannot install $package"
    done
)

apt_install() {
    timeout 600 env DEBIAN_FRONTEND=noninteractive \
        apt-get -qq install --yes --no-install-recommends "$@" >/dev/null
}

# --- the checks -----------------------------------------------------------------------------------------------------

# One check per line: name, phase, needs, description. The function check_NAME does the work.
#
# The phase `first` compiles. `compile` and `beside` follow in parallel; checks in `beside` need only the built program, and mostly
# wait. Tests in `last` depend on time, so only `idle` runs next to them, at the lowest priority. `end` runs alone.
table='
fmt         first    -                                      the code is formatted
build       first    -                                      program, tests and benchmarks compile
clippy      compile  -                                      no lints, with and without the features that only tests use
docs        compile  -                                      documentation of the code builds
sources     compile  -                                      image and crate build from their own files
benches     compile  -                                      each benchmark runs once
fuzz        compile  g++                                    each fuzz target runs for ten seconds
shellcheck  beside   shellcheck                             scripts have no mistakes that shellcheck knows
deny        beside   cargo-deny                             dependencies: licences, sources, duplicates
advisories  beside   cargo-deny                             dependencies: known vulnerabilities
units       beside   program,systemd-analyze                systemd units are valid and locked down
configs     beside   program                                configs in deploy/ are valid
yaml        beside   yamllint                               container files are clean YAML
compose     beside   -                                      Compose files: nodes have names, openseat can read its secrets, services survive a restart
caddy       beside   caddy                                  the Caddyfile is valid
kubernetes  beside   kubectl                                manifests build; a new token or config restarts no pod
package     beside   program,cargo-deb,jq                   the Debian package builds
sbom        beside   program,cargo-deb,jq                   the package lists every crate in the program
lintian     beside   program,cargo-deb,jq,lintian           the package follows Debian policy
manual      beside   program,cargo-deb,jq,mandoc            manual pages are valid
boot        beside   program,cargo-deb,jq,root,debootstrap  the package works on a real systemd
prometheus  beside   prometheus                             scrape configs are valid
rules       beside   prometheus                             alerts and recording rules pass their tests
scrape      beside   program,prometheus,curl,jq             Prometheus scrapes the demo, and the dashboard has data
requests    beside   program,curl                           requests from curl, CallGrid and dial plans work
nginx       beside   program,nginx,curl                     the nginx recipe works
haproxy     beside   program,haproxy,curl                   the HAProxy recipe works
speed       beside   program,nginx,wrk,h2load,curl          the comparison with nginx runs; no figure is checked
openapi     beside   program,venv,curl,jq                   the API does what its document says
test        last     -                                      cargo test, without the month
kamailio    last     program,kamailio,curl                  the Kamailio recipe works
engine      last     redis-server                           clusters work with a real Redis
browser     last     chromium,chromedriver                  the pages in a real browser
machine     last     root,network,zsh                       tests that need root, a network or other shells
month       idle     -                                      an account lives through a month of virtual time
leftovers   end      perl                                   the run leaves no process behind
'

declare -A phase_of=() needs_of=() description_of=()
names=()
while read -r name phase needs description; do
    [[ -n $name ]] || continue
    names+=("$name")
    phase_of[$name]=$phase needs_of[$name]=${needs//,/ } description_of[$name]=$description
done <<<"$table"

list() { for name in "${names[@]}"; do printf '%-12s %s\n' "$name" "${description_of[$name]}"; done; }

usage() { sed -n '2,/^set/{s/^# \{0,1\}//p}' scripts/test.sh; }

arguments=("$@")
install=$((EUID == 0))
chosen=()
while (($#)); do
    case $1 in
    --list) list && exit ;;
    --help) usage && exit ;;
    --no-install) install=0 ;;
    *)
        if [[ -z ${description_of[$1]:-} ]]; then
            printf 'test.sh: there is no check "%s"; these are the checks:\n\n' "$1" >&2
            list >&2
            exit 2
        fi
        chosen+=("$1")
        ;;
    esac
    shift
done
((${#chosen[@]})) || chosen=("${names[@]}")

is_chosen() { [[ " ${chosen[*]} " == *" $1 "* ]]; }

# in_phase PHASE: prints the chosen checks of a phase, one per line.
in_phase() {
    local name
    for name in "${names[@]}"; do
        if is_chosen "$name" && [[ ${phase_of[$name]} == "$1" ]]; then echo "$name"; fi
    done
}

# --- the run --------------------------------------------------------------------------------------------------------

# Orphaned processes of the run become children of this process, so that `leftovers` sees them: prctl(PR_SET_CHILD_SUBREAPER, 1). bash
# cannot call that, so Perl does; the setting survives exec.
adopts=${OPENSEAT_TEST_ADOPTS:-}
unset OPENSEAT_TEST_ADOPTS
if [[ -z $adopts ]] && command -v perl >/dev/null; then
    declare -A prctl=([x86_64]=157 [aarch64]=167)
    # shellcheck disable=SC2016 # Perl's own variables
    OPENSEAT_TEST_ADOPTS=tried exec perl -e '
        my ($prctl, @command) = @ARGV;
        $ENV{OPENSEAT_TEST_ADOPTS} = "yes" if $prctl && syscall($prctl + 0, 36, 1, 0, 0, 0) == 0;
        exec @command' "${prctl[$(uname -m)]:-0}" "$BASH" scripts/test.sh "${arguments[@]}"
fi

target=${CARGO_TARGET_DIR:-target}
mkdir -p "$target"
target=$(realpath "$target")
# CI compiles everything once, so incremental files would only waste gigabytes of disk.
[[ -z ${CI:-} ]] || export CARGO_INCREMENTAL=0
scratch=$(mktemp -d)
# A daemon that ends after its test writes to the test's folder again. Here it is removed with the rest. Servers with users of their own need
# to reach theirs.
export TMPDIR=$scratch/tmp
chmod 711 "$scratch"
mkdir -m 1777 "$TMPDIR"
# A container may have only 64 MiB there. The folders of all tests that run at once take much less than 1 GiB.
memory=/dev/shm
if [[ $(stat -f -c %T "$memory" 2>/dev/null) == tmpfs ]] && (($(df -k --output=avail "$memory" | tail -n 1) > 1 << 20)); then
    OPENSEAT_TEST_MEMORY=$(mktemp -d "$memory/openseat.XXXXXX")
    export OPENSEAT_TEST_MEMORY
fi
# Daemons are in sbin, which is not in most users' PATH.
PATH=$PATH:/usr/sbin:$target/tools/bin
trap clean_up EXIT

# find_children: sets $children to the children of this process. Not in a subshell, which would be one of them. The list has no final
# newline, so `read` fails.
find_children() { read -r -a children <"/proc/$$/task/$$/children" || true; }

clean_up() {
    local children
    find_children
    if ((${#children[@]})); then kill "${children[@]}" 2>/dev/null || true; fi
    rm -rf "$scratch" ${OPENSEAT_TEST_MEMORY:+"$OPENSEAT_TEST_MEMORY"}
}

# cannot REASON: a check returns this if it cannot run on this machine.
cannot() {
    why=$*
    return 77
}

# missing NEED…: prints which needs are missing and how to get them; nothing if none is.
missing() {
    local need lacking=()
    for need in "$@"; do
        [[ $need == - ]] || have "$need" || lacking+=("$need ($(how_to_get "$need"))")
    done
    ((${#lacking[@]} == 0)) || printf 'missing: %s' "$(IFS=,; echo "${lacking[*]}")"
}

# lacks NAME: prints what a check lacks after the installer has done its part. Packages come first, then tools that are compiled.
lacks() {
    local needs=${needs_of[$1]}
    [[ $needs == - ]] || wait_for packages
    # shellcheck disable=SC2086 # words
    [[ -z $(missing $needs) ]] || { wait_for tools && missing $needs; }
}

wait_for() { until [[ -e $scratch/$1 ]]; do sleep 1; done; }

# run NAME: runs a check and records its result: name, seconds, counts of passed, failed and skipped tests or checks, and the reason.
run() {
    local name=$1 begun=$SECONDS status=0 why counts=
    printf '\n==> %s: %s\n' "$name" "${description_of[$name]}"
    why=$(lacks "$name")
    if [[ -n $why ]]; then status=77; else "check_$name" || status=$?; fi
    case $status in
    0) counts=${counts:-1 0 0} ;;
    77) counts="0 0 1" && printf 'SKIPPED: %s: %s\n' "$name" "$why" >&2 ;;
    *) counts=${counts:-0 1 0} && printf 'FAILED: %s\n' "$name" >&2 ;;
    esac
    echo "$name $((SECONDS - begun)) $counts $why" >>"$scratch/results"
}

run_phase() {
    local name
    for name in $(in_phase "$1"); do run "$name"; done
}

# Prints the table of times, then what was skipped or failed, then the totals.
report() {
    local name seconds p f s why passed=0 failed=0 skipped=0
    printf '\nseconds  check\n'
    while read -r name seconds p f s why; do
        printf '%7d  %s\n' "$seconds" "$name"
        passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
    done <"$scratch/results"
    printf '%7d  in all; checks in the second phase run in parallel\n\n' "$SECONDS"
    while read -r name seconds p f s why; do
        if ((s)); then printf '*** SKIPPED: %s: %s\n' "$name" "${why:-$s tests that need more than Rust}"; fi
        if ((f)); then printf '*** FAILED: %s\n' "$name"; fi
    done <"$scratch/results"
    printf '%d passed, %d failed, %d skipped\n' "$passed" "$failed" "$skipped"
    ((failed == 0))
}

# shellcheck source=scripts/checks/tools.sh
. scripts/checks/tools.sh
# shellcheck source=scripts/checks/code.sh
. scripts/checks/code.sh
# shellcheck source=scripts/checks/deploy.sh
. scripts/checks/deploy.sh
# shellcheck source=scripts/checks/service.sh
. scripts/checks/service.sh

: >"$scratch/results"
needed=$(for name in "${chosen[@]}"; do tr ' ' '\n' <<<"${needs_of[$name]}"; done | sort --unique)
installer=
if ((install)); then
    # shellcheck disable=SC2086 # words
    {
        install_packages $needed || true
        touch "$scratch/packages"
        install_tools $needed
        touch "$scratch/tools"
    } >"$scratch/install.log" 2>&1 &
    installer=$!
else
    touch "$scratch/packages" "$scratch/tools"
fi
run_phase first
if [[ $needed == *program* ]] && ! is_chosen build; then build_program; fi
(run_phase beside) >"$scratch/beside.log" 2>&1 &
beside=$!
# A lower priority for the compiler, so that the servers in the other phase answer in time.
(renice -n 10 -p "$BASHPID" >/dev/null; run_phase compile)
wait "$beside" || true
if [[ -n $installer ]]; then
    wait "$installer" || true
    cat "$scratch/install.log"
fi
cat "$scratch/beside.log"
(renice -n 19 -p "$BASHPID" >/dev/null; run_phase idle) >"$scratch/idle.log" 2>&1 &
idle=$!
run_phase last
wait "$idle" || true
cat "$scratch/idle.log"
run_phase end
report
