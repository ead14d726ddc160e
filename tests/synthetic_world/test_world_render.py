"""The renderer against brute force, and the truth of a scene against its pixels."""

import math

import numpy as np
import pytest

from synthetic_world.camera import Camera
from synthetic_world.frames import SequenceTask, _known, frame_truth, render_frame
from synthetic_world.keypoints import HIDDEN, OUTSIDE, VISIBLE, seen_keypoints, viewpoint
from synthetic_world.levels import get_level
from synthetic_world.place import make_place
from synthetic_world.primitives import Primitives, screen_boxes
from synthetic_world.raycast import BOX, CUT_CONE, ROUNDED_CONE
from synthetic_world.render import View, Window, full_view, person_boxes, render, silhouette_pixels
from synthetic_world.scene import Group, Stand, gather
from synthetic_world.seeds import rng_for
from synthetic_world.shadows import add_people, draw_still_maps

LEVEL = get_level("medium")
CAMERA = Camera((-8.0, 0.0, 2.6), 0.0, 0.15, 300.0, 320, 240)
EMPTY_HANDED = 6  # number of somebody who carries nothing before the body


def view_of(group: Group, camera: Camera = CAMERA, keep: list[int] | None = None) -> View:
    people = group.primitives
    if keep is not None:
        people = people.select(np.isin(people.owners, keep))
    place = make_place(rng_for(0, "test place"), 6.0, np.array([camera.position[:2]]), 0.5)
    maps = add_people(draw_still_maps(place.things, place.light[:3], np.zeros(2), 5.0, 10.0), people, place.light[:3])
    return render(camera, full_view(camera), people, len(group.stands), group.materials, place, maps)


def three_people() -> Group:
    stands = [
        Stand(3, (0.0, 0.0), math.pi, 0.7, 1.0),
        Stand(4, (-1.0, 0.25), 1.0, 2.0, 1.0),
        Stand(5, (1.5, -1.4), 0.0, 4.0, 0.0),
    ]
    return gather(0, LEVEL, stands)


@pytest.fixture(scope="module")
def group() -> Group:
    return three_people()


@pytest.fixture(scope="module")
def view(group: Group) -> View:
    return view_of(group)


def inside(kind: int, shape: np.ndarray, local: np.ndarray) -> np.ndarray:
    """Whether local points (..., 3) are inside, from the definition: a union of balls, discs, or a cube."""
    h, ra, rb = shape
    if kind == BOX:
        return (np.abs(local) <= 1.0).all(-1)
    x, y, z = local[..., 0], local[..., 1], local[..., 2]
    if kind == CUT_CONE:
        return (z >= 0) & (z <= h) & (np.hypot(x, y) <= ra + (rb - ra) * z / h)
    found = np.zeros(local.shape[:-1], bool)
    for share in np.linspace(0.0, 1.0, 120):
        found |= x**2 + y**2 + (z - share * h) ** 2 <= (ra + (rb - ra) * share) ** 2
    return found


@pytest.mark.parametrize(
    ("kind", "shape"),
    [
        (ROUNDED_CONE, (0.6, 0.25, 0.12)),
        (ROUNDED_CONE, (0.6, 0.1, 0.3)),
        (ROUNDED_CONE, (0.0, 0.3, 0.3)),
        (CUT_CONE, (0.7, 0.15, 0.35)),
        (CUT_CONE, (0.5, 0.3, 0.2)),
        (BOX, (1.0, 1.0, 1.0)),
    ],
)
@pytest.mark.parametrize("seed", [0, 1])
def test_intersections_agree_with_marching_through_the_solid(kind: int, shape: tuple, seed: int) -> None:
    from synthetic_world.render import _cast

    rng = np.random.default_rng(seed)
    rotation, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    scale = rng.uniform(0.6, 1.5, 3) * (0.3 if kind == BOX else 1.0)
    one = Primitives(
        np.array([kind]), np.array([shape], float), np.array([[0.1, -0.1, 1.0]]), (rotation / scale[:, None])[None],
        np.eye(3)[None], np.zeros((1, 3)), np.array([0]), np.array([0]),
    )  # fmt: skip
    camera = Camera((-3.0, 0.4, 1.6), -0.1, 0.2, 45.0, 48, 48)
    got = _cast(camera, full_view(camera), one, 1)

    column, row = np.meshgrid(np.arange(48) + 0.5, np.arange(48) + 0.5)
    rays = np.stack([column, row, np.ones_like(row)], -1) @ np.linalg.inv(camera.to_pixels).T
    step = 0.006
    depth = np.full((48, 48), np.inf)
    for t in np.arange(1.0, 5.0, step)[::-1]:
        points = np.array(camera.position) + t * rays - one.origins[0]
        depth[inside(kind, np.array(shape), points @ one.frames[0].T)] = t
    both = np.isfinite(depth) & np.isfinite(got.depth)
    assert both.sum() > 30
    # Marching misses slivers thinner than its step; nothing else may differ.
    assert (np.isfinite(depth) != np.isfinite(got.depth)).sum() <= 0.02 * both.sum() + 2
    assert np.abs(depth[both] - got.depth[both]).max() < 2 * step + 0.02
    assert np.abs(depth[both] - got.depth[both]).mean() < step
    assert got.alone[0] == np.isfinite(got.depth).sum()
    rows, columns = np.nonzero(np.isfinite(got.depth))
    box = screen_boxes(one, np.array(camera.position), camera.to_pixels)[0]
    assert box[0] <= columns.min() + 0.5 and columns.max() + 0.5 <= box[2]
    assert np.abs(box - [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]).max() < 1.6


