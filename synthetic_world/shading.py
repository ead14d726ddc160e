"""Colour of every pixel from what its ray hit: pattern, light, ground, shadow and haze."""

import math

from .jit import compiled, inlined
from .patterns import albedo, facade, hash2, noise2, noise2_slope
from .raycast import CUT_CONE, ROUNDED_CONE

# Ground styles.
ASPHALT = 0
TILES = 1
GRASS_AND_PATH = 2
POLISHED = 3
PITCH = 4  # a playing field

HORIZON = -1e-4  # rays that fall by less than this for each metre of depth see the sky


@compiled
def ground_colour(style, x, y, size, length):
    """Colour of the ground at x, y metres; the pixel's footprint, size x length, fades what is finer than it."""
    kind = int(style[0])
    seed = int(style[8])
    fine = 1.0 / (1.0 + 300.0 * size * length)
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


@inlined
def lookup(maps, m, x, y, place):
    """Bilinear value of ground map m at x, y metres; 0 outside. `place` holds its corner and cells per metre."""
    u = (x - place[0]) * place[2] - 0.5
    v = (y - place[1]) * place[2] - 0.5
    iu = int(math.floor(u))  # noqa: RUF046 (a float to the compiler)
    iv = int(math.floor(v))  # noqa: RUF046
    if iu < 0 or iv < 0 or iu + 1 >= maps.shape[2] or iv + 1 >= maps.shape[1]:
        return 0.0
    au = u - iu
    av = v - iv
    top = maps[m, iv, iu] * (1.0 - au) + maps[m, iv, iu + 1] * au
    bottom = maps[m, iv + 1, iu] * (1.0 - au) + maps[m, iv + 1, iu + 1] * au
    return (top * (1.0 - av) + bottom * av) / 255.0


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


@compiled
def folded(row, qx, qy, qz, nx, ny, nz):
    """Normal after cloth folds: the slope of noise that is fixed to the body."""
    seed, size = int(row[13]), row[12]
    angle = math.atan2(qy, qx)
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
def block_depth(depth, primitive, rays, j0, i0, size):
    """Mean depth of a block of rays that hit the same; -1 where they differ. Writes the depth of the ground."""
    total = 0.0
    p = primitive[j0, i0]
    if p >= 0:
        for j in range(j0, j0 + size):
            for i in range(i0, i0 + size):
                if primitive[j, i] != p:
                    return -1.0
                total += depth[j, i]
        return total if size == 1 else 0.25 * total
    sky = rays[1, 2] + i0 * rays[2, 2] + j0 * rays[3, 2] >= HORIZON
    for j in range(j0, j0 + size):
        for i in range(i0, i0 + size):
            dz = rays[1, 2] + i * rays[2, 2] + j * rays[3, 2]
            if primitive[j, i] >= 0 or (dz >= HORIZON) != sky:
                return -1.0
            t = 300.0 if sky else -rays[0, 2] / dz
            if not sky:
                depth[j, i] = t
            total += t
    return total if size == 1 else 0.25 * total


@inlined
def background(x, y, z, vx, vy, vz, light, style, maps, map_place, size):
    """Colour of ground or sky at a point, seen along the unit vector v; `size` is the footprint in metres."""
    if z > 1e-6:
        up = min(1.0, 2.5 * vz)
        return light[12] * (1.0 - 0.35 * up), light[13] * (1.0 - 0.22 * up), light[14]
    r, g, b = ground_colour(style, x, y, size, size / max(-vz, 0.05))
    sun = 1.0 - lookup(maps, 1, x, y, map_place)
    lr, lg, lb, shine = lit(light, 0.0, 0.0, 1.0, vx, vy, vz, sun, style[12])
    dark = 1.0 - 0.6 * lookup(maps, 2, x, y, map_place)
    return (r * lr + shine) * dark, (g * lg + shine) * dark, (b * lb + shine) * dark


