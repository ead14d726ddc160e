"""A person's body and clothes as parts of a rig; metres for somebody 1.75 m tall, scaled by height."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from . import materials as m
from .clothing import LONG_SLEEVES, LOOSE, SHORT_SLEEVES, THICKNESS, sleeve_material, top_material
from .person import Colour, Person
from .pose import (
    ANKLE_L,
    ANKLE_R,
    BODY,
    CALF_L,
    CALF_R,
    CHEST,
    CUFF_L,
    CUFF_R,
    ELBOW_L,
    ELBOW_R,
    FOOT_L,
    FOOT_R,
    HEAD,
    HEEL,
    HEEL_RADIUS,
    HEM_L,
    HEM_R,
    HIP_L,
    HIP_R,
    HIPS,
    KNEE_L,
    KNEE_R,
    NECK,
    PALM_L,
    PALM_R,
    PELVIS,
    SHOULDER_L,
    SHOULDER_R,
    SKULL,
    SLEEVE_L,
    SLEEVE_R,
    SWING,
    TOE_RADIUS,
    WRIST_L,
    WRIST_R,
    toe_of,
)  # fmt: skip
from .raycast import BOX, CUT_CONE
from .rig import Part, Rig

# Rows of a person's materials.
SKIN, FACE, HAIR, TOP, SLEEVE, BOTTOM, SHOE, BAG, HAT, UPPER, SHIN, SOCK, HAND, CUFF, LOWER, SHORTS, NUMBERED = range(
    17
)

# How far the cloth of a leg stands away from it, metres.
LOOSE_LEGS = {"trousers": 0.016, "jeans": 0.009, "leggings": 0.002, "shorts": 0.016}

Offset = tuple[float, float, float]


@dataclass(frozen=True)
class Build:
    """Radii that several parts share."""

    k: float  # height / 1.75
    girth: float
    waist: float
    hips: float
    chest: float
    cloth: float  # thickness of the top garment


def make_rig(person: Person) -> Rig:
    """The person's parts and materials."""
    k, g = person.size.height / 1.75, person.girth
    build = Build(
        k=k,
        girth=g,
        waist=(0.110 if person.feminine else 0.126) * k * (0.25 + 0.75 * g * g),
        hips=(0.158 if person.feminine else 0.150) * k * g,
        chest=(0.126 if person.feminine else 0.138) * k * g,
        cloth=THICKNESS[person.outfit.top],
    )
    parts = [
        *_head(person, build),
        *_hair(person),
        *_hat(person),
        *_torso(person, build),
        *_arms(person, build),
        *_legs(person, build),
        *_bag(person, build),
    ]
    return Rig(parts, _materials(person))


