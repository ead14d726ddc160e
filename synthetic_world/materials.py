"""What surfaces look like: rows of the material table that the shading loop reads."""

import numpy as np

# Pattern codes, column 0 of a row. Coordinates are metres in the texture frame: x forward, y left, z along or up.
PLAIN = 0
STRIPES = 1  # rings around the axis
PINSTRIPES = 2  # along the axis
CHECKS = 3
PRINT_FRONT = 4
PRINT_BACK = 5
BLOCK = 6  # colour B between two heights
OPEN_FRONT = 7  # an open jacket: colour B shows in the middle of the front
SPOTTED = 8  # camouflage, flowers
FACE = 9  # skin A, hair B
SHOE = 10  # upper A, sole B
FACADE = 11
FOLIAGE = 12
HAIR = 13
VEST = 14  # high-visibility vest with reflecting bands
PANELS = 15  # posters and shop fronts
HALVES = 16  # colour B on the left
SASH = 17  # colour B in a band from one shoulder to the other hip
TROUSERS = 18  # as BLOCK, and darker between the legs

# Columns.
CODE = 0
COLOUR_A = slice(1, 4)
COLOUR_B = slice(4, 7)
SCALE = 7
P1, P2, P3 = 8, 9, 10
FOLDS = 11
FOLD_SIZE = 12
SEED = 13
GLOSS = 14
STRAP = 15  # 0 none, 1 two shoulder straps, 2 one across; or `number_on`
STRAP_COLOUR = slice(16, 19)
COLUMNS = 19
ON_SHIRT, ON_SHORTS = 100, 200


def number_on(place: int, number: int, height: float) -> float:
    """Value of `STRAP` for a number of 0 to 99, `ON_SHIRT` (back and chest) or `ON_SHORTS`.

    `height` of the digits' middle is in metres from the texture frame's origin, below 1; on shorts, whose frame is that
    of the thigh, along the thigh.
    """
    return place + number + height


def linear(srgb: tuple[float, float, float] | np.ndarray) -> np.ndarray:
    """Linear light of an sRGB colour with values 0..1."""
    return np.power(np.clip(np.asarray(srgb, float), 0.0, 1.0), 2.2)


def material(
    colour: tuple[float, float, float] | np.ndarray,
    *,
    code: int = PLAIN,
    second: tuple[float, float, float] | np.ndarray = (0.5, 0.5, 0.5),
    scale: float = 0.1,
    p: tuple[float, float, float] = (0.0, 0.0, 0.0),
    folds: float = 0.0,
    fold_size: float = 0.08,
    seed: int = 0,
    gloss: float = 0.0,
) -> np.ndarray:
    """One row, (COLUMNS,) float64; colours are sRGB, 0..1."""
    row = np.zeros(COLUMNS)
    row[CODE] = code
    row[COLOUR_A] = linear(colour)
    row[COLOUR_B] = linear(second)
    row[SCALE] = scale
    row[P1], row[P2], row[P3] = p
    row[FOLDS] = folds
    row[FOLD_SIZE] = fold_size
    row[SEED] = seed % 65536
    row[GLOSS] = gloss
    return row
