"""Colour of every pixel from what its ray hit: pattern, light, ground, shadow and haze.

The loops are in one file because a cached loop does not notice changes in another file.
"""

import math

from .jit import compiled
from .raycast import CUT_CONE, ROUNDED_CONE

# Ground styles.
ASPHALT = 0
TILES = 1
GRASS_AND_PATH = 2
POLISHED = 3

TAU = 2.0 * math.pi


@compiled
def hash2(ix, iy, seed):
    """Uniform number 0..1 of an integer lattice point."""
    n = (ix * 374761393 + iy * 668265263 + seed * 1442695041) & 0xFFFFFFFF
    n = ((n ^ (n >> 13)) * 1274126177) & 0xFFFFFFFF
    n = ((n ^ (n >> 15)) * 2246822519) & 0xFFFFFFFF
    return (n ^ (n >> 16)) * (1.0 / 4294967296.0)


@compiled
def noise2(x, y, seed):
    """Smooth value noise, -1..1, features of size one."""
    fx, fy = math.floor(x), math.floor(y)
    ix, iy = int(fx), int(fy)
    ax = x - fx
    ay = y - fy
    ax = ax * ax * (3.0 - 2.0 * ax)
    ay = ay * ay * (3.0 - 2.0 * ay)
    top = hash2(ix, iy, seed) * (1.0 - ax) + hash2(ix + 1, iy, seed) * ax
    bottom = hash2(ix, iy + 1, seed) * (1.0 - ax) + hash2(ix + 1, iy + 1, seed) * ax
    return 2.0 * (top * (1.0 - ay) + bottom * ay) - 1.0


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
    if code == 6:
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
    if code == 11 or code == 15:
        return facade(row, x if abs(x) > 0.0 else y, z)
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
    strap = int(row[15])
    if strap == 1 and x > -0.02 and z > 0.12 and abs(abs(y) - 0.095) < 0.022:
        r, g, b = row[16], row[17], row[18]
    elif strap == 2 and abs(y * 0.8 + (z - 0.25) * (0.6 if x > 0.0 else -0.6) * (1.0 if x > 0.0 else -1.0)) < 0.02:
        r, g, b = row[16], row[17], row[18]
    return r, g, b


@compiled
def ground_colour(style, x, y, size):
    """Colour of the ground at x, y metres; `size` is the pixel's footprint, which fades what is finer than it."""
    kind = int(style[0])
    seed = int(style[8])
    fine = 1.0 / (1.0 + 300.0 * size * size)
    n = 0.10 * noise2(x * 0.35, y * 0.35, seed) + 0.08 * noise2(x * 1.7, y * 1.7, seed)
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
        width = 0.012 / period
        if u / period - cu < width or v / period - cv < width:
            n -= 0.35 * min(1.0, 0.012 / (size + 1e-6))
    elif kind == GRASS_AND_PATH:
        edge = noise2(x * 0.25, y * 0.25, seed + 3) + 0.15 * noise2(x * 2.0, y * 2.0, seed + 4)
        if edge > style[11]:
            r, g, b = style[4], style[5], style[6]
            n = n * 1.6 + fine * 0.25 * noise2(x * 40.0, y * 40.0, seed)
    else:
        if noise2(x * 0.3, y * 0.3, seed + 6) > 0.45 and abs(noise2(x * 0.9, y * 0.9, seed + 5)) < 0.012:
            n -= 0.2 * fine  # a crack
        u = x * style[9] + y * style[10]
        if style[7] > 0.0 and abs(u - style[7] * math.floor(u / style[7]) - 1.0) < 0.06:
            r, g, b = 0.55, 0.55, 0.52
    m = 1.0 + n
    return r * m, g * m, b * m


@compiled
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


@compiled
def lookup(grid, x, y, place):
    """Bilinear value of a ground map at x, y metres; 0 outside. `place` holds its corner and cells per metre."""
    u = (x - place[0]) * place[2] - 0.5
    v = (y - place[1]) * place[2] - 0.5
    iu = int(math.floor(u))  # noqa: RUF046 (a float to the compiler)
    iv = int(math.floor(v))  # noqa: RUF046
    if iu < 0 or iv < 0 or iu + 1 >= grid.shape[1] or iv + 1 >= grid.shape[0]:
        return 0.0
    au = u - iu
    av = v - iv
    top = grid[iv, iu] * (1.0 - au) + grid[iv, iu + 1] * au
    bottom = grid[iv + 1, iu] * (1.0 - au) + grid[iv + 1, iu + 1] * au
    return (top * (1.0 - av) + bottom * av) / 255.0


@compiled
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


@compiled
def folded(row, qx, qy, qz, nx, ny, nz, axis):
    """Normal after cloth folds: the slope of noise that is fixed to the body."""
    seed, size = int(row[13]), row[12]
    angle = math.atan2(qy, qx)
    # Folds run more around a limb than along it; the angle is stretched to metres of a limb of usual girth.
    u = abs(angle) * 0.09 / size + (7.0 if angle > 0.0 else 0.0)
    v = qz / size + 0.35 * math.sin(2.0 * angle)
    centre = noise2(u, 1.6 * v, seed) + 0.5 * noise2(2.3 * u, 3.1 * v, seed + 1)
    along = noise2(u, 1.6 * v + 0.2, seed) + 0.5 * noise2(2.3 * u, 3.1 * v + 0.3, seed + 1) - centre
    around = noise2(u + 0.2, 1.6 * v, seed) + 0.5 * noise2(2.3 * u + 0.3, 3.1 * v, seed + 1) - centre
    tx = axis[1] * nz - axis[2] * ny
    ty = axis[2] * nx - axis[0] * nz
    tz = axis[0] * ny - axis[1] * nx
    k = row[11]
    nx += k * (along * axis[0] + around * tx)
    ny += k * (along * axis[1] + around * ty)
    nz += k * (along * axis[2] + around * tz)
    norm = 1.0 / math.sqrt(nx * nx + ny * ny + nz * nz)
    return nx * norm, ny * norm, nz * norm, 1.0 + 0.22 * min(k, 1.0) * centre


