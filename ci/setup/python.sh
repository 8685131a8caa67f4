#!/usr/bin/env bash
# Prints the path of a CPython of one version (python.sh 3.11) that can make environments: the one that $PYTHON names,
# or one on PATH. Where there is none, uv fetches one into .venv-uv: uv comes from the package index, by its hash, and
# knows the hashes of the interpreters, which come from github.com/astral-sh/python-build-standalone or from the mirror
# that $UV_PYTHON_INSTALL_MIRROR names. For that any other Python 3 will do.
set -euo pipefail
cd "$(dirname "$0")/../.."
version=$1 tools=.venv-uv

# The first of the programs $2... that is a Python, of version $1 if that is not empty, with venv and pip.
first() {
    local wanted=$1 candidate
    for candidate in "${@:2}"; do
        if [ -n "$candidate" ] && "$candidate" -c "import sys, venv, ensurepip
sys.exit('$wanted' not in ('', '%d.%d' % sys.version_info[:2]))" 2>/dev/null; then
            command -v "$candidate"
            return
        fi
    done
    return 1
}

# Whether uv is in $tools; installs it there with the Python $1.
have_uv() {
    "$tools/bin/uv" --version >/dev/null 2>&1 && return
    echo "set-up: no Python $version with venv here; uv, from the package index, fetches one into $tools"
    "$1" -m venv --clear "$tools" &&
        "$tools/bin/python" -m pip install --quiet --no-deps --require-hashes -r requirements/uv.txt
}

say() { printf 'set-up: %s\n' "$@" >&2; }

if first "$version" "${PYTHON:-}" "python$version" python3 python; then exit; fi
. ci/setup/alone.sh ci/setup/python.sh
export UV_PYTHON_INSTALL_DIR=$PWD/$tools/python UV_CACHE_DIR=$PWD/$tools/cache
if ! base=$(first "" "${PYTHON:-}" python3 python); then
    say "found no Python with venv (tried \$PYTHON, python$version, python3, python); expected $version, or another" \
        "fix: Debian 12: sudo apt install python$version python$version-venv" \
        "fix: Ubuntu 24.04, Debian 13: sudo apt install python3-venv, then make again: it fetches Python $version" \
        "fix: or name one: make PYTHON=/path/to/python$version ..."
elif ! have_uv "$base" >&2; then
    say "uv, which fetches Python $version, could not be installed (the reason is above)" \
        "fix: make again with the network, or name a Python $version: make PYTHON=/path/to/python$version ..."
elif "$tools/bin/uv" python install --managed-python --no-bin "$version" >&2; then
    exec "$tools/bin/uv" python find --managed-python "$version"
else
    say "Python $version could not be fetched (the reason and the address are above)" \
        "fix: name a mirror of the folder releases/download: make UV_PYTHON_INSTALL_MIRROR=https://... ..." \
        "fix: or carry the file here, into a folder named as in the address: FOLDER/DATE/FILE, and" \
        "     make UV_PYTHON_INSTALL_MIRROR=file:///path/to/FOLDER ..." \
        "fix: or name a Python $version of another origin: make PYTHON=/path/to/python$version ..."
fi
exit 1
