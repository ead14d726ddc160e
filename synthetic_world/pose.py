"""Skeleton and walking gait: a person's joints at one moment."""

import math
from dataclasses import dataclass

import numpy as np

# Joints.
(PELVIS, WAIST, NECK, HEAD, SHOULDER_L, SHOULDER_R, ELBOW_L, ELBOW_R, WRIST_L, WRIST_R, HIP_L, HIP_R, KNEE_L, KNEE_R,
 ANKLE_L, ANKLE_R, PALM_L, PALM_R, SLEEVE_L, SLEEVE_R, HEM_L, HEM_R, CALF_L, CALF_R, GROUND, AXLE_FRONT,
 AXLE_REAR, CUFF_L, CUFF_R) = range(29)  # fmt: skip
JOINTS = 29
# Points along limbs, where sleeves and trouser legs end: first joint, second joint, share of the way.
BETWEEN = {
    SLEEVE_L: (SHOULDER_L, ELBOW_L, 0.66), SLEEVE_R: (SHOULDER_R, ELBOW_R, 0.66),
    HEM_L: (HIP_L, KNEE_L, 0.8), HEM_R: (HIP_R, KNEE_R, 0.8),
    CALF_L: (KNEE_L, ANKLE_L, 0.4), CALF_R: (KNEE_R, ANKLE_R, 0.4),
    CUFF_L: (ELBOW_L, WRIST_L, 0.86), CUFF_R: (ELBOW_R, WRIST_R, 0.86),
}  # fmt: skip
# Frames: columns are forward, left and up. SWING is that of cloth which hangs from the hips, WHEEL turns.
BODY, HIPS, CHEST, SKULL, FOOT_L, FOOT_R, SWING, WHEEL = range(8)
FRAMES = 8

# Nose, eyes and ears in the head's frame, metres for a head of usual size.
FACE = (
    (0.105, 0.0, -0.02), (0.085, 0.032, 0.01), (0.085, -0.032, 0.01), (0.0, 0.076, -0.025), (0.0, -0.076, -0.025),
)  # fmt: skip
# Balls of a shoe in the foot's frame, metres: centre, radius. The toe's distance grows with the body.
HEEL, HEEL_RADIUS = (-0.022, 0.0, -0.038), 0.037
TOE, TOE_RADIUS = (0.135, 0.0, -0.049), 0.026
USUAL_HEIGHT = 1.75  # metres
PALM = 0.09  # wrist to palm, metres
# A bicycle beside somebody, metres: forward and up, and how far to the side; grips, from the middle of the bar.
WHEEL_RADIUS = 0.33
FRONT_AXLE, REAR_AXLE, BAR = (0.50, WHEEL_RADIUS), (-0.54, WHEEL_RADIUS), (0.27, 0.99)
ASIDE, GRIP = 0.34, 0.24


@dataclass(frozen=True)
class Gait:
    """How somebody walks and carries their arms; angles in radians.

    Attributes:
        stride: largest angle of the thigh.
        knee: largest bend of the knee.
        arm_swing: largest angle of the upper arm.
        elbow: bend of the elbow at rest.
        spread: angle of the arms away from the body.
        lean: forward lean of the chest.
        head_pitch: downward look.
        sway: sideways movement of the hips, metres.
        stance: share of the hip's width by which the feet stand wider apart.
    """

    stride: float = 0.42
    knee: float = 1.0
    arm_swing: float = 0.4
    elbow: float = 0.25
    spread: float = 0.13
    lean: float = 0.05
    head_pitch: float = 0.1
    sway: float = 0.015
    stance: float = 0.0


@dataclass(frozen=True)
class Proportions:
    """Lengths in metres."""

    height: float
    hip: float  # half the distance of the hip joints
    shoulder: float  # half the distance of the shoulder joints
    thigh: float
    shin: float
    torso: float  # hip joints to the base of the neck
    upper_arm: float
    forearm: float
    neck: float  # base of the neck to the centre of the head
    head: float  # half the head's height


