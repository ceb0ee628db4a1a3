#!/usr/bin/env bash
# Checks that the image and the crate can be built from their own files: those that the image's ignore file admits, and those that the
# crate's package has.
#
#   scripts/sources.sh image|crate…
#
# In a copy of exactly these files, cargo reads the manifests, and every file that the compiler reads for openseat must exist. Nothing
# is compiled twice, so this takes seconds.
set -euo pipefail
cd "$(dirname "$0")/.."

target=$(realpath "${CARGO_TARGET_DIR:-target}")
host=$(rustc --version --verbose | sed -n 's/^host: //p')
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# admitted IGNORE_FILE: lists the files of the build's context. The ignore file excludes everything and then names what is needed.
# Other patterns are errors, because they would have to be read exactly as Docker reads them.
admitted() {
    local line first=yes
    while read -r line; do
        case $line in
        '' | '#'*) ;;
        '*') first=no ;;
        '!'*[*?[\\]*) echo "sources.sh: $1: \"$line\": only plain paths are supported" >&2; return 1 ;;
        '!'*)
            [[ $first == no ]] || { echo "sources.sh: $1 must begin with *" >&2; return 1; }
            git ls-files --cached --others --exclude-standard -- "${line#!}" | grep . ||
                { echo "sources.sh: $1: \"$line\" admits nothing" >&2; return 1; }
            ;;
        *) echo "sources.sh: $1: \"$line\": only * and !path are supported" >&2; return 1 ;;
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

# read_by_compiler: lists this repository's files that went into the program, included texts too.
read_by_compiler() {
    # The build that tests use, so that nothing is compiled only for this.
    cargo test --quiet --locked --no-run --test config
    # What the compiler noted about the library and about the program, but not about the unit tests of either. It writes Make's format,
    # "target: file file…", with a backslash before each space in a name; files outside this folder have absolute paths.
    sed -nE 's/\\ /\x01/g; s/^[^ ]*\.rlib: //p; s/^[^ ]*: (src\/main\.rs)/\1/p' "$target"/debug/deps/openseat-*.d |
        tr ' \001' '\n ' | sed "s|^$PWD/||" | grep -v '^/' | still_there | sort --unique
}

# still_there: drops files that have been removed since, which an old build folder still lists. An included text may have dots in its
# path.
still_there() { while read -r file; do [[ ! -e $file ]] || realpath --relative-to=. "$file"; done; }

read_by_compiler >"$scratch/read"

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
    (cd "$scratch/$what" && find . -type f -printf '%P\n' | sort) >"$scratch/files"
    if missing=$(comm -23 "$scratch/read" "$scratch/files" | grep .); then
        printf 'sources.sh: %s: the program is built from a file that is left out: %s\n' "$what" "${missing//$'\n'/, }" >&2
        exit 1
    fi
    # The only quick command of cargo that rejects what a build rejects: cargo metadata accepts a missing benchmark.
    cargo fetch --quiet --locked --offline --target "$host" --manifest-path "$scratch/$what/Cargo.toml"
    echo "$what: $(wc -l <"$scratch/files") files; the program is built from $(wc -l <"$scratch/read") of them"
done
