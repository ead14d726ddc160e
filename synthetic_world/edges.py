"""Pixels at edges: four rays where one would give stairs."""

from .jit import compiled, inlined
from .raycast import hit_any

JOINT = 0.04  # metres; parts of one garment that are nearer to each other have no edge between them


@inlined
def uniform(primitive, j, i):
    """Whether the rays around hit what the ray in row j and column i hits."""
    p = primitive[j, i]
    return (
        (i == 0 or primitive[j, i - 1] == p)
        and (i + 1 == primitive.shape[1] or primitive[j, i + 1] == p)
        and (j == 0 or primitive[j - 1, i] == p)
        and (j + 1 == primitive.shape[0] or primitive[j + 1, i] == p)
    )


@compiled
def split(depth, primitive, table, j, i, parts):
    """What the four rays of a pixel hit, a row for each thing: primitive, depth, column and row, share of the pixel.

    One ray stands for all where the neighbours hit another part of the same cloth that is about as near. Otherwise
    four rays are cast at what these five rays have hit; `parts` (4, 5) is filled. Returns the number of rows.
    """
    p, rows, columns = primitive[j, i], primitive.shape[0], primitive.shape[1]
    left, right = primitive[j, max(i - 1, 0)], primitive[j, min(i + 1, columns - 1)]
    above, below = primitive[max(j - 1, 0), i], primitive[min(j + 1, rows - 1), i]
    same = True
    for k in range(4):
        q = left if k == 0 else right if k == 1 else above if k == 2 else below
        if q != p:
            y, x = j + (k == 3) - (k == 2), i + (k == 1) - (k == 0)
            joined = p >= 0 and q >= 0 and table[p, 57] == table[q, 57] and abs(depth[y, x] - depth[j, i]) < JOINT
            same = same and joined
    if same:
        return 1
    found = 0
    for k in range(4):
        x, y = i - 0.25 + 0.5 * (k & 1), j - 0.25 + 0.25 * (k & 2)
        near, nearest = 1e30, -1
        for n in range(5):
            q = p if n == 0 else left if n == 1 else right if n == 2 else above if n == 3 else below
            if q < 0 or (n > 0 and q == p) or (n > 1 and q == left) or (n > 2 and q == right) or (n > 3 and q == above):
                continue
            t = hit_row(table[q], x, y)
            if 0.0 < t < near:
                near, nearest = t, q
        row = 0
        while row < found and parts[row, 0] != nearest:
            row += 1
        if row == found:
            parts[row, 0], parts[row, 1], parts[row, 2], parts[row, 3], parts[row, 4] = nearest, 0.0, 0.0, 0.0, 0.0
            found += 1
        parts[row, 1], parts[row, 2], parts[row, 3] = parts[row, 1] + near, parts[row, 2] + x, parts[row, 3] + y
        parts[row, 4] += 0.25
    for row in range(found):
        n = 0.25 / parts[row, 4]
        parts[row, 1], parts[row, 2], parts[row, 3] = parts[row, 1] * n, parts[row, 2] * n, parts[row, 3] * n
    return found


@compiled
def hit_row(row, x, y):
    """Depth at which the ray at column x and row y of the window hits a row of the table, or -1."""
    return hit_any(
        row[19], row[21], row[22], row[23], row[33], row[34], row[35],
        row[36] + x * row[39] + y * row[42],
        row[37] + x * row[40] + y * row[43],
        row[38] + x * row[41] + y * row[44],
    )  # fmt: skip