@dataclass(frozen=True)
class Pose:
    """Joints (29, 3) and frames (8, 3, 3) in the world, COCO keypoints (17, 3) in the world; metres."""

    joints: np.ndarray
    frames: np.ndarray
    keypoints: np.ndarray


def _about_left(angle: float) -> np.ndarray:
    """Rotation that tips forward-facing things down for positive angles (about the left axis)."""
    c, s = math.cos(angle), math.sin(angle)
    return np.array([[c, 0.0, s], [0.0, 1.0, 0.0], [-s, 0.0, c]])


def _about_up(angle: float) -> np.ndarray:
    c, s = math.cos(angle), math.sin(angle)
    return np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])


def _limb(angle: float, spread: float) -> np.ndarray:
    """Unit vector that hangs down, swung forward by `angle` and to the left by `spread`."""
    return np.array([math.sin(angle), math.sin(spread) * math.cos(angle), -math.cos(spread) * math.cos(angle)])


def walk(
    size: Proportions,
    gait: Gait,
    phase: float,
    pace: float,
    position: np.ndarray,
    heading: float,
    holding: str = "nothing",
    side: int = 1,
) -> Pose:
    """Pose of somebody walking.

    Args:
        size: the body.
        gait: the style.
        phase: angle of the gait cycle; the left thigh is foremost at pi / 2.
        pace: 1 at the person's own usual speed, 0 standing.
        position: (2,), on the ground, metres.
        heading: direction of the walk, radians, 0 along x.
        holding: one of `HOLDS`, what keeps a hand from swinging.
        side: of that hand, and of a bicycle: 1 left, -1 right.
    """
    joints = np.zeros((JOINTS, 3))
    frames = np.stack([np.eye(3)] * FRAMES)
    swing = math.sin(phase)
    frames[HIPS] = _about_up(-0.12 * pace * swing)
    lean = gait.lean + 0.03 * pace
    frames[CHEST] = _about_left(lean) @ _about_up(0.16 * pace * swing)
    frames[SKULL] = _about_left(gait.head_pitch + (0.38 if holding == "phone low" else 0.0))
    # Cloth lags behind the legs: it swings to and fro with each step.
    frames[SWING] = frames[HIPS] @ _about_left(0.09 * pace * math.cos(2.0 * phase))
    joints[PELVIS] = (0.0, gait.sway * pace * math.cos(phase), 0.0)
    _legs(joints, frames, size, gait, phase, pace)
    lowest = min(_lowest(size, joints[ANKLE_L], frames[FOOT_L]), _lowest(size, joints[ANKLE_R], frames[FOOT_R]))
    joints[:, 2] -= lowest
    joints[WAIST] = joints[PELVIS] + (0.0, 0.0, 0.2 * size.torso)
    joints[NECK] = joints[PELVIS] + frames[CHEST] @ (0.0, 0.0, size.torso)
    joints[HEAD] = joints[NECK] + (math.sin(lean) * size.neck + 0.02, 0.0, size.neck)
    joints[GROUND] = 0.0
    for axle, (x, z) in ((AXLE_FRONT, FRONT_AXLE), (AXLE_REAR, REAR_AXLE)):
        joints[axle] = (x, side * ASIDE, z)
    # Wheels roll as far as the feet walk.
    frames[WHEEL] = _about_left(phase / step_rate(size, gait) / WHEEL_RADIUS)
    _arms(joints, frames, size, gait, phase, pace)
    for shoulder, elbow, wrist, palm, target, out in _held(joints, frames, size, holding, side):
        reach(joints, (shoulder, elbow, wrist, palm), (size.upper_arm, size.forearm), target, out)
    for joint, (first, second, share) in BETWEEN.items():
        joints[joint] = (1.0 - share) * joints[first] + share * joints[second]
    turn = _about_up(heading)
    joints = joints @ turn.T + (position[0], position[1], 0.0)
    frames = turn @ frames
    return Pose(joints, frames, _keypoints(joints, frames, size))


