"""report.html and report.json of a scored test set."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from reid.data.base import ReIDDataset
from reid.evaluation import Ranking
from reid.files import write_json, write_text
from reid.post_processing import TestFeatures
from reid.report.options import ReportOptions
from reid.report.page import heading, page, paragraph
from reid.report.sections import (
    Section,
    breakdown_section,
    confusion_section,
    curve_section,
    map_section,
    open_set_section,
    ranked_section,
    score_section,
)
from reid.report.subject import Subject, find_annotations

FOLDER = "report"  # of the pictures, beside the page


def write_report(
    out: Path,
    rankings: Mapping[str, Ranking],
    data: ReIDDataset,
    features: TestFeatures,
    records: Sequence[dict[str, Any]],
    options: ReportOptions | None = None,
    say: Callable[[str], None] | None = None,
) -> Path:
    """Draws the pictures and writes the page that holds them, and its numbers as JSON.

    The first ranking of each protocol gets all pictures, the others their scores and curves.

    Args:
        out: Folder of report.html, report.json and, in a folder of its own, the pictures.
        rankings: Name of the distance to its ranking, one or more.
        data: The test set.
        features: Those that were ranked, for the embedding map.
        records: The score record of each ranking, whose "distance" is the ranking's name.
        options: None takes the defaults.
        say: Told what is being drawn.

    Returns:
        Path of the page.

    Raises:
        ValueError: When a ranking has no record, or there is no ranking.
        FileNotFoundError: When an image is missing.
    """
    options, say = options or ReportOptions(), say or (lambda text: None)
    by_distance = {str(record.get("distance")): record for record in records}
    missing = [name for name in rankings if name not in by_distance]
    if missing or not rankings:
        raise ValueError(
            f"records: got {', '.join(by_distance) or 'none'}, allowed: one for each of {', '.join(rankings)}"
        )
    annotations, note = find_annotations(data)
    subjects = [Subject(name, ranking, data, annotations) for name, ranking in rankings.items()]
    folder = out / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    say("report: scores, curves, embedding map")
    parts: dict[str, tuple[str, Section]] = {
        "scores": ("Scores", score_section(records)),
        "curves": ("Curves", curve_section(subjects, folder)),
    }
    first_of = {subject.ranking.protocol: subject for subject in reversed(subjects)}
    for subject in (subject for subject in subjects if first_of[subject.ranking.protocol] is subject):
        say(f"report: {subject.title}")
        # A copy takes the sorted distances with it when it goes: those of a large set are most of the memory.
        own = dataclasses.replace(subject)
        parts |= _details(own, by_distance[subject.name], options, folder / subject.name.lower())
    both = np.concatenate([np.asarray(features.query), np.asarray(features.gallery)]).astype(np.float32)
    samples = [*data.query, *data.gallery]
    parts["map"] = (f"Embedding map, {subjects[0].ranking.protocol}", map_section(both, samples, options, folder))
    record = by_distance[next(iter(rankings))]
    notes = [*data.notes, *([note] if note else [])]
    write_json(out / "report.json", {name: section.numbers for name, (_, section) in parts.items()} | {"notes": notes})
    write_text(out / "report.html", _page(record, notes, parts))
    return out / "report.html"


def _details(
    subject: Subject, record: dict[str, Any], options: ReportOptions, folder: Path
) -> dict[str, tuple[str, Section]]:
    folder.mkdir(parents=True, exist_ok=True)
    sections = {
        "open_set": ("Open set", open_set_section(subject, record, options, folder)),
        "breakdown": ("Breakdown", breakdown_section(subject, record, options, folder)),
        "ranked": ("Ranked lists", ranked_section(subject, options, folder)),
        "confusion": ("Confused people", confusion_section(subject, options, folder)),
    }
    whose = {"distance": subject.name, "protocol": subject.ranking.protocol}
    return {
        f"{subject.name.lower()}_{key}": (f"{title}: {subject.title}", Section(section.html, whose | section.numbers))
        for key, (title, section) in sections.items()
    }


def _page(record: dict[str, Any], notes: Sequence[str], parts: Mapping[str, tuple[str, Section]]) -> str:
    method = Path(str(record.get("method", "network"))).name
    subtitle = " · ".join(
        str(word)
        for word in (record.get("split"), f"commit {record.get('commit')}", record.get("date"), record.get("hardware"))
        if word
    )
    body = paragraph(
        "Inductive: a distance depends on its two images alone. Transductive: other test images took part, so that the "
        "two are not to be compared as if they were alike."
    )
    body += "".join(paragraph(f"Note: {note}") for note in notes)
    body += "".join(heading(title, anchor=anchor) + section.html for anchor, (title, section) in parts.items())
    links = {anchor: title for anchor, (title, _) in parts.items()}
    return page(f"Re-identification: {method} on {record.get('dataset')}", subtitle, links, body)
