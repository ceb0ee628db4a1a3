#!/usr/bin/env bash
# Tests the Debian package on a real systemd. It boots one in namespaces of its own, installs the package there, and starts, asks,
# restarts, kills, hangs, misconfigures, upgrades, removes and purges openseat, against the simulated CallTools.
#
#   scripts/systemd.sh PACKAGE.deb
#   scripts/systemd.sh --fetch        only fetches the base system, with debootstrap, into the target folder
#
# Exits with 0 if all tests pass, with 1 if one fails, and with 77 and the reason if the machine does not allow them. It needs root,
# debootstrap, and a cgroup v2 hierarchy in which it can create a group. The guest's only network is its own loopback. Only the base
# system stays on the machine, for the next run.
set -euo pipefail

# Limits in seconds. Fetching takes a minute or two; anything else that exceeds the second limit has failed.
fetch_limit=600
wait_limit=120

say() { printf -- '--> %s\n' "$*"; }

cannot() {
    printf '%s\n' "$*" >&2
    exit 77
}

# --- inside the namespaces ------------------------------------------------------------------------------------------

# boot BASE: becomes systemd, in a root that is BASE under a layer in memory. All of these mounts disappear with the namespace.
boot() {
    local base=$1 layer root node pair
    mount --make-rprivate /
    layer=$(mktemp -d)
    mount -t tmpfs -o mode=755 tmpfs "$layer"
    mkdir "$layer/upper" "$layer/work" "$layer/root"
    root=$layer/root
    mount -t overlay -o "lowerdir=$base,upperdir=$layer/upper,workdir=$layer/work" overlay "$root"
    mount -t proc proc "$root/proc"
    mount -t sysfs -o ro sysfs "$root/sys"
    mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
    mount -t tmpfs -o mode=755,nosuid,nodev tmpfs "$root/run"
    mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
    mount -t tmpfs -o mode=755 tmpfs "$root/dev"
    for node in null zero full random urandom tty; do
        touch "$root/dev/$node"
        mount --bind "/dev/$node" "$root/dev/$node"
    done
    mkdir -p "$root/dev/pts" "$root/dev/shm"
    mount -t devpts -o newinstance,ptmxmode=0666,mode=0620 devpts "$root/dev/pts"
    mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm"
    ln -s pts/ptmx "$root/dev/ptmx"
    ln -s /proc/self/fd "$root/dev/fd"
    for pair in 0:stdin 1:stdout 2:stderr; do
        ln -s "/proc/self/fd/${pair%%:*}" "$root/dev/${pair##*:}"
    done
    cd "$root"
    mkdir -p oldroot
    # Not chroot: inside one, the kernel refuses the user namespaces that PrivateUsers= needs.
    pivot_root . oldroot
    # Shared again, or systemd could not hand over credentials.
    exec env -i container=openseat-test PATH=/usr/sbin:/usr/bin:/sbin:/bin TERM=dumb /bin/sh -c \
        'cd / && umount -l /oldroot && mount --make-rshared / && exec /lib/systemd/systemd --log-target=journal-or-kmsg </dev/null'
}

if [[ ${1:-} == --boot ]]; then
    boot "$2"
fi

# --- the machine ----------------------------------------------------------------------------------------------------

package=${1:?the package to install}
[[ $package == --fetch ]] || package=$(realpath "$package")
cd "$(dirname "$0")/.."
script=$PWD/scripts/systemd.sh
cache=$(realpath "${CARGO_TARGET_DIR:-target}")/systemd
scratch=$(mktemp -d)
launcher=
first=
group=

# stop_guest: kills the guest's first process, and with it all others.
stop_guest() {
    kill -KILL "$launcher" 2>/dev/null || true
    wait "$launcher" 2>/dev/null || true
    launcher='' first=''
}

