"""Analytic intersections of rays with the world's primitives, each within its own screen box.

Every primitive lives in an affine frame of its own, in which it is round and its axis is z, so ellipsoids and
flattened limbs need no code of their own. The ray parameter is the same in both frames; since rays are not
normalised and advance by one along the optical axis, it is the depth in metres.
"""

import math

import numpy as np

from .jit import compiled, inlined

ROUNDED_CONE = 0  # convex hull of a ball of radius ra at z = 0 and one of radius rb at z = h
CUT_CONE = 1  # truncated cone with flat ends: hems, skirts, brims
BOX = 2  # the cube from -1 to 1
NO_HIT = -1.0
NEAR = 0.05  # metres; nothing nearer to the camera is drawn


@inlined
def hit_ball(ox, oy, oz, dx, dy, dz, qc):
    """Depth of the first hit of o + t d with a ball around the origin, or -1; qc = o o - r r."""
    dd = dx * dx + dy * dy + dz * dz
    b = ox * dx + oy * dy + oz * dz
    disc = b * b - dd * qc
    if disc > 0.0:
        t = (-b - math.sqrt(disc)) / dd
        if t > NEAR:
            return t
    return NO_HIT


@inlined
def hit_rounded_cone(ox, oy, oz, dx, dy, dz, h, ra, rb, s, c2, qc):
    """Depth of the first hit of o + t d with a rounded cone (|ra - rb| < h), or -1.

    s = (ra - rb) / h and c2 = 1 - s s; the side, c2 (x x + y y) = (ra - s z)^2, is part of the surface between the
    two tangent circles, and qc is what this equation's left side exceeds the right by at o.
    """
    low = ra * s
    high = h + rb * s
    w = ra - s * oz
    qa = c2 * (dx * dx + dy * dy) - s * s * dz * dz
    qb = c2 * (ox * dx + oy * dy) + s * dz * w
    disc = qb * qb - qa * qc
    if disc <= 0.0 and qa > 0.0:
        return NO_HIT  # the infinite cone holds both balls
    if disc > 0.0 and qa != 0.0:
        root = math.sqrt(disc)
        t = (-qb - root) / qa
        z = oz + t * dz
        if t > NEAR and low <= z <= high and qa * t + qb < 0.0:
            return t
        if qa < 0.0:
            t = (-qb + root) / qa
            z = oz + t * dz
            if t > NEAR and low <= z <= high and qa * t + qb < 0.0:
                return t
    t = hit_ball(ox, oy, oz, dx, dy, dz, ox * ox + oy * oy + oz * oz - ra * ra)
    if t > 0.0 and oz + t * dz <= low:
        return t
    t = hit_ball(ox, oy, oz - h, dx, dy, dz, ox * ox + oy * oy + (oz - h) * (oz - h) - rb * rb)
    if t > 0.0 and oz + t * dz >= high:
        return t
    return NO_HIT


@inlined
def hit_cut_cone(ox, oy, oz, dx, dy, dz, h, ra, rb):
    """Depth of the first hit of o + t d with a truncated cone, its flat ends included, or -1."""
    k = (rb - ra) / h
    if dz != 0.0:
        # Entering through the end that faces the ray.
        z, r = (0.0, ra) if dz > 0.0 else (h, rb)
        t = (z - oz) / dz
        x = ox + t * dx
        y = oy + t * dy
        if t > NEAR and x * x + y * y <= r * r:
            return t
    w = ra + k * oz
    qa = dx * dx + dy * dy - k * k * dz * dz
    qb = ox * dx + oy * dy - k * dz * w
    qc = ox * ox + oy * oy - w * w
    disc = qb * qb - qa * qc
    if disc > 0.0 and qa != 0.0:
        root = math.sqrt(disc)
        for sign in (-1.0, 1.0):
            t = (-qb + sign * root) / qa
            z = oz + t * dz
            if t > NEAR and 0.0 <= z <= h and qa * t + qb < 0.0:
                return t
    return NO_HIT


