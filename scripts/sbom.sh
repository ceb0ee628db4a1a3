#!/usr/bin/env bash
# Prints the program's software bill of materials, as CycloneDX 1.5 in JSON: every crate that is compiled into it or builds it, in
# the version of Cargo.lock. It needs jq.
#
# SQLite is C source inside the crate libsqlite3-sys and has no entry of its own. The Debian package's dependencies (libc,
# ca-certificates) are in its control file.
set -euo pipefail
cd "$(dirname "$0")/.."

host=$(rustc --version --verbose | sed -n 's/^host: //p')
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# cargo tree knows which crates are compiled for this system with these features; cargo metadata knows the licences.
cargo tree --quiet --locked --package openseat --edges normal,build --target "$host" --prefix none --format '{p}' |
    awk '{ sub(/^v/, "", $2); print $1 " " $2 }' | sort --unique >"$scratch/crates"
cargo metadata --quiet --locked --format-version 1 --filter-platform "$host" >"$scratch/metadata"

jq --null-input --sort-keys --rawfile crates "$scratch/crates" --rawfile lock Cargo.lock --slurpfile metadata "$scratch/metadata" '
    def purl: "pkg:cargo/\(.name)@\(.version | @uri)";
    def component(type): { type: type, "bom-ref": purl, name, version, purl: purl }
        + if .license then { licenses: [{ expression: (.license | gsub("\\s*/\\s*"; " OR ")) }] } else {} end;
    # Cargo.lock has the digest of each package from the registry.
    ($lock | split("[[package]]")[1:] | map(
        { key: (capture("name = \"(?<n>[^\"]+)\"\nversion = \"(?<v>[^\"]+)\"") | "\(.n) \(.v)"),
          value: (capture("checksum = \"(?<c>[0-9a-f]{64})\"").c // empty) }) | from_entries) as $digests
    | ($metadata[0].packages | map({ key: "\(.name) \(.version)", value: . }) | from_entries) as $packages
    | ($crates | split("\n") | map(select(. != ""))) as $names
    | ($packages | to_entries[] | select(.value.name == "openseat") | .value) as $root
    | {
        bomFormat: "CycloneDX", specVersion: "1.5", version: 1,
        metadata: { component: ($root | component("application")) },
        components: [ $names[] | select(startswith("openseat ") | not) as $name
            | ($packages[$name] // error("cargo metadata does not know \($name)")) | component("library")
            | if $digests[$name] then . + { hashes: [{ alg: "SHA-256", content: $digests[$name] }] } else . end ]
    }'