@inlined
def surface(depth, rays, row, t, j, i, size, x, y, z, vx, vy, vz, light, sun):
    """Colour of a primitive at a point, seen along the unit vector v.

    The light is that of the middle of a block of rays, from row j and column i on; the pattern is looked at along
    every ray, unless nothing in it is finer than the block.
    """
    u, v = i + 0.5 * (size - 1), j + 0.5 * (size - 1)
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
    tone = 1.0
    if row[11] > 0.0:
        nx, ny, nz, tone = folded(row, *textured(row, x, y, z), nx, ny, nz)
    if row[19] == CUT_CONE and ax == 0.0 and ay == 0.0 and az < 0.0:
        tone *= 0.35  # the inside of a sleeve or skirt
    lr, lg, lb, shine = lit(light, nx, ny, nz, vx, vy, vz, sun, row[14])
    code = int(row[0])
    fine = size if size > 1 and (row[15] > 0.0 or not (code == 0 or code == 12 or code == 13)) else 1
    r = g = b = 0.0
    for k in range(j, j + fine):
        for n in range(i, i + fine):
            if fine > 1:
                t = depth[k, n]
                x = rays[0, 0] + t * (rays[1, 0] + n * rays[2, 0] + k * rays[3, 0])
                y = rays[0, 1] + t * (rays[1, 1] + n * rays[2, 1] + k * rays[3, 1])
                z = rays[0, 2] + t * (rays[1, 2] + n * rays[2, 2] + k * rays[3, 2])
            qx, qy, qz = textured(row, x, y, z)
            if code == 11 or code == 15:
                cr, cg, cb = facade(row, qy if abs(ax) > 0.0 else qx, qz)
            else:
                cr, cg, cb = albedo(row, qx, qy, qz)
            r, g, b = r + cr, g + cg, b + cb
    dark = 0.82 + 0.18 * min(z, 1.0)
    tone *= dark / (fine * fine)
    return r * lr * tone + shine * dark, g * lg * tone + shine * dark, b * lb * tone + shine * dark


@inlined
def textured(row, x, y, z):
    """Coordinates of a world point in a primitive's texture frame."""
    x, y, z = x - row[54], y - row[55], z - row[56]
    return (
        row[45] * x + row[46] * y + row[47] * z,
        row[48] * x + row[49] * y + row[50] * z,
        row[51] * x + row[52] * y + row[53] * z,
    )


@compiled
def shade(image, shared, depth, primitive, table, rays, light, style, maps, map_place, pixel_size):
    """Fill the linear image from the buffers of `cast`; the ground's depth is written too.

    Args:
        image: (H / shared, W / shared, 3) float32, filled.
        shared: 1 or 2; a pixel is the mean of that many rays squared, or one colour where they hit the same primitive.
        depth: of every ray; changed in place where it meets the ground.
        primitive: of every ray, a row of the table, or -1.
        table: (P, 57), of each primitive: material (19 columns), kind, owner, shape (3), frame (9), the camera in that
            frame (3), rays in that frame (9), texture frame (9) and its origin (3).
        rays: (4, 3), the camera's position, the ray of the first pixel, its change per column and per row.
        light: see `Place`.
        style: see `Place`.
        maps: (3, G, G) uint8, maps of the ground: shadows of things, of things and people, darkening around feet.
        map_place: x and y of their corner, cells per metre.
        pixel_size: of one ray at a depth of one metre.
    """
    for top in range(0, primitive.shape[0], shared):
        for left in range(0, primitive.shape[1], shared):
            mean = block_depth(depth, primitive, rays, top, left, shared)
            size = shared if mean >= 0.0 else 1
            whole = size == shared
            red = green = blue = 0.0
            for part in range(1 if whole else 4):  # no division here, it would take as long as the rest
                j, i = top + (part >> 1), left + (part & 1)
                t = mean if whole else block_depth(depth, primitive, rays, j, i, 1)
                u, v = i + 0.5 * (size - 1), j + 0.5 * (size - 1)
                dx = rays[1, 0] + u * rays[2, 0] + v * rays[3, 0]
                dy = rays[1, 1] + u * rays[2, 1] + v * rays[3, 1]
                dz = rays[1, 2] + u * rays[2, 2] + v * rays[3, 2]
                norm = 1.0 / math.sqrt(dx * dx + dy * dy + dz * dz)
                x, y, z = rays[0, 0] + t * dx, rays[0, 1] + t * dy, rays[0, 2] + t * dz
                dx, dy, dz = dx * norm, dy * norm, dz * norm
                p = primitive[j, i]
                if p >= 0:
                    sun = 1.0
                    if table[p, 20] >= 0.0:
                        k = z / light[2]
                        sun -= lookup(maps, 0, x - k * light[0], y - k * light[1], map_place)
                    r, g, b = surface(depth, rays, table[p], t, j, i, size, x, y, z, dx, dy, dz, light, sun)
                else:
                    z = z if dz >= HORIZON * norm else 0.0
                    r, g, b = background(x, y, z, dx, dy, dz, light, style, maps, map_place, t * pixel_size * size)
                haze = 1.0 - math.exp(-light[15] * t)
                red += r + (light[12] - r) * haze
                green += g + (light[13] - g) * haze
                blue += b + (light[14] - b) * haze
            share = 1.0 if whole else 0.25
            j, i = (top, left) if shared == 1 else (top >> 1, left >> 1)
            image[j, i, 0], image[j, i, 1], image[j, i, 2] = share * red, share * green, share * blue
