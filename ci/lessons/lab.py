"""Opens JupyterLab at the first lesson, in the learner's copies; `--reset` renews one of them.

python -m ci.lessons.lab                  # what `make lab` runs
python -m ci.lessons.lab --solutions      # copies with the solutions
python -m ci.lessons.lab --reset 02       # what `make reset LESSON=02` runs
"""

import argparse
import os
import sys
from pathlib import Path

from ci.lessons import copies
from helpers import cores
from helpers.errors import BadInput
from helpers.files import ROOT

SETTINGS = Path(__file__).parent / "jupyter"  # JupyterLab neither asks about its news nor looks for its updates
HUB = ("JUPYTERHUB_SERVICE_PREFIX", "JUPYTERHUB_USER")  # set in every server that JupyterHub starts


def command(kind, environment, root):
    """The command that starts JupyterLab at the first lesson of a kind of copies.

    `environment` tells whether a browser can open here, `root` whether root is running this.
    """
    words = [sys.executable, "-m", "jupyter", "lab", f"--ServerApp.root_dir={ROOT}"]
    words += [f"--LabApp.default_url=/lab/tree/{kind.folder.name}/{copies.FIRST}"]
    words += ["--allow-root"] * root
    if not has_browser(environment):
        words.append("--no-browser")
    return words


def settings(environment):
    """The variables that let JupyterLab find `SETTINGS` before what `environment` names."""
    path = os.pathsep.join(filter(None, [str(SETTINGS), environment.get("JUPYTER_CONFIG_PATH")]))
    return {"JUPYTER_CONFIG_PATH": path, "JUPYTER_PREFER_ENV_PATH": "1"}


def has_browser(environment):
    """Whether a browser on this machine would be seen by the person who asks for it."""
    display = environment.get("DISPLAY") or environment.get("WAYLAND_DISPLAY") or environment.get("BROWSER")
    return bool(display) and not environment.get("SSH_CONNECTION")


def hub_text(kind):
    return (
        f"JupyterHub runs a server already, so no second one starts. Open {kind.folder.name}/{copies.FIRST}\n"
        "in its file browser, and choose the kernel Onramp. If there is none yet, register it once in your home:\n"
        f"  {Path(sys.executable)} -m ipykernel install --user --name onramp --display-name Onramp"
    )


def show(done):
    """Print what a person has to know of the copies: not those that are as they were."""
    for path, what in done:
        if what != "unchanged":
            print(f"{what:<40} {path.relative_to(ROOT) if path.is_relative_to(ROOT) else path}")


def confirmed(question, yes, stream):
    """Whether to go on: `yes`, or a person at a terminal who says so."""
    if yes:
        return True
    if not stream.isatty():
        raise BadInput("reset", "nobody to ask", "a terminal, or YES=1", "repeat it with YES=1; the old copy is kept")
    print(f"{question} [y/N] ", end="", flush=True)
    return stream.readline().strip().lower() in ("y", "yes")


def reset(lesson, kind, yes, stream):
    name = copies.find(lesson)
    if not confirmed(f"Renew {kind.folder.name}/{name}? The old copy is kept in `old` beside it.", yes, stream):
        print("Nothing was changed.")
        return
    target, old = copies.reset(lesson, kind)
    show([(target, "renewed")] + ([(old, "the old one")] if old else []))
    print("If it is open in JupyterLab, choose File > Reload Notebook from Disk.")


def main(argv=None):
    parser = argparse.ArgumentParser(
        "python -m ci.lessons.lab", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--solutions", action="store_true", help="open copies with the solutions; with --reset, renew such a copy"
    )
    parser.add_argument("--copies-only", action="store_true", help="write the copies and open nothing")
    parser.add_argument("--reset", metavar="LESSON", help="renew the copy of a lesson, after asking")
    parser.add_argument("--yes", action="store_true", help="do not ask")
    arguments = parser.parse_args(argv)
    kind = copies.SOLUTIONS if arguments.solutions else copies.LEARNER
    try:
        if arguments.reset is not None:
            reset(arguments.reset, kind, arguments.yes, sys.stdin)
            return 0
        given = cores.limit()
        show(copies.write(kind))
    except BadInput as error:
        print(error, file=sys.stderr)
        return 2
    if arguments.copies_only:
        return 0
    if any(os.environ.get(name) for name in HUB):
        print(hub_text(kind))
        return 0
    os.chdir(ROOT)
    words = command(kind, os.environ, os.geteuid() == 0)
    limited = cores.environment(given) if given else {}
    os.execvpe(words[0], words, {**cores.WAITING, **os.environ, **limited, **settings(os.environ)})
    return 0  # not reached: JupyterLab has taken the place of this process


if __name__ == "__main__":
    sys.exit(main())