@inlined
def hit_box(ox, oy, oz, dx, dy, dz):
    """Depth of the first hit of o + t d with the cube from -1 to 1, or -1; a camera inside sees nothing of it."""
    t = NO_HIT
    for o, d in ((ox, dx), (oy, dy), (oz, dz)):
        if abs(o) > 1.0:  # the ray enters through the last of the faces that the camera sees
            if o * d >= 0.0:
                return NO_HIT
            t = max(t, ((1.0 if o > 0.0 else -1.0) - o) / d)
    if t <= NEAR:
        return NO_HIT
    far = max(abs(ox + t * dx), abs(oy + t * dy), abs(oz + t * dz))
    return t if far <= 1.0 + 1e-9 else NO_HIT


@inlined
def box_span(x0, x1, j, corners):
    """First column and the one after the last in row j of what a box with those projected corners (8, 2) covers."""
    low, high = 1e9, -1e9
    for a in range(8):
        for bit in range(3):
            b = a | (1 << bit)
            ya, yb = corners[a, 1], corners[b, 1]
            if b == a or (ya < j) == (yb < j):
                continue
            x = corners[a, 0] + (j - ya) / (yb - ya) * (corners[b, 0] - corners[a, 0])
            low, high = min(low, x), max(high, x)
    if low > high:
        return x0, x0
    low, high = min(max(low, x0 - 1.0), x1 + 1.0), min(max(high, x0 - 1.0), x1 + 1.0)
    return max(x0, int(math.ceil(low - 1e-6))), min(x1, int(math.floor(high + 1e-6)) + 1)  # noqa: RUF046


@inlined
def project_box(origin, rays, corners):
    """Fill where a box's corners (8, 2) are, columns and rows; False when one is not before the camera."""
    a0, a1, a2 = rays[0, 0], rays[0, 1], rays[0, 2]
    b0, b1, b2 = rays[1, 0], rays[1, 1], rays[1, 2]
    c0, c1, c2 = rays[2, 0], rays[2, 1], rays[2, 2]
    # Rows of the inverse are cross products; what they are divided by does not matter but for its sign.
    s0, s1, s2 = b1 * c2 - b2 * c1, b2 * c0 - b0 * c2, b0 * c1 - b1 * c0
    sign = 1.0 if a0 * s0 + a1 * s1 + a2 * s2 > 0.0 else -1.0
    scale = abs(a0 * s0 + a1 * s1 + a2 * s2)
    for corner in range(8):
        x, y, z = 2.0 * (corner & 1) - 1.0, 1.0 * (corner & 2) - 1.0, 0.5 * (corner & 4) - 1.0
        x, y, z = sign * (x - origin[0]), sign * (y - origin[1]), sign * (z - origin[2])
        t = s0 * x + s1 * y + s2 * z
        if t <= NEAR * scale:
            return False
        corners[corner, 0] = (x * (c1 * a2 - c2 * a1) + y * (c2 * a0 - c0 * a2) + z * (c0 * a1 - c1 * a0)) / t
        corners[corner, 1] = (x * (a1 * b2 - a2 * b1) + y * (a2 * b0 - a0 * b2) + z * (a0 * b1 - a1 * b0)) / t
    return True


