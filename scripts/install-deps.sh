#!/bin/sh
# Installs the packages a target needs: `install-deps.sh build` or `install-deps.sh test`.  Debian, Ubuntu (root or
# sudo) and macOS with Homebrew.  Does nothing, and needs no network, when all of them are there.
set -eu
what=${1:-build}

debian_build="g++ cmake ninja-build pkg-config make libevent-dev libssl-dev node-llhttp libcurl4-openssl-dev
    libarchive-dev libyaml-dev libpcre2-dev libutf8proc-dev libsimdjson-dev libedit-dev ca-certificates curl"
debian_test="libcmocka-dev python3 python3-venv clang-19 clang-format-19 qemu-user gcc-aarch64-linux-gnu
    libc6-dev-arm64-cross"
brew_build="cmake ninja pkg-config libevent openssl@3 llhttp libarchive libyaml pcre2 utf8proc simdjson"
brew_test="cmocka python clang-format"

as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif command -v sudo >/dev/null 2>&1; then
        sudo "$@"
    else
        echo "vmetal: these packages are missing and this user may not install them: $missing" >&2
        echo "vmetal: as root, run: apt-get install $missing" >&2
        exit 1
    fi
}

if [ "$(uname -s)" = Darwin ]; then
    command -v brew >/dev/null 2>&1 || { echo "vmetal: Homebrew is needed: https://brew.sh" >&2; exit 1; }
    wanted=$brew_build
    [ "$what" = test ] && wanted="$wanted $brew_test"
    missing=""
    for p in $wanted; do brew list --versions "$p" >/dev/null 2>&1 || missing="$missing $p"; done
    # shellcheck disable=SC2086
    [ -z "$missing" ] || brew install $missing
    exit 0
fi

command -v apt-get >/dev/null 2>&1 || {
    echo "vmetal: this script knows Debian, Ubuntu and macOS; see docs/building.md for the list of libraries" >&2
    exit 1
}
wanted=$debian_build
[ "$what" = test ] && wanted="$wanted $debian_test"
missing=""
for p in $wanted; do
    dpkg-query -W -f='${Status}' "$p" 2>/dev/null | grep -q "ok installed" || missing="$missing $p"
done
[ -n "$missing" ] || exit 0
echo "installing:$missing"
as_root apt-get update -qq
# shellcheck disable=SC2086
as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null
