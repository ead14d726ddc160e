"""Walkers who cross an area again and again: they stop, turn, meet, leave through doors and come back."""

import math

import numpy as np

from .match import CAST, MATCH, STREET
from .person import Person
from .scene import Stand, area_radius, outside
from .seeds import rng_for

PERSONAL_SPACE = 0.62  # metres between the middles of two people
BODY = 0.3  # metres, room for half a person beside a thing
OUTFITS = 3  # that somebody has, when clothes change at all
LEAST_PRESENT = 0.6  # share of the crowd that is never away
TICK = 0.05  # seconds, longest step of the walk
WALKING, MEETING, LEAVING, PASSING, ABSENT = range(5)  # PASSING: through the door
NOWHERE = 1e4  # metres; who is away waits there
PHONING = 0.3  # share of the time that those with a phone spend with it
PHONE_WALK = 80.0  # radians of the gait cycle from one look at the phone to the next


def outfit_at(seed: int, number: int, time: int, crowd: str = STREET) -> int:
    """Somebody's clothes at a time of the day of `reid`, 0 to `OUTFITS` - 1; all of a match change together."""
    who = number // CAST if crowd == MATCH else number
    return int(rng_for(seed, "clothes", who, time).integers(OUTFITS))


class Crowd:
    """The walk, simulated as far as it is asked for; only the moment is kept, so any length takes the same memory.

    Attributes:
        numbers: of the people.
        radius: of the area, metres.
    """

    def __init__(
        self,
        seed: int,
        sequence: int,
        people: list[Person],
        fps: float,
        *,
        radius: float | None = None,
        footprints: np.ndarray | None = None,
        doors: np.ndarray | None = None,
        clothes_change: bool = False,
        outfit: int = 0,
    ) -> None:
        """Begin a walk.

        Args:
            seed: of the world.
            sequence: number of the walk.
            people: who walks.
            fps: frames a second.
            radius: of the area; what suits the number of people if not given.
            footprints: (F, 3), circles where nobody can walk: x, y, radius.
            doors: (D, 4), x and y in front of a door and behind it; without any, nobody leaves.
            clothes_change: whether those who come back wear something else.
            outfit: what all wear in the beginning, and always when clothes do not change.
        """
        self.numbers = [person.number for person in people]
        self.radius = area_radius(len(people)) if radius is None else radius
        self._key = (seed, sequence)
        self._ticks = max(1, math.ceil(1.0 / (fps * TICK)))
        self._step = 1.0 / (fps * self._ticks)
        self._footprints = np.zeros((0, 3)) if footprints is None else footprints
        self._doors = np.zeros((0, 4)) if doors is None else doors
        self._clothes_change, self._first_outfit = clothes_change, outfit
        self._usual = np.array([person.speed for person in people])
        self._rate = np.array([person.step_rate for person in people])
        self._start()

    def at(self, frame: int) -> list[Stand]:
        """Everybody who is there in that frame, counted from 0; going back starts the walk anew."""
        if frame < self._frame:
            self._start()
        while self._frame < frame:
            for _ in range(self._ticks):
                self._advance()
            self._frame += 1
        return [
            Stand(
                self.numbers[n],
                (float(self._at[n, 0]), float(self._at[n, 1])),
                float(self._heading[n]),
                float(self._phase[n]),
                float(self._pace[n]),
                track=int(n),
                outfit=int(self._outfit[n]) if self._clothes_change else self._first_outfit,
                phoning=bool((self._phase[n] / PHONE_WALK + 0.37 * self.numbers[n]) % 1.0 < PHONING),
            )
            for n in np.flatnonzero(self._mode != ABSENT)
        ]

    def _start(self) -> None:
        self._frame, count = 0, len(self.numbers)
        self._rng = rng = rng_for(self._key[0], "crowd", self._key[1])
        self._at = self._spread_out(count)
        self._target = self._across()
        self._heading = np.arctan2(*(self._target - self._at).T[::-1])
        self._pace = np.ones(count)
        self._phase = rng.uniform(0, 2 * math.pi, count)
        self._rest = np.zeros(count)  # seconds left of a stop
        self._timer = np.zeros(count)  # seconds left of what the mode says
        self._mode = np.full(count, WALKING)
        self._partner = np.full(count, -1)
        self._door = np.full(count, -1)
        self._outfit = np.full(count, self._first_outfit)
        leave, away = rng.random(count) < 0.12, rng.random(count) < 0.08
        for n in np.flatnonzero(leave):
            self._leave(int(n))
            if away[n] and self._mode[n] == LEAVING:
                self._vanish(int(n), rng.uniform(0.5, 6.0))

    def _advance(self) -> None:
        """One tick."""
        step, rng, count = self._step, self._rng, len(self.numbers)
        here = self._mode != ABSENT
        self._events(rng.random((count, 2)), rng.uniform(1.0, 3.0, count))
        wish = self._target - self._at
        wish /= np.linalg.norm(wish, axis=1, keepdims=True) + 1e-9
        free = (self._mode != MEETING) & (self._mode != PASSING)
        wish += np.where(free[:, None], _away(self._at, self._heading) + self._around(), 0.0)
        turn = np.arctan2(wish[:, 1], wish[:, 0]) - self._heading
        turn = (turn + math.pi) % (2 * math.pi) - math.pi
        slow = np.where((self._rest > 0) & (self._mode != MEETING), 0.3, 1.0)
        self._heading = self._heading + np.clip(turn, -2.2 * step, 2.2 * step) * slow
        # Who turns a lot walks slower; who waits stands.
        aim = np.where(self._rest > 0, 0.0, np.clip(1.1 - 0.6 * np.abs(turn), 0.35, 1.0))
        self._pace = self._pace + np.clip(aim - self._pace, -1.5 * step, 1.5 * step)
        forward = np.stack([np.cos(self._heading), np.sin(self._heading)], 1)
        moved = self._at + forward * (self._usual * self._pace * step)[:, None]
        moved = outside(_apart(moved), self._footprints, BODY)
        moved = np.where(here[:, None], moved, self._at)
        walked = np.linalg.norm(moved - self._at, axis=1)
        pace = np.maximum(0.5 + 0.5 * self._pace, 0.5)
        self._phase = self._phase + self._rate * np.maximum(walked, 0.3 * self._usual * self._pace * step) / pace
        self._at = moved
        self._rest -= step
        self._timer -= step

    def _events(self, draws: np.ndarray, pauses: np.ndarray) -> None:
        near = np.linalg.norm(self._target - self._at, axis=1) < 0.8
        walking = self._mode == WALKING
        turns = walking & (self._rest <= 0) & (draws[:, 1] < 0.02 * self._step)
        over = self._timer <= 0
        for n in np.flatnonzero((walking & near) | turns | (~walking & (near | over))):
            mode = self._mode[n]
            if mode == WALKING:
                self._decide(int(n), 1.0 if turns[n] else draws[n, 0], pauses[n])
            elif mode == MEETING:
                self._meet(int(n), bool(near[n]))
            elif mode == LEAVING and near[n]:
                self._mode[n], self._target[n] = PASSING, self._doors[self._door[n], 2:]
            elif mode == PASSING and np.linalg.norm(self._target[n] - self._at[n]) < 0.4:
                # Most are back soon, some after minutes.
                soon = self._rng.random() < 0.7
                self._vanish(int(n), self._rng.uniform(2.0, 12.0) if soon else self._rng.uniform(30.0, 150.0))
            elif mode == ABSENT and over[n]:
                self._return(int(n))

    def _decide(self, n: int, draw: float, pause: float) -> None:
        """What somebody does who has arrived."""
        self._target[n] = self._across(n)
        if draw < 0.2:
            self._rest[n] = pause
        elif draw < 0.4:
            distance = np.linalg.norm(self._at - self._at[n], axis=1)
            distance[(self._mode != WALKING) | (np.arange(len(distance)) == n)] = np.inf
            other = int(distance.argmin())
            if distance[other] < 8.0:
                middle = (self._at[n] + self._at[other]) / 2
                middle = outside(middle[None], self._footprints, BODY + 0.6)[0]
                side = 0.42 * (self._at[n] - middle) / max(float(np.linalg.norm(self._at[n] - middle)), 1e-6)
                for one, partner, sign in ((n, other, 1.0), (other, n, -1.0)):
                    self._mode[one], self._partner[one], self._timer[one] = MEETING, partner, 9.0
                    self._target[one], self._rest[one] = middle + sign * side, 0.0
        elif draw < 0.6:
            self._leave(n)

    def _meet(self, n: int, arrived: bool) -> None:
        other = int(self._partner[n])
        if self._timer[n] <= 0:  # they part, or never found each other
            for one in (n, other):
                self._mode[one], self._partner[one], self._rest[one] = WALKING, -1, 0.0
                self._target[one] = self._across(one)
        elif arrived and self._rest[n] <= 0:
            # Turned to where the other one stands, or will stand.
            if self._rest[other] > 0:
                seconds = self._rng.uniform(4.0, 10.0)
                self._rest[n] = self._rest[other] = self._timer[n] = self._timer[other] = seconds
                self._target[n], self._target[other] = self._at[other], self._at[n]
            else:
                self._rest[n] = self._timer[n]

    def _leave(self, n: int) -> None:
        gone = np.isin(self._mode, (LEAVING, PASSING, ABSENT)).sum()
        if len(self._doors) and len(self._mode) - gone - 1 >= max(1.0, LEAST_PRESENT * len(self._mode)):
            self._door[n] = int(self._rng.integers(len(self._doors)))
            self._mode[n], self._target[n], self._timer[n] = LEAVING, self._doors[self._door[n], :2], np.inf

    def _vanish(self, n: int, seconds: float) -> None:
        self._mode[n], self._timer[n] = ABSENT, seconds
        self._at[n] = (NOWHERE + 10.0 * n, NOWHERE)
        self._target[n] = self._at[n] + 100.0

    def _return(self, n: int) -> None:
        front, behind = self._doors[self._door[n], :2], self._doors[self._door[n], 2:]
        self._mode[n], self._at[n] = WALKING, behind
        self._target[n] = front + 2.0 * (front - behind)
        self._heading[n] = math.atan2(*(front - behind)[::-1])
        self._pace[n] = 1.0
        self._outfit[n] = (self._outfit[n] + int(self._rng.integers(1, OUTFITS))) % OUTFITS

    def _spread_out(self, count: int) -> np.ndarray:
        angle, share = self._rng.uniform(0, 2 * math.pi, count), np.sqrt(self._rng.uniform(0, 1, count))
        position = self.radius * share[:, None] * np.stack([np.cos(angle), np.sin(angle)], 1)
        for _ in range(30):
            position = outside(_apart(position), self._footprints, BODY)
        return position

    def _across(self, n: int | None = None) -> np.ndarray:
        """New targets, one for each position or for one; half of them on the far side, so that paths cross."""
        position = self._at if n is None else self._at[n : n + 1]
        angle = np.arctan2(position[:, 1], position[:, 0]) + math.pi
        spread = np.where(self._rng.random(len(position)) < 0.5, 1.1, math.pi)
        angle = angle + spread * self._rng.uniform(-1.0, 1.0, len(position))
        share = np.sqrt(self._rng.uniform(0.1, 1.0, len(position)))[:, None]
        found = self.radius * share * np.stack([np.cos(angle), np.sin(angle)], 1)
        found = outside(found, self._footprints, BODY)
        return found if n is None else found[0]

    def _around(self) -> np.ndarray:
        """Sideways wish of each walker, away from things close ahead."""
        if not len(self._footprints):
            return np.zeros_like(self._at)
        offset = self._footprints[None, :, :2] - self._at[:, None]
        distance = np.linalg.norm(offset, axis=2) + 1e-9
        return _aside(offset, distance, self._heading, distance - self._footprints[None, :, 2] < 1.5, 0.8)


