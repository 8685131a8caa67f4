"""The agents of a scene by kind: sizes, categories of nuScenes, paints and clothes."""

from functools import partial

import numpy as np

from . import people, vehicles

PAINTS = [(225, 225, 225), (45, 45, 48), (130, 130, 132), (40, 35, 160), (150, 80, 35), (60, 90, 45), (190, 195, 200)]
PAINTS += [(35, 60, 120), (200, 160, 90), (30, 150, 210)]
SHIRTS = [
    (60, 50, 190),
    (190, 110, 40),
    (60, 60, 64),
    (210, 210, 215),
    (70, 150, 70),
    (40, 170, 220),
    (150, 70, 130),
    (60, 90, 150),
]
TROUSERS = [(90, 60, 40), (45, 45, 48), (110, 120, 130), (70, 80, 110), (130, 90, 60)]
SKIN = [(150, 180, 225), (120, 155, 205), (75, 105, 150), (50, 70, 105)]
HAIR = [(30, 32, 38), (40, 60, 90), (80, 130, 180), (110, 110, 112)]


def pick(rng, options):
    """One of the options."""
    return options[int(rng.integers(len(options)))]


def look(rng):
    """Clothes and colors of a person."""
    return {
        "shirt": pick(rng, SHIRTS),
        "trousers": pick(rng, TROUSERS),
        "skin": pick(rng, SKIN),
        "hair": pick(rng, HAIR),
        "helmet": pick(rng, PAINTS),
    }


SIZES = {
    "car": (1.88, 4.5, 1.52),
    "wagon": (1.95, 4.7, 1.8),
    "truck": (2.5, 7.2, 3.1),
    "bus": (2.8, 10.8, 3.3),
    "trailer": (2.6, 10.5, 3.8),
    "excavator": (2.7, 6.4, 3.1),
    "motorcycle": (0.8, 2.1, 1.33),
    "motorcyclist": (0.8, 2.1, 1.62),
    "bicycle": (0.62, 1.75, 1.1),
    "cyclist": (0.62, 1.75, 1.75),
    "cone": (0.42, 0.42, 0.95),
    "barrier": (2.3, 0.55, 1.05),
    "pedestrian": (0.66, 0.72, 1.74),
}
CATEGORY = {
    "car": "vehicle.car",
    "truck": "vehicle.truck",
    "bus": "vehicle.bus.rigid",
    "trailer": "vehicle.trailer",
    "excavator": "vehicle.construction",
    "motorcycle": "vehicle.motorcycle",
    "bicycle": "vehicle.bicycle",
    "cone": "movable_object.trafficcone",
    "barrier": "movable_object.barrier",
    "pedestrian": "human.pedestrian.adult",
}
CARGO = [(235, 235, 235), (200, 205, 210), (150, 110, 60), (70, 90, 170)]
CURTAINS = [(140, 60, 30), (40, 40, 150), (60, 110, 50), (110, 110, 115)]
LIVERIES = [(235, 235, 235), (60, 190, 240), (190, 130, 60)]
ACCENTS = [(150, 90, 20), (40, 40, 180), (60, 130, 40)]
MACHINES = [(20, 175, 240), (20, 190, 235), (30, 120, 240)]
STRIPES = [(40, 40, 215), (20, 110, 245)]


def make(rng, kind, rider=False, worker=False):
    """Mesh makers, size (w, l, h) and category of a new agent; `rider` also stands for a walker in motion."""
    wagon = kind == "car" and rng.random() < 0.4
    variant = {"motorcycle": "motorcyclist", "bicycle": "cyclist"}.get(kind, kind) if rider else kind
    size = tuple(float(v) for v in SIZES["wagon" if wagon else variant] * rng.uniform(0.94, 1.06, 3))
    paint, wear, category = pick(rng, PAINTS), look(rng), CATEGORY[kind]
    person = wear if rider else None
    if kind == "pedestrian":
        if worker:
            wear |= {"shirt": (30, 130, 250), "hair": (40, 210, 245)}
            category = "human.pedestrian.construction_worker"
        strides = np.sin(np.arange(8) / 8 * 2 * np.pi) if rider else [0.15]
        return [partial(people.pedestrian, size, wear, s, worker) for s in strides], size, category
    maker = {
        "car": partial(vehicles.car, size, paint, rng.random() < 0.3, wagon),
        "truck": partial(vehicles.truck, size, paint, pick(rng, CARGO)),
        "bus": partial(vehicles.bus, size, pick(rng, LIVERIES), pick(rng, ACCENTS)),
        "trailer": partial(vehicles.trailer, size, (175, 178, 182), pick(rng, CURTAINS)),
        "excavator": partial(vehicles.excavator, size, pick(rng, MACHINES)),
        "motorcycle": partial(people.motorcycle, size, paint, person),
        "bicycle": partial(people.bicycle, size, paint, person),
        "cone": partial(people.cone, size),
        "barrier": partial(people.barrier, size, (235, 235, 235), pick(rng, STRIPES)),
    }[kind]
    return [maker], size, category
