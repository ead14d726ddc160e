"""Colour of every pixel from what its ray hit: pattern, light, ground, shadow and haze."""

import math

from .edges import split, uniform
from .jit import compiled, inlined
from .patterns import albedo, facade, hash2, noise2, noise2_slope
from .raycast import CUT_CONE, ROUNDED_CONE

# Ground styles.
ASPHALT = 0
TILES = 1
GRASS_AND_PATH = 2
POLISHED = 3
PITCH = 4  # a playing field

GROUND = 1.0  # the ground's number among remembered colours
HORIZON = -1e-4  # rays that fall by less than this for each metre of depth see the sky


@inlined
def ground_colour(style, x, y, size, rise):
    """Colour of the ground at x, y metres, seen by a pixel that is `size` metres wide at an angle with sine `rise`.

    The pixel's footprint is longer than wide; what is finer fades.
    """
    fine = 1.0 / (1.0 + 300.0 * size * size / rise)
    kind = int(style[0])
    seed = int(style[8])
    n = 0.10 * noise2(x * 0.35, y * 0.35, seed) + 0.08 * noise2(x * 1.7, y * 1.7, seed)
    if fine > 0.1:
        n += fine * 0.12 * noise2(x * 21.0, y * 21.0, seed)
    r, g, b = style[1], style[2], style[3]
    if kind == TILES or kind == POLISHED:
        period = style[7]
        u = x * style[9] + y * style[10]
        v = y * style[9] - x * style[10]
        cu = math.floor(u / period)
        cv = math.floor(v / period)
        tone = hash2(int(cu), int(cv), seed) - 0.5
        mix = 1.0 if tone > style[11] else 0.0
        r += (style[4] - r) * mix
        g += (style[5] - g) * mix
        b += (style[6] - b) * mix
        n += 0.16 * tone
        # Share of the pixel's footprint that seams cover.
        wide = size + 0.012
        nearest = min(abs(u - period * cu - 0.006), abs(v - period * cv - 0.006))
        covered = min(max(0.5 * wide - nearest, 0.0), min(size, 0.012))
        n -= 0.35 * covered / (size + 1e-9)
    elif kind == PITCH:
        u = x * style[9] + y * style[10] - style[11]
        v = y * style[9] - x * style[10]
        if math.floor(u / style[7]) % 2.0 > 0.5:  # mown to and fro
            r, g, b = style[4], style[5], style[6]
        n = n * 1.4 + fine * 0.25 * noise2(x * 40.0, y * 40.0, seed)
        # Halfway line, centre circle, touch lines and penalty areas of a small field, 10 cm wide.
        far = min(abs(u), abs(math.sqrt(u * u + v * v) - 3.0), abs(abs(v) - 11.0))
        if abs(v) < 6.0:
            far = min(far, abs(abs(u) - 8.5))
        if abs(u) > 8.5:
            far = min(far, abs(abs(v) - 6.0))
        white = min(max((0.05 + 0.5 * size - far) / (size + 1e-9), 0.0), 1.0) * min(1.0, 0.1 / (size + 1e-9))
        r, g, b = r + (0.6 - r) * white, g + (0.62 - g) * white, b + (0.58 - b) * white
    elif kind == GRASS_AND_PATH:
        edge = noise2(x * 0.25, y * 0.25, seed + 3) + 0.15 * noise2(x * 2.0, y * 2.0, seed + 4)
        if edge > style[11]:
            r, g, b = style[4], style[5], style[6]
            n = n * 1.6 + fine * 0.25 * noise2(x * 40.0, y * 40.0, seed)
    else:
        if noise2(x * 0.3, y * 0.3, seed + 6) > 0.45 and abs(noise2(x * 0.9, y * 0.9, seed + 5)) < 0.012:
            n -= 0.2 * fine  # a crack
        u = x * style[9] + y * style[10]
        if style[7] > 0.0:  # painted lines
            wide = size / math.sqrt(rise)
            away = abs(u - style[7] * math.floor(u / style[7]) - 1.0)
            paint = min(max(0.06 + 0.5 * wide - away, 0.0), min(wide, 0.12)) / wide
            r, g, b = r + (0.55 - r) * paint, g + (0.55 - g) * paint, b + (0.52 - b) * paint
    m = 1.0 + n
    return r * m, g * m, b * m


