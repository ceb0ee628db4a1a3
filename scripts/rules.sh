#!/usr/bin/env bash
# The rules: promtool checks them and runs their tests, and every rule is shown to have a test of a healthy series and one of an unhealthy one.
# To that end each rule's expression is replaced, in a copy, by one that never has a value and by one that always has: the tests have to
# fail both times. The expressions that docs/metrics.md shows are those of alerts, as tests/documents/ sees to.
#
# rules.sh: needs promtool. A few seconds.
set -euo pipefail
cd "$(dirname "$0")/../deploy/prometheus"

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

promtool check rules openseat.rules.yml
promtool test rules openseat.rules.test.yml
cp openseat.rules.test.yml "$scratch/"

# with_expression RULE EXPRESSION: the rules with another expression for one alert or recording rule. Its own may go over several lines, until the next key.
with_expression() {
    awk -v rule="$1" -v expression="$2" '
        /^ *- (alert|record): / { mine = ($3 == rule); old = 0 }
        mine && /^ *expr:/ { print "        expr: " expression; old = 1; next }
        old && /^        [a-z]+:/ { old = 0 }
        !old
    ' openseat.rules.yml >"$scratch/openseat.rules.yml"
    # Or the tests would fail for that reason.
    promtool check rules "$scratch/openseat.rules.yml" >/dev/null
    grep --quiet --fixed-strings "expr: $2" "$scratch/openseat.rules.yml"
}

rules=0
while read -r rule; do
    with_expression "$rule" "vector(0) > 1"
    if promtool test rules "$scratch/openseat.rules.test.yml" >/dev/null 2>&1; then
        echo "no test needs $rule to have a value" >&2
        exit 1
    fi
    with_expression "$rule" "vector(1)"
    if promtool test rules "$scratch/openseat.rules.test.yml" >/dev/null 2>&1; then
        echo "no test needs $rule to have no value, or another one" >&2
        exit 1
    fi
    rules=$((rules + 1))
done < <(sed -nE 's/^ *- (alert|record): //p' openseat.rules.yml)
((rules > 0))
echo "each of $rules rules is tested on a good day and on a bad one"