def test_a_persons_box_is_the_box_of_its_pixels(group: Group) -> None:
    boxes = person_boxes(CAMERA, group.primitives, 3)
    for person in range(3):
        rows, columns = np.nonzero(view_of(group, keep=[person]).people == person)
        found = np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])
        assert np.abs(found - boxes[person]).max() <= 1.5, person
        assert (boxes[person, :2] <= found[:2] + 0.5).all() and (boxes[person, 2:] >= found[2:] - 0.5).all()


def test_visibility_is_visible_pixels_over_pixels_alone(group: Group, view: View) -> None:
    truth = frame_truth(CAMERA, group, view)
    assert truth.index.tolist() == [0, 1, 2]
    for row, person in enumerate(truth.index):
        alone = (view_of(group, keep=[int(person)]).people == person).sum()
        assert view.alone[person] == alone
        assert truth.visibility[row] == pytest.approx((view.people == person).sum() / alone)
    assert truth.visibility[0] < 0.9  # the one behind
    assert truth.visibility[1] == 1.0


def test_visibility_counts_what_the_border_cuts_off() -> None:
    group = gather(0, LEVEL, [Stand(3, (0.0, 4.2), 0.0, 0.0, 1.0)])
    camera = Camera((-8.0, 0.0, 2.6), 0.0, 0.15, 300.0, 320, 240)
    whole = Camera((-8.0, 0.0, 2.6), 0.0, 0.15, 300.0, 620, 240)
    box = person_boxes(camera, group.primitives, 1)[0]
    assert box[0] < 0 < box[2]
    truth = frame_truth(camera, group, view_of(group, camera))
    full = (view_of(group, whole).people == 0).sum()
    part = (view_of(group, camera).people == 0).sum()
    assert truth.boxes[0, 0] < 0  # not clipped
    assert 0.05 < truth.visibility[0] < 0.95
    assert truth.visibility[0] == pytest.approx(part / full, abs=0.02)
    assert silhouette_pixels(whole, full_view(whole), group.one(0)) == full


def test_crossing_walkers_hide_each_other() -> None:
    shares = []
    for x in np.linspace(-1.0, 1.0, 9):
        stands = [Stand(3, (0.0, x), math.pi / 2, 6 * x, 1.0), Stand(4, (-1.5, -x), -math.pi / 2, 6 * x, 1.0)]
        group = gather(0, LEVEL, stands)
        shares.append(frame_truth(CAMERA, group, view_of(group)).visibility)
    behind, front = np.array(shares).T
    assert behind.min() < 0.4 and behind[0] == behind[-1] == 1.0
    assert front.min() == 1.0


def test_keypoints_lie_on_the_person_or_are_marked(group: Group, view: View) -> None:
    seen = 0
    for person in range(3):
        points = seen_keypoints(CAMERA, full_view(CAMERA), view, group.poses[person], person)
        rows, columns = np.nonzero(view.people == person)
        alone_rows, alone_columns = np.nonzero(view_of(group, keep=[person]).people == person)
        for x, y, state in points:
            if state == VISIBLE:
                seen += 1
                assert np.hypot(columns + 0.5 - x, rows + 0.5 - y).min() <= 1.0
            elif state == HIDDEN:
                assert np.hypot(alone_columns + 0.5 - x, alone_rows + 0.5 - y).min() <= 3.0
    assert seen > 20