def _aside(
    offset: np.ndarray, distance: np.ndarray, heading: np.ndarray, near: np.ndarray, share: float | np.ndarray
) -> np.ndarray:
    """Sideways wish (N, 2), away from what is near and ahead; offsets (N, K, 2)."""
    forward = np.stack([np.cos(heading), np.sin(heading)], 1)
    ahead = np.einsum("ijk,ik->ij", offset, forward) / distance
    left = np.stack([-forward[:, 1], forward[:, 0]], 1)
    side = np.einsum("ijk,ik->ij", offset, left)
    push = np.where(near & (ahead > 0.5), share * np.where(side >= 0, -1.0, 1.0), 0.0).sum(1)
    return np.clip(1.2 * push, -1.5, 1.5)[:, None] * left


def _away(position: np.ndarray, heading: np.ndarray) -> np.ndarray:
    """Sideways wish of each walker, away from who is close ahead."""
    offset = position[None, :] - position[:, None]  # (N, N, 2), from row to column
    distance = np.linalg.norm(offset, axis=2) + 1e-9
    near = distance < 2.2
    np.fill_diagonal(near, False)
    return _aside(offset, distance, heading, near, (2.2 - distance) / 2.2)


def _apart(position: np.ndarray) -> np.ndarray:
    """Positions after pushing apart those who would walk through each other."""
    offset = position[:, None] - position[None, :]
    distance = np.linalg.norm(offset, axis=2)
    np.fill_diagonal(distance, np.inf)
    lack = np.clip(PERSONAL_SPACE - distance, 0.0, None) * 0.5
    return position + (offset / np.maximum(distance, 1e-6)[..., None] * lack[..., None]).sum(1)