clean_up() {
    local status=$?
    if ((status != 0 && status != 77)) && [[ -n $first ]]; then
        say "the journal's last lines"
        guest journalctl --no-pager --lines 60 2>/dev/null || tail -n 40 "$scratch/boot.log" || true
    fi
    if [[ -n $launcher ]]; then stop_guest; fi
    if [[ -n $group ]]; then
        # The kernel needs a moment to empty the groups.
        for _ in {1..50}; do
            find "$group" -depth -type d -exec rmdir {} + 2>/dev/null || true
            [[ -d $group ]] || break
            sleep 0.1
        done
    fi
    rm -rf "$scratch"
}
trap clean_up EXIT

((EUID == 0)) || cannot "needs root"
for command in unshare nsenter pivot_root debootstrap findmnt; do
    command -v "$command" >/dev/null || cannot "needs $command"
done
cgroups=$(findmnt --noheadings --types cgroup2 --output TARGET --first-only) || cannot "there is no cgroup v2 hierarchy"
group=$cgroups/openseat-test-$$
mkdir "$group" 2>/dev/null || {
    group=
    cannot "cannot create a group in $cgroups"
}
unshare --pid --fork --mount --uts --ipc --cgroup --net true 2>/dev/null || cannot "cannot create namespaces"

# bootstrap RELEASE MIRROR: makes one attempt. debootstrap mounts /proc in the new system and leaves it there if it fails or is stopped. In
# a mount namespace of its own the mount ends with it, so that the next attempt removes files and not another system's /proc.
bootstrap() {
    rm -rf --one-file-system "$cache/partial" || return 1
    timeout --kill-after 10 "$fetch_limit" unshare --pid --mount-proc --fork --kill-child=SIGKILL debootstrap --variant=minbase \
        --include=systemd,systemd-sysv,dbus,libnss-systemd,procps,curl,ca-certificates \
        "$1" "$cache/partial" "$2" >"$cache/debootstrap.log" 2>&1
}

# fetch: gets the base system of this machine's own release, from where this machine gets its packages.
fetch() {
    local release mirror
    # shellcheck source=/dev/null
    release=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
    # shellcheck disable=SC2016 # apt's own variables
    mirror=$(apt-get indextargets --format '$(SITE) $(CODENAME) $(COMPONENT)' 'Created-By: Packages' |
        awk -v release="$release" '$2 == release && $3 == "main" { print $1; exit }')
    [[ -n $release && -n $mirror ]] || cannot "this machine has no Debian packages"
    mkdir -p "$cache"
    local tries lock
    # Of two scripts that run at once, the second waits for the first, and has it then.
    exec {lock}>"$cache/lock"
    timeout "$((2 * fetch_limit))" flock "$lock" || cannot "another process keeps fetching the base system"
    [[ ! -d $cache/root ]] || {
        exec {lock}>&-
        return 0
    }
    say "fetching the base system of $release"
    for tries in 1 2 3; do
        bootstrap "$release" "$mirror" && break
        # A mirror that was unreachable for a moment is not a fault of the package.
        ((tries < 3)) || cannot "debootstrap failed: $(tail -n 1 "$cache/debootstrap.log")"
        sleep 5
    done
    rm -rf "$cache/partial/var/cache/apt/archives"
    mv "$cache/partial" "$cache/root"
    exec {lock}>&-
}

guest() {
    nsenter --target "$first" --mount --uts --ipc --net --pid --cgroup --root --wd \
        env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 "$@"
}

# soon WHAT COMMAND…: waits until a command succeeds.
soon() {
    local what=$1 end=$((SECONDS + wait_limit))
    shift
    until "$@" >/dev/null 2>&1; do
        if ((SECONDS > end)); then
            printf 'timed out waiting for %s\n' "$what" >&2
            return 1
        fi
        sleep 0.1
    done
}

# is WHAT WANTED FOUND: fails unless the two are equal.
is() {
    [[ $3 == "$2" ]] || {
        printf '%s: expected %q, found %q\n' "$1" "$2" "$3" >&2
        return 1
    }
}

show() { guest systemctl show --property="$1" --value openseat.service; }

is_up() { [[ $(guest systemctl is-system-running) =~ running|degraded ]]; }

# has_begun: the guest has its first process.
has_begun() { grep -q . "/proc/$launcher/task/$launcher/children"; } 2>/dev/null

