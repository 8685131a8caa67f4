"""How git is asked, and what git-lfs leaves in the place of a file."""

import contextlib
import os
import subprocess
from pathlib import Path

from helpers.errors import BadInput
from helpers.files import PathLike, open_file

LFS_POINTER = b"version https://git-lfs.github.com/spec/v1"


def git(folder: PathLike, *words: str, fix: str = "see what git says") -> str:
    """Run git in `folder`, which is not taken for a part of a repository above it; returns what it prints.

    Raises:
        BadInput: no git on this machine, `folder` is not the top of a repository, or git fails; it holds git's words.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    settings = kept | {"GIT_CEILING_DIRECTORIES": str(Path(folder).resolve().parent), "LC_ALL": "C"}
    options = ("-c", "core.autocrlf=false", "-c", "apply.whitespace=nowarn")
    try:
        done = subprocess.run(["git", *options, *words], cwd=folder, env=settings, capture_output=True, text=True)
    except OSError as error:
        raise BadInput("git", error.strerror or error, "git on the PATH, and a folder", "install git") from error
    except ValueError as error:  # a NUL, or half a character
        raise BadInput(f"git {' '.join(words)}", error, "words that a program can be given", "correct them") from error
    if done.returncode:
        raise BadInput(f"git {' '.join(words)}", done.stderr.strip() or done.stdout.strip(), "success", fix)
    return done.stdout


def is_lfs_pointer(path: PathLike) -> bool:
    """Whether `path` is a git-lfs pointer, the text that stands for a file which git-lfs has not fetched.

    False for what cannot be read. Source: the specification of git-lfs, docs/spec.md.
    """
    with contextlib.suppress(OSError, ValueError), open_file(path) as stream:
        return stream.read(len(LFS_POINTER)) == LFS_POINTER
    return False
