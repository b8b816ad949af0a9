#!/bin/sh
# build.sh DIR TYPE [tests] [cmake arguments]: configures once, then builds.
set -eu
dir=$1 type=$2
shift 2
tests=OFF targets=vmetal
if [ "${1:-}" = tests ]; then
    tests=ON targets=all
    shift
fi
launcher=""
if command -v ccache >/dev/null 2>&1; then
    launcher="-DCMAKE_C_COMPILER_LAUNCHER=ccache -DCMAKE_CXX_COMPILER_LAUNCHER=ccache"
fi
if [ "$(uname -s)" = Darwin ]; then
    brew=$(brew --prefix)
    export PKG_CONFIG_PATH="$brew/opt/openssl@3/lib/pkgconfig:$brew/opt/libarchive/lib/pkgconfig:${PKG_CONFIG_PATH:-}"
fi
log=$dir/configure.log
mkdir -p "$dir"
# shellcheck disable=SC2086
cmake -S . -B "$dir" -G Ninja -DCMAKE_BUILD_TYPE="$type" -DVMT_TESTS=$tests $launcher "$@" >"$log" 2>&1 ||
    { cat "$log" >&2; exit 1; }
exec cmake --build "$dir" --target $targets -- --quiet
