#!/usr/bin/env bash
# The alert rules: promtool checks them and runs their tests, and every alert is shown to have a test in which it fires and one in which it is
# silent. To that end each alert's expression is replaced, in a copy, by one that never and by one that always fires: the tests have to
# fail both times.
#
# rules.sh: needs promtool. A few seconds.
set -euo pipefail
cd "$(dirname "$0")/../deploy/prometheus"

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

promtool check rules openseat.rules.yml
promtool test rules openseat.rules.test.yml
cp openseat.rules.test.yml "$scratch/"

# with_expression ALERT EXPRESSION: the rules with another expression for one alert. Its own may go over several lines, until the next key.
with_expression() {
    awk -v alert="$1" -v expression="$2" '
        /^ *- (alert|record): / { mine = ($2 == "alert:" && $3 == alert); old = 0 }
        mine && /^ *expr:/ { print "        expr: " expression; old = 1; next }
        old && /^        [a-z]+:/ { old = 0 }
        !old
    ' openseat.rules.yml >"$scratch/openseat.rules.yml"
    # Or the tests would fail for that reason.
    promtool check rules "$scratch/openseat.rules.yml" >/dev/null
    grep --quiet --fixed-strings "expr: $2" "$scratch/openseat.rules.yml"
}

alerts=0
while read -r alert; do
    with_expression "$alert" "vector(0) > 1"
    if promtool test rules "$scratch/openseat.rules.test.yml" >/dev/null 2>&1; then
        echo "no test has $alert fire" >&2
        exit 1
    fi
    with_expression "$alert" "vector(1)"
    if promtool test rules "$scratch/openseat.rules.test.yml" >/dev/null 2>&1; then
        echo "no test has $alert silent" >&2
        exit 1
    fi
    alerts=$((alerts + 1))
done < <(sed -n 's/^ *- alert: //p' openseat.rules.yml)
((alerts > 0))
echo "each of $alerts alerts is tested on a good day and on a bad one"