def _materials(person: Person) -> list[np.ndarray]:
    strap = {"backpack": 1, "shoulder bag": 2}.get(person.bag, 0)
    outfit = person.outfit
    top = top_material(person)
    top[m.STRAP] = strap
    top[m.STRAP_COLOUR] = m.linear(person.bag_colour) * 0.7
    socks: Colour = outfit.socks or ((0.85, 0.85, 0.84) if person.detail % 3 else (0.1, 0.1, 0.11))
    # From the calf down; team socks reach the knee.
    edge = (-1.0 if outfit.socks else 0.30 + 0.02 * (person.detail % 11)) * person.size.shin
    top_colour = np.power(top[m.COLOUR_A], 1.0 / 2.2)
    bottom_folds = 0.18 if outfit.bottom == "leggings" else 0.45
    # Trousers above the hem of the top are in the top's colour, should the body reach through it.
    above = (0.0, _hem(person), 9.0)
    cloth: dict[str, Any] = {"folds": bottom_folds, "fold_size": 0.1, "seed": person.detail + 5}
    upper = m.material(outfit.bottom_colour, code=m.TROUSERS, second=top_colour, p=above, **cloth)
    # The same along the thigh, whose axis points down; the left leg bears the number.
    shorts = m.material(outfit.bottom_colour, code=m.BLOCK, second=top_colour, p=(0.0, -9.0, -_hem(person)), **cloth)
    numbered = shorts.copy()
    if person.shirt is not None and outfit.digits is not None:
        top[m.STRAP] = m.number_on(m.ON_SHIRT, person.shirt, 0.62 * person.size.torso)
        numbered[m.STRAP] = m.number_on(m.ON_SHORTS, person.shirt, 0.55 * person.size.thigh)
        top[m.STRAP_COLOUR] = m.linear(outfit.digits)
        numbered[m.STRAP_COLOUR] = m.linear(_legible(outfit.bottom_colour))
    hem = np.array(outfit.bottom_colour) * (1.35 if outfit.bottom == "jeans" and person.detail % 4 == 0 else 0.72)
    sleeve = sleeve_material(person)
    cuff = np.power(sleeve[m.COLOUR_A], 1.0 / 2.2)
    bare = 1.0 if person.hair == "bald" else 0.0
    return [
        m.material(person.skin, folds=0.05, seed=person.detail),
        m.material(
            person.skin,
            code=m.FACE,
            second=person.hair_colour,
            p=(0.062, float(person.beard), bare),
            seed=person.detail,
        ),
        m.material(
            person.hair_colour,
            code=m.HAIR,
            second=np.array(person.hair_colour) * 1.5,
            folds=0.3,
            fold_size=0.04,
            gloss=0.03,
        ),
        top,
        sleeve,
        m.material(outfit.bottom_colour, **cloth),
        m.material(person.shoes, code=m.SHOE, second=person.sole, p=(-0.055, 0.0, 0.0), gloss=0.04),
        m.material(person.bag_colour, folds=0.15, fold_size=0.15, seed=person.detail + 9),
        m.material(person.hat_colour, folds=0.1, seed=person.detail + 11),
        upper,
        m.material(person.skin, code=m.BLOCK, second=socks, p=(0.0, edge, 9.0), folds=0.05, seed=person.detail),
        m.material(socks if outfit.socks else person.skin, folds=0.1, seed=person.detail),
        m.material(outfit.gloves or person.skin, folds=0.05, seed=person.detail),
        m.material(cuff * (0.75 if cuff.max() > 0.25 else 1.6), folds=0.2, fold_size=0.05, seed=person.detail),
        m.material(outfit.bottom_colour, code=m.BLOCK, second=np.clip(hem, 0.0, 1.0),
                   p=(0.0, 0.6 * person.size.shin - 0.012, 9.0), **cloth),
        shorts,
        numbered,
    ]  # fmt: skip


def _legible(colour: Colour) -> Colour:
    return (0.97, 0.97, 0.96) if sum(colour) < 1.5 else (0.04, 0.04, 0.05)


def _ball(joint: int, frame: int, at: Offset, half: Offset, material: int, texture: int = -1) -> Part:
    """Ellipsoid; `half` is its half-length sideways, forward and up."""
    return Part((joint, frame, at), (joint, frame, at), (1.0, 1.0), material, scale=half, texture=texture)


def _scaled(offset: Offset, k: float) -> Offset:
    return offset[0] * k, offset[1] * k, offset[2] * k


def _head(person: Person, build: Build) -> list[Part]:
    k = person.size.head / 0.115
    thick = (0.047 if person.feminine else 0.056) * build.k

    def at(*offset: float) -> Offset:
        return offset[0] * k, offset[1] * k, offset[2] * k

    return [
        Part((NECK, CHEST, (-0.005, 0.0, -0.03)), (HEAD, SKULL, at(-0.012, 0.0, -0.05)), (thick * 1.08, thick), SKIN),
        _ball(HEAD, SKULL, at(0.0, 0.0, 0.022), at(0.074, 0.094, 0.093), FACE, SKULL),
        Part((HEAD, SKULL, at(0.022, 0.0, -0.02)), (HEAD, SKULL, at(0.048, 0.0, -0.079)),
             (0.064 * k, 0.034 * k), FACE, texture=SKULL),
        Part((HEAD, SKULL, at(0.088, 0.0, 0.004)), (HEAD, SKULL, at(0.100, 0.0, -0.022)), (0.009 * k, 0.014 * k), SKIN),
        _ball(HEAD, SKULL, at(-0.004, 0.074, -0.006), at(0.010, 0.019, 0.030), SKIN),
        _ball(HEAD, SKULL, at(-0.004, -0.074, -0.006), at(0.010, 0.019, 0.030), SKIN),
    ]  # fmt: skip


