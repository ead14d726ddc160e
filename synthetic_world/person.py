"""Who somebody is: build, face, hair, clothes, things carried, role and gait. Drawn once, the same in every camera."""

from dataclasses import dataclass, replace

import numpy as np

from . import materials as m
from .levels import Level
from .pose import Gait, Proportions, step_rate
from .seeds import rng_for

Colour = tuple[float, float, float]

NEUTRALS: tuple[Colour, ...] = (
    (0.07, 0.07, 0.08), (0.12, 0.12, 0.13), (0.20, 0.20, 0.22), (0.33, 0.33, 0.34), (0.50, 0.50, 0.50),
    (0.66, 0.66, 0.65), (0.88, 0.88, 0.86), (0.93, 0.91, 0.87), (0.10, 0.13, 0.22), (0.15, 0.19, 0.32),
    (0.72, 0.64, 0.52), (0.55, 0.46, 0.36), (0.30, 0.25, 0.20), (0.27, 0.29, 0.22),
)  # fmt: skip
COLOURS: tuple[Colour, ...] = (
    (0.70, 0.12, 0.14), (0.48, 0.10, 0.16), (0.80, 0.35, 0.30), (0.86, 0.47, 0.14), (0.90, 0.72, 0.20),
    (0.42, 0.50, 0.20), (0.13, 0.42, 0.25), (0.10, 0.40, 0.42), (0.42, 0.66, 0.78), (0.16, 0.36, 0.66),
    (0.20, 0.22, 0.55), (0.42, 0.25, 0.52), (0.70, 0.50, 0.70), (0.85, 0.55, 0.62), (0.80, 0.24, 0.46),
    (0.60, 0.75, 0.62),
)  # fmt: skip
DENIM: tuple[Colour, ...] = ((0.16, 0.21, 0.32), (0.25, 0.33, 0.47), (0.42, 0.50, 0.61), (0.11, 0.13, 0.19))
SKIN: tuple[Colour, ...] = (
    (0.90, 0.74, 0.65), (0.85, 0.67, 0.56), (0.78, 0.59, 0.46), (0.68, 0.49, 0.36), (0.53, 0.36, 0.26),
    (0.38, 0.26, 0.19), (0.27, 0.18, 0.14),
)  # fmt: skip
HAIR: tuple[Colour, ...] = (
    (0.06, 0.05, 0.05), (0.11, 0.08, 0.06), (0.21, 0.14, 0.09), (0.34, 0.23, 0.14), (0.60, 0.47, 0.29),
    (0.72, 0.62, 0.45), (0.42, 0.18, 0.08), (0.60, 0.59, 0.58), (0.82, 0.81, 0.79),
)  # fmt: skip
HAIR_SHARE = (0.28, 0.22, 0.17, 0.10, 0.07, 0.03, 0.03, 0.06, 0.04)

TOPS = ("t-shirt", "shirt", "sweater", "jacket", "open jacket", "coat", "tank top")
TOP_SHARE = (0.28, 0.15, 0.16, 0.16, 0.12, 0.09, 0.04)
BOTTOMS = ("trousers", "jeans", "shorts", "skirt", "leggings")
HAIR_STYLES = ("short", "long", "ponytail", "bun", "bald", "curly")
BAGS = ("none", "backpack", "shoulder bag", "handbag")
HATS = ("none", "cap", "beanie", "hat")
# What the hands are busy with, as in `pose.HOLDS`: all the way, and now and then.
CARRIED = ("nothing", "umbrella", "bicycle", "trolley")
CARRIED_SHARE = (0.92, 0.04, 0.02, 0.02)
PHONES = ("nothing", "phone at ear", "phone low", "phone high")
PHONE_SHARE = (0.64, 0.15, 0.15, 0.06)


@dataclass(frozen=True)
class Outfit:
    """Garments that several people may share; colours are sRGB, 0..1.

    `sleeves`, `socks` and `gloves` have a colour of their own in team kits only, `digits` is that of the number;
    `team` counts the teams of a world from 1.
    """

    top: str
    top_colour: Colour
    top_second: Colour
    top_pattern: int
    bottom: str
    bottom_colour: Colour
    role: str
    rolled: bool = False
    sleeves: Colour | None = None
    socks: Colour | None = None
    gloves: Colour | None = None
    digits: Colour | None = None
    team: int | None = None


