"""Train the mini OmniDrive's language model on what the vision part tells, and write both.

    python -m data_scripts.train.omnidrive language --told build/omnidrive_told.pt --minutes 6 --tokenizer FOLDER

Cross entropy of the answers' tokens alone, all parameters of the Llama from scratch and with them the layers that make
vision tokens; boxes and lanes stay as they are. Each picture serves several motions (`motions`). `--tokenizer` is a
folder of `data_scripts.train.tokenizer`. `--out` is the vision part's checkpoint, which gets the new layers, and its
card the figures; OUT_llm is the language model's folder in Hugging Face's form. A run goes on where `--state` was left.
"""

import dataclasses
import json
import time
from pathlib import Path

import numpy as np
import torch

from data_scripts.train import recipe
from data_scripts.train.omnidrive.speaker import Told, Trainer, Words, figures
from data_scripts.train.omnidrive.vision import halves
from helpers import files, models
from helpers.cli import numbers
from helpers.errors import BadInput, foreign
from helpers.llm import folder as hugging_face
from helpers.llm import tokenizer
from helpers.models.checkpoints import write_tensors
from helpers.systems.omnidrive.config import CONFIGS

KEPT = 0.02  # of the scenes, which are held out to see what was learned by heart
SEEN = 256  # frames of them that an evaluation takes

VISION = "a file of the vision stage", "make it with the vision stage and --tell"


def parse(argv):
    parser = recipe.options("omnidrive", __doc__, batch=256, lr=1e-3, reads=False)
    parser.set_defaults(seed=1, steps=10**6)
    parser.add_argument("--told", type=Path, required=True, help="file of `vision --tell`")
    parser.add_argument("--tokenizer", type=Path, required=True, help="folder of the tokenizer")
    parser.add_argument("--weights", type=Path, help="the vision part's checkpoint (what --out names)")
    parser.add_argument("--report", type=numbers.real(0, 1e6), default=20, help="seconds from report to report")
    parser.add_argument("--every", type=numbers.real(0, 1e6), default=90, help="seconds between evaluations")
    parser.add_argument("--state", type=Path, help="file to go on from, and to leave for the next piece")
    return recipe.parsed(parser, argv)


def read(path):
    """The two parts of a file of `vision --tell`: BadInput for anything else."""
    if not path.is_file():
        raise BadInput(path, files.found_at(path), *VISION)
    with foreign(path, *VISION):
        content = torch.load(path, weights_only=True)
        return content["train"], content["held"]


def parts_of(train):
    """The scenes that are learned, and the last few, which are not."""
    count = len(train["questions"])
    kept = max(1, round(KEPT * count))
    if count <= kept:
        raise BadInput("scenes", count, f"more than {kept}", "let the vision stage see more of them")
    cut = count - kept
    return tuple({name: each[some] for name, each in train.items()} for some in (slice(cut), slice(cut, None)))


class Run:
    """A training with its reports, evaluations and files."""

    def __init__(self, args):
        self.args, device = args, torch.device(args.device)
        self.weights = args.weights or args.out
        self.network = models.load_checkpoint(models.create("omnidrive", CONFIGS["mini"]), self.weights).to(device)
        self.words = Words(tokenizer.read(args.tokenizer))
        train, held = read(args.told)
        with foreign(args.told, *VISION):
            parts = (*parts_of(train), held)
            self.learned, self.kept, self.held = (Told(part, self.words, args.seed, device) for part in parts)
        self.trainer = Trainer(self.network, self.words, args.lr, args.seed, device)
        self.spent = 0.0
        if left := recipe.left(args.state, device, "trainer", "spent"):
            with foreign(args.state, recipe.LEFT, recipe.OTHER_STATE):
                self.trainer.load_state_dict(left["trainer"])
                self.spent = float(left["spent"])
            self.learned.random = np.random.default_rng([args.seed, self.trainer.step])
        self.began = time.time() - self.spent

    def progress(self):
        """0..1 of the schedule, by steps or by time."""
        return max(self.trainer.step / self.args.steps, (time.time() - self.began) / (60 * self.args.minutes))

    def train(self):
        """Steps until the schedule ends."""
        report_at = evaluate_at = time.time()
        total, counted = 0.0, 0
        while (progress := self.progress()) < 1:
            total += self.trainer.train_step(self.learned.batch(self.args.batch), progress)
            counted += 1
            if time.time() > report_at + self.args.report:
                rate = counted / (time.time() - report_at)
                print(f"{time.time() - self.began:5.0f} s  step {self.trainer.step}  progress {progress:.3f}  "
                      f"loss {float(total) / counted:.4f}  {rate:.1f} steps/s", flush=True)  # fmt: skip
                total, counted, report_at = 0.0, 0, time.time()
            if time.time() > evaluate_at + self.args.every:
                self.evaluate(progress)
                evaluate_at = time.time()
        self.evaluate(1.0)

    def evaluate(self, progress):
        """Write both networks and the figures of planned paths, and what the next piece goes on from."""
        found = {name: self.planned(part) for name, part in (("planning", self.held), ("new_worlds", self.kept))}
        card = self.args.out.with_suffix(".json")
        about = json.loads(card.read_text(encoding="utf-8")) if card.exists() else {}
        about["language"] = {"step": self.trainer.step, "batch": self.args.batch, "lr": self.args.lr,
                             "seed": self.args.seed, "progress": round(progress, 3), **found}  # fmt: skip
        self.save()
        with files.atomic(card) as part:
            part.write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")
        print(json.dumps(about["language"] | {"seconds": round(time.time() - self.began)}), flush=True)
        if self.args.state:
            with files.atomic(self.args.state) as part:
                torch.save({"trainer": self.trainer.state_dict(), "spent": time.time() - self.began}, part)

    def planned(self, part):
        """Figures of paths that are planned for frames whose way is known; none where it is of no frame."""
        frames = part.known[:SEEN]
        if not len(frames):
            return {}
        return figures(self.trainer.answers(part, frames), part.ways[frames, 0].numpy())

    def save(self):
        """The vision part with its new layers, and the folder of the language model."""
        speaker = self.trainer.average
        layers = {"pts_bbox_head.output_projection": speaker.boxes, "pts_bbox_head.can_bus_embed": speaker.motion,
                  "map_head.output_projection": speaker.lanes}  # fmt: skip
        for path, layer in layers.items():
            self.network.get_submodule(path).load_state_dict(layer.state_dict())
        with files.atomic(self.args.out) as part:
            write_tensors(halves(self.network), part)
        sizes = dataclasses.asdict(speaker.llama.config) | {"tie_word_embeddings": False, "torch_dtype": "float16"}
        state = {name: tensor.half() for name, tensor in speaker.llama.state_dict().items()}
        hugging_face.save(language_folder(self.args.out), state, sizes, self.args.tokenizer)


def language_folder(out: Path) -> Path:
    """Where the language model of a vision checkpoint stands."""
    return out.with_name(f"{out.stem}_llm")


def main(argv: list[str]) -> int:
    """Train; returns 0."""
    Run(parse(argv)).train()
    return 0
