#!/usr/bin/env bash
# Checks alerts and recording rules with promtool and runs their tests. Every rule needs a test with healthy series and one with
# unhealthy series. To prove that, this replaces each rule's expression in a copy: once by one that never has a value, once by one that
# always has one. The tests must fail both times. Takes a few seconds, and needs promtool.
#
# tests/documents/ checks that the expressions in docs/metrics.md are those of the alerts.
set -euo pipefail
cd "$(dirname "$0")/../deploy/prometheus"

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

promtool check rules openseat.rules.yml
promtool test rules openseat.rules.test.yml
cp openseat.rules.test.yml "$scratch/"

# with_expression RULE EXPRESSION: writes the rules with another expression for one of them. The original may span lines, up to the next
# key.
with_expression() {
    awk -v rule="$1" -v expression="$2" '
        /^ *- (alert|record): / { mine = ($3 == rule); old = 0 }
        mine && /^ *expr:/ { print "        expr: " expression; old = 1; next }
        old && /^        [a-z]+:/ { old = 0 }
        !old
    ' openseat.rules.yml >"$scratch/openseat.rules.yml"
    # A broken file would fail the tests, too.
    promtool check rules "$scratch/openseat.rules.yml" >/dev/null
    grep --quiet --fixed-strings "expr: $2" "$scratch/openseat.rules.yml"
}

rules=0
while read -r rule; do
    with_expression "$rule" "vector(0) > 1"
    if promtool test rules "$scratch/openseat.rules.test.yml" >/dev/null 2>&1; then
        echo "no test fails if $rule never has a value" >&2
        exit 1
    fi
    with_expression "$rule" "vector(1)"
    if promtool test rules "$scratch/openseat.rules.test.yml" >/dev/null 2>&1; then
        echo "no test fails if $rule always has a value" >&2
        exit 1
    fi
    rules=$((rules + 1))
done < <(sed -nE 's/^ *- (alert|record): //p' openseat.rules.yml)
((rules > 0))
echo "all $rules rules have tests on healthy and on unhealthy series"