# is_gone: the guest has ended by itself. A process that has ended stays until it is waited for, but without its command line.
is_gone() { ! grep -q . "/proc/$launcher/cmdline"; } 2>/dev/null

begun_or_gone() { has_begun || is_gone; }

up_or_gone() { is_up || is_gone; }

# try_to_boot: makes one attempt to boot the guest.
try_to_boot() {
    bash -c 'echo $$ >"$1/cgroup.procs" && exec unshare --pid --fork --mount --uts --ipc --cgroup --net --kill-child=SIGKILL "$2" --boot "$3"' \
        - "$group" "$script" "$cache/root" >"$scratch/boot.log" 2>&1 </dev/null &
    launcher=$!
    soon "the first process" begun_or_gone && has_begun || return
    first=$(tr -d ' ' <"/proc/$launcher/task/$launcher/children")
    soon "a booted system" up_or_gone && is_up
}

# boot_guest: boots the guest. A machine that was short of something for a moment is not a fault of the package.
boot_guest() {
    local tries
    for tries in 1 2 3; do
        if try_to_boot; then return; fi
        say "attempt $tries to boot has failed; what it printed:"
        tail -n 40 "$scratch/boot.log"
        stop_guest
    done
    echo "the guest does not boot" >&2
    return 1
}

# --- the tests ------------------------------------------------------------------------------------------------------

token=simulated0token0of0a0simulated0account00
url=http://127.0.0.1:7717

ask() { guest curl --silent --fail --max-time 5 "$@"; }

is_ready() { ask "$url/readyz"; }

used() { ask "$url/metrics" | sed -n 's/^openseat_budget_used_requests{account="main"} \([0-9]*\).*/\1/p'; }

# configure LINES: writes the config, with these lines for the account.
configure() {
    guest sh -c 'cat >/etc/openseat/openseat.toml' <<END
[state]
dir = "/var/lib/openseat"
[[account]]
name = "main"
base_url = "http://127.0.0.1:8500/api/"
$1
[[account.queue]]
queue = "sales-queue"
END
}

status_is_healthy() { show StatusText | grep -qx '1/1 queues fresh; main [0-9]*/1000 requests'; }

restarted() { (($(show NRestarts) > $1)) && is_ready; }

# Between two attempts it is "activating".
has_given_up() { [[ $(guest systemctl is-active openseat.service) == failed ]]; }

main_process() {
    local pid
    pid=$(show MainPID)
    # A signal to process 0 would go to the sender's own group.
    ((pid > 1)) && echo "$pid"
}

# steadily COMMAND…: runs a command while a client asks all the time, one connection after another; none may be lost.
steadily() {
    # shellcheck disable=SC2016 # for the shell inside
    guest sh -c 'echo >/run/asking; asked=0; lost=0
        while [ -e /run/asking ]; do
            asked=$((asked + 1))
            curl --silent --fail --max-time 10 --output /dev/null '"$url"'/v1/queues/sales-queue/decision || lost=$((lost + 1))
        done; echo "$asked asked, $lost lost"' >"$scratch/asked" &
    local asking=$!
    soon "the first requests" guest test -e /run/asking
    "$@"
    sleep 0.5
    guest rm /run/asking
    wait "$asking"
    cat "$scratch/asked"
    grep -q ', 0 lost$' "$scratch/asked"
}

is_threshold() { [[ $(threshold) == "$1" ]]; }

restart_thrice() {
    for _ in 1 2 3; do
        guest systemctl restart openseat.service
        soon "an answer" is_ready
    done
}

install() { guest dpkg --install /root/openseat.deb >/dev/null; }

[[ -d $cache/root ]] || fetch
if [[ $package == --fetch ]]; then exit; fi
say "booting systemd"
boot_guest

say "the package installs and starts nothing"
guest sh -c 'cat >/root/openseat.deb' <"$package"
install
is "the service" disabled "$(guest systemctl is-enabled openseat.service || true)"
is "the socket" disabled "$(guest systemctl is-enabled openseat.socket || true)"
is "the service" inactive "$(guest systemctl is-active openseat.service || true)"
guest systemd-analyze verify --man=no openseat.service openseat.socket
guest openseat --version

