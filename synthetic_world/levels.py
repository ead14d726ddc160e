"""How hard the world is: one table."""

from dataclasses import dataclass, fields


@dataclass(frozen=True)
class Level:
    """One row of the difficulty table.

    Attributes:
        outfit_sharing: how many people wear garments of the same kinds and colours.
        neutral_clothes: share of garments in black, grey, navy, white or beige.
        colour_shift: strength of each camera's own colour response, 0 = all cameras alike.
        place_change: how much light and ground differ between places and times of the day, 0..1.
        low_light: share of cameras that see a dim scene.
        occlusion: share of crops with another person between camera and subject.
        static_occluders: things where people walk, for each 100 square metres.
        viewpoint_spread: largest angle between the walking direction and the camera, degrees; 180 = any.
        blur: largest standard deviation of a camera's blur, pixels of a 128-pixel-high crop.
        noise: largest standard deviation of a camera's noise, 8-bit steps.
        box_jitter: standard deviation of box shift and scale, share of the box.
    """

    outfit_sharing: int
    neutral_clothes: float
    colour_shift: float
    place_change: float
    low_light: float
    occlusion: float
    static_occluders: float
    viewpoint_spread: float
    blur: float
    noise: float
    box_jitter: float


LEVELS = {
    "easy": Level(1, 0.45, 0.1, 0.2, 0.0, 0.05, 0.0, 70.0, 0.3, 2.0, 0.02),
    "medium": Level(2, 0.7, 0.6, 0.7, 0.0, 0.2, 3.0, 180.0, 0.6, 4.0, 0.04),
    "hard": Level(4, 0.75, 0.8, 1.0, 0.2, 0.4, 6.0, 180.0, 0.7, 6.0, 0.06),
}


def get_level(name: str) -> Level:
    """Level of that name.

    Raises:
        ValueError: for a name that is not in the table.
    """
    if name not in LEVELS:
        raise ValueError(f"level: got {name!r}, allowed are {', '.join(LEVELS)}")
    return LEVELS[name]


def level_table() -> str:
    """The table as Markdown, one column a level."""
    lines = ["| | " + " | ".join(LEVELS) + " |", "|---|" + "---|" * len(LEVELS)]
    for field in fields(Level):
        cells = [f"{getattr(level, field.name):g}" for level in LEVELS.values()]
        lines.append(f"| {field.name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)
