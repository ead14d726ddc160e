"""Camera, ground plane, bodies, crowd and masks."""

import math
from pathlib import Path

import numpy as np
import pytest

from synthetic_world.camera import Camera, ColourResponse
from synthetic_world.crowd import PERSONAL_SPACE, Crowd
from synthetic_world.levels import LEVELS, get_level, level_table
from synthetic_world.masks import decode_mask, encode_mask
from synthetic_world.person import make_person
from synthetic_world.pose import ANKLE_L, ANKLE_R, HEAD, KNEE_L, PELVIS, walk
from synthetic_world.raycast import CUT_CONE
from synthetic_world.scene import Stand, gather, ring_camera
from synthetic_world.seeds import rng_for

LEVEL = get_level("medium")


def soles(stand: Stand) -> np.ndarray:
    """Lowest point of every part's balls, (x, y, z)."""
    group = gather(0, LEVEL, [stand])
    primitives = group.primitives
    inverse = np.linalg.inv(primitives.frames)
    points = []
    for along, radius in ((np.zeros(len(primitives)), primitives.shapes[:, 1]), primitives.shapes[:, [0, 2]].T):
        centre = primitives.origins + inverse[:, :, 2] * along[:, None]
        # The lowest point of an ellipsoid with half-axes A is its centre minus A A^T z / |A^T z|.
        half = inverse * radius[:, None, None]
        half[primitives.kinds == CUT_CONE, :, 2] = 0.0  # ends in discs
        down = half[:, 2]  # A^T z
        reach = np.linalg.norm(down, axis=1, keepdims=True)
        points.append(centre - np.einsum("pij,pj->pi", half, down) / np.maximum(reach, 1e-9))
    return np.concatenate(points)


@pytest.mark.parametrize("phase", np.linspace(0.0, 6.0, 7))
@pytest.mark.parametrize("number", [1, 8])
def test_feet_stand_on_the_ground(number: int, phase: float) -> None:
    lowest = soles(Stand(number, (1.0, 2.0), 0.4, phase, 1.0))[:, 2].min()
    assert abs(lowest) < 0.004


@pytest.mark.parametrize("seed", range(5))
def test_homography_takes_projected_feet_back_to_the_ground(seed: int) -> None:
    rng = np.random.default_rng(seed)
    camera = ring_camera(rng, seed, 5, (8.0, 12.0), (1920, 1080), 0.75)
    position = rng.uniform(-3, 3, 2)
    points = soles(Stand(2, (float(position[0]), float(position[1])), rng.uniform(0, 6), rng.uniform(0, 6), 1.0))
    foot = points[np.argmin(points[:, 2])]
    pixels, depth = camera.project(foot[None])
    assert depth[0] > 0
    assert np.linalg.norm(camera.to_ground(pixels)[0] - foot[:2]) < 0.05
    # The plane itself maps back exactly.
    flat = np.array([[position[0], position[1], 0.0]])
    assert camera.to_ground(camera.project(flat)[0])[0] == pytest.approx(position, abs=1e-6)


def test_projection_puts_up_up_and_left_left() -> None:
    camera = Camera((0.0, 0.0, 2.0), 0.0, 0.0, 500.0, 640, 480)
    pixels, depth = camera.project(np.array([[10.0, 0.0, 2.0], [10.0, 0.0, 3.0], [10.0, 1.0, 2.0], [-1.0, 0.0, 2.0]]))
    assert pixels[0] == pytest.approx([320, 240])
    assert pixels[1] == pytest.approx([320, 190])
    assert pixels[2] == pytest.approx([270, 240])
    assert depth == pytest.approx([10, 10, 10, -1])


def test_bodies_have_human_proportions() -> None:
    for number in range(40):
        person = make_person(0, number, LEVEL)
        pose = walk(person.size, person.gait, 0.0, 0.0, np.zeros(2), 0.0)
        top = pose.joints[HEAD, 2] + person.size.head
        assert abs(top - person.size.height) < 0.05
        assert 6.9 < person.size.height / (2 * person.size.head) < 8.2
        assert 0.46 < pose.joints[PELVIS, 2] / top < 0.56
        assert pose.joints[KNEE_L, 2] < pose.joints[PELVIS, 2]