@inlined
def local_normal(kind, x, y, z, h, ra, rb):
    """Outward normal, not of unit length, in the frame of a primitive, at a point of its surface."""
    if kind == ROUNDED_CONE:
        s = (ra - rb) / h if h > 0.0 else 0.0
        if z <= ra * s:
            return x, y, z
        if z >= h + rb * s:
            return x, y, z - h
        r = math.sqrt(x * x + y * y) + 1e-12
        c = math.sqrt(1.0 - s * s)
        return c * x / r, c * y / r, s
    if kind == CUT_CONE:
        if z < 1e-6:
            return 0.0, 0.0, -1.0
        if z > h - 1e-6:
            return 0.0, 0.0, 1.0
        r = math.sqrt(x * x + y * y) + 1e-12
        return x / r, y / r, (ra - rb) / h
    if abs(x) >= abs(y) and abs(x) >= abs(z):
        return x, 0.0, 0.0
    if abs(y) >= abs(z):
        return 0.0, y, 0.0
    return 0.0, 0.0, z


@inlined
def lookup(maps, m, x, y, place):
    """Bilinear values of ground maps m and 2 at x, y metres; 0 outside. `place` holds corner and cells per metre."""
    u = (x - place[0]) * place[2] - 0.5
    v = (y - place[1]) * place[2] - 0.5
    iu = int(math.floor(u))  # noqa: RUF046 (a float to the compiler)
    iv = int(math.floor(v))  # noqa: RUF046
    if iu < 0 or iv < 0 or iu + 1 >= maps.shape[2] or iv + 1 >= maps.shape[1]:
        return 0.0, 0.0
    au = u - iu
    av = (v - iv) * (1.0 / 255.0)
    bv = 1.0 / 255.0 - av
    bu = 1.0 - au
    return (
        bv * (maps[m, iv, iu] * bu + maps[m, iv, iu + 1] * au)
        + av * (maps[m, iv + 1, iu] * bu + maps[m, iv + 1, iu + 1] * au),
        bv * (maps[2, iv, iu] * bu + maps[2, iv, iu + 1] * au)
        + av * (maps[2, iv + 1, iu] * bu + maps[2, iv + 1, iu + 1] * au),
    )


@inlined
def lit(light, nx, ny, nz, vx, vy, vz, sun, gloss):
    """Factors of the three channels for a surface with unit normal n, seen along the unit vector v."""
    wrap = (nx * light[0] + ny * light[1] + nz * light[2] + 0.15) / 1.15
    direct = sun * max(wrap, 0.0)
    up = 0.5 + 0.5 * nz
    # Surfaces that turn away from the viewer also turn away from the open space in front of them.
    facing = 0.72 + 0.28 * max(-(nx * vx + ny * vy + nz * vz), 0.0)
    shine = 0.0
    if gloss > 0.0:
        hx, hy, hz = light[0] - vx, light[1] - vy, light[2] - vz
        dot = (nx * hx + ny * hy + nz * hz) / math.sqrt(hx * hx + hy * hy + hz * hz + 1e-9)
        shine = gloss * sun * max(dot, 0.0) ** 24
    r = light[3] * direct + facing * (light[6] * up + light[9] * (1.0 - up))
    g = light[4] * direct + facing * (light[7] * up + light[10] * (1.0 - up))
    b = light[5] * direct + facing * (light[8] * up + light[11] * (1.0 - up))
    return r, g, b, shine


@inlined
def angle_of(y, x):
    """atan2 within 0.0005, several times as fast."""
    u, v = abs(x), abs(y)
    a = min(u, v) / (max(u, v) + 1e-30)
    s = a * a
    r = ((-0.0464964749 * s + 0.15931422) * s - 0.327622764) * s * a + a
    r = 0.5 * math.pi - r if v > u else r
    r = math.pi - r if x < 0.0 else r
    return -r if y < 0.0 else r


@inlined
def folded(row, qx, qy, qz, nx, ny, nz):
    """Normal after cloth folds: the slope of noise that is fixed to the body."""
    seed, size = int(row[13]), row[12]
    angle = angle_of(qy, qx)
    # Folds run more around a limb than along it; the angle is stretched to metres of a limb of usual girth.
    u = abs(angle) * 0.09 / size + (7.0 if angle > 0.0 else 0.0)
    v = qz / size + 0.7 * qx * qy / (qx * qx + qy * qy + 1e-12)
    large, large_u, large_v = noise2_slope(u, 1.6 * v, seed)
    small, small_u, small_v = noise2_slope(2.3 * u, 3.1 * v, seed + 1)
    centre = large + 0.5 * small
    along = 0.2 * large_v + 0.15 * small_v
    around = 0.2 * large_u + 0.15 * small_u
    ax, ay, az = row[51], row[52], row[53]  # the texture's axis
    k = row[11]
    tx = ay * nz - az * ny
    ty = az * nx - ax * nz
    tz = ax * ny - ay * nx
    nx += k * (along * ax + around * tx)
    ny += k * (along * ay + around * ty)
    nz += k * (along * az + around * tz)
    norm = 1.0 / math.sqrt(nx * nx + ny * ny + nz * nz)
    return nx * norm, ny * norm, nz * norm, 1.0 + 0.22 * min(k, 1.0) * centre