say "it does not start without the token"
if guest systemctl start openseat.service 2>/dev/null; then
    echo "the service started without its token" >&2
    exit 1
fi
# Longer than RestartSec=.
sleep 6
is "its state" failed "$(guest systemctl is-active openseat.service || true)"
is "its exit code, a missing credential" 243 "$(show ExecMainStatus)"
is "its restarts" 0 "$(show NRestarts)"
guest systemctl reset-failed openseat.service

say "restarts end after too many failures"
guest mkdir -p /run/systemd/system/openseat.service.d
guest sh -c 'printf "[Service]\nType=exec\nLoadCredential=\nExecStart=\nExecStart=/bin/false\nRestartSec=10ms\n" >/run/systemd/system/openseat.service.d/test.conf'
guest systemctl daemon-reload
guest systemctl start openseat.service 2>/dev/null || true
soon "the end of the restarts" has_given_up
# StartLimitBurst=.
(($(show NRestarts) <= 60)) || is "its restarts" "at most 60" "$(show NRestarts)"
guest rm /run/systemd/system/openseat.service.d/test.conf
guest systemctl daemon-reload
guest systemctl reset-failed openseat.service

say "it starts with its credential, as a user of its own, and answers over TCP and the Unix socket"
guest systemd-run --quiet --unit=calltools openseat simulate --latency 20ms
guest sh -c "umask 077 && echo $token >/etc/openseat/main.token"
configure ''
guest systemctl enable --quiet --now openseat.socket openseat.service
ask "$url/livez"
soon "readiness" is_ready
ask "$url/v1/queues/sales-queue/decision" && echo
ask --unix-socket /run/openseat.sock http://openseat/readyz
guest env CREDENTIALS_DIRECTORY=/etc/openseat openseat health
is "its user" openseat "$(guest ps -o user= -p "$(main_process)")"
is "the state's folder" "700 openseat" "$(guest stat -c '%a %U' /var/lib/private/openseat)"
soon "a healthy status" status_is_healthy
show StatusText

say "a check next to it has the same user, token and budget"
guest systemd-run --pipe --wait --collect --quiet --property=DynamicUser=yes --property=User=openseat --property=StateDirectory=openseat \
    --property=LoadCredential=main.token:/etc/openseat/main.token openseat check | tail -n 1

say "a reload applies the new config in the same process; a wrong config leaves the old one in force"
threshold() { ask "$url/v1/queues/sales-queue/decision" | sed 's/.*"threshold":\([0-9]*\).*/\1/'; }
before=$(main_process)
guest cp /etc/openseat/openseat.toml /root/openseat.toml
guest sh -c "sed -i 's/^queue = .*/&\nthreshold = 3/' /etc/openseat/openseat.toml"
guest systemctl reload openseat.service
soon "the new threshold" is_threshold 3
guest sh -c 'echo rubbish >>/etc/openseat/openseat.toml'
if guest systemctl reload openseat.service; then is "a reload of a broken config" "a failure" "a success"; fi
soon "the line in the journal" guest journalctl --unit=openseat.service --quiet --no-pager --grep='old one stays in force'
is "the threshold" 3 "$(threshold)"
is "the process" "$before" "$(main_process)"
guest cp /root/openseat.toml /etc/openseat/openseat.toml
guest systemctl reload openseat.service
soon "the old threshold" is_threshold 0

say "restarts lose no connection"
steadily restart_thrice

say "after a kill, it restarts and knows what was spent"
before=$(used) count=$(show NRestarts)
guest kill -KILL "$(main_process)"
soon "a restart" restarted "$count"
after=$(used)
((after >= before)) || is "the budget" "at least $before" "$after"

