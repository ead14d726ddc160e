"""A match instead of a street: two teams in kits, referees and coaches, and some who watch."""

from dataclasses import replace

import numpy as np

from . import materials as m
from .levels import Level
from .person import NEUTRALS, Colour, Outfit, Person, make_person
from .seeds import rng_for

STREET, MATCH = "street", "match"
CROWDS = (STREET, MATCH)
CAST = 32  # numbers of people of one match; the k-th begins at k * CAST
SQUAD = 12  # of a team: one goalkeeper and players
REFEREES, COACHES = 3, 2
MOST_SHIRT = 99

STRONG: tuple[Colour, ...] = (
    (0.75, 0.10, 0.12), (0.10, 0.22, 0.60), (0.90, 0.90, 0.88), (0.95, 0.80, 0.15), (0.10, 0.42, 0.22),
    (0.10, 0.10, 0.12), (0.45, 0.68, 0.86), (0.90, 0.45, 0.10), (0.42, 0.10, 0.22), (0.35, 0.18, 0.50),
)  # fmt: skip
KEEPERS: tuple[Colour, ...] = ((0.55, 0.90, 0.25), (0.95, 0.45, 0.65), (0.98, 0.60, 0.10), (0.45, 0.85, 0.85))
REFEREE_SHIRTS: tuple[Colour, ...] = ((0.07, 0.07, 0.08), (0.92, 0.88, 0.15))
BOOTS: tuple[Colour, ...] = (
    (0.08, 0.08, 0.09), (0.92, 0.92, 0.92), (0.85, 0.95, 0.2), (0.95, 0.3, 0.15), (0.2, 0.5, 0.9),
)  # fmt: skip
PATTERNS = (m.PLAIN, m.STRIPES, m.PINSTRIPES, m.HALVES, m.SASH, m.BLOCK)
PATTERN_SHARE = (0.35, 0.12, 0.25, 0.1, 0.08, 0.1)


def _apart(first: Colour, second: Colour) -> float:
    return float(np.abs(np.subtract(first, second)).sum())


def _pick(rng: np.random.Generator, colours: tuple[Colour, ...], *others: Colour) -> Colour:
    """One of the colours that is easily told from the others."""
    allowed = [colour for colour in colours if all(_apart(colour, other) > 0.5 for other in others)]
    return allowed[int(rng.integers(len(allowed)))]


def team_kits(seed: int, match: int, outfit: int = 0) -> tuple[Outfit, Outfit]:
    """Shirts, shorts and socks of the players of both teams of a match; another `outfit` is another set of kits."""
    rng = rng_for(seed, "kits", match, outfit)
    kits: list[Outfit] = []
    for index in range(2):
        taken = [kit.top_colour for kit in kits]
        shirt = _pick(rng, STRONG, *taken)
        second = _pick(rng, STRONG, shirt)
        pattern = int(rng.choice(PATTERNS, p=PATTERN_SHARE))
        shorts = (shirt, second, (0.90, 0.90, 0.88), (0.08, 0.08, 0.1))[int(rng.integers(4))]
        socks = (shirt, shorts, second)[int(rng.integers(3))]
        sleeves = second if pattern == m.PLAIN and rng.random() < 0.4 else None
        digits = _readable(shirt)
        kit = Outfit("jersey", shirt, second, pattern, "shorts", shorts, "player", team=2 * match + index + 1)
        kits.append(replace(kit, sleeves=sleeves, socks=socks, digits=digits))
    return kits[0], kits[1]


def _readable(cloth: Colour) -> Colour:
    """The colour of digits that differs most from the cloth."""
    choices: tuple[Colour, ...] = ((0.97, 0.97, 0.96), (0.03, 0.03, 0.04), (0.98, 0.88, 0.1), (0.8, 0.05, 0.08))
    return max(choices, key=lambda colour: _contrast(colour, cloth))


def _contrast(first: Colour, second: Colour) -> float:
    weights = np.array([0.5, 1.0, 0.25])  # brightness first
    return float(abs(weights @ np.subtract(first, second))) + 0.2 * _apart(first, second)