@inlined
def ground(x, y, vx, vy, vz, light, style, maps, map_place, size, rise, known, j, i, kept):
    """Colour of the ground at a point, seen along the unit vector v; for the rest see `ground_colour`, `shade`."""
    if kept and known[j, i, 3] == GROUND:
        r, g, b = known[j, i, 0], known[j, i, 1], known[j, i, 2]
    else:
        r, g, b = ground_colour(style, x, y, size, rise)
        if kept:
            known[j, i, 0], known[j, i, 1], known[j, i, 2], known[j, i, 3] = r, g, b, GROUND
            r, g, b = known[j, i, 0], known[j, i, 1], known[j, i, 2]
    shadow, dark = lookup(maps, 1, x, y, map_place)
    lr, lg, lb, shine = lit(light, 0.0, 0.0, 1.0, vx, vy, vz, 1.0 - shadow, style[12])
    dark = 1.0 - 0.6 * dark
    return (r * lr + shine) * dark, (g * lg + shine) * dark, (b * lb + shine) * dark


@inlined
def surface(rays, row, t, u, v, whole, x, y, z, vx, vy, vz, light, sun, known, kept):
    """Colour of a primitive at a point, seen along the unit vector v by the ray at column u and row v of the window."""
    ax, ay, az = local_normal(
        row[19],
        row[33] + t * (row[36] + u * row[39] + v * row[42]),
        row[34] + t * (row[37] + u * row[40] + v * row[43]),
        row[35] + t * (row[38] + u * row[41] + v * row[44]),
        row[21], row[22], row[23],
    )  # fmt: skip
    nx = row[24] * ax + row[27] * ay + row[30] * az
    ny = row[25] * ax + row[28] * ay + row[31] * az
    nz = row[26] * ax + row[29] * ay + row[32] * az
    norm = 1.0 / math.sqrt(nx * nx + ny * ny + nz * nz + 1e-30)
    nx, ny, nz = nx * norm, ny * norm, nz * norm
    qx, qy, qz = textured(row, x - row[54], y - row[55], z - row[56])
    j, i = int(v), int(u)
    if kept and known[j, i, 3] == row[57]:
        r, g, b = known[j, i, 0], known[j, i, 1], known[j, i, 2]
    else:
        r, g, b = painted(rays, row, t, whole, qx, qy, qz, abs(ax) > 0.0, nx, ny, nz, vx, vy, vz)
        if kept:
            known[j, i, 0], known[j, i, 1], known[j, i, 2], known[j, i, 3] = r, g, b, row[57]
            r, g, b = known[j, i, 0], known[j, i, 1], known[j, i, 2]
    tone = 1.0
    if row[11] > 0.0:
        nx, ny, nz, tone = folded(row, qx, qy, qz, nx, ny, nz)
    if row[19] == CUT_CONE and ax == 0.0 and ay == 0.0 and az < 0.0:
        tone *= 0.35  # the inside of a sleeve or skirt
    lr, lg, lb, shine = lit(light, nx, ny, nz, vx, vy, vz, sun, row[14])
    dark = 0.82 + 0.18 * min(z, 1.0)
    tone *= dark
    return r * lr * tone + shine * dark, g * lg * tone + shine * dark, b * lb * tone + shine * dark


@inlined
def painted(rays, row, t, whole, qx, qy, qz, across, nx, ny, nz, vx, vy, vz):
    """Colour before light falls on it, at a point of the texture frame and with unit normal n.

    Of a whole pixel it is the mean of four places (of two on walls) on the plane that touches the primitive there,
    unless nothing in the pattern is finer than a pixel.
    """
    code = int(row[0])
    if not whole or (row[15] <= 0.0 and (code == 0 or code == 12 or code == 13)):
        if code == 11 or code == 15:
            return facade(row, qy if across else qx, qz)
        return albedo(row, qx, qy, qz)
    # A quarter of the way, on the plane, to the next column's point and to the next row's.
    away, k = 1.0 / min(nx * vx + ny * vy + nz * vz, -0.2), 0.25 * t
    m = away * (nx * rays[6] + ny * rays[7] + nz * rays[8])
    ux, uy, uz = textured(row, k * (rays[6] - m * vx), k * (rays[7] - m * vy), k * (rays[8] - m * vz))
    m = away * (nx * rays[9] + ny * rays[10] + nz * rays[11])
    wx, wy, wz = textured(row, k * (rays[9] - m * vx), k * (rays[10] - m * vy), k * (rays[11] - m * vz))
    if code == 11 or code == 15:
        p, w, d = (qy, uy, wy) if across else (qx, ux, wx)
        r, g, b = facade(row, p + w + d, qz + uz + wz)
        r2, g2, b2 = facade(row, p - w - d, qz - uz - wz)
        return 0.5 * (r + r2), 0.5 * (g + g2), 0.5 * (b + b2)
    r = g = b = 0.0
    for n in range(4):
        k, m = 2.0 * (n & 1) - 1.0, 1.0 * (n & 2) - 1.0
        r2, g2, b2 = albedo(row, qx + k * ux + m * wx, qy + k * uy + m * wy, qz + k * uz + m * wz)
        r, g, b = r + r2, g + g2, b + b2
    return 0.25 * r, 0.25 * g, 0.25 * b


