#!/usr/bin/env bash
# Creates .venv from the lock of the CPU tier, every file checked against its hash. Returns at once when it already holds
# what the lock says, in the folder where it was made: a copy of the folder must not run the code of the first one. With
# the word `data` it installs only what makes MiniDrive, which then has its time while another call installs the rest.
set -euo pipefail
cd "$(dirname "$0")/../.."
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1

lock=requirements/cpu.txt
stamp=.venv/installed-from
needed=2800 # MiB
wanted() { cat "$lock" pyproject.toml && pwd -P; }
ready() { wanted | cmp -s - "$stamp" && .venv/bin/python -c ''; }
if ready; then exit 0; fi
. ci/setup/alone.sh ci/setup/cpu.sh
if ready; then exit 0; fi

fail() { printf 'set-up: %s\n' "$@" >&2; exit 1; }

[ "$(uname -sm)" = "Linux x86_64" ] ||
    fail "found $(uname -sm), but $lock is made for Linux on x86-64 (on Windows: use WSL2)"

install() { "$venv" -m pip install --no-deps --no-build-isolation --require-hashes --no-compile "$@"; }
pinned() { grep "^$1==" "$lock"; }

# The public index has only CUDA builds of torch; where no CPU build is found, the CPU index of pytorch.org has it: the
# same file, by its hash.
install_torch() {
    local log
    log=$(mktemp)
    if ! install -r <(pinned torch) 2>&1 | tee "$log"; then
        grep -q 'No matching distribution' "$log" || fail "pip could not install torch (its message is above)"
        echo "set-up: taking torch from https://download.pytorch.org/whl/cpu"
        install --index-url https://download.pytorch.org/whl/cpu -r <(pinned torch)
    fi
    rm -f "$log"
}

# Compiles the packages on all cores, which pip does on one, without their tests, which nobody runs; a file that is no
# Python of this version stays as it is.
compile() { PYTHONWARNINGS=ignore "$venv" -m compileall -qq -j "${ONRAMP_CORES:-0}" -x '/tests?/' .venv/lib || true; }

# Whether .venv was made in this folder (its programs name their Python by the full path), by the Python of the lock.
usable() {
    grep -qsF "$(pwd -P)/.venv/bin/python" .venv/bin/pip &&
        "$venv" -c "import sys, pip; sys.exit('%d.%d' % sys.version_info[:2] != '$version')" 2>/dev/null
}

# Pip fails to build a package where it takes a cache for writable that is not, as below a home that cannot be written.
mkdir -p "${PIP_CACHE_DIR:-${XDG_CACHE_HOME:-${HOME:-/dev/null}/.cache}/pip}" 2>/dev/null || export PIP_NO_CACHE_DIR=1

started=$SECONDS
venv=.venv/bin/python
version=$(sed -n '1s/.*CPython \([0-9.]*\).*/\1/p' "$lock")
[ -n "$version" ] || fail "the first line of $lock does not say for which Python it is (fix: git restore $lock)"
if ! usable; then
    [ ! -L .venv ] || fail ".venv is a link to $(readlink .venv), an environment of another folder (fix: rm .venv)"
    read -r _ _ _ free _ < <(df -Pm . | sed -n '$p') || free=$needed
    [ "$free" -ge "$needed" ] || fail "found $free MiB free, but .venv takes $needed (fix: free space; df -h . shows the disk)"
    python=$(ci/setup/python.sh "$version")
    echo "set-up: creating .venv with $python"
    "$python" -m venv --clear .venv || fail "'$python -m venv' failed (its message is above)"
fi

rm -f "$stamp"
if [ "${1:-}" = data ]; then
    install --quiet -r <(pinned numpy && pinned opencv-python-headless && pinned tqdm)
    exit 0
fi
echo "set-up: installing $(grep -c '==' "$lock") pinned packages from $lock"
install --quiet -r requirements/build.txt # builds the few that have no wheel
install_torch
install -r "$lock"
"$venv" -m pip install --no-deps --no-build-isolation --quiet -e .
compile
wanted >"$stamp"
echo "set-up: .venv is ready after $((SECONDS - started)) s"
