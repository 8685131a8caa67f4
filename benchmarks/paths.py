"""Stage `paths`: what the mini's language model plans, greedily, from the tokens of every engine. Needs PyTorch and the
devkit, no GPU; nothing for a system without a language model.
"""

import numpy as np

from benchmarks.frames import Frames
from helpers import planner
from helpers.dataset import open_dataset
from helpers.errors import BadInput
from helpers.files import sha256
from helpers.llm.generate import GREEDY
from helpers.planner.evaluated import scored

HOW = "of the rows of {}: helpers.planner in PyTorch on the CPU, greedy"


def run(session, options):
    """Score the paths of every `.npz` of the mini's outputs."""
    system = options.system
    if not system.language:
        if options.stage == "paths":
            print(f"{system.name} has no language model")
        return
    dataset = open_dataset(options.data, "v1.0-mini", "mini_val")
    tokens, table = Frames(session.work / "frames/mini", options.preparing).tokens, system.config("mini").table
    language = sha256(*sorted(options.language.glob("*.safetensors")))
    spoken = planner.load(options.language)
    for path in sorted((session.work / "outputs/mini").glob("*.npz")):
        made_of = {"outputs": sha256(path), "language": language}
        session.piece(f"paths/{path.stem}", lambda path=path: score(path, table, tokens, dataset, spoken), 60, made_of)


def score(path, table, tokens, dataset, spoken):
    """Metrics of the paths of the outputs in `path`; {"tokens_finite": False} where the rows are not numbers."""
    with np.load(path) as arrays:
        if table not in arrays:
            raise BadInput(path, f"arrays {', '.join(arrays)}", f"an array {table}", "stream the engine again: --retry")
        rows = arrays[table]
    if not np.isfinite(rows).all():
        return {"tokens_finite": False}
    return planned([one[0] for one in rows], tokens, dataset, spoken) | {"paths": HOW.format(table)}


def planned(tables, tokens, dataset, spoken, sampling=GREEDY):
    """Metrics of the paths that are planned from the rows of every frame, and the mean number of tokens said."""
    by_token = {frame.token: frame for frame in dataset}
    tokens = tokens[: len(tables)]
    answers = spoken.answers(tables, [by_token[token].location for token in tokens], sampling=sampling)
    paths = {token: answer.path for token, answer in zip(tokens, answers, strict=True)}
    return scored(paths, dataset) | {"tokens": sum(len(answer.ids) for answer in answers) / len(answers)}