@inlined
def textured(row, x, y, z):
    """An offset in the world in a primitive's texture frame."""
    return (
        row[45] * x + row[46] * y + row[47] * z,
        row[48] * x + row[49] * y + row[50] * z,
        row[51] * x + row[52] * y + row[53] * z,
    )


@compiled
def shade(image, depth, primitive, table, parts, rays, light, style, maps, map_place, pixel_size, known):
    """Fill the linear image from the buffers of `cast`; the ground's depth is written too.

    Args:
        image: (H, W, 3) float32, filled.
        depth: of every ray; changed in place where it meets the ground.
        primitive: of every ray, a row of the table, or -1.
        table: (P, 58), of each primitive: material (19 columns), kind, owner, shape (3), frame (9), camera (3) and rays
            (9) in that frame, texture frame (9) and its origin (3), number, negative and the same for ever on things.
        parts: (4, 5), scratch.
        rays: 12 numbers, the camera's position, the ray of the first pixel, its change per column (level) and per row.
        light: 16 numbers, see `Place`.
        style: 13 numbers, see `Place`.
        maps: (3, G, G) uint8, maps of the ground: shadows of things, of things and people, darkening around feet.
        map_place: x and y of their corner, cells per metre.
        pixel_size: of one ray at a depth of one metre.
        known: (H, W, 4) float32, colours of things and ground without light and the number of what has that colour,
            kept from frame to frame of a camera that never moves; (0, 0, 4) keeps none.
    """
    slope_x, slope_y, keeps = light[0] / light[2], light[1] / light[2], known.shape[0] > 0
    for j in range(primitive.shape[0]):
        fall = rays[5] + j * rays[11]
        sky = fall >= HORIZON
        size = pixel_size * (300.0 if sky else -rays[2] / fall)
        rise = min(max(-fall, 0.02), 1.0)
        for i in range(primitive.shape[1]):
            if primitive[j, i] < 0 and not sky:
                depth[j, i] = -rays[2] / fall
            parts[0, 0], parts[0, 1], parts[0, 2], parts[0, 3], parts[0, 4] = primitive[j, i], depth[j, i], i, j, 1.0
            whole = uniform(primitive, j, i)
            found = 1 if whole else split(depth, primitive, table, j, i, parts)
            red = green = blue = 0.0
            for part in range(found):
                p, t, u, v = int(parts[part, 0]), parts[part, 1], parts[part, 2], parts[part, 3]
                dx = rays[3] + u * rays[6] + v * rays[9]
                dy = rays[4] + u * rays[7] + v * rays[10]
                dz = rays[5] + v * rays[11]
                if p < 0:
                    t = 300.0 if sky else -rays[2] / min(dz, HORIZON)
                x, y, z = rays[0] + t * dx, rays[1] + t * dy, rays[2] + t * dz
                norm = 1.0 / math.sqrt(dx * dx + dy * dy + dz * dz)
                dx, dy, dz = dx * norm, dy * norm, dz * norm
                kept = keeps and whole
                if p >= 0:
                    sun = 1.0
                    kept = kept and table[p, 57] < 0.0
                    if table[p, 20] >= 0.0:
                        sun -= lookup(maps, 0, x - z * slope_x, y - z * slope_y, map_place)[0]
                    r, g, b = surface(rays, table[p], t, u, v, found == 1, x, y, z, dx, dy, dz, light, sun, known, kept)
                elif sky:
                    up = min(1.0, 2.5 * max(dz, 0.0))
                    r, g, b = light[12] * (1.0 - 0.35 * up), light[13] * (1.0 - 0.22 * up), light[14]
                else:
                    r, g, b = ground(x, y, dx, dy, dz, light, style, maps, map_place, size, rise, known, j, i, kept)
                clear = parts[part, 4] * fading(light[15] * t)
                haze = parts[part, 4] - clear
                red += r * clear + light[12] * haze
                green += g * clear + light[13] * haze
                blue += b * clear + light[14] * haze
            image[j, i, 0], image[j, i, 1], image[j, i, 2] = red, green, blue


@inlined
def fading(x):
    """exp(-x) for x from 0 to 2, within 0.003."""
    return 1.0 / (1.0 + x * (1.0 + x * (0.5 + x * (1.0 / 6.0 + x * (1.0 / 24.0 + x / 120.0)))))
