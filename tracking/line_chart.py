"""Curves as SVG text, for pages that load nothing."""

import html
from collections.abc import Mapping, Sequence

WIDTH, HEIGHT = 380, 260
LEFT, RIGHT, TOP, BOTTOM = 44, 10, 26, 36
# Okabe and Ito's colours, which colour-blind readers tell apart; dashes go on where they end.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#000000")
DASHES = ("", "6 3", "2 3", "8 3 2 3")


def line_chart(title: str, x: Sequence[float], curves: Mapping[str, Sequence[float]], x_label: str) -> str:
    """Returns an <svg> of curves whose values are in 0..1; each names itself under the mouse.

    Args:
        title: Above the chart, and the name of the y axis.
        x: Ascending positions, in 0..1.
        curves: Name to one value a position.
        x_label: Below the chart.
    """

    def place(horizontal: float, vertical: float) -> tuple[float, float]:
        return LEFT + horizontal * (WIDTH - LEFT - RIGHT), HEIGHT - BOTTOM - vertical * (HEIGHT - TOP - BOTTOM)

    parts = [
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" role="img" '
        f'aria-label="{html.escape(title)}">',
        f'<text x="{LEFT}" y="16" font-weight="bold">{html.escape(title)}</text>',
        f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 4}" text-anchor="middle">{html.escape(x_label)}</text>',
    ]
    for step in range(6):
        share = step / 5
        (left, level), (right, _) = place(0, share), place(1, share)
        parts.append(f'<line x1="{left}" x2="{right}" y1="{level:.1f}" y2="{level:.1f}" stroke="#ddd"/>')
        parts.append(f'<text x="{left - 6}" y="{level + 4:.1f}" text-anchor="end">{100 * share:.0f}</text>')
        across, floor = place(share, 0)
        parts.append(f'<text x="{across:.1f}" y="{floor + 16:.1f}" text-anchor="middle">{share:.1f}</text>')
    for index, (name, values) in enumerate(curves.items()):
        points = " ".join(f"{a:.1f},{b:.1f}" for a, b in (place(h, v) for h, v in zip(x, values, strict=True)))
        parts.append(
            f'<polyline points="{points}" fill="none" {stroke(index)} stroke-width="2">'
            f"<title>{html.escape(name)}</title></polyline>"
        )
    return "\n".join([*parts, "</svg>"])


def stroke(index: int) -> str:
    """Returns the attributes that set one curve apart from the others."""
    dash = DASHES[index // len(COLOURS) % len(DASHES)]
    return f'stroke="{COLOURS[index % len(COLOURS)]}"' + (f' stroke-dasharray="{dash}"' if dash else "")


def legend(names: Sequence[str]) -> str:
    """Returns the key to the curves of `line_chart`, in their order."""
    keys = (
        f'<span><svg width="28" height="10"><line x1="0" x2="28" y1="5" y2="5" stroke-width="2" {stroke(index)}/></svg>'
        f" {html.escape(name)}</span>"
        for index, name in enumerate(names)
    )
    return f'<p class="legend">{" ".join(keys)}</p>'
