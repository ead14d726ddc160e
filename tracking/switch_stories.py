"""Why an identity switched: the frame that decided, the tracks, and the costs."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from reid.data.mot import MotGroundTruth
from tracking.association import FORBIDDEN
from tracking.decisions import DecisionLog, Stage
from tracking.identity_switches import Switch, match_boxes
from tracking.runner import TrackedSequence
from tracking.sources import SequenceDetections

# Cause -> what it means, for readers.
CAUSES = {
    "ended": "the earlier track was no more",
    "left": "the earlier track had met another detection",
    "gate": "the earlier track was there, and a limit on motion or looks forbade the detection",
    "cost": "the earlier track was there, and the detection cost more than the limit",
    "outbid": "the earlier track was there at a cost within the limit, and the assignment cost less without it",
    "not compared": "the earlier track was there, and was in no assignment together with the detection",
    "no detection": "the box was predicted or filled in; no detection decided",
    "unknown": "the run that decided is not known",
}


@dataclass(frozen=True)
class PairCost:
    """What a track and a detection cost in one assignment; `parts` is what the cost is made of."""

    track_id: int
    detection: int
    stage: str
    cost: float
    limit: float
    parts: dict[str, float]


@dataclass(frozen=True)
class Story:
    """Why a switch came about.

    Attributes:
        switch: What happened, in the result.
        cause: One of `CAUSES`.
        frame: The frame that decided: after the earlier track, the first in which the later one met the person.
        earlier, later: The tracks as the tracker numbered them, before tracks were linked.
        detection: Index of the person's detection among those of the frame, -1 for none.
        sentences: What happened, in words.
        costs: Of the two tracks in that frame.
    """

    switch: Switch
    cause: str
    frame: int
    earlier: int
    later: int
    detection: int = -1
    sentences: list[str] = field(default_factory=list)
    costs: list[PairCost] = field(default_factory=list)


class Evidence:
    """All that is known of a run: its boxes, its decisions, and whom its detections show."""

    def __init__(self, source: SequenceDetections, tracked: TrackedSequence, log: DecisionLog, truth: MotGroundTruth):
        met = match_boxes(source.frame, source.xywh, truth)
        self.person = np.full(len(met), -1, np.int64)
        self.person[met >= 0] = truth.track_id[met[met >= 0]]
        self.source, self.tracked, self.log = source, tracked, log

    def track_of(self, row: int, named: int) -> int:
        """Returns how the tracker numbered the track of a box; links give tracks the numbers of others.

        Args:
            row: Of the result.
            named: The identity in the result, which stands where the box met no detection.
        """
        frame, detection = int(self.tracked.frame[row]), int(self.tracked.detection[row])
        decisions = self.log.frames.get(frame)
        if detection < 0 or decisions is None:
            return named
        holder = decisions.holder(detection - self._first(frame))
        return named if holder is None else holder

    def shown(self, frame: int, detection: int) -> int:
        """Returns whom a detection of a frame shows, -1 for nobody."""
        return int(self.person[self._first(frame) + detection]) if detection >= 0 else -1

    def _first(self, frame: int) -> int:
        return int(np.searchsorted(self.source.frame, frame))


def tell(switch: Switch, evidence: Evidence) -> Story:
    """Returns why a switch came about."""
    earlier = evidence.track_of(switch.before_row, switch.earlier)
    later = evidence.track_of(switch.row, switch.later)
    frame, detection = _deciding_frame(switch, later, evidence)
    now = evidence.log.frames.get(frame)
    if now is None:
        return Story(switch, "unknown", frame, earlier, later)
    if detection < 0:
        words = f"In frame {frame} track {later} met no detection of this person: its box was predicted or filled in."
        return Story(switch, "no detection", frame, earlier, later, sentences=[words])
    met = now.met(earlier)
    others = [] if met is None or met < 0 else [(earlier, met)]
    costs = list(_costs(now.stages, [(earlier, detection), (later, detection), *others]))
    cause = _cause(met, earlier, detection, costs)
    sentences = [_beginning(frame, later, detection, evidence), *_fate(switch, frame, earlier, met, evidence)]
    first = next((cost for cost in costs if (cost.track_id, cost.detection) == (earlier, detection)), None)
    if cause in ("gate", "cost") and first is not None:
        price = "was forbidden" if cause == "gate" else f"cost {first.cost:.3f}, over the limit of {first.limit:.3f}"
        sentences.append(f"Meeting this person's detection again {price} ({first.stage}).")
    elif cause == "outbid" and first is not None:
        sentences.append(f"It would have cost {first.cost:.3f}, within the limit of {first.limit:.3f} ({first.stage}).")
    return Story(switch, cause, frame, earlier, later, detection, sentences, costs)


def _deciding_frame(switch: Switch, later: int, evidence: Evidence) -> tuple[int, int]:
    """Returns the first frame after the earlier track in which the later one met the person, and the detection."""
    for decisions in evidence.log.between(switch.before + 1, switch.frame):
        met = decisions.met(later)
        if met is not None and met >= 0 and evidence.shown(decisions.frame, met) == switch.person:
            return decisions.frame, met
    return switch.frame, -1


def _costs(stages: list[Stage], pairs: list[tuple[int, int]]) -> Iterator[PairCost]:
    for track_id, detection in pairs:
        for stage in stages:
            found = stage.pair(track_id, detection)
            if found is not None:
                cost = found.pop("cost")
                yield PairCost(track_id, detection, stage.name, cost, stage.limit, found)


def _cause(met: int | None, earlier: int, detection: int, costs: list[PairCost]) -> str:
    if met is None:
        return "ended"
    if met >= 0:
        return "left"
    own = [cost for cost in costs if (cost.track_id, cost.detection) == (earlier, detection)]
    if not own:
        return "not compared"
    if any(cost.cost <= cost.limit for cost in own):
        return "outbid"
    return "gate" if own[0].cost >= FORBIDDEN else "cost"


def _beginning(frame: int, later: int, detection: int, evidence: Evidence) -> str:
    before = [decisions.met(later) for decisions in evidence.log.between(frame - 1, frame - 1)]
    how = "went on" if before and before[0] is not None else "began"
    return f"In frame {frame} track {later} {how} with this person's detection {detection}."


def _fate(switch: Switch, frame: int, earlier: int, met: int | None, evidence: Evidence) -> list[str]:
    """Returns what had become of the earlier track."""
    last, left = switch.before, None
    for decisions in evidence.log.between(switch.before + 1, frame):
        own = decisions.met(earlier)
        if own is not None and own >= 0:
            last = decisions.frame
            shown = evidence.shown(decisions.frame, own)
            if left is None and shown != switch.person:
                left = f"In frame {decisions.frame} track {earlier} met detection {own} of {_whose(shown)}."
    sentences = [] if left is None else [left]
    if met is None:
        sentences.append(f"Track {earlier} met its last detection in frame {last} and was no more in frame {frame}.")
    elif met < 0:
        sentences.append(f"Track {earlier} met nothing in frame {frame}; its last detection was in frame {last}.")
    return sentences


def _whose(person: int) -> str:
    return f"person {person}" if person >= 0 else "nobody"