@dataclass(frozen=True)
class Person:
    """One identity.

    `number` is the same wherever the person appears. `feminine` chooses proportions and hair only. `detail` seeds
    what tells apart people in the same outfit: the period of a pattern, the shape of a print. `carried` is in their
    hand, on that `side`, wherever they appear; `phone` is what they do with one now and then; `shirt` is the number
    on it.
    """

    number: int
    size: Proportions
    girth: float
    feminine: bool
    skin: Colour
    hair: str
    hair_colour: Colour
    beard: bool
    outfit: Outfit
    shoes: Colour
    sole: Colour
    bag: str
    bag_colour: Colour
    bag_side: int
    hat: str
    hat_colour: Colour
    gait: Gait
    speed: float
    detail: int
    carried: str = "nothing"
    phone: str = "nothing"
    side: int = 1
    carried_colour: Colour = (0.1, 0.1, 0.1)
    shirt: int | None = None

    @property
    def role(self) -> str:
        """What the person does: civilian, worker (in a high-visibility vest), player, goalkeeper, referee or coach."""
        return self.outfit.role

    def holds(self, phoning: bool) -> str:
        """What the person's hands are busy with, as in `pose.HOLDS`."""
        return self.phone if phoning and self.carried == "nothing" else self.carried

    @property
    def step_rate(self) -> float:
        """Radians of the gait cycle for each metre walked, so that feet do not slide."""
        return step_rate(self.size, self.gait)


def _jitter(rng: np.random.Generator, colour: Colour, spread: float = 0.03) -> Colour:
    r, g, b = np.clip(np.array(colour) + rng.normal(0, spread) + rng.normal(0, 0.4 * spread, 3), 0.03, 0.95)
    return float(r), float(g), float(b)


def _cloth(rng: np.random.Generator, level: Level) -> Colour:
    palette = NEUTRALS if rng.random() < level.neutral_clothes else COLOURS
    return _jitter(rng, palette[rng.integers(len(palette))])


def _outfit(rng: np.random.Generator, level: Level, feminine: bool) -> Outfit:
    top = str(rng.choice(TOPS, p=TOP_SHARE))
    shares = (0.36, 0.34, 0.12, 0.10, 0.08) if feminine else (0.44, 0.40, 0.16, 0.0, 0.0)
    bottom = str(rng.choice(BOTTOMS, p=shares))
    pattern = m.PLAIN
    if top in ("t-shirt", "sweater", "tank top"):
        pattern = int(
            rng.choice([m.PLAIN, m.STRIPES, m.PRINT_FRONT, m.BLOCK, m.SPOTTED], p=[0.3, 0.2, 0.28, 0.12, 0.1])
        )
    elif top == "shirt":
        pattern = int(rng.choice([m.PLAIN, m.CHECKS, m.PINSTRIPES, m.SPOTTED], p=[0.35, 0.35, 0.2, 0.1]))
    elif top == "jacket":
        pattern = int(rng.choice([m.PLAIN, m.BLOCK, m.PRINT_BACK], p=[0.55, 0.25, 0.2]))
    elif top == "open jacket":
        pattern = m.OPEN_FRONT
    role = "worker" if rng.random() < 0.04 else "civilian"
    colour, second = _cloth(rng, level), _cloth(rng, level)
    if sum(abs(a - b) for a, b in zip(colour, second)) < 0.5:  # a pattern that could not be seen
        second = (0.88, 0.87, 0.84) if sum(colour) < 1.4 else (0.12, 0.12, 0.14)
    if bottom == "jeans":
        below = _jitter(rng, DENIM[rng.integers(len(DENIM))])
    else:
        dark = rng.random() < 0.6
        below = _jitter(rng, NEUTRALS[rng.integers(5)]) if dark else _cloth(rng, level)
    rolled = bool(top in ("shirt", "sweater") and rng.random() < 0.35)
    return Outfit(top, colour, second, pattern, bottom, below, role, rolled)