@compiled
def surface_colour(px, py, pz, vx, vy, vz, lx, ly, lz, kind, shape, frame, texture, place, row, light, sun):
    """Linear colour of a primitive at world point p (local point l), seen along the unit vector v."""
    ax, ay, az = local_normal(kind, lx, ly, lz, shape[0], shape[1], shape[2])
    nx = frame[0, 0] * ax + frame[1, 0] * ay + frame[2, 0] * az
    ny = frame[0, 1] * ax + frame[1, 1] * ay + frame[2, 1] * az
    nz = frame[0, 2] * ax + frame[1, 2] * ay + frame[2, 2] * az
    norm = 1.0 / math.sqrt(nx * nx + ny * ny + nz * nz + 1e-30)
    nx, ny, nz = nx * norm, ny * norm, nz * norm
    x, y, z = px - place[0], py - place[1], pz - place[2]
    qx = texture[0, 0] * x + texture[0, 1] * y + texture[0, 2] * z
    qy = texture[1, 0] * x + texture[1, 1] * y + texture[1, 2] * z
    qz = texture[2, 0] * x + texture[2, 1] * y + texture[2, 2] * z
    code = int(row[0])
    if code == 11 or code == 15:
        r, g, b = facade(row, qy if abs(ax) > 0.0 else qx, qz)
    else:
        r, g, b = albedo(row, qx, qy, qz)
    tone = 1.0
    if row[11] > 0.0:
        nx, ny, nz, tone = folded(row, qx, qy, qz, nx, ny, nz, texture[2])
    if kind == CUT_CONE and ax == 0.0 and ay == 0.0 and az < 0.0:
        tone *= 0.35  # the inside of a sleeve or skirt
    lr, lg, lb, shine = lit(light, nx, ny, nz, vx, vy, vz, sun, row[14])
    return r * lr * tone + shine, g * lg * tone + shine, b * lb * tone + shine


@compiled
def shade(
    image, depth, primitive, owners, origin, rays, kinds, shapes, frames, local_origin, local_rays, textures,
    places, material_of, materials, light, style, still_shadow, moving_shadow, contact, map_place, pixel_size,
):  # fmt: skip
    """Fill the linear image, (H, W, 3) float32, from the buffers of `cast`; the ground's depth is written too.

    `rays` is (3, 3): the ray of the first pixel, its change per column and per row. The three ground maps are
    uint8 and share `map_place`: shadows of things, shadows of people, darkening around feet.
    """
    for j in range(image.shape[0]):
        for i in range(image.shape[1]):
            dx = rays[0, 0] + i * rays[1, 0] + j * rays[2, 0]
            dy = rays[0, 1] + i * rays[1, 1] + j * rays[2, 1]
            dz = rays[0, 2] + i * rays[1, 2] + j * rays[2, 2]
            norm = 1.0 / math.sqrt(dx * dx + dy * dy + dz * dz)
            t = depth[j, i]
            p = primitive[j, i]
            if p >= 0:
                px, py, pz = origin[0] + t * dx, origin[1] + t * dy, origin[2] + t * dz
                ray = local_rays[p]
                o = local_origin[p]
                lx = o[0] + t * (ray[0, 0] + i * ray[1, 0] + j * ray[2, 0])
                ly = o[1] + t * (ray[0, 1] + i * ray[1, 1] + j * ray[2, 1])
                lz = o[2] + t * (ray[0, 2] + i * ray[1, 2] + j * ray[2, 2])
                sun = 1.0
                if owners[p] >= 0:
                    k = pz / light[2]
                    sun = 1.0 - lookup(still_shadow, px - k * light[0], py - k * light[1], map_place)
                r, g, b = surface_colour(
                    px, py, pz, dx * norm, dy * norm, dz * norm, lx, ly, lz, kinds[p], shapes[p], frames[p],
                    textures[p], places[p], materials[material_of[p]], light, sun,
                )  # fmt: skip
                dark = 0.82 + 0.18 * min(pz, 1.0)
                r, g, b = r * dark, g * dark, b * dark
            elif dz < -1e-4:
                t = -origin[2] / dz
                depth[j, i] = t
                px, py = origin[0] + t * dx, origin[1] + t * dy
                r, g, b = ground_colour(style, px, py, t * pixel_size)
                shadow = max(lookup(still_shadow, px, py, map_place), lookup(moving_shadow, px, py, map_place))
                lr, lg, lb, shine = lit(light, 0.0, 0.0, 1.0, dx * norm, dy * norm, dz * norm, 1.0 - shadow, style[12])
                dark = 1.0 - 0.6 * lookup(contact, px, py, map_place)
                r, g, b = (r * lr + shine) * dark, (g * lg + shine) * dark, (b * lb + shine) * dark
            else:
                t = 300.0
                up = min(1.0, 2.5 * dz * norm)
                r, g, b = light[12] * (1.0 - 0.35 * up), light[13] * (1.0 - 0.22 * up), light[14]
            haze = 1.0 - math.exp(-light[15] * t)
            image[j, i, 0] = r + (light[12] - r) * haze
            image[j, i, 1] = g + (light[13] - g) * haze
            image[j, i, 2] = b + (light[14] - b) * haze
