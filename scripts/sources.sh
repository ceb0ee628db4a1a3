#!/usr/bin/env bash
# What leaves the repository can be built by itself: the files that the image's ignore file admits, and those of the crate's package.
#
# sources.sh image|crate…: copies exactly these files elsewhere and has cargo check them, offline. A build of the image or a release of
# the crate fails just as this does, only later. Artifacts of dependencies are taken from the target folder.
set -euo pipefail
cd "$(dirname "$0")/.."

target=$(realpath "${CARGO_TARGET_DIR:-target}")
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# admitted IGNORE_FILE: the files that remain in the build's context. The ignore file excludes everything and then names what is needed;
# anything cleverer than that would have to be understood as Docker does.
admitted() {
    local line first=yes
    while read -r line; do
        case $line in
        '' | '#'*) ;;
        '*') first=no ;;
        '!'*[*?[\\]*) echo "sources.sh: $1: \"$line\": only plain paths are understood" >&2; return 1 ;;
        '!'*)
            [[ $first == no ]] || { echo "sources.sh: $1 has to begin with *" >&2; return 1; }
            git ls-files --cached --others --exclude-standard -- "${line#!}" | grep . ||
                { echo "sources.sh: $1: \"$line\" admits nothing" >&2; return 1; }
            ;;
        *) echo "sources.sh: $1: \"$line\": only * and !path are understood" >&2; return 1 ;;
        esac
    done <"$1"
}

copy_image() {
    admitted deploy/docker/Dockerfile.dockerignore >"$scratch/list"
    tar --create --files-from="$scratch/list" | tar --extract --directory="$1"
}

copy_crate() {
    cargo package --quiet --locked --offline --no-verify --allow-dirty --package openseat --target-dir "$scratch/package"
    local crates=("$scratch"/package/package/openseat-*.crate)
    tar --extract --gzip --strip-components=1 --file="${crates[0]}" --directory="$1"
}

for what in "$@"; do
    case $what in
    image | crate) ;;
    *)
        echo "usage: scripts/sources.sh image|crate…" >&2
        exit 2
        ;;
    esac
    mkdir "$scratch/$what"
    "copy_$what" "$scratch/$what"
    cargo check --quiet --locked --offline --manifest-path "$scratch/$what/Cargo.toml" --target-dir "$target"
    echo "$what: $(find "$scratch/$what" -type f | wc -l) files, which cargo checks"
done