def _size(rng: np.random.Generator, feminine: bool) -> Proportions:
    height = float(np.clip(rng.normal(1.64 if feminine else 1.76, 0.07), 1.48, 1.98))
    legs = float(rng.normal(1.0, 0.022))
    shoulder = float(rng.normal(0.086 if feminine else 0.096, 0.004)) * height
    hip_height = 0.512 * height * legs
    head = 0.5 * float(np.clip(rng.normal(0.137, 0.003), 0.130, 0.143)) * height
    torso = 0.825 * height - hip_height - 0.01
    return Proportions(
        height=height,
        hip=0.052 * height,
        shoulder=shoulder,
        thigh=0.5 * (hip_height - 0.075) * 1.01,
        shin=0.5 * (hip_height - 0.075) * 0.99,
        torso=torso,
        upper_arm=0.160 * height,
        forearm=0.145 * height,
        neck=height - head - (hip_height + torso),
        head=head,
    )


def _gait(rng: np.random.Generator) -> Gait:
    return Gait(
        stride=float(rng.uniform(0.34, 0.5)),
        knee=float(rng.uniform(0.8, 1.1)),
        arm_swing=float(rng.uniform(0.2, 0.55)),
        elbow=float(rng.uniform(0.1, 0.5)),
        spread=float(rng.uniform(0.09, 0.2)),
        lean=float(rng.uniform(0.0, 0.1)),
        head_pitch=float(rng.uniform(0.0, 0.25)),
        sway=float(rng.uniform(0.005, 0.025)),
        stance=float(rng.uniform(0.0, 0.4)),
    )


def make_person(seed: int, number: int, level: Level, feminine: bool | None = None) -> Person:
    """The identity of that number in the world of that seed.

    People `k * outfit_sharing` to `k * outfit_sharing + outfit_sharing - 1` wear garments of the same kinds and
    colours, and are alike in sex, which may be given; all else is their own.
    """
    group = rng_for(seed, "outfit", number // level.outfit_sharing)
    drawn = bool(group.random() < 0.48)
    feminine = drawn if feminine is None else feminine
    outfit = _outfit(group, level, feminine)
    rng = rng_for(seed, "person", number)
    tone = rng.integers(len(SKIN))
    dark = tone >= 4
    hair_colour = HAIR[int(rng.choice(3 if dark else len(HAIR), p=None if dark else HAIR_SHARE))]
    shares = (0.18, 0.42, 0.2, 0.12, 0.0, 0.08) if feminine else (0.68, 0.05, 0.03, 0.02, 0.12, 0.1)
    pale = rng.random() < 0.4
    person = Person(
        number=number,
        size=_size(rng, feminine),
        girth=float(np.clip(rng.normal(1.0, 0.1), 0.82, 1.32)),
        feminine=feminine,
        skin=_jitter(rng, SKIN[tone], 0.02),
        hair=str(rng.choice(HAIR_STYLES, p=shares)),
        hair_colour=_jitter(rng, hair_colour, 0.015),
        beard=bool(not feminine and rng.random() < 0.25),
        outfit=outfit,
        shoes=_jitter(
            rng,
            (0.88, 0.88, 0.87)
            if pale
            else NEUTRALS[rng.integers(6)]
            if rng.random() < 0.7
            else COLOURS[rng.integers(len(COLOURS))],
        ),
        sole=(0.85, 0.85, 0.83) if rng.random() < 0.5 else (0.1, 0.1, 0.1),
        bag=str(rng.choice(BAGS, p=(0.5, 0.24, 0.16, 0.1))),
        bag_colour=_cloth(rng, level),
        bag_side=int(rng.choice((-1, 1))),
        hat=str(rng.choice(HATS, p=(0.84, 0.08, 0.05, 0.03))),
        hat_colour=_cloth(rng, level),
        gait=_gait(rng),
        speed=float(np.clip(rng.normal(1.3, 0.2), 0.8, 1.9)),
        detail=int(rng.integers(1, 60000)),
    )
    carried = str(rng.choice(CARRIED, p=CARRIED_SHARE))
    # A handbag is in the other hand; a bicycle takes both.
    bag = "none" if carried == "bicycle" and person.bag == "handbag" else person.bag
    return replace(
        person,
        bag=bag,
        carried=carried,
        phone=str(rng.choice(PHONES, p=PHONE_SHARE)),
        side=-person.bag_side,
        carried_colour=_cloth(rng, level),
    )
