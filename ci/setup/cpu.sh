#!/usr/bin/env bash
# Creates .venv from the pinned lock of the CPU tier. Returns at once when it already holds what the lock says, in the
# folder where it was made: a copy of the folder must not run the code of the first one.
set -euo pipefail
cd "$(dirname "$0")/../.."
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1

lock=requirements/cpu.txt
stamp=.venv/installed-from
wanted() { cat "$lock" pyproject.toml && pwd -P; }
if wanted | cmp -s - "$stamp" && .venv/bin/python -c ''; then exit 0; fi

fail() { printf 'set-up: %s\n' "$@" >&2; exit 1; }

[ "$(uname -sm)" = "Linux x86_64" ] ||
    fail "found $(uname -sm), but $lock is made for Linux on x86-64 (on Windows: use WSL2)"

find_python() {
    local candidate
    for candidate in "${PYTHON:-}" python3.11 python3 python; do
        if [ -n "$candidate" ] && "$candidate" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null; then
            command -v "$candidate"
            return
        fi
    done
    return 1
}

# The public index has only CUDA builds of torch; where no CPU build is found, the CPU index of pytorch.org has it.
install_torch() {
    local pin log
    pin=$(grep '^torch==' "$lock")
    log=$(mktemp)
    if ! "$venv" -m pip install --no-deps "$pin" 2>&1 | tee "$log"; then
        grep -q 'No matching distribution' "$log" || fail "pip could not install $pin (its message is above)"
        echo "set-up: taking $pin from https://download.pytorch.org/whl/cpu"
        "$venv" -m pip install --no-deps --index-url https://download.pytorch.org/whl/cpu "$pin"
    fi
    rm -f "$log"
}

started=$SECONDS
venv=.venv/bin/python
if ! "$venv" -m pip --version >/dev/null 2>&1; then
    python=$(find_python) || fail \
        "Python 3.11 was not found (tried \$PYTHON, python3.11, python3, python)" \
        "install it (Debian/Ubuntu: sudo apt install python3.11 python3.11-venv; any Linux: uv python install 3.11)," \
        "then run make again, or name it: make PYTHON=/path/to/python3.11 ..."
    echo "set-up: creating .venv with $python"
    "$python" -m venv --clear .venv || fail \
        "'$python -m venv' failed (Debian/Ubuntu: sudo apt install python3.11-venv)"
fi

rm -f "$stamp"
echo "set-up: installing $(grep -c '==' "$lock") pinned packages from $lock"
install_torch
"$venv" -m pip install --no-deps -r "$lock"
"$venv" -m pip install --no-deps --no-build-isolation --quiet -e .
wanted >"$stamp"
echo "set-up: .venv is ready after $((SECONDS - started)) s"
