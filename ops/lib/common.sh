# shellcheck shell=bash
# What every script of this folder shares: messages, the cache folder, the build folder. Source it, do not run it.

set -euo pipefail

MILLRACE_ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)"

# Tools and builds live outside the checkout, so that a second clone on the same machine starts where the first one was.
export MILLRACE_CACHE="${MILLRACE_CACHE:-${XDG_CACHE_HOME:-${HOME:?HOME is not set: set it, or set MILLRACE_CACHE to a folder for tools and builds}/.cache}/millrace}"
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$MILLRACE_CACHE/target}"

say() {
    if [ -t 2 ]; then
        printf '\033[1m==>\033[0m %s\n' "$*" >&2
    else
        printf '==> %s\n' "$*" >&2
    fi
}

die() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}

# need COMMAND HINT: stops with the hint when the command is missing.
need() {
    command -v "$1" >/dev/null 2>&1 || die "'$1' was not found: $2"
}

# install_packages PACKAGE...: with the package manager of Debian, as root or through sudo.
install_packages() {
    command -v apt-get >/dev/null 2>&1 || die "$* is missing: install it with this system's package manager, then run this again"
    local as_root=()
    if [ "$(id -u)" -ne 0 ]; then
        need sudo "$* is missing: install it as root (apt-get install $*), then run this again"
        as_root=(sudo)
    fi
    say "installing $*"
    {
        "${as_root[@]}" apt-get -q update &&
            "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q install -y --no-install-recommends "$@"
    } >&2 || die "apt-get could not install $*: see its messages above"
}

# install_unstarted SERVICE PACKAGE...: installs packages that bring a service, which is never started: a policy-rc.d that
# forbids it stands for the time of the installation, unless the machine has its own policy, and then it is stopped.
install_unstarted() {
    local service=$1 as_root=() was_running=no policy=/usr/sbin/policy-rc.d own_policy=no result=0
    shift
    if [ "$(id -u)" -ne 0 ]; then
        need sudo "the Debian packages $* are missing: install them as root"
        as_root=(sudo)
    fi
    pgrep -x "$service" >/dev/null 2>&1 && was_running=yes
    if [ ! -e "$policy" ]; then
        own_policy=yes
        printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee "$policy" >/dev/null
        "${as_root[@]}" chmod 755 "$policy"
    fi
    # In a shell of its own, so that a failure leaves no policy behind.
    (install_packages "$@") || result=$?
    [ "$own_policy" = no ] || "${as_root[@]}" rm -f "$policy"
    [ "$result" -eq 0 ] || exit "$result"
    if [ "$was_running" = no ] && [ "$own_policy" = no ] && pgrep -x "$service" >/dev/null 2>&1; then
        say "stopping the service $service that the package started"
        "${as_root[@]}" service "$service" stop >&2 || die "the packaged service $service is running and could not be stopped: stop it"
    fi
}

# smtp-sink and smtp-source, which Debian ships with postfix: a mail server of others' making, and a load on one.
# A machine with another mail server keeps that one, which Debian would take away.
install_postfix() {
    [ ! -x /usr/sbin/smtp-sink ] || return 0
    if [ -e /usr/sbin/sendmail ]; then
        say "this machine has another mail server than postfix: what needs smtp-sink is skipped"
        return 0
    fi
    install_unstarted postfix postfix
}

need_rust() {
    need cargo "install the Rust toolchain (stable, at least the rust-version in Cargo.toml), then run this again"
    local missing=()
    command -v cc >/dev/null 2>&1 || missing+=(gcc libc6-dev)
    command -v make >/dev/null 2>&1 || missing+=(make)
    [ "${#missing[@]}" -eq 0 ] || install_packages "${missing[@]}"
}

need_pip() {
    need python3 "install Python 3 (Debian: apt-get install python3 python3-pip), then run this again"
    python3 -m pip --version >/dev/null 2>&1 ||
        die "python3 has no pip: install it (Debian: apt-get install python3-pip), then run this again"
}

# is_alive HOME: whether the process runs whose number is in HOME/pid.
is_alive() {
    [ -f "$1/pid" ] && kill -0 "$(cat "$1/pid")" 2>/dev/null &&
        ! grep -q '^State:[[:space:]]*Z' "/proc/$(cat "$1/pid")/status" 2>/dev/null
}

# tests_binary: prints where the crate `tests` was built; ends the script when cargo does not say.
tests_binary() {
    local found
    found="$(cargo test --workspace --lib --no-run --message-format=json 2>/dev/null |
        sed -n 's|.*"name":"tests".*"executable":"\([^"]*\)".*|\1|p' | tail -n 1)"
    [ -n "$found" ] || die "cargo did not say where the tests are"
    echo "$found"
}