def shirt_numbers(seed: int, team: int) -> list[int]:
    """Numbers of a team: 1 for the goalkeeper, others of 2 to 99 for players, each once."""
    others = rng_for(seed, "shirts", team).permutation(np.arange(2, MOST_SHIRT + 1))[: SQUAD - 1]
    return [1, *(int(number) for number in others)]


def role_of(number: int) -> tuple[str, int | None]:
    """Role of somebody in a match and which of the two teams they belong to, 0, 1 or None."""
    slot = number % CAST
    if slot < 2 * SQUAD:  # by turns, so that few people are already two teams
        return ("goalkeeper" if slot // 2 == 0 else "player"), slot % 2
    if slot < 2 * SQUAD + REFEREES:
        return "referee", None
    if slot < 2 * SQUAD + REFEREES + COACHES:
        return "coach", slot % 2
    return "civilian", None


def companion(number: int, draw: int, taken: set[int]) -> int:
    """Somebody else of the same match who is not in the picture yet; `draw` chooses, 0 or more."""
    first = number - number % CAST
    others = [other for other in range(first, first + CAST) if other not in taken]
    return others[draw % len(others)]


def _clothes(seed: int, number: int, outfit: int) -> Outfit | None:
    """What somebody wears for their role; None for what civilians wear."""
    match = number // CAST
    role, side = role_of(number)
    kits = team_kits(seed, match, outfit)
    rng = rng_for(seed, "officials", match, outfit)
    dark: Colour = (0.06, 0.06, 0.07)
    if role == "player" and side is not None:
        return kits[side]
    if role == "goalkeeper" and side is not None:
        kit = kits[side]
        shirts = [_pick(rng, KEEPERS, kits[0].top_colour, kits[1].top_colour) for _ in range(2)]
        shirt = shirts[side]
        return Outfit("keeper jersey", shirt, dark, m.PLAIN, "shorts", dark, role, socks=shirt,
                      gloves=((0.93, 0.93, 0.92), (0.95, 0.5, 0.1))[match % 2], digits=_readable(shirt),
                      team=kit.team)  # fmt: skip
    if role == "referee":
        shirt = max(REFEREE_SHIRTS, key=lambda colour: min(_apart(colour, kit.top_colour) for kit in kits))
        return Outfit("jersey", shirt, dark, m.PLAIN, "shorts", dark, role, socks=dark)
    if role == "coach" and side is not None:
        coat = rng_for(seed, "coach", number).random() < 0.4
        kit = kits[side]
        track = kit.top_colour if max(kit.top_colour) < 0.8 else (0.12, 0.14, 0.22)
        top = dark if coat else track
        return Outfit("coat" if coat else "jacket", top, (0.85, 0.85, 0.85), m.PLAIN if coat else m.BLOCK, "trousers",
                      dark if coat else track, role, team=kit.team)  # fmt: skip
    return None


def make_member(seed: int, number: int, level: Level, outfit: int = 0) -> Person | None:
    """The person of that number in a match, or None for those who only watch: they are people of the street.

    Bodies, hair, skin and gait are those of the street's people. All of a team wear the same kit, at all levels.
    """
    clothes = _clothes(seed, number, outfit)
    if clothes is None:
        return None
    feminine = bool(rng_for(seed, "match", number // CAST).random() < 0.4)
    person = make_person(seed, number, level, feminine)
    role, side = role_of(number)
    rng = rng_for(seed, "boots", number)
    boots = BOOTS[int(rng.integers(len(BOOTS)))]
    shirt = None
    if role in ("player", "goalkeeper") and side is not None and clothes.team is not None:
        shirt = shirt_numbers(seed, clothes.team)[number % CAST // 2]
    sport = role != "coach"
    return replace(
        person, outfit=clothes, bag="none", hat="none" if sport else person.hat, carried="nothing", phone="nothing",
        shoes=boots if sport else NEUTRALS[int(rng.integers(3))], shirt=shirt,
        speed=person.speed * (1.25 if role in ("player", "referee") else 1.0),
    )  # fmt: skip


def role_note(person: Person) -> dict[str, str | int | None]:
    """Role, team and number on the shirt, as annotations give them."""
    return {"role": person.role, "team": person.outfit.team, "number": person.shirt}
