# shellcheck shell=bash
# What only the benchmarks need: nginx as the ceiling to compare with, and wrk as the load. Source it after common.sh.

# Installs Debian packages that are missing. The packaged nginx service is never started: a policy-rc.d that forbids
# it stands for the time of the installation, unless the machine has its own policy, and then the service is stopped.
install_bench_tools() {
    local missing=()
    command -v nginx >/dev/null 2>&1 || [ -x /usr/sbin/nginx ] || missing+=(nginx-light)
    command -v wrk >/dev/null 2>&1 || missing+=(wrk)
    [ "${#missing[@]}" -eq 0 ] && return 0
    local as_root=()
    if [ "$(id -u)" -ne 0 ]; then
        need sudo "benchmarks need the Debian packages ${missing[*]}: install them as root"
        as_root=(sudo)
    fi
    local nginx_was_running=no policy=/usr/sbin/policy-rc.d own_policy=no
    pgrep -x nginx >/dev/null 2>&1 && nginx_was_running=yes
    if [ ! -e "$policy" ]; then
        own_policy=yes
        printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee "$policy" >/dev/null
        "${as_root[@]}" chmod 755 "$policy"
    fi
    # In a shell of its own, so that a failure leaves no policy behind.
    local result=0
    (install_packages "${missing[@]}") || result=$?
    [ "$own_policy" = no ] || "${as_root[@]}" rm -f "$policy"
    [ "$result" -eq 0 ] || exit "$result"
    if [ "$nginx_was_running" = no ] && [ "$own_policy" = no ] && pgrep -x nginx >/dev/null 2>&1; then
        say "stopping the nginx service that the package started"
        "${as_root[@]}" service nginx stop >&2 || die "the packaged nginx service is running and could not be stopped: stop it"
    fi
}
