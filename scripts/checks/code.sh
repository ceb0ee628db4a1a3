# Checks of the code. Sourced by test.sh.

check_fmt() { cargo fmt --all --check; }

# Uses the features of the tests, like everything below, so that dependencies are compiled once.
check_build() { cargo test --locked --no-run --all-targets; }

# Builds only the program, for checks that run without `build`.
build_program() { cargo test --quiet --locked --no-run --test config; }

check_clippy() {
    cargo clippy --locked --all-targets -- --deny warnings && cargo clippy --locked -- --deny warnings
}

# Includes private items, because these docs are for people who read the code.
check_docs() { RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps --document-private-items; }

check_sources() { scripts/sources.sh image crate; }

check_benches() { cargo test --locked --bench '*'; }

check_fuzz() { scripts/fuzz.sh 10; }

check_shellcheck() {
    shellcheck --external-sources --check-sourced scripts/test.sh &&
        shellcheck scripts/[!t]*.sh fuzz/*.sh benches/*.sh deploy/routers/*.sh deploy/debian/post* .ci/run
}

# cargo-deny reads the manifests of crates for all systems; a build fetches only those for its own system.
check_deny() { cargo fetch --quiet --locked && cargo deny --offline --locked check bans licenses sources; }

# The advisories must be there already: a run fetches nothing but packages.
check_advisories() {
    [[ -d ${CARGO_HOME:-$HOME/.cargo}/advisory-dbs ]] || cannot "there is no copy of the advisories; \`cargo deny fetch\` makes one" || return
    cargo deny --offline --locked check advisories
}

readonly MONTH=a_month_does_not_grow_memory_and_no_hour_has_too_many_requests
check_test() { cargo_test -- --skip "$MONTH"; }

# It takes minutes of one core and depends on no real time.
check_month() { cargo_test --test soak "$MONTH" && [[ $counts == "1 0 "* ]]; }

export OPENSEAT_SCREENSHOTS=$target/screenshots
check_browser() {
    local skip=(--skip picture::)
    have axe || skip+=(--skip access::pages)
    OPENSEAT_AXE=$axe cargo_test --test dashboard -- --ignored "${skip[@]}" || return
    echo "pictures of the pages: $OPENSEAT_SCREENSHOTS"
    have axe || why="the test with axe-core, which npm cannot fetch" counts="${counts% *} 1"
}

check_engine() { cargo_test --lib --test daemon cluster:: -- --ignored; }

check_machine() { cargo_test --test daemon --test cli -- --ignored --skip cluster::; }

# cargo_test ARGUMENTS…: runs `cargo test` and sets $counts to what it reports.
cargo_test() {
    local log follower running status=0
    log=$(mktemp "$scratch/tests.XXXXXX")
    # Not into a pipe: a process that a test leaves behind would keep it open, and this run would wait for it.
    sleep infinity &
    running=$!
    tail --quiet --follow --lines=+1 --pid="$running" "$log" &
    follower=$!
    cargo test --locked --no-fail-fast "$@" >"$log" 2>&1 || status=1
    kill "$running"
    wait "$follower" || true
    counts=$(sed -nE 's/^test result: .* ([0-9]+) passed; ([0-9]+) failed;.*/\1 \2/p' "$log" |
        awk '{ passed += $1; failed += $2 } END { print passed + 0, failed + 0 }')
    # It did not compile, or a test binary crashed; neither reports a number.
    if ((status)) && [[ $counts == *" 0" ]]; then counts="${counts% *} 1"; fi
    counts="$counts $(not_run "$log")"
    return $status
}

# not_run LOG: counts the ignored tests in a log that no other check of this run runs. Only tests whose reason says what they need
# count: the others are run by another test, or are not tests.
not_run() {
    local others=nothing
    if is_chosen browser; then others+="|Chromium"; fi
    if is_chosen machine; then others+="|root|a network|zsh"; fi
    if is_chosen engine; then others+="|redis-server"; fi
    sed -nE 's/^test .* \.\.\. ignored, needs (.*)/\1/p' "$1" | grep --count --invert-match --extended-regexp "^($others)" || true
}

# Checks that every process of the run has ended. It must find an orphan that it makes itself, or it would find no other.
check_leftovers() {
    local orphan children
    [[ $adopts == yes ]] || cannot "seeing them needs Linux on x86_64 or aarch64" || return
    # It has no output: otherwise, reading its process id would wait for its end.
    orphan=$(sleep 300 >/dev/null 2>&1 & echo $!)
    # Browsers and routers need a moment to end, at most a minute on a busy machine.
    for _ in {1..600}; do
        find_children
        [[ ${children[*]} != "$orphan" ]] || break
        sleep 0.1
    done
    if [[ ${children[*]} == "$orphan" ]]; then
        kill "$orphan"
        return
    fi
    printf 'left behind (besides %s, the orphan made here):\n' "$orphan" >&2
    ps -o pid,etime,args -p "${children[*]}" >&2 || true
    # When they are gone, their children become children of this process.
    for _ in {1..20}; do
        kill -KILL "${children[@]}" 2>/dev/null || true
        sleep 0.1
        find_children
    done
    return 1
}
