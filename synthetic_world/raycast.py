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


@compiled
def cast(kinds, shapes, owners, local_origin, local_rays, boxes, nearest, depth, primitive, stamp, alone):
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
        for j in range(boxes[p, 1], boxes[p, 3]):
            rx = local_rays[p, 0, 0] + j * local_rays[p, 2, 0]
            ry = local_rays[p, 0, 1] + j * local_rays[p, 2, 1]
            rz = local_rays[p, 0, 2] + j * local_rays[p, 2, 2]
            for i in range(boxes[p, 0], boxes[p, 2]):
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


def empty_buffers(height: int, width: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Depth (infinite), primitive index (-1) and stamp (-1) buffers of that size."""
    return (
        np.full((height, width), np.inf, np.float32),
        np.full((height, width), -1, np.int32),
        np.full((height, width), -1, np.int16),
    )
