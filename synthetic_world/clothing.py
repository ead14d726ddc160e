"""Materials of garments: colour, pattern and folds in body coordinates."""

from typing import Any

import numpy as np

from . import materials as m
from .person import Person
from .seeds import rng_for

LONG_SLEEVES = frozenset({"shirt", "sweater", "jacket", "open jacket", "coat", "keeper jersey"})
SHORT_SLEEVES = frozenset({"t-shirt", "jersey"})
# Of the cloth over the body, metres.
THICKNESS = {
    "t-shirt": 0.007, "shirt": 0.009, "sweater": 0.013, "jacket": 0.022, "open jacket": 0.02, "coat": 0.024,
    "tank top": 0.004, "jersey": 0.008, "keeper jersey": 0.009,
}  # fmt: skip
FOLDS = {
    "t-shirt": 0.4, "shirt": 0.5, "sweater": 0.3, "jacket": 0.45, "open jacket": 0.45, "coat": 0.4, "tank top": 0.3,
    "jersey": 0.4, "keeper jersey": 0.4,
}  # fmt: skip
# How far the cloth hangs straight down from the chest instead of following the waist, 0..1.
LOOSE = {
    "t-shirt": 0.6, "shirt": 0.6, "sweater": 0.8, "jacket": 1.0, "open jacket": 0.9, "coat": 0.9, "tank top": 0.3,
    "jersey": 0.8, "keeper jersey": 0.8,
}  # fmt: skip
HIGH_VISIBILITY = ((0.85, 0.90, 0.15), (0.95, 0.45, 0.10))


def top_material(person: Person) -> np.ndarray:
    """Material of the chest; heights are above the hip joints."""
    outfit, size = person.outfit, person.size
    # Teammates wear the same to the last stripe.
    rng = rng_for(person.detail if outfit.team is None else outfit.team, "garment detail")
    scale, share, number = float(rng.uniform(0.035, 0.11)), float(rng.uniform(0.3, 0.6)), float(rng.integers(9, 18))
    centre = float(rng.uniform(0.58, 0.7)) * size.torso
    edge = float(rng.uniform(0.35, 0.7)) * size.torso
    extent = float(rng.uniform(0.07, 0.12)) if rng.random() < 0.5 else size.torso
    print_size = float(rng.uniform(0.16, 0.27))
    folds: dict[str, Any] = {"folds": FOLDS[outfit.top], "fold_size": 0.11, "seed": person.detail}
    if person.role == "worker":
        vest = HIGH_VISIBILITY[person.detail % 2]
        return m.material(vest, code=m.VEST, second=(0.8, 0.82, 0.8), **folds)
    code = outfit.top_pattern
    if outfit.team is not None and code in (m.STRIPES, m.PINSTRIPES):
        p, scale = (0.5, 8.0, 0.0), 0.12
    elif code == m.STRIPES:
        p = (share, 0.0, 0.0)
    elif code in (m.CHECKS, m.PINSTRIPES):
        p = (0.5 * share + 0.1, number * (2.0 if code == m.PINSTRIPES else 1.0), 0.0)
    elif code in (m.PRINT_FRONT, m.PRINT_BACK):
        p, scale = (0.0, centre, 0.0), print_size
    elif code == m.BLOCK:
        p = (0.0, edge, edge + extent)
    elif code == m.OPEN_FRONT:
        p = (float(rng.uniform(0.025, 0.05)), float(rng.uniform(0.1, 0.25)), 0.3 * size.torso)
    else:
        p = (float(rng.uniform(0.1, 0.5)), 0.0, 0.0)
    return m.material(outfit.top_colour, code=code, second=outfit.top_second, scale=scale, p=p, **folds)


def sleeve_material(person: Person) -> np.ndarray:
    """Material of the sleeves: the chest's where the pattern goes on, otherwise plain."""
    row = top_material(person)
    if person.outfit.sleeves is not None:
        return m.material(person.outfit.sleeves, folds=0.4, fold_size=0.07, seed=person.detail)
    if person.role == "worker":
        return m.material(person.outfit.top_colour, folds=0.4, fold_size=0.08, seed=person.detail)
    if person.outfit.top_pattern not in (m.STRIPES, m.CHECKS, m.SPOTTED, m.PINSTRIPES):
        # Block colours reach the sleeves of every other garment.
        raglan = person.outfit.top_pattern == m.BLOCK and (person.outfit.team or person.detail) % 2 == 0
        row[m.CODE] = m.PLAIN
        if raglan:
            row[m.COLOUR_A] = row[m.COLOUR_B]
    elif person.outfit.top_pattern in (m.CHECKS, m.PINSTRIPES):
        row[m.P2] = max(3.0, round(row[m.P2] * 0.4))
    row[m.FOLD_SIZE] = 0.07
    return row
