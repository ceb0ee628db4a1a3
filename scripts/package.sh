#!/usr/bin/env bash
# Makes the Debian package, with a bill of materials in it (needs jq), and prints where it is: package.sh [dist|dev]. `dist`, the default, is built here with everything
# that a package has; `dev` takes the debug build that is there, for tests.
set -euo pipefail
cd "$(dirname "$0")/.."

profile=${1:-dist}
target=$(realpath "${CARGO_TARGET_DIR:-target}")
case $profile in
dist) built=$target/dist/openseat ;;
dev) built=$target/debug/openseat ;;
*)
    echo "package.sh: there is no profile $profile; dist and dev are known" >&2
    exit 2
    ;;
esac
if [[ $profile == dist ]]; then
    cargo build --profile dist --locked >&2
fi

# What Cargo.toml lists beside files of the repository. These two folders are always the same, wherever the target folder is.
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

# The debug build is four times as large, and compressed for no one: its package is only installed and thrown away.
speed=()
if [[ $profile == dev ]]; then
    speed=(--fast)
fi
cargo deb --profile "$profile" --no-build --locked "${speed[@]}" --output "$target/package/openseat.deb" >&2
echo "$target/package/openseat.deb"
