#!/usr/bin/env bash
# Adds to .venv what makes the book and tests it in a browser, from its lock, every file checked against its hash. Learners
# do without: only the targets of make that build the book call this. Returns at once when .venv holds what the lock says.
set -euo pipefail
cd "$(dirname "$0")/../.."
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1

lock=requirements/book.txt
stamp=.venv/book-installed-from
if cmp -s "$lock" "$stamp"; then exit 0; fi
. ci/setup/alone.sh ci/setup/cpu.sh
if cmp -s "$lock" "$stamp"; then exit 0; fi
rm -f "$stamp"
started=$SECONDS
echo "set-up: adding the tools of the book from $lock"
.venv/bin/python -m pip install --quiet --no-deps --no-build-isolation --require-hashes -r "$lock"
cp "$lock" "$stamp"
echo "set-up: they are there after $((SECONDS - started)) s"
