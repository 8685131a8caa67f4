"""The config.json of OpenVLA's public folders, read and written. No torch."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from helpers.errors import BadInput, entry
from helpers.systems.openvla.config import DINO, LLAMA, SIGLIP, STRATEGIES, Config, Tower

TOWERS = {"vit_large_patch14_reg4_dinov2.lvd142m": DINO, "vit_so400m_patch14_siglip_224": SIGLIP}
FIX = "take the config.json of openvla/openvla-7b, of one trained from it, or of this project's mini"
SIZES = {"width": (1, 1 << 16), "depth": (1, 1 << 10), "heads": (1, 1 << 10), "hidden": (1, 1 << 18),
         "registers": (0, 1 << 10)}  # fmt: skip
MOST_PIXELS = 1 << 13  # of a side
KINDS = {"architectures": ["OpenVLAForActionPrediction"], "model_type": "openvla"}


def config_of(table: Mapping[str, Any], where: str | Path) -> Config:
    """The configuration that a config.json states; what stands in it, such as eps, goes before what is usual.

    Vicuna's prompt and reasoning before the action are taken for checkpoints of one tower alone, as OpenVLA v0.1 and
    ECoT have it, unless the entries `prompt` and `reasoning`, which are this project's own, say otherwise.

    Raises:
        BadInput: another kind of model, towers that are not known, or entries that do not fit each other.
    """
    if not isinstance(table, Mapping) or table.get("model_type") != KINDS["model_type"]:
        found = table.get("model_type") if isinstance(table, Mapping) else type(table).__name__
        raise BadInput(where, f"model_type {found!r}", "openvla", FIX)
    towers = _towers(table, where)
    fused = table.get("use_fused_vision_backbone", len(towers) == 2)
    sizes = table.get("image_sizes", [224] * len(towers))
    if fused is not (len(towers) == 2) or not isinstance(sizes, list) or len({*map(str, sizes)}) != 1:
        found = f"use_fused_vision_backbone {fused}, {len(towers)} towers, image_sizes {sizes}"
        raise BadInput(where, found, "two towers if fused, else one, for one size of pictures", FIX)
    if any(table.get("timm_override_act_layers") or ()):
        found = f"timm_override_act_layers {table['timm_override_act_layers']!r:.80}"
        raise BadInput(where, found, "towers with their own activation, null", FIX)
    size, language = sizes[0], entry(table, "text_config", {}, where, FIX)
    numbers = {"pad_to_multiple_of": table.get("pad_to_multiple_of", 64), "image_sizes": size,
               "n_action_bins": table.get("n_action_bins", 256)}  # fmt: skip
    for name, value in numbers.items():
        if type(value) is not int or not 2 <= value <= MOST_PIXELS:
            raise BadInput(where, f"{name} {value!r}", f"a whole number from 2 to {MOST_PIXELS}", FIX)
    if language.get("model_type", "llama") != "llama":
        raise BadInput(where, "another text_config", "a Llama's", FIX)
    return Config(
        name=str(where),
        towers=towers,
        language=LLAMA | {name: language[name] for name in LLAMA if name in language},
        resize=table.get("image_resize_strategy", STRATEGIES[1]),
        prompt=table.get("prompt", "openvla" if fused else "vicuna"),
        reasoning=entry(table, "reasoning", not fused, where, FIX),
        padding_rows=numbers["pad_to_multiple_of"],
        bins=numbers["n_action_bins"],
        image_size=(size, size),
        image_mean=tuple(255 * value for value in towers[0].mean),
        image_std=tuple(255 * value for value in towers[0].std),
    )


def table_of(config: Config, norm_stats: Mapping[str, Any]) -> dict[str, Any]:
    """The config.json of a configuration, with the statistics of its data sets."""
    return KINDS | {
        "use_fused_vision_backbone": len(config.towers) == 2,
        "image_resize_strategy": config.resize,
        "image_sizes": [config.image_size[0]] * len(config.towers),
        "n_action_bins": config.bins,
        "norm_stats": norm_stats,
        "pad_to_multiple_of": config.padding_rows,
        "pad_token_id": config.action_vocab,
        "prompt": config.prompt,
        "reasoning": config.reasoning,
        "text_config": {"model_type": "llama", **config.language},
        **_named(config),
    }


def _named(config):
    """The towers by timm's names, or by their sizes where timm has no such."""
    names = {tower: name for name, tower in TOWERS.items()}
    if all(tower in names for tower in config.towers):
        return {"timm_model_ids": [names[tower] for tower in config.towers]}
    return {"towers": [asdict(tower) for tower in config.towers]}


def _towers(table, where):
    names = table.get("timm_model_ids")
    if isinstance(names, list) and names and all(isinstance(name, str) and name in TOWERS for name in names):
        return tuple(TOWERS[name] for name in names)
    try:
        found = tuple(
            Tower(**tower | {name: tuple(tower[name]) for name in ("mean", "std")}) for tower in table["towers"]
        )
    except (KeyError, TypeError) as error:
        raise BadInput(where, f"timm_model_ids {names!r}", "some of " + ", ".join(TOWERS), FIX) from error
    for tower in found:
        for name, (least, most) in SIZES.items():
            value = getattr(tower, name)
            if not (value is None and name == "registers") and (type(value) is not int or not least <= value <= most):
                raise BadInput(where, f"{name} {value!r} of a tower", f"a whole number from {least} to {most}", FIX)
        if tower.width % tower.heads:
            raise BadInput(where, f"a tower of {tower.width} channels, {tower.heads} heads", "heads of one width", FIX)
    return found
