"""How git is asked."""

import os
import subprocess
from pathlib import Path

from helpers.errors import BadInput
from helpers.files import PathLike


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