def _hair(person: Person) -> list[Part]:
    k = person.size.head / 0.115
    style = person.hair
    if style == "bald":
        return []
    extra = 0.022 if style == "curly" else 0.0
    half = ((0.079 + extra) * k, (0.094 + extra) * k, (0.083 + extra) * k)
    parts = [_ball(HEAD, SKULL, _scaled((-0.020 - 0.4 * extra, 0.0, 0.036 + 0.3 * extra), k), half, HAIR)]
    if style == "long":
        a, b = _scaled((-0.038, 0.0, 0.0), k), (-0.065, 0.0, -0.20)
        parts.append(Part((HEAD, SKULL, a), (HEAD, CHEST, b), (0.082 * k, 0.06), HAIR, scale=(1.05, 0.72, 0.6)))
    elif style == "ponytail":
        a, b = _scaled((-0.105, 0.0, 0.04), k), _scaled((-0.135, 0.0, -0.16), k)
        parts.append(Part((HEAD, SKULL, a), (HEAD, SKULL, b), (0.034, 0.016), HAIR))
    elif style == "bun":
        parts.append(_ball(HEAD, SKULL, _scaled((-0.095, 0.0, 0.085), k), (0.045, 0.045, 0.042), HAIR))
    return parts


def _hat(person: Person) -> list[Part]:
    k = person.size.head / 0.115
    if person.hat == "cap":
        return [
            _ball(HEAD, SKULL, _scaled((-0.008, 0.0, 0.062), k), _scaled((0.087, 0.105, 0.072), k), HAT),
            _ball(HEAD, SKULL, _scaled((0.105, 0.0, 0.066), k), _scaled((0.068, 0.065, 0.011), k), HAT),
        ]
    if person.hat == "beanie":
        return [_ball(HEAD, SKULL, _scaled((-0.010, 0.0, 0.065), k), _scaled((0.088, 0.107, 0.088), k), HAT)]
    if person.hat == "hat":
        brim, middle, crown = (_scaled((-0.005, 0.0, z), k) for z in (0.062, 0.076, 0.165))
        return [
            Part((HEAD, SKULL, brim), (HEAD, SKULL, middle), (0.165 * k, 0.16 * k), HAT, kind=CUT_CONE),
            Part((HEAD, SKULL, middle), (HEAD, SKULL, crown), (0.098 * k, 0.085 * k), HAT, kind=CUT_CONE),
        ]
    return []


def _hem(person: Person) -> float:
    """Height of the top's lower edge above the hip joints."""
    tucked = person.outfit.bottom == "skirt" and person.outfit.top in ("t-shirt", "shirt", "tank top")
    return (-0.36 if person.outfit.top == "coat" else 0.06 if tucked else -0.085) * person.size.height / 1.75


def _torso(person: Person, build: Build) -> list[Part]:
    k, size, t = build.k, person.size, build.cloth
    waist, hips, chest = build.waist + t, build.hips + t, build.chest + t
    waist += LOOSE[person.outfit.top] * (0.6 if person.feminine else 1.0) * max(0.94 * chest - waist, 0.0)
    length = size.torso
    middle = (PELVIS, CHEST, (0.0, 0.0, 0.28 * length))
    ribs = (PELVIS, CHEST, (0.008, 0.0, 0.80 * length))
    parts = [
        Part(middle, ribs, (waist, chest), TOP, scale=(1.0, 0.68, 0.45), texture=CHEST),
        Part(middle, (PELVIS, HIPS, (0.0, 0.0, 0.02)), (waist, hips), TOP, scale=(1.0, 0.70, 0.5), texture=CHEST),
        Part((SHOULDER_L, CHEST, (0.0, -0.045 * k, -0.062)), (SHOULDER_R, CHEST, (0.0, 0.045 * k, -0.062)),
             (0.064 * k + 0.7 * t, 0.064 * k + 0.7 * t), TOP, texture=CHEST),
        _ball(PELVIS, HIPS, (-0.012, 0.0, -0.03), (build.hips, build.hips * 0.72, 0.12 * k), UPPER, HIPS),
    ]  # fmt: skip
    parts.append(_ball(NECK, CHEST, (-0.024, 0.0, -0.018 * k), (0.062 * k, 0.05 * k, 0.042 * k + t), TOP, CHEST))
    for shoulder, side in ((SHOULDER_L, 1.0), (SHOULDER_R, -1.0)):
        # From the neck to the shoulder it slopes; the straps of a tank top end before the shoulder.
        inner = (NECK, CHEST, (-0.012, side * 0.03, 0.004))
        if person.outfit.top == "tank top":
            outer_end, low = (shoulder, CHEST, (0.0, -side * 0.07 * k, -0.014)), 0.046 * k + t
        else:
            outer_end, low = (shoulder, CHEST, (0.0, -side * 0.012, -0.020)), 0.045 * k + 0.7 * t
        parts.append(Part(inner, outer_end, (0.042 * k + t, low), TOP, texture=CHEST))
        seat = (-0.05 * k, side * 0.07 * k, -0.06 * k)
        r = 0.082 * k * build.girth
        parts.append(_ball(PELVIS, HIPS, seat, (r, r, r), UPPER, HIPS))
        if person.feminine:
            bust = (0.050 * k + 0.7 * t, side * 0.058 * k, 0.68 * length)
            parts.append(_ball(PELVIS, CHEST, bust, (0.06 * k, 0.058 * k, 0.06 * k), TOP, CHEST))
    if build.girth > 1.08:
        r = build.waist * 0.97
        parts.append(_ball(PELVIS, CHEST, (0.016 * k, 0.0, 0.24 * length), (r, r * 0.95, 0.27 * k), TOP, CHEST))
    # The hem hangs clear of the thighs, so that no bare or trousered patch shows above it.
    outer = max(
        0.94 * hips, size.hip + 0.083 * k * build.girth + 0.5 * LOOSE_LEGS.get(person.outfit.bottom, 0.0) + 0.014
    )
    hem, flare = _hem(person), 0.05 if person.outfit.top == "coat" else 0.0
    begin, end = (PELVIS, CHEST, (0.0, 0.0, 0.24 * length)), (PELVIS, SWING, (0.0, 0.0, hem))
    shape, radii = (1.0, 0.88, 1.0), (waist * 0.99, outer + flare)
    parts.append(Part(begin, end, radii, TOP, scale=shape, kind=CUT_CONE, texture=CHEST))
    return parts


