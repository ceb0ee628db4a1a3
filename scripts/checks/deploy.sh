# Checks of what is deployed: units, configs, container files, the Debian package. Sourced by test.sh.

# systemd-analyze needs the program to exist, so the unit names the one in the build folder. The manual is not installed.
check_units() {
    local binary=$target/debug/openseat
    cp deploy/openseat.socket "$scratch/"
    sed -E "s|^(Exec[A-Za-z]+)=openseat|\1=$binary|" deploy/openseat.service >"$scratch/openseat.service"
    systemd-analyze verify --man=no "$scratch/openseat.service" "$scratch/openseat.socket" &&
        # The threshold is in tenths of systemd's scale of exposure, where 10 is a service that may do anything.
        systemd-analyze security --offline=true --threshold=15 "$scratch/openseat.service" | tail -n 1
}

# `plan` reads no tokens, so each config can be checked without them.
check_configs() {
    local config
    for config in deploy/openseat.toml deploy/docker/openseat.toml deploy/kubernetes/openseat.toml \
        deploy/cluster/openseat.toml deploy/cluster/kubernetes/openseat.toml; do
        "$target/debug/openseat" plan --config "$config" >/dev/null || return 1
    done
}

# Containers cannot be built or run here, so their files are only linted.
check_yaml() {
    yamllint --strict --config-data '{extends: default, rules: {document-start: disable, comments-indentation: disable, line-length: {max: 140}}}' \
        deploy/docker/*.yaml deploy/cluster/*.yaml deploy/cluster/kubernetes/*.yaml deploy/kubernetes/*.yaml deploy/docker/*.yml deploy/*.yml
}

check_compose() {
    local file seen=0
    for file in deploy/*/compose.yaml; do
        nodes_have_names "$file" && secrets_are_readable "$file" && networks_survive "$file" || return 1
    done
    # There is a node with a secret.
    ((seen > 1))
}

# A default would give all machines one name, and so would HOSTNAME, which bash does not export.
nodes_have_names() {
    local name
    while read -r name; do
        seen=$((seen + 1))
        if ! [[ $name =~ ^\$\{([A-Z]+):\?.+\}$ && ${BASH_REMATCH[1]} != HOSTNAME ]] ||
            ! header "$1" | grep --quiet "export.* ${BASH_REMATCH[1]}="; then
            echo "each machine must set a name of its own: hostname: $name" >&2
            return 1
        fi
    done < <(sed -n 's/^ *hostname: *//p' "$1")
}

# A mounted file keeps its owner on the host, so the instructions at the top must give it to the image's user: in Prometheus' image
# that is nobody.
secrets_are_readable() {
    local secret user own
    own=$(sed -nE 's/^USER ([0-9]+):.*/\1/p' deploy/docker/Dockerfile)
    while read -r secret; do
        seen=$((seen + 1))
        user=$own
        if [[ $secret == prometheus.* ]]; then user=65534; fi
        if ! header "$1" | grep --quiet "chown $user $secret"; then
            echo "user $user cannot read $secret" >&2
            return 1
        fi
    done < <(sed -nE 's,^ *- \./([^:]*\.(password|token|key|url)):.*,\1,p' "$1")
}

# A container that crashes comes back in a new network. Services that joined the old one would reach nothing from then on.
networks_survive() {
    ! grep --extended-regexp 'network_mode: *"?(service|container):' "$1" ||
        { echo "$1: a service must not join the network of another" >&2 && return 1; }
}

# header FILE: prints the comment at the top.
header() { sed '/^#/!q' "$1"; }

check_caddy() { caddy validate --adapter caddyfile --config deploy/caddy/Caddyfile; }

# Builds what `kubectl apply --kustomize` would send, with placeholder tokens. A new config or token must not start a new pod.
check_kubernetes() {
    local folder=$scratch/kubernetes first=$scratch/first.yaml second=$scratch/second.yaml
    cp -r deploy/kubernetes "$scratch/" && echo none | tee "$folder/"{main,bearer}.token >/dev/null &&
        kubectl kustomize "$folder" >"$first" &&
        echo other >"$folder/main.token" && echo "# edited" >>"$folder/openseat.toml" &&
        kubectl kustomize "$folder" >"$second" &&
        sed -i 's/# - podmonitor.yaml/- podmonitor.yaml/' "$folder/kustomization.yaml" &&
        kubectl kustomize "$folder" | grep --count '^kind: ' &&
        ! cmp --silent "$first" "$second" &&
        of_kind Deployment "$first" | grep --quiet openseat-config &&
        diff <(of_kind Deployment "$first") <(of_kind Deployment "$second") &&
        cluster_manifests
}

# The same for the cluster's example: the password of Valkey's user must be the one that openseat sends.
cluster_manifests() {
    local folder=$scratch/cluster/kubernetes manifests=$scratch/cluster.yaml
    cp -r deploy/cluster "$scratch/" && cp "$folder/../valkey.conf" "$folder/" &&
        echo none | tee "$folder/"{main,bearer}.token >/dev/null && printf secret >"$folder/valkey.password" &&
        sed "s/SHA256-OF-THE-PASSWORD/$(sha256sum <"$folder/valkey.password" | cut -c 1-64)/" "$folder/../users.acl" >"$folder/users.acl" &&
        grep --quiet ' #[0-9a-f]\{64\} ' "$folder/users.acl" &&
        kubectl kustomize "$folder" >"$manifests" &&
        [[ $(grep --count '^kind: ' "$manifests") == 7 ]]
}

# of_kind KIND FILE: prints the documents of that kind.
of_kind() { awk -v kind="$1" 'BEGIN { RS = "---\n" } $0 ~ "\nkind: " kind "\n"' "$2" | grep .; }

# --- the Debian package ---------------------------------------------------------------------------------------------

deb=$target/package/openseat.deb

check_package() { scripts/package.sh dev; }

# with_package COMMAND…: builds the package first if it is older than the program.
with_package() {
    { [[ $deb -nt $target/debug/openseat ]] || check_package; } && "$@"
}

check_sbom() { with_package sbom_is_complete; }
check_lintian() { with_package lintian --fail-on error,warning --allow-root "$deb"; }
check_manual() { with_package manual_is_valid; }
check_boot() { with_package boot; }

# The package's bill of materials must name every crate that is compiled into the program.
sbom_is_complete() {
    dpkg-deb --fsys-tarfile "$deb" | tar --extract --to-stdout ./usr/share/doc/openseat/openseat.cdx.json >"$scratch/sbom" &&
        [[ $(jq --raw-output '.components[] | select(.hashes and .licenses) | .name + " v" + .version' "$scratch/sbom" | sort) == \
            $(cargo tree --locked --edges normal,build --prefix none | awk '$1 && $1 != "openseat" { print $1 " " $2 }' | sort --unique) ]]
}

# The pages are generated, and mandoc warns about their paragraph breaks, so only errors count.
manual_is_valid() { mandoc -Tlint -Werror <(zcat target/package/man/*.gz); }

boot() {
    local status=0
    timeout 900 scripts/systemd.sh "$deb" 2>"$scratch/boot.err" || status=$?
    cat "$scratch/boot.err" >&2
    if ((status == 77)); then why=$(tail -n 1 "$scratch/boot.err"); fi
    return $status
}
