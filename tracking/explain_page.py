"""The page of an explained result: one HTML file that loads nothing."""

import html
from collections import Counter
from collections.abc import Mapping, Sequence

from tracking.association import FORBIDDEN
from tracking.close_calls import CloseCall
from tracking.evaluation import format_row
from tracking.explanation import COLUMNS, Explanation
from tracking.html_page import definitions, folded, heading, note, page, paragraph, table
from tracking.oracles import ORACLES
from tracking.switch_stories import CAUSES, Story

STYLE = """
article { background: var(--box); border: 1px solid var(--line); border-radius: 8px; margin: 12px 0;
  padding: 12px 14px; }
article img { display: block; max-width: 100%; margin: 6px 0; border-radius: 4px; }
"""


def explain_page(
    title: str,
    facts: Mapping[str, str],
    explained: Mapping[str, Explanation],
    scores: Mapping[str, Mapping[str, Mapping[str, float]]],
    strips: Mapping[str, Mapping[int, str]],
    most: int,
) -> str:
    """Returns the page.

    Args:
        title: Its heading.
        facts: Name to text, below it.
        explained: Sequence to its explanation.
        scores: As `tracking.explanation.oracle_scores` returns them.
        strips: Sequence to (number of the switch to a picture as a data URL).
        most: Switches shown a sequence.
    """
    notes = dict.fromkeys(text for explanation in explained.values() for text in explanation.notes)
    body = [paragraph(text) for text in notes]
    if scores:
        body.append(_oracles(scores))
    if any(explanation.following is not None for explanation in explained.values()):
        body.append(_causes(explained))
    for name, explanation in explained.items():
        body.append(_switches(name, explanation, strips.get(name, {}), most))
        if explanation.calls:
            body.append(_calls(name, explanation.calls))
    return page(title, facts, body, STYLE)


def _oracles(scores: Mapping[str, Mapping[str, Mapping[str, float]]]) -> str:
    base = scores["as tracked"]["COMBINED"]["HOTA"]
    rows = []
    for name, value in scores.items():
        gain = 100 * (value["COMBINED"]["HOTA"] - base)
        rows.append([name, *format_row(value["COMBINED"], COLUMNS), "" if name == "as tracked" else f"{gain:+.2f}"])
    parts = [heading("If one part were perfect", "oracles"), table(["", *COLUMNS, "HOTA gained"], rows)]
    parts.append(definitions({name: ORACLES[name] for name in scores}))
    sequences = [name for name in scores["as tracked"] if name != "COMBINED"]
    if len(sequences) > 1:
        for sequence in sequences:
            own = [[name, *format_row(value[sequence], COLUMNS)] for name, value in scores.items()]
            parts.append(folded(sequence, table(["", *COLUMNS], own)))
    return "\n".join(parts)


def _causes(explained: Mapping[str, Explanation]) -> str:
    counts = Counter(story.cause for explanation in explained.values() for story in explanation.stories)
    rows = [[cause, str(counts[cause]), CAUSES[cause]] for cause in CAUSES if counts[cause]]
    rows.append(["all", str(counts.total()), ""])
    words = (
        "A switch, as CLEAR counts it (IDSW): a person whom another track follows than did when the person was last "
        "followed. What decided is looked up in the first frame, after the earlier track, in which the later track met "
        "a detection of the person."
    )
    reasons = table(["cause", "switches", ""], rows, texts=(0, 2), total=len(rows) - 1)
    return "\n".join([heading("Why identities switch", "switches"), note(words), reasons])


def _switches(name: str, explanation: Explanation, strips: Mapping[int, str], most: int) -> str:
    if not explanation.stories:
        return ""
    parts = [heading(f"{name}: {len(explanation.stories)} switches")]
    parts += [_story(story, strips.get(place)) for place, story in enumerate(explanation.stories[:most])]
    if len(explanation.stories) > most:
        parts.append(note(f"{len(explanation.stories) - most} more are in explain.json."))
    return "\n".join(parts)


def _story(story: Story, strip: str | None) -> str:
    switch = story.switch
    title = f"Frame {switch.frame}: person {switch.person}, track {switch.earlier} → {switch.later}"
    numbers = ""
    if (story.earlier, story.later) != (switch.earlier, switch.later):
        numbers = f" The tracker itself numbered the tracks {story.earlier} and {story.later} before it linked tracks."
    words = (
        f"{story.cause}: {CAUSES[story.cause]}. Track {switch.earlier} followed until frame {switch.before}.{numbers}"
    )
    parts = [f"<article><h3>{html.escape(title)}</h3>", note(words)]
    if story.sentences:
        parts.append(paragraph(" ".join(story.sentences)))
    if strip is not None:
        label = f"crops: track {switch.earlier}, the person between, track {switch.later}"
        parts.append(f'<img alt="{html.escape(label)}" src="{strip}">')
    if story.costs:
        parts.append(_cost_table(story))
    return "".join(parts) + "</article>"


def _cost_table(story: Story) -> str:
    rows = []
    for cost in story.costs:
        detection = f"{cost.detection}" + (" (the person)" if cost.detection == story.detection else "")
        value = "forbidden" if cost.cost >= FORBIDDEN else f"{cost.cost:.3f}"
        made = ", ".join(f"{name} {part:.3g}" for name, part in cost.parts.items())
        rows.append([f"track {cost.track_id}", detection, cost.stage, value, f"{cost.limit:.3f}", made])
    columns = ["", f"detection of frame {story.frame}", "paired by", "cost", "limit", "of which"]
    return table(columns, rows, texts=range(3))


def _calls(name: str, calls: Sequence[CloseCall]) -> str:
    rows = [
        [
            str(call.frame),
            f"track {call.track_id}, detection {call.detection}",
            f"track {call.rival_track}, detection {call.rival_detection}",
            call.stage,
            f"{call.cost:.3f}",
            f"{call.margin:+.3f}",
            f"{call.limit:.3f}",
        ]
        for call in calls
    ]
    columns = ["frame", "paired", "cheapest rival", "by", "cost", "rival's, more", "limit"]
    words = (
        "Pairs that were made although another pair with the same track or detection was nearly as cheap, or cheaper."
    )
    return folded(f"Closest calls of {name}", note(words) + table(columns, rows, texts=range(4)))