def _arms(person: Person, build: Build) -> list[Part]:
    k = build.k * (0.55 + 0.45 * build.girth) * (0.9 if person.feminine else 1.0)
    t = build.cloth
    top = person.outfit.top
    long = top in LONG_SLEEVES
    rolled = person.outfit.rolled
    extra = t if long else 0.0
    below = 0.0 if rolled else extra
    parts = []
    for shoulder, sleeve, elbow, cuff, wrist, palm in (
        (SHOULDER_L, SLEEVE_L, ELBOW_L, CUFF_L, WRIST_L, PALM_L),
        (SHOULDER_R, SLEEVE_R, ELBOW_R, CUFF_R, WRIST_R, PALM_R),
    ):
        e, w, p = ((joint, CHEST, (0.0, 0.0, 0.0)) for joint in (elbow, wrist, palm))
        # Arms begin a little below the joint, so that shoulders slope.
        start = (shoulder, CHEST, (0.0, 0.0, -0.018 * build.k))
        parts.append(Part(start, e, (0.046 * k + 0.7 * extra, 0.041 * k + extra), SLEEVE if long else SKIN))
        lower = Part(e, w, (0.042 * k + below, 0.029 * k + 0.9 * below), SLEEVE if long and not rolled else SKIN)
        parts.append(lower)
        thick = 1.35 if person.outfit.gloves else 1.0
        parts.append(Part(w, p, (0.027 * k, 0.034 * k * thick), HAND, scale=(0.62 * thick, 1.0, 1.0)))
        if rolled:
            low = (elbow, CHEST, (0.0, 0.0, 0.0))
            parts.append(
                Part((sleeve, CHEST, (0.0, 0.0, 0.0)), low, (0.046 * k + t, 0.050 * k + t), SLEEVE, kind=CUT_CONE)
            )
        elif long:
            end = (cuff, CHEST, (0.0, 0.0, 0.0))
            parts.append(Part(end, w, (0.033 * k + extra, 0.031 * k + extra), CUFF, kind=CUT_CONE))
        if top in SHORT_SLEEVES:
            parts.append(Part(start, start, (0.050 * k + t, 0.050 * k + t), SLEEVE))
            end = (sleeve, CHEST, (0.0, 0.0, 0.0))
            parts.append(Part(start, end, (0.050 * k + t, 0.056 * k + t), SLEEVE, kind=CUT_CONE))
    return parts