@compiled
def cast(kinds, shapes, owners, local_origin, local_rays, boxes, nearest, depth, primitive, stamp, corners, alone):
    """Draw every primitive into the depth buffer.

    Args:
        kinds: (P,) int64, one of the kinds above.
        shapes: (P, 3), h, ra, rb in the primitive's own frame.
        owners: (P,) int64, index of the person, -1 for things; a person's primitives stand together.
        local_origin: (P, 3), the camera's position in each frame.
        local_rays: (P, 3, 3), rows: the ray of the first pixel, its change per column, per row.
        boxes: (P, 4) int64, x0, y0, x1, y1 in pixels of the window, within it.
        nearest: (P,), no part of the primitive is nearer; the work is least when each owner's come front to back.
        depth: (H, W) float32, infinite where nothing has been drawn; changed in place.
        primitive: (H, W) int32, -1 where nothing has been drawn; changed in place.
        stamp: (H, W) int16, scratch that starts at -1.
        corners: (8, 2), scratch.
        alone: (N,) int64, receives each person's number of pixels as if nothing else was there.
    """
    for p in range(kinds.shape[0]):
        kind = kinds[p]
        h, ra, rb = shapes[p, 0], shapes[p, 1], shapes[p, 2]
        ox, oy, oz = local_origin[p, 0], local_origin[p, 1], local_origin[p, 2]
        owner, near = owners[p], nearest[p]
        s = (ra - rb) / h if h > 0.0 else 0.0
        c2 = 1.0 - s * s
        qc = c2 * (ox * ox + oy * oy) - (ra - s * oz) * (ra - s * oz)
        ball = ox * ox + oy * oy + oz * oz - ra * ra
        ux, uy, uz = local_rays[p, 1, 0], local_rays[p, 1, 1], local_rays[p, 1, 2]
        spans = kind == BOX and project_box(local_origin[p], local_rays[p], corners)
        for j in range(boxes[p, 1], boxes[p, 3]):
            rx = local_rays[p, 0, 0] + j * local_rays[p, 2, 0]
            ry = local_rays[p, 0, 1] + j * local_rays[p, 2, 1]
            rz = local_rays[p, 0, 2] + j * local_rays[p, 2, 2]
            first, last = boxes[p, 0], boxes[p, 2]
            if spans:
                first, last = box_span(first, last, j, corners)
            for i in range(first, last):
                counted = owner < 0 or stamp[j, i] == owner
                if counted and depth[j, i] <= near:
                    continue
                dx, dy, dz = rx + i * ux, ry + i * uy, rz + i * uz
                if kind == BOX:
                    t = hit_box(ox, oy, oz, dx, dy, dz)
                elif kind == CUT_CONE:
                    t = hit_cut_cone(ox, oy, oz, dx, dy, dz, h, ra, rb)
                elif h == 0.0:
                    t = hit_ball(ox, oy, oz, dx, dy, dz, ball)
                else:
                    t = hit_rounded_cone(ox, oy, oz, dx, dy, dz, h, ra, rb, s, c2, qc)
                if t > 0.0:
                    if not counted:
                        stamp[j, i] = owner
                        alone[owner] += 1
                    if t < depth[j, i]:
                        depth[j, i] = t
                        primitive[j, i] = p


@inlined
def hit_any(kind, h, ra, rb, ox, oy, oz, dx, dy, dz):
    """Depth of the first hit of o + t d with a primitive of that kind, or -1."""
    if kind == BOX:
        return hit_box(ox, oy, oz, dx, dy, dz)
    if kind == CUT_CONE:
        return hit_cut_cone(ox, oy, oz, dx, dy, dz, h, ra, rb)
    if h == 0.0:
        return hit_ball(ox, oy, oz, dx, dy, dz, ox * ox + oy * oy + oz * oz - ra * ra)
    s = (ra - rb) / h
    c2, w = 1.0 - s * s, ra - s * oz
    return hit_rounded_cone(ox, oy, oz, dx, dy, dz, h, ra, rb, s, c2, c2 * (ox * ox + oy * oy) - w * w)


@compiled
def enter_frames(frames, origins, position, rays, local_origin, local_rays):
    """Fill the camera's position (P, 3) and its rays (P, 3, 3) in each primitive's frame.

    Each is computed alone, so that the same thing has the same numbers to the last bit whatever else is in view.
    """
    for p in range(frames.shape[0]):
        x, y, z = position[0] - origins[p, 0], position[1] - origins[p, 1], position[2] - origins[p, 2]
        for k in range(3):
            a, b, c = frames[p, k, 0], frames[p, k, 1], frames[p, k, 2]
            local_origin[p, k] = a * x + b * y + c * z
            for r in range(3):
                local_rays[p, r, k] = a * rays[r, 0] + b * rays[r, 1] + c * rays[r, 2]


def empty_buffers(height: int, width: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Depth (infinite), primitive index (-1) and stamp (-1) buffers of that size."""
    return (
        np.full((height, width), np.inf, np.float32),
        np.full((height, width), -1, np.int32),
        np.full((height, width), -1, np.int16),
    )