def test_keypoints_turn_with_the_person() -> None:
    def states(heading: float) -> np.ndarray:
        group = gather(0, LEVEL, [Stand(EMPTY_HANDED, (0.0, 0.0), heading, 0.3, 0.0)])
        window = Window(100.0, 20.0, 220.0, 220.0, 240, 400)
        return seen_keypoints(CAMERA, full_view(CAMERA), view_of(group), group.poses[0], 0)[:, 2], window

    front, back = states(math.pi)[0], states(0.0)[0]
    assert (front[:3] == VISIBLE).all()  # nose and eyes
    assert (back[:3] == HIDDEN).all()
    assert (front[5:] == VISIBLE).all() and (back[5:] == VISIBLE).all()


def test_keypoints_beyond_the_window_are_outside(group: Group, view: View) -> None:
    boxes = person_boxes(CAMERA, group.primitives, 3)[0]
    middle = (boxes[1] + boxes[3]) / 2
    window = Window(0.0, 0.0, 320.0, float(round(middle)), 320, round(middle))
    cut = View(view.light[: window.rows], view.depth[: window.rows], view.people[: window.rows], view.alone)
    states = seen_keypoints(CAMERA, window, cut, group.poses[0], 0)[:, 2]
    assert (states[13:] == OUTSIDE).all() and (states[:7] != OUTSIDE).all()


@pytest.mark.parametrize(
    ("heading", "expected"), [(math.pi, 0.0), (0.0, 180.0), (-math.pi / 2, -90.0), (math.pi / 2, 90.0)]
)
def test_viewpoint_is_the_cameras_azimuth_in_the_body(heading: float, expected: float) -> None:
    # The camera is at -x. Walking along +y, it is to the walker's left.
    assert viewpoint(CAMERA, np.zeros(2), heading) == pytest.approx(expected, abs=1e-9)


def test_people_differ_between_front_and_back() -> None:
    faces = []
    for heading in (math.pi, 0.0):
        group = gather(0, LEVEL, [Stand(11, (0.0, 0.0), heading, 0.0, 0.0)])
        view = view_of(group)
        pixels = seen_keypoints(CAMERA, full_view(CAMERA), view, group.poses[0], 0)[0]
        faces.append(view.light[int(pixels[1]), int(pixels[0])])
    assert np.abs(faces[0] - faces[1]).max() > 0.05


def test_frames_of_one_sequence_share_people_and_move_them() -> None:
    task = SequenceTask(0, "easy", 1, 30, 4, 1, (160, 120), 25.0)
    first, last = render_frame(task, 1, 0), render_frame(task, 30, 0)
    assert [s.number for s in first[2].stands] == [s.number for s in last[2].stands]
    moved = np.linalg.norm(
        np.subtract([s.position for s in first[2].stands], [s.position for s in last[2].stands]), axis=1
    )
    assert moved.max() > 0.5 and moved.max() < 3.0
    assert (first[0] != last[0]).any()


def test_pixels_at_edges_mix_what_four_rays_see(group: Group) -> None:
    rays = Window(0.0, 0.0, 320.0, 240.0, 640, 480)
    place = make_place(rng_for(0, "test place"), 6.0, np.array([CAMERA.position[:2]]), 0.5)
    maps = add_people(
        draw_still_maps(place.things, place.light[:3], np.zeros(2), 5.0, 10.0), group.primitives, place.light[:3]
    )
    args = (group.primitives, len(group.stands), group.materials, place, maps)
    coarse, fine = render(CAMERA, full_view(CAMERA), *args), render(CAMERA, rays, *args)
    share = (fine.people >= 0).reshape(240, 2, 320, 2).mean((1, 3))
    edge = (share > 0) & (share < 1)
    mean = fine.light.reshape(240, 2, 320, 2, 3).mean((1, 3))
    one = fine.light[::2, ::2]
    assert edge.sum() > 300
    # As good as twice the rays each way; a single ray is not.
    assert np.abs(coarse.light - mean)[edge].mean() < 0.45 * np.abs(one - mean)[edge].mean()
    assert np.abs(coarse.light - mean).mean() < 0.01


def test_frames_do_not_depend_on_those_drawn_before() -> None:
    task = SequenceTask(5, "medium", 2, 80, 8, 1, (160, 90), 5.0)
    alone = {}
    for frame in (1, 40, 80):
        _known.cache_clear()
        alone[frame] = render_frame(task, frame, 0)[0]
    for frame in (80, 1, 40):
        assert (render_frame(task, frame, 0)[0] == alone[frame]).all()
