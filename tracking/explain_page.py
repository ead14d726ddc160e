"""The page of an explained result: one HTML file that loads nothing."""

import html
from collections import Counter
from collections.abc import Mapping, Sequence

from tracking.association import FORBIDDEN
from tracking.close_calls import CloseCall
from tracking.evaluation import format_row
from tracking.explanation import COLUMNS, Explanation
from tracking.oracles import ORACLES
from tracking.switch_stories import CAUSES, Story

STYLE = """
:root { color-scheme: light dark; --ink: #1f2937; --soft: #5b6472; --line: #d9dde3; --back: #fff; --box: #f6f8fa; }
@media (prefers-color-scheme: dark) { :root { --ink: #e5e7eb; --soft: #a3adbb; --line: #3a4555; --back: #111827;
  --box: #1b2433; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 1000px; padding: 28px 18px 70px; color: var(--ink); background: var(--back);
  font: 16px/1.5 system-ui, sans-serif; }
h1 { font-size: 27px; margin: 0 0 6px; overflow-wrap: anywhere; } h2 { font-size: 20px; margin: 40px 0 8px; }
h3 { font-size: 16px; margin: 0 0 4px; } p { margin: 4px 0 10px; max-width: 78ch; } .soft { color: var(--soft); }
.scroll { overflow-x: auto; } table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: 14px; }
th, td { padding: 5px 11px; border-bottom: 1px solid var(--line); text-align: right; white-space: nowrap; }
th { color: var(--soft); } th.text, td.text { text-align: left; } tr.all td { font-weight: 600; }
article { background: var(--box); border: 1px solid var(--line); border-radius: 8px; margin: 12px 0;
  padding: 12px 14px; }
article img { display: block; max-width: 100%; margin: 6px 0; border-radius: 4px; }
dt { font-weight: 600; } dd { margin: 0 0 8px; max-width: 78ch; color: var(--soft); }
details { margin: 6px 0; } summary { cursor: pointer; color: var(--soft); }
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
    body = [f"<h1>{html.escape(title)}</h1>"]
    body += [f'<p class="soft">{html.escape(name)}: {html.escape(text)}</p>' for name, text in facts.items()]
    notes = dict.fromkeys(note for explanation in explained.values() for note in explanation.notes)
    body += [f"<p>{html.escape(note)}</p>" for note in notes]
    if scores:
        body.append(_oracles(scores))
    if any(explanation.following is not None for explanation in explained.values()):
        body.append(_causes(explained))
    for name, explanation in explained.items():
        body.append(_switches(name, explanation, strips.get(name, {}), most))
        if explanation.calls:
            body.append(_calls(name, explanation.calls))
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{html.escape(title)}</title><style>{STYLE}</style></head><body>\n"
        + "\n".join(body)
        + "\n</body></html>\n"
    )


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]], texts: int = 1, last: bool = False) -> str:
    """Returns a table whose first columns are words; `last` sets the last row apart."""

    def cells(tag: str, row: Sequence[str]) -> str:
        kinds = [' class="text"' if place < texts else "" for place in range(len(row))]
        return "".join(f"<{tag}{kind}>{html.escape(cell)}</{tag}>" for kind, cell in zip(kinds, row))

    lines = [
        f"<tr{' class=all' if last and place == len(rows) - 1 else ''}>{cells('td', row)}</tr>"
        for place, row in enumerate(rows)
    ]
    return f'<div class="scroll"><table><tr>{cells("th", columns)}</tr>{"".join(lines)}</table></div>'


def _oracles(scores: Mapping[str, Mapping[str, Mapping[str, float]]]) -> str:
    base = scores["as tracked"]["COMBINED"]["HOTA"]
    rows = []
    for name, value in scores.items():
        gain = 100 * (value["COMBINED"]["HOTA"] - base)
        rows.append([name, *format_row(value["COMBINED"], COLUMNS), "" if name == "as tracked" else f"{gain:+.2f}"])
    parts = ['<h2 id="oracles">If one part were perfect</h2>', _table(["", *COLUMNS, "HOTA gained"], rows)]
    parts.append("<dl>")
    parts += [f"<dt>{html.escape(name)}</dt><dd>{html.escape(ORACLES[name])}</dd>" for name in scores]
    parts.append("</dl>")
    sequences = [name for name in scores["as tracked"] if name != "COMBINED"]
    if len(sequences) > 1:
        for sequence in sequences:
            own = [[name, *format_row(value[sequence], COLUMNS)] for name, value in scores.items()]
            table = _table(["", *COLUMNS], own)
            parts.append(f"<details><summary>{html.escape(sequence)}</summary>{table}</details>")
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
    return f'<h2 id="switches">Why identities switch</h2><p class="soft">{words}</p>{_reasons(rows)}'


def _reasons(rows: Sequence[Sequence[str]]) -> str:
    lines = [
        f'<tr><td class="text">{html.escape(cause)}</td><td>{count}</td><td class="text">{html.escape(text)}</td></tr>'
        for cause, count, text in rows
    ]
    head = '<tr><th class="text">cause</th><th>switches</th><th class="text"></th></tr>'
    return f'<div class="scroll"><table>{head}{"".join(lines)}</table></div>'


def _switches(name: str, explanation: Explanation, strips: Mapping[int, str], most: int) -> str:
    if not explanation.stories:
        return ""
    parts = [f"<h2>{html.escape(name)}: {len(explanation.stories)} switches</h2>"]
    parts += [_story(story, strips.get(place)) for place, story in enumerate(explanation.stories[:most])]
    if len(explanation.stories) > most:
        parts.append(f'<p class="soft">{len(explanation.stories) - most} more are in explain.json.</p>')
    return "\n".join(parts)


def _story(story: Story, strip: str | None) -> str:
    switch = story.switch
    heading = f"Frame {switch.frame}: person {switch.person}, track {switch.earlier} → {switch.later}"
    numbers = ""
    if (story.earlier, story.later) != (switch.earlier, switch.later):
        numbers = f" The tracker itself numbered the tracks {story.earlier} and {story.later} before it linked tracks."
    words = (
        f"{story.cause}: {CAUSES[story.cause]}. Track {switch.earlier} followed until frame {switch.before}.{numbers}"
    )
    parts = [f"<article><h3>{html.escape(heading)}</h3><p class='soft'>{html.escape(words)}</p>"]
    if story.sentences:
        parts.append(f"<p>{html.escape(' '.join(story.sentences))}</p>")
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
    return _table(columns, rows, texts=3)


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
    return (
        f'<details><summary>Closest calls of {html.escape(name)}</summary><p class="soft">{words}</p>'
        f"{_table(columns, rows, texts=4)}</details>"
    )