say "when it hangs, the watchdog kills it and it restarts"
guest mkdir -p /run/systemd/system/openseat.service.d
guest sh -c 'printf "[Service]\nWatchdogSec=10\nTimeoutAbortSec=1\n" >/run/systemd/system/openseat.service.d/test.conf'
guest systemctl daemon-reload
guest systemctl restart openseat.service
soon "readiness" is_ready
# By then a watchdog that gets no pings would have fired. It waits longer than a busy machine pauses a healthy service.
sleep 12
count=$(show NRestarts)
is "restarts of a healthy service" 0 "$count"
guest kill -STOP "$(main_process)"
soon "a restart" restarted "$count"
guest journalctl --unit=openseat.service --quiet --no-pager --output=cat --grep='Watchdog timeout'
guest rm /run/systemd/system/openseat.service.d/test.conf
guest systemctl daemon-reload

# stays_down CODE LINES: checks that openseat exits with this code when the account has these lines, and is not restarted.
stays_down() {
    configure "$2"
    guest systemctl restart openseat.service 2>/dev/null || true
    soon "an end" guest systemctl is-failed openseat.service
    # Longer than RestartSec=.
    sleep 6
    is "its state" failed "$(guest systemctl is-active openseat.service || true)"
    is "its exit code" "$1" "$(show ExecMainStatus)"
    is "its restarts" 0 "$(show NRestarts)"
}

say "it is not restarted after a fault that someone has to fix"
stays_down 78 'sylo = "east-1"'
stays_down 77 'token_file = "/etc/openseat/main.token"'

say "an account with another name gets its token through a drop-in"
configure ''
guest sed -i 's/"main"/"lab"/' /etc/openseat/openseat.toml
guest mv /etc/openseat/main.token /etc/openseat/lab.token
guest mkdir -p /etc/systemd/system/openseat.service.d
guest sh -c 'printf "[Service]\nLoadCredential=\nLoadCredential=lab.token:/etc/openseat/lab.token\n" >/etc/systemd/system/openseat.service.d/tokens.conf'
guest systemctl daemon-reload
guest systemctl start openseat.service
soon "readiness" is_ready

say "an upgrade keeps the config and loses no connection"
before=$(main_process)
steadily install
soon "readiness" is_ready
[[ $(main_process) != "$before" ]] || is "the process" "a new one" "$before"
guest grep -q 8500 /etc/openseat/openseat.toml

# section NAME: prints the commands in a section of the manual.
section() { sed -n "/^## $1\$/,/^## /{/^\`\`\`sh\$/,/^\`\`\`\$/{/^\`\`\`/!p}}" docs/operations.md; }

say "the documented restore brings the data back, and the socket"
guest systemctl stop openseat.socket openseat.service
guest install -d -m 700 /var/backups/openseat
guest cp /var/lib/openseat/state.sqlite3 /var/lib/openseat/history.sqlite3 /var/backups/openseat/
guest systemctl start openseat.socket openseat.service
soon "readiness" is_ready
section Restore | guest sh -eux
is "the socket" active "$(guest systemctl is-active openseat.socket || true)"
ask --unix-socket /run/openseat.sock http://openseat/livez >/dev/null
soon "readiness" is_ready
is "the restored file's owner" openseat "$(guest stat -c %U /var/lib/private/openseat/history.sqlite3)"

# It takes 3 s at most, and longer on a busy machine. After 10 s (TimeoutStopSec=) systemd would kill it.
say "it stops by itself"
begun=$(date +%s%N)
guest systemctl stop openseat.socket openseat.service
(($(date +%s%N) - begun < 9000000000))
is "its last exit code" 0 "$(show ExecMainStatus)"

say "removing keeps config and state, purging deletes both"
guest systemctl start openseat.service
guest dpkg --remove openseat >/dev/null
is "openseat's processes" "" "$(guest ps -o pid= -C openseat | grep -vwF "$(guest systemctl show --property=MainPID --value calltools)" || true)"
guest test -e /var/lib/private/openseat/budget.sqlite3
guest test -e /etc/openseat/openseat.toml
guest dpkg --purge openseat >/dev/null 2>&1
for path in /var/lib/openseat /var/lib/private/openseat /etc/openseat/openseat.toml /usr/lib/systemd/system/openseat.service; do
    guest test ! -e "$path" || is "$path" "no such file" "a file"
done

say "shutting down"
guest systemctl poweroff 2>/dev/null || true
soon "the end" bash -c "! kill -0 $launcher"
say "all tests passed"
