"""One notebook's process: started, watched under a wall clock, killed with all that it has started."""

import json
import os
import re
import subprocess
import sys
import threading
import time

from helpers import cores, records
from helpers.files import ROOT
from helpers.processes import Guarded


def environment(threads, temporary_files):
    """The variables of a notebook's process; `temporary_files`: folder for its own, its kernel's and Jupyter's."""
    own = cores.environment(threads) if threads < cores.machine() else {}
    own |= {"TMPDIR": str(temporary_files), "JUPYTER_RUNTIME_DIR": str(temporary_files / "runtime")}
    own |= {"JUPYTER_PREFER_ENV_PATH": "1", "PYDEVD_DISABLE_FILE_VALIDATION": "1", records.RUNNER: "1"}
    return {"OMP_NUM_THREADS": str(threads), **cores.WAITING, **os.environ, **own}


class Run:
    """One notebook's process: what it has reported so far, and its end.

    Args:
        out: the executed copy; its log lies beside it, so it should be in a folder of its own.
        answers: the file of wrong answers with which its checks are proven; None if they are not.
        turns: the folder that lessons which run at the same time share; None if it runs alone.
        environment: its variables.
    """

    def __init__(self, path, out, parameters, answers, turns, environment):
        self.cell, self.of, self.exercises, self.done = 0, 0, [], None
        self.log = (out.parent / "log").open("w+", errors="replace")
        command = [sys.executable, "-m", "ci.lessons.execute", path, out, "--parameters", json.dumps(parameters)]
        command += ["--prove-checks", answers] if answers else []
        command += ["--turns", turns] if turns else []
        self.guarded = Guarded(
            command,
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self.log,
            text=True,
        )
        self.process = self.guarded.process
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self):
        for line in self.process.stdout:
            event = json.loads(line)
            if event["event"] == "cell":
                self.cell, self.of = event["cell"], event["of"]
            elif event["event"] == "exercise":
                self.exercises.append({key: event[key] for key in ("title", "problem", "wrong")})
            else:
                self.done = event

    def wait(self, timeout, tick):
        """True if the process ended by itself within `timeout` seconds; kills it otherwise. Calls `tick` meanwhile,
        which may raise to end it.
        """
        deadline = time.monotonic() + timeout
        try:
            while self.process.poll() is None:
                if time.monotonic() > deadline:
                    return False
                tick(self.cell, self.of)
                time.sleep(0.1)
            return True
        finally:
            self.guarded.end()
            self.reader.join(60)  # for what was said: whatever could say more is gone

    def log_tail(self):
        self.log.seek(0)
        text = re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", self.log.read())
        return [line for line in text.splitlines() if line.strip()][-8:]

    def verdict(self):
        """(status, what is wrong, error) once the process has ended by itself."""
        if self.done is None:
            message = f"exit code {self.process.returncode} before the notebook had ended"
            return "failed", "", {"name": "ProcessEnded", "message": message, "traceback": self.log_tail()}
        if self.done["error"]:
            return "failed", "", self.done["error"]
        wrong = [f"{e['title']}: {e['problem']}" for e in self.exercises if e["problem"]]
        return ("failed", "; ".join(wrong), None) if wrong else ("passed", "", None)


def timeout_error(seconds):
    return {"name": "Timeout", "message": f"killed after {seconds:g} s of wall clock", "traceback": []}