def step_rate(size: Proportions, gait: Gait) -> float:
    """Radians of the gait cycle for each metre walked, so that feet do not slide."""
    return math.pi / (2.0 * (size.thigh + size.shin) * math.sin(gait.stride))


def _legs(joints: np.ndarray, frames: np.ndarray, size: Proportions, gait: Gait, phase: float, pace: float) -> None:
    for hip, knee, ankle, foot, side, shift in (
        (HIP_L, KNEE_L, ANKLE_L, FOOT_L, 1.0, 0.0),
        (HIP_R, KNEE_R, ANKLE_R, FOOT_R, -1.0, math.pi),
    ):
        cycle = phase + shift
        thigh = pace * (gait.stride * math.sin(cycle) + 0.05)
        # The knee bends most while the leg is carried forward.
        bend = 0.06 + pace * (0.1 + gait.knee * max(0.0, math.cos(cycle - 0.17)) ** 2)
        spread = side * (gait.stance * size.hip / (size.thigh + size.shin))
        joints[hip] = joints[PELVIS] + frames[HIPS] @ (0.0, side * size.hip, 0.0)
        joints[knee] = joints[hip] + size.thigh * _limb(thigh, spread)
        joints[ankle] = joints[knee] + size.shin * _limb(thigh - bend, spread)
        behind = max(0.0, bend - thigh - 0.25)
        toes_up = max(0.0, thigh - bend) * 0.6
        frames[foot] = _about_up(side * 0.12) @ _about_left(0.85 * behind - toes_up)


def _arms(joints: np.ndarray, frames: np.ndarray, size: Proportions, gait: Gait, phase: float, pace: float) -> None:
    chest = frames[CHEST]
    for shoulder, elbow, wrist, palm, side, shift in (
        (SHOULDER_L, ELBOW_L, WRIST_L, PALM_L, 1.0, math.pi),
        (SHOULDER_R, ELBOW_R, WRIST_R, PALM_R, -1.0, 0.0),
    ):
        swing = math.sin(phase + shift) * pace * gait.arm_swing
        bend = gait.elbow + 0.35 * pace * gait.arm_swing * (1.0 + math.sin(phase + shift))
        joints[shoulder] = joints[NECK] + chest @ (0.0, side * size.shoulder, -0.035)
        joints[elbow] = joints[shoulder] + size.upper_arm * _limb(swing, side * gait.spread)
        inward = side * (gait.spread - 0.09 - 0.25 * min(bend, 1.2))
        lower = _limb(swing + bend, inward)
        joints[wrist] = joints[elbow] + size.forearm * lower
        joints[palm] = joints[wrist] + PALM * lower


# What a hand can hold: where the palm is (forward, outward and up; metres for somebody 1.75 m tall) from which joint.
# A pushed bicycle takes both hands.
HOLDS: dict[str, tuple[int, tuple[float, float, float]] | None] = {
    "nothing": None,
    "umbrella": (NECK, (0.24, 0.14, -0.17)),
    "phone at ear": (HEAD, (0.03, 0.105, -0.03)),
    "phone low": (NECK, (0.32, 0.05, -0.20)),
    "phone high": (NECK, (0.40, 0.06, 0.10)),
    "trolley": (GROUND, (-0.20, 0.30, 0.74)),
    "bicycle": None,
}


