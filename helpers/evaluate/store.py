"""The folder of an evaluation: what it is of, and a file for every frame, SCENE/TOKEN.npz, whole or absent.

Several processes, also of several hosts that share the folder, may write at once: no two frames share a file. Folders
of hosts that share nothing can be copied into one.
"""

import contextlib
import functools
import hashlib
import json
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from helpers import npz, records, temporary
from helpers.dataset import Dataset, layout
from helpers.errors import BadInput, foreign
from helpers.files import ROOT, PathLike, as_path, atomic, found_at, read_json, sha256
from helpers.sequence import Arrays
from helpers.shared import write_first

ABOUT, METRICS = "evaluation.json", "metrics.json"
WHOSE, OF, MADE_BY = "frame_token", "evaluation_sha256", "code"  # of a result: its frame, its evaluation, who made it
AGAIN = "remove the file and run the evaluation again: what is done is kept"


@functools.cache
def code() -> str:
    """The commit of this code; where files differ from it or there is none, with a digest of those of helpers."""
    known = records.commit()
    if known.isalnum() and known != "unknown":
        return known
    return f"{known} (helpers {sha256(*sorted((ROOT / 'helpers').rglob('*.py')))[:12]})"


class Store:
    """The results of one evaluation.

    Args:
        folder: a new one, or one of the same evaluation.
        dataset: the frames that are evaluated.
        about: what tells this evaluation from others, for JSON: the system, its configuration, a digest of its weights.

    Attributes:
        frames: (scene, token) of every frame, in the order of the split.

    Raises:
        BadInput: no folder, one of another evaluation or of something else, or it cannot be written.
    """

    TEXTS = ("system", "config", "version", "split", "tokens")
    OWN = frozenset(("split", "samples", "tokens", "data"))  # what a store tells of its frames, beside `about`

    def __init__(self, folder: PathLike, dataset: Dataset, about: Mapping[str, Any]) -> None:
        self.folder = as_path(folder)
        self._scenes = dataset.scene_tokens
        self.frames = [(scene, token) for scene, tokens in self._scenes.items() for token in tokens]
        digest = hashlib.sha256("\n".join(dataset.tokens).encode()).hexdigest()
        self._new, self._first, self._code = not self.folder.exists(), False, code()
        whole = {**about, "split": str(dataset.split), "samples": len(dataset), "tokens": digest}
        if layout.is_minidrive(root := as_path(dataset.dataroot)):  # any version of the generator gives these tokens
            whole["data"] = sha256(root / layout.MARKER)
        self._digest = hashlib.sha256(json.dumps(self._claim(whole), sort_keys=True).encode()).hexdigest()

    def _claim(self, about):
        """Write what this evaluation is of, or see that the folder is of the same one; returns what stands there."""
        path = self.folder / ABOUT
        if not path.exists():
            there = os.listdir(self.folder) if found_at(self.folder) == "a folder" else []
            if any(not name.startswith(".") for name in there) and not path.exists():  # others may write it just now
                fix = "choose another folder"
                raise BadInput(self.folder, f"files, but no {ABOUT}", "a new folder, or one of an evaluation", fix)
            self._first = write_first(path, json.dumps(about, indent=1) + "\n")
        found = read_json(path, "what an evaluation is of", "choose another folder")
        known = found if isinstance(found, dict) else {}
        if "data" not in known:  # one that is older does not say
            about = {name: value for name, value in about.items() if name != "data"}
        if found != about:
            names = [name for name in (about | known) if known.get(name) != about.get(name)]
            shown, expected = (", ".join(f"{name}={each.get(name)!r:.40}" for name in names) for each in (known, about))
            raise BadInput(path, shown, expected, "choose another folder for another evaluation")
        return found

    def release(self) -> None:
        """Leave the folder as it was, if this store was the first in it and no frame has a result: what did not get to
        its first frame is no evaluation, and the next may be of another network.
        """
        if not self._first or self.done():
            return
        self.tidy()
        (self.folder / ABOUT).unlink(missing_ok=True)
        if self._new:
            with contextlib.suppress(OSError):  # somebody else has put something there
                self.folder.rmdir()

    @staticmethod
    def about(folder: PathLike) -> dict[str, Any]:
        """What the evaluation in a folder is of, with the names of `OWN`; BadInput where there is none."""
        path = as_path(folder) / ABOUT
        found = read_json(path, "what an evaluation is of", "name the folder of one")
        if not isinstance(found, dict) or not all(isinstance(found.get(name), str) for name in Store.TEXTS):
            fix = "begin one: python -m helpers run"
            raise BadInput(path, f"{found!r:.80}", f"an object with {', '.join(Store.TEXTS)}", fix)
        return found

    def scenes(self) -> dict[str, list[str]]:
        """Scene -> its sample tokens, in the order of the split."""
        return self._scenes

    def has(self, scene: str, token: str) -> bool:
        """Whether a frame has a result."""
        return self._path(scene, token).is_file()

    def done(self) -> int:
        """How many frames have a result."""
        return sum(len(tokens) - len(self.missing(scene)) for scene, tokens in self._scenes.items())

    def missing(self, scene: str) -> list[str]:
        """The tokens of a scene without a result, in order."""
        return [token for token in self._scenes[scene] if not self.has(scene, token)]

    def save(self, scene: str, token: str, arrays: Arrays) -> None:
        """Write a frame's result, unless it has one."""
        if not self.has(scene, token):
            named = {WHOSE: token, OF: self._digest, MADE_BY: self._code}
            with atomic(self._path(scene, token)) as part:
                texts = {name: np.frombuffer(text.encode(), np.uint8) for name, text in named.items()}
                npz.write({**arrays, **texts}, part)

    def made_by(self) -> Counter[str]:
        """Code, as `code` names it -> how many of the frames that have a result it made; "unknown" for one that
        does not say. BadInput for a damaged file.
        """
        found: Counter[str] = Counter()
        for path in (self._path(scene, token) for scene, token in self.frames if self.has(scene, token)):
            with foreign(path, "the result of a frame", AGAIN), np.load(path, allow_pickle=False) as archive:
                found[archive[MADE_BY].tobytes().decode() if MADE_BY in archive else "unknown"] += 1
        return found

    def mixture(self) -> str:
        """A sentence where not all frames are of one code, those that are missing being of this one; else ""."""
        made = self.made_by() + Counter({self._code: len(self.frames) - self.done()})
        if len(made) < 2:
            return ""
        shares = ", ".join(f"{count} by {code}" for code, count in sorted(made.items()))
        return f"{self.folder}: its frames are not all of one code ({shares}); for figures of one, take a new folder"

    def results(self) -> Iterator[tuple[str, Arrays]]:
        """(token, arrays) of every frame, in the order of the split.

        Raises:
            BadInput: naming the file of a frame that is missing or damaged, or is another frame's or evaluation's.
        """
        for scene, token in self.frames:
            path = self._path(scene, token)
            try:
                names = npz.members(path)  # before any is read: what the headers claim
            except BadInput as error:
                raise BadInput(error.where, error.found, error.expected, AGAIN) from error
            with foreign(path, "the result of a frame", AGAIN), np.load(path, allow_pickle=False) as archive:
                arrays = {name: archive[name] for name in names}
            self._check_named(path, arrays, token)
            yield token, arrays

    def _check_named(self, path, arrays, token):
        """Take out what a result says of itself, as far as it does: one that is older says less, or nothing."""
        whose, of, _ = (arrays.pop(name, None) for name in (WHOSE, OF, MADE_BY))
        if whose is not None and whose.tobytes() != token.encode():
            found = f"the result of {whose.tobytes().decode(errors='replace')!r:.80}"
            raise BadInput(path, found, f"the result of {token!r}", AGAIN)
        if of is not None and of.tobytes() != self._digest.encode():
            fix = f"give every evaluation a folder of its own, and leave its {ABOUT} as it was written"
            raise BadInput(path, "the result of another evaluation", f"one of that which {ABOUT} tells of", fix)

    def tidy(self) -> None:
        """Remove what processes that were killed had begun to write."""
        for folder in (self.folder, *(self.folder / scene for scene in self._scenes)):
            if folder.is_dir():
                temporary.sweep(folder)

    def save_metrics(self, metrics: Mapping[str, float]) -> None:
        """Write metrics.json."""
        with atomic(self.folder / METRICS) as part:
            part.write_text(json.dumps(dict(metrics), indent=1) + "\n", encoding="utf-8")

    def _path(self, scene, token):
        return self.folder / scene / f"{token}.npz"