def test_legs_keep_their_length_and_take_turns() -> None:
    person = make_person(0, 1, LEVEL)
    ahead = []
    for phase in (math.pi / 2, 3 * math.pi / 2):
        pose = walk(person.size, person.gait, phase, 1.0, np.zeros(2), 0.0)
        ahead.append(pose.joints[ANKLE_L, 0] - pose.joints[ANKLE_R, 0])
        assert np.linalg.norm(pose.joints[KNEE_L] - pose.joints[ANKLE_L]) == pytest.approx(person.size.shin)
    assert ahead[0] > 0.3 and ahead[1] < -0.3


def test_a_person_is_the_same_every_time_and_others_differ() -> None:
    assert make_person(7, 12, LEVEL) == make_person(7, 12, LEVEL)
    assert make_person(7, 12, LEVEL) != make_person(7, 13, LEVEL)
    assert make_person(7, 12, LEVEL) != make_person(8, 12, LEVEL)


def test_outfits_are_shared_as_the_level_says() -> None:
    for level in LEVELS.values():
        people = [make_person(0, number, level) for number in range(24)]
        outfits = [person.outfit for person in people]
        for start in range(0, 24, level.outfit_sharing):
            assert len(set(outfits[start : start + level.outfit_sharing])) == 1
        assert len(set(outfits)) == 24 // level.outfit_sharing
        assert len({person.detail for person in people}) == 24


def test_crowd_walks_at_human_speed_without_walking_through_each_other() -> None:
    people = [make_person(0, number, LEVEL) for number in range(12)]
    crowd = Crowd(0, 1, people, 25.0)
    moments = [crowd.at(frame) for frame in range(200)]
    positions = np.array([[stand.position for stand in stands] for stands in moments])
    step = np.linalg.norm(np.diff(positions, axis=0), axis=2) * 25.0
    assert np.median(step) > 0.7 and np.quantile(step, 0.99) < 2.6
    for frame in positions[::10]:
        distance = np.linalg.norm(frame[:, None] - frame[None], axis=2) + 9 * np.eye(12)
        assert distance.min() > 0.6 * PERSONAL_SPACE
    assert any(stand.pace == 0 for stands in moments for stand in stands)  # some stop


def test_masks_survive_encoding() -> None:
    rng = np.random.default_rng(0)
    for mask in (rng.random((7, 5)) > 0.5, np.zeros((4, 3), bool), np.ones((4, 3), bool), np.eye(6, dtype=bool)):
        encoded = encode_mask(mask)
        assert (decode_mask(encoded) == mask).all()
        assert sum(encoded["counts"]) == mask.size
    # Column by column, zeros first: by hand.
    assert encode_mask(np.array([[1, 0], [1, 1]], bool))["counts"] == [0, 2, 1, 1]
    with pytest.raises(ValueError, match="counts: got a sum of 3"):
        decode_mask({"size": [2, 2], "counts": [3]})


def test_colour_response_does_what_it_says() -> None:
    light = np.full((8, 8, 3), 0.3, np.float32)
    light[..., 0] = 0.5
    rng = rng_for(0, "test")
    plain = ColourResponse().apply(light, rng).astype(int)
    assert plain[0, 0, 2] > plain[0, 0, 1] == plain[0, 0, 0]  # BGR out of RGB
    assert (ColourResponse(exposure=0.5).apply(light, rng) < plain).all()
    assert ColourResponse(gains=(1.0, 1.0, 1.5)).apply(light, rng)[0, 0, 0] > plain[0, 0, 0]
    assert np.ptp(ColourResponse(saturation=0.0).apply(light, rng)) == 0
    assert ColourResponse(noise=10.0).apply(light, rng)[..., 1].std() == pytest.approx(10, abs=3)


def test_bad_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match="level: got 'brutal', allowed are easy, medium, hard"):
        get_level("brutal")
    with pytest.raises(ValueError, match="position: got a height of 0"):
        Camera((0.0, 0.0, 0.0), 0.0, 0.0, 500.0, 640, 480)
    assert level_table().count("\n") == 12


def test_the_readme_shows_the_level_table(repository: Path) -> None:
    text = (repository / "synthetic_world" / "README.md").read_text()
    assert "\n".join(level_table().splitlines()[2:]) in text
