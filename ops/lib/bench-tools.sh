# shellcheck shell=bash
# What only the benchmarks need: nginx as the ceiling to compare with, and wrk as the load. Source it after common.sh.

install_bench_tools() {
    local missing=()
    command -v nginx >/dev/null 2>&1 || [ -x /usr/sbin/nginx ] || missing+=(nginx-light)
    command -v wrk >/dev/null 2>&1 || missing+=(wrk)
    [ "${#missing[@]}" -eq 0 ] || install_unstarted nginx "${missing[@]}"
}
