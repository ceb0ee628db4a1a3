#!/usr/bin/env bash
# Builds the Debian package, with a bill of materials in it, and prints its path.
#
#   scripts/package.sh          builds the program with the `dist` profile first
#   scripts/package.sh dev      uses the existing debug build, for tests
#
# It needs cargo-deb and jq.
set -euo pipefail
cd "$(dirname "$0")/.."

profile=${1:-dist}
target=$(realpath "${CARGO_TARGET_DIR:-target}")
case $profile in
dist) built=$target/dist/openseat ;;
dev) built=$target/debug/openseat ;;
*)
    echo "package.sh: there is no profile $profile; use dist or dev" >&2
    exit 2
    ;;
esac
if [[ $profile == dist ]]; then
    cargo build --profile dist --locked >&2
fi

# Files that Cargo.toml lists and that are not in the repository. Their folders are fixed, wherever the target folder is.
pages=target/package/man
completions=target/package/completions
rm -rf "$pages" "$completions"
mkdir -p "$pages" "$completions"
"$built" man "$pages"
gzip --best --no-name "$pages"/*.1
scripts/sbom.sh >target/package/openseat.cdx.json
gzip --best --no-name <CHANGELOG.md >target/package/changelog.gz
for shell in bash zsh fish; do
    "$built" completions "$shell" >"$completions/openseat.$shell"
done

# The debug build is four times as large, and its package is only for tests, so it is hardly compressed.
speed=()
if [[ $profile == dev ]]; then
    speed=(--fast)
fi
cargo deb --profile "$profile" --no-build --locked "${speed[@]}" --output "$target/package/openseat.deb" >&2
echo "$target/package/openseat.deb"
