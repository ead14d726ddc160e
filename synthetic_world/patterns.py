"""What is on a surface before light falls on it: noise, and the patterns of the material table."""

import math

import numpy as np

from .digits import BACK_HEIGHT, FRONT_HEIGHT, SHORTS_HEIGHT, digit_ink
from .jit import compiled

TAU = 2.0 * math.pi
PERIOD = 128  # of the noise; a power of two
LATTICE = np.random.default_rng(20).uniform(-1.0, 1.0, (PERIOD, PERIOD)).astype(np.float32)


@compiled
def hash2(ix, iy, seed):
    """Uniform number 0..1 of an integer lattice point."""
    n = (ix * 374761393 + iy * 668265263 + seed * 1442695041) & 0xFFFFFFFF
    n = ((n ^ (n >> 13)) * 1274126177) & 0xFFFFFFFF
    n = ((n ^ (n >> 15)) * 2246822519) & 0xFFFFFFFF
    return (n ^ (n >> 16)) * (1.0 / 4294967296.0)


@compiled
def noise2(x, y, seed):
    """Smooth value noise, -1..1, features of size one; it repeats after `PERIOD` of them."""
    fx, fy = math.floor(x), math.floor(y)
    ax = x - fx
    ay = y - fy
    x0 = (int(fx) + 37 * seed) & (PERIOD - 1)
    y0 = (int(fy) + 13 * seed + 59 * (seed >> 7)) & (PERIOD - 1)
    x1 = (x0 + 1) & (PERIOD - 1)
    y1 = (y0 + 1) & (PERIOD - 1)
    ax = ax * ax * (3.0 - 2.0 * ax)
    ay = ay * ay * (3.0 - 2.0 * ay)
    top = LATTICE[y0, x0] + (LATTICE[y0, x1] - LATTICE[y0, x0]) * ax
    bottom = LATTICE[y1, x0] + (LATTICE[y1, x1] - LATTICE[y1, x0]) * ax
    return top + (bottom - top) * ay


@compiled
def noise2_slope(x, y, seed):
    """The same noise and its slopes along x and y."""
    fx, fy = math.floor(x), math.floor(y)
    ax = x - fx
    ay = y - fy
    x0 = (int(fx) + 37 * seed) & (PERIOD - 1)
    y0 = (int(fy) + 13 * seed + 59 * (seed >> 7)) & (PERIOD - 1)
    x1 = (x0 + 1) & (PERIOD - 1)
    y1 = (y0 + 1) & (PERIOD - 1)
    sx = 6.0 * ax * (1.0 - ax)
    sy = 6.0 * ay * (1.0 - ay)
    ax = ax * ax * (3.0 - 2.0 * ax)
    ay = ay * ay * (3.0 - 2.0 * ay)
    over = LATTICE[y0, x1] - LATTICE[y0, x0]
    under = LATTICE[y1, x1] - LATTICE[y1, x0]
    top = LATTICE[y0, x0] + over * ax
    rise = LATTICE[y1, x0] + under * ax - top
    return top + rise * ay, (over + (under - over) * ay) * sx, rise * sy


@compiled
def band(x, period, share):
    """1 inside the first `share` of each period, 0 outside."""
    f = x / period
    return 1.0 if f - math.floor(f) < share else 0.0


@compiled
def emblem(u, v, seed):
    """A print in the unit square, of a kind chosen by the seed: 1 where it has ink, 0 elsewhere."""
    if u < 0.0 or u >= 1.0 or v < 0.0 or v >= 1.0:
        return 0.0
    kind = seed % 5
    if kind == 0:  # mirrored blocks
        cell = int(u * 6)
        cell = min(cell, 5 - cell)
        return 1.0 if hash2(cell, int(v * 6), seed) > 0.45 else 0.0
    if kind == 1:  # a disc with a hole
        r = (u - 0.5) ** 2 + (v - 0.5) ** 2
        return 1.0 if (0.02 + 0.04 * hash2(1, 1, seed)) < r < 0.25 else 0.0
    if kind == 2:  # lines of letters
        line = v * 3.0
        if line - math.floor(line) > 0.62:
            return 0.0
        return 1.0 if hash2(int(u * 11), int(line), seed) > 0.3 else 0.0
    if kind == 3:  # a wedge
        return 1.0 if abs(u - 0.5) < 0.5 * v else 0.0
    return 1.0  # a plain panel


@compiled
def face(x, y, z, row):
    """0 skin, 1 hair, 2 dark (eyes, brows), 3 lips; head frame, metres."""
    hairline = row[8]
    if row[10] <= 0.0 and ((x < 0.055 and z > hairline - 0.3 * x) or (x < -0.02 and z > -0.075)):
        return 1
    if x > 0.02:
        eye = abs(abs(y) - 0.032)
        if eye < 0.015 and abs(z - 0.008) < 0.007:
            return 2
        if eye < 0.019 and abs(z - 0.028) < 0.005:
            return 2
        if abs(y) < 0.024 and abs(z + 0.062) < 0.006:
            return 3
        if row[9] > 0.0 and z < -0.04 and (abs(y) > 0.03 or z < -0.075 or abs(z + 0.048) < 0.006):
            return 1
    return 0


