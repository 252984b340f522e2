#!/usr/bin/env bash
# Prints the folder that has `prometheus` and `promtool`: the one on the PATH, if it has both, else that of
# Debian's package, which is fetched with apt and unpacked under FOLDER, once. Needs no root and changes
# nothing of the system: package lists that apt lacks are fetched into FOLDER as well. Several may run this
# at a time. Where they are not to be had it fails with one line that says what to do.
#
#   tests/prometheus/fetch.sh FOLDER
set -euo pipefail

remedy='install the Debian package `prometheus` (apt-get install prometheus), or put `prometheus` and `promtool` into one folder on the PATH'
fail() {
    echo "no Prometheus: $1; $remedy" >&2
    exit 1
}

if found=$(command -v prometheus) && [ -x "$(dirname "$found")/promtool" ]; then
    dirname "$found"
    exit
fi
[ $# -eq 1 ] || fail 'usage: fetch.sh FOLDER'
mkdir -p "$1"
cd "$1"
exec 9> lock
flock 9

bin=$PWD/unpacked/usr/bin
if [ ! -x "$bin/prometheus" ] || [ ! -x "$bin/promtool" ]; then
    for tool in apt-get dpkg-deb; do
        command -v "$tool" > /dev/null || fail "no $tool here"
    done
    rm -rf fetched unpacking unpacked
    mkdir fetched
    # The lists that apt has; where there are none, or they are old, fresh ones of our own.
    own=(-o "Dir::State::lists=$PWD/apt/lists" -o "Dir::Cache=$PWD/apt/cache" -o APT::Sandbox::User=root)
    patience=(-o Acquire::http::Timeout=30 -o Acquire::Retries=2)
    download() {
        (cd fetched && apt-get "${patience[@]}" "$@" download prometheus) >> apt.log 2>&1
    }
    : > apt.log
    if ! download -o APT::Sandbox::User=root; then
        mkdir -p apt/lists/partial apt/cache/archives/partial
        # A source that can't be reached is no failure while another one has the package.
        apt-get "${patience[@]}" "${own[@]}" update >> apt.log 2>&1 || true
        download "${own[@]}" || fail "apt can't fetch it ($(tail -n 1 apt.log))"
    fi
    dpkg-deb -x fetched/prometheus_*.deb unpacking >> apt.log 2>&1 || fail 'the package is broken'
    # What it depends on beside libc is for its web pages.
    unpacking/usr/bin/prometheus --version >> apt.log 2>&1 || fail "it does not run ($(tail -n 1 apt.log))"
    [ -x unpacking/usr/bin/promtool ] || fail 'the package has no promtool'
    mv unpacking unpacked
    rm -rf fetched apt
fi
echo "$bin"
