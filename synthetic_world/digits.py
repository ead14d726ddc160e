"""Numbers on shirts and shorts: digits of thick strokes, drawn in body coordinates."""

import numpy as np

from .jit import compiled

ROWS, COLUMNS = 10, 6  # cells of a digit
STROKE = 2  # cells
GAP = 0.2  # between two digits, share of a digit's width
ASPECT = 0.58  # width of a digit over its height
# Strokes of each digit: top, upper left, upper right, middle, lower left, lower right, bottom.
STROKES = (
    "1110111", "0000000", "1011101", "1011011", "0111010", "1101011", "1101111", "1010010", "1111111", "1111011",
)  # fmt: skip
BACK_HEIGHT, FRONT_HEIGHT = 0.22, 0.11  # of digits on the back and on the chest, metres
SHORTS_HEIGHT = 0.085


def _bitmaps() -> np.ndarray:
    """(10, ROWS, COLUMNS) uint8, 1 where there is ink."""
    top, middle, bottom = slice(0, STROKE), slice(4, 4 + STROKE), slice(ROWS - STROKE, ROWS)
    upper, lower = slice(0, 6), slice(4, ROWS)
    left, right, across = slice(0, STROKE), slice(COLUMNS - STROKE, COLUMNS), slice(0, COLUMNS)
    places = [(top, across), (upper, left), (upper, right), (middle, across), (lower, left), (lower, right),
              (bottom, across)]  # fmt: skip
    found = np.zeros((10, ROWS, COLUMNS), np.uint8)
    for digit, strokes in enumerate(STROKES):
        for stroke, place in zip(strokes, places):
            if stroke == "1":
                found[digit][place] = 1
    found[1, :, 2 : 2 + STROKE] = found[1, :STROKE, 1:2] = 1  # in the middle of its cell
    return found


BITMAPS = _bitmaps()


@compiled
def digit_ink(number, across, down, height):
    """1 where the digits of a number from 0 to 99 have ink, 0 elsewhere.

    `across` and `down` are metres from the middle of the digits, as a reader sees them; `height` is that of the digits.
    """
    width = ASPECT * height
    row = int((down / height + 0.5) * ROWS)
    if down < -0.5 * height or row >= ROWS:
        return 0
    digit = number % 10
    if number < 10:
        left = across + 0.5 * width
    else:
        half = 0.5 * GAP * width
        left = across - half
        if across < 0.0:
            digit = number // 10
            left = across + half + width
    if left < 0.0 or left >= width:
        return 0
    return BITMAPS[digit, row, int(left / width * COLUMNS)]