def _legs(person: Person, build: Build) -> list[Part]:
    k, g = build.k, build.girth
    kind = person.outfit.bottom
    loose = LOOSE_LEGS.get(kind, 0.0)
    covered = kind in ("trousers", "jeans", "leggings")
    parts = []
    for hip, hem, knee, calf, ankle, foot in (
        (HIP_L, HEM_L, KNEE_L, CALF_L, ANKLE_L, FOOT_L),
        (HIP_R, HEM_R, KNEE_R, CALF_R, ANKLE_R, FOOT_R),
    ):
        at = {joint: (joint, HIPS, (0.0, 0.0, 0.0)) for joint in (hip, hem, knee, calf, ankle)}
        thigh, low = 0.083 * k * g + loose, 0.054 * k + loose
        if covered:
            parts.append(Part(at[hip], at[knee], (thigh, low), UPPER, texture=HIPS))
        else:  # bare below the hem only, where nothing can reach through the cloth
            parts.append(Part(at[hem], at[knee], (0.062 * k * g, low), SKIN))
        if covered and kind != "leggings":
            parts.append(Part(at[knee], at[calf], (low, 0.052 * k + loose), BOTTOM))
            end = (ankle, HIPS, (0.0, 0.0, -0.022))
            parts.append(Part(at[calf], end, (0.052 * k + loose, 0.046 * k + 1.3 * loose), LOWER, kind=CUT_CONE))
        else:
            middle = 0.053 * k + loose
            parts.append(Part(at[knee], at[calf], (low, middle), BOTTOM if covered else SOCK))
            parts.append(Part(at[calf], at[ankle], (middle, 0.033 * k + loose), BOTTOM if covered else SHIN))
        if kind == "shorts":
            cloth_row = NUMBERED if hip == HIP_L else SHORTS
            parts.append(Part(at[hip], at[hem], (0.086 * k * g, 0.088 * k * g), cloth_row, kind=CUT_CONE))
        heel, toe = (ankle, foot, HEEL), (ankle, foot, toe_of(person.size))
        parts.append(Part(heel, toe, (HEEL_RADIUS, TOE_RADIUS), SHOE, scale=(1.15, 1.0, 1.0), texture=foot, front=2))
        parts.append(_ball(ankle, foot, (-0.002, 0.0, -0.02), (0.038, 0.045, 0.04), SHOE, foot))
    if kind == "skirt":
        wide = build.hips * 1.08
        waistband, seam = (PELVIS, HIPS, (0.0, 0.0, 0.09 * k)), (PELVIS, HIPS, (0.0, 0.0, -0.09 * k))
        lower_edge = (PELVIS, SWING, (0.0, 0.0, -0.42 * k))
        cloth: dict[str, Any] = {"material": BOTTOM, "kind": CUT_CONE, "texture": HIPS}
        parts.append(Part(waistband, seam, (build.waist + 0.022, wide), scale=(1.0, 0.82, 1.0), **cloth))
        parts.append(Part(seam, lower_edge, (0.9 * wide, build.hips * 1.5), scale=(1.0, 0.95, 1.0), **cloth))
    return parts


def _bag(person: Person, build: Build) -> list[Part]:
    k, side = build.k, float(person.bag_side)
    if person.bag == "backpack":
        depth = -(build.chest + build.cloth) * 0.68 - 0.06
        up, low = (NECK, CHEST, (depth, 0.0, -0.10 * k)), (NECK, CHEST, (depth - 0.01, 0.0, -0.38 * k))
        pocket = (depth - 0.09, 0.0, -0.36 * k)
        return [
            Part(low, up, (0.135, 0.115), BAG, scale=(1.0, 0.72, 0.5)),
            _ball(NECK, CHEST, pocket, (0.10, 0.045, 0.08), BAG),
        ]
    if person.bag == "shoulder bag":
        place = (PELVIS, HIPS, (-0.02, side * (build.hips + 0.05), -0.06))
        return [Part(place, place, (1.0, 1.0), BAG, scale=(0.045, 0.14, 0.11), kind=BOX)]
    if person.bag == "handbag":
        palm = PALM_L if side > 0 else PALM_R
        place = (palm, BODY, (0.0, 0.0, -0.20))
        handle = Part((palm, BODY, (0.0, 0.0, 0.0)), (palm, BODY, (0.0, 0.0, -0.12)), (0.012, 0.012), BAG)
        return [Part(place, place, (1.0, 1.0), BAG, scale=(0.045, 0.13, 0.10), kind=BOX), handle]
    return []