def _held(
    joints: np.ndarray, frames: np.ndarray, size: Proportions, holding: str, side: int
) -> list[tuple[int, int, int, int, np.ndarray, float]]:
    """Arms that hold something: joints, place of the palm, and how much the elbow points outward to the left.

    Raises:
        ValueError: for something that no hand can hold.
    """
    if holding not in HOLDS:
        raise ValueError(f"holding: got {holding!r}, allowed are {', '.join(HOLDS)}")
    left, right = (SHOULDER_L, ELBOW_L, WRIST_L, PALM_L), (SHOULDER_R, ELBOW_R, WRIST_R, PALM_R)
    near, far = (left, right) if side > 0 else (right, left)
    if holding == "bicycle":
        x, z = BAR
        return [
            (*near, np.array([x, side * (ASIDE + GRIP), z]), 0.6 * side),
            (*far, np.array([x, side * (ASIDE - GRIP), z]), -0.3 * side),
        ]
    place = HOLDS[holding]
    if place is None:
        return []
    joint, (forward, outward, up) = place
    k = size.height / USUAL_HEIGHT
    frame = frames[SKULL] if joint == HEAD else frames[BODY]
    return [(*near, joints[joint] + k * (frame @ (forward, side * outward, up)), 0.5 * side)]


def reach(
    joints: np.ndarray, arm: tuple[int, int, int, int], bones: tuple[float, float], target: np.ndarray, out: float
) -> None:
    """Bend an arm so that its palm is at the target, or as near as the arm is long.

    Args:
        joints: (J, 3), changed in place.
        arm: joints of shoulder, elbow, wrist and palm.
        bones: lengths of upper arm and forearm, metres.
        target: (3,), where the palm shall be.
        out: how far the elbow points to the left (negative: right); for the rest it points down.
    """
    shoulder, elbow, wrist, palm = arm
    upper, lower = bones[0], bones[1] + PALM
    offset = target - joints[shoulder]
    distance = max(float(np.linalg.norm(offset)), 1e-6)
    along = offset / distance
    distance = min(max(distance, abs(upper - lower) + 0.01), upper + lower - 0.005)
    share = (upper**2 - lower**2 + distance**2) / (2.0 * distance)
    aside = np.array([0.5 if along[2] > 0.0 else -0.4, out, -1.0])  # before the body when the hand is raised
    aside = aside - (aside @ along) * along
    aside /= max(float(np.linalg.norm(aside)), 1e-6)
    joints[elbow] = joints[shoulder] + share * along + math.sqrt(max(upper**2 - share**2, 0.0)) * aside
    joints[palm] = joints[shoulder] + distance * along
    joints[wrist] = joints[palm] - PALM * (joints[palm] - joints[elbow]) / lower


def toe_of(size: Proportions) -> tuple[float, float, float]:
    """Centre of the toe's ball in the foot's frame."""
    return TOE[0] * size.height / USUAL_HEIGHT, TOE[1], TOE[2]


def _lowest(size: Proportions, ankle: np.ndarray, foot: np.ndarray) -> float:
    """Height of the lowest point of a shoe: under the heel or under the toes."""
    heel = ankle + foot @ HEEL
    toes = ankle + foot @ toe_of(size)
    return float(min(heel[2] - HEEL_RADIUS, toes[2] - TOE_RADIUS))


def _keypoints(joints: np.ndarray, frames: np.ndarray, size: Proportions) -> np.ndarray:
    head, skull, k = joints[HEAD], frames[SKULL], size.head / 0.115
    face = [head + k * (skull @ offset) for offset in FACE]
    body = joints[
        [SHOULDER_L, SHOULDER_R, ELBOW_L, ELBOW_R, WRIST_L, WRIST_R, HIP_L, HIP_R, KNEE_L, KNEE_R, ANKLE_L, ANKLE_R]
    ]
    # Annotators mark wrists above the hand, and ankles above the shoe.
    for row, (joint, before, metres) in enumerate(
        ((WRIST_L, ELBOW_L, 0.02), (WRIST_R, ELBOW_R, 0.02), (ANKLE_L, KNEE_L, 0.03), (ANKLE_R, KNEE_R, 0.03))
    ):
        limb = joints[before] - joints[joint]
        body[(4, 5, 10, 11)[row]] += metres * limb / np.linalg.norm(limb)
    return np.concatenate([np.array(face), body])