@compiled
def pattern_mix(row, x, y, z):
    """Share of colour B at a point of the texture frame."""
    code = int(row[0])
    seed = int(row[13])
    if code == 1:
        return band(z, row[7], row[8])
    if code == 2 or code == 3:
        across = band(math.atan2(y, x) / TAU + 0.5, 1.0 / row[9], row[8])
        return across if code == 2 else 0.5 * (band(z, row[7], row[8]) + across)
    if code == 4 or code == 5:
        side = x if code == 4 else -x
        if side <= 0.0:
            return 0.0
        return emblem((y if code == 5 else -y) / row[7] + 0.5, (z - row[9]) / row[7] + 0.5, seed)
    if code == 6 or code == 18:
        return 1.0 if row[9] < z < row[10] else 0.0
    if code == 7:
        return 1.0 if x > 0.0 and abs(y) < row[8] + row[9] * max(z - row[10], 0.0) else 0.0
    if code == 8:
        angle = math.atan2(y, x)
        n = noise2(angle * 0.16 / row[7], z / row[7], seed) + 0.5 * noise2(
            angle * 0.35 / row[7], 2.2 * z / row[7], seed
        )
        return 1.0 if n > row[8] else 0.0
    if code == 10:
        return 1.0 if z < row[8] else 0.0
    if code == 16:
        return 1.0 if y > 0.0 else 0.0
    if code == 17:
        return 1.0 if abs(0.8 * y - 0.6 * (z - 0.28)) < 0.05 else 0.0  # over one shoulder, in front and behind
    if code == 13:
        return 0.35 + 0.35 * noise2(math.atan2(y, x) * 9.0, z * 8.0, seed)
    if code == 14:
        return 1.0 if abs(z - 0.14) < 0.025 or (abs(abs(y) - 0.1) < 0.022 and z > 0.14) else 0.0
    return 0.0


@compiled
def facade(row, u, z):
    """Colour of a wall with windows (or of posters) at u metres along, z metres up."""
    seed = int(row[13])
    r, g, b = row[1], row[2], row[3]
    rough = 1.0 + 0.10 * noise2(u * 0.7, z * 0.7, seed) + 0.08 * noise2(u * 5.0, z * 9.0, seed)
    period = row[7]
    fu = u / period
    fz = z / (period * row[9])
    cu = math.floor(fu)
    cz = math.floor(fz)
    au = abs(fu - cu - 0.5)
    az = abs(fz - cz - 0.5)
    h = hash2(int(cu), int(cz), seed)
    half = 0.5 * row[8]
    if au < half and az < half:
        if int(row[0]) == 15:
            h2 = hash2(int(cu), int(cz), seed + 7)
            h3 = hash2(int(cu), int(cz), seed + 13)
            ink = 0.35 + 0.65 * hash2(int(fu * 9), int(fz * 9), seed)
            return (
                0.08 + 0.4 * (0.6 * h + 0.4 * h2) * ink,
                0.08 + 0.4 * h2 * ink,
                0.08 + 0.4 * (0.6 * h3 + 0.4 * h2) * ink,
            )
        if half - au < 0.02 or half - az < 0.025 or au < 0.012:  # the frame
            return 0.55, 0.55, 0.53
        glow = 0.06 + 0.22 * h * h + 0.10 * (fz - cz) + 0.05 * noise2(u * 1.3 + 9.0 * h, z * 0.8, seed)
        return row[4] * glow * 3.0, row[5] * glow * 3.0, row[6] * glow * 3.0
    if row[10] > 0.0:  # bricks
        shift = 0.25 * (int(z / 0.24) % 2)
        if band(z, 0.24, 0.1) > 0.0 or band(u + shift, 0.5, 0.05) > 0.0:
            rough *= 0.82
    if z < 0.5:
        rough *= 0.75
    return r * rough, g * rough, b * rough


@compiled
def albedo(row, x, y, z):
    """Linear colour of a material at a point of its texture frame."""
    code = int(row[0])
    seed = int(row[13])
    r, g, b = row[1], row[2], row[3]
    if code == 9:
        part = face(x, y, z, row)
        if part == 1:
            tone = 0.9 + 0.25 * noise2(y * 60.0, z * 30.0, seed)
            return row[4] * tone, row[5] * tone, row[6] * tone
        if part == 2:
            return 0.02, 0.015, 0.012
        if part == 3:
            return 0.75 * r, 0.45 * g, 0.45 * b
        blush = 1.0 + 0.10 * noise2(y * 25.0, z * 25.0, seed)
        return r * blush, g * blush, b * blush
    if code == 12:
        n = 1.0 + 0.55 * noise2((x + y) * 7.0, z * 7.0, seed) + 0.35 * noise2((x - y) * 19.0, z * 19.0, seed)
        return r * n, g * n, b * n
    m = pattern_mix(row, x, y, z)
    r += (row[4] - r) * m
    g += (row[5] - g) * m
    b += (row[6] - b) * m
    if code == 18 and m == 0.0 and z < 0.0 and abs(y) < 0.07:
        shade = 0.62 + 5.4 * abs(y)
        r, g, b = r * shade, g * shade, b * shade
    strap = int(row[15])
    if strap == 1 and x > -0.02 and z > 0.12 and abs(abs(y) - 0.095) < 0.022:
        r, g, b = row[16], row[17], row[18]
    elif strap >= 100:
        middle = row[15] - strap
        number, across, down, height = strap - 100, -y, middle - z, BACK_HEIGHT
        if strap >= 200:
            number, across, down, height = strap - 200, -y, z - middle, SHORTS_HEIGHT
        elif x > 0.0:
            across, down, height = y, middle + 0.03 - z, FRONT_HEIGHT
        if strap < 200 and abs(down) < 0.58 * height and abs(across) < 0.76 * height:
            r, g, b = row[1], row[2], row[3]  # digits on a plain panel
        if (strap < 200 or x > 0.0) and digit_ink(number, across, down, height) > 0:
            r, g, b = row[16], row[17], row[18]
    elif strap == 2 and abs(y * 0.8 + (z - 0.25) * 0.6) < 0.02:
        r, g, b = row[16], row[17], row[18]
    return r, g, b
