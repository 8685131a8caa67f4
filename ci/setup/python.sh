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

fetch() {
    export UV_PYTHON_INSTALL_DIR=$PWD/$tools/python UV_CACHE_DIR=$PWD/$tools/cache
    local base
    if ! "$tools/bin/uv" --version >/dev/null 2>&1; then
        base=$(first "" "${PYTHON:-}" python3 python) || return 1
        echo "set-up: no Python $version with venv here; uv, from the package index, fetches one into $tools"
        "$base" -m venv --clear "$tools" &&
            "$tools/bin/python" -m pip install --quiet --no-deps --require-hashes -r requirements/uv.txt || return 1
    fi
    "$tools/bin/uv" python install --managed-python --no-bin "$version"
} >&2

if first "$version" "${PYTHON:-}" "python$version" python3 python; then exit; fi
if fetch; then exec "$tools/bin/uv" python find --managed-python "$version"; fi
cat >&2 <<END
set-up: Python $version with venv was not found (tried \$PYTHON, python$version, python3, python), and none could be fetched
set-up: Debian 12: sudo apt install python$version python$version-venv
set-up: Ubuntu 24.04, Debian 13: sudo apt install python3-venv, and run make again: it fetches Python $version from github.com
set-up: or name one: make PYTHON=/path/to/python$version ...
END
exit 1
