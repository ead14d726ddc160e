"""Skeleton and walking gait: a person's joints at one moment."""

import math
from dataclasses import dataclass

import numpy as np

# Joints.
(PELVIS, WAIST, NECK, HEAD, SHOULDER_L, SHOULDER_R, ELBOW_L, ELBOW_R, WRIST_L, WRIST_R, HIP_L, HIP_R, KNEE_L, KNEE_R,
 ANKLE_L, ANKLE_R, PALM_L, PALM_R, SLEEVE_L, SLEEVE_R, HEM_L, HEM_R, CALF_L, CALF_R) = range(24)  # fmt: skip
JOINTS = 24
# Points along limbs, where sleeves and trouser legs end: first joint, second joint, share of the way.
BETWEEN = {
    SLEEVE_L: (SHOULDER_L, ELBOW_L, 0.66), SLEEVE_R: (SHOULDER_R, ELBOW_R, 0.66),
    HEM_L: (HIP_L, KNEE_L, 0.8), HEM_R: (HIP_R, KNEE_R, 0.8),
    CALF_L: (KNEE_L, ANKLE_L, 0.4), CALF_R: (KNEE_R, ANKLE_R, 0.4),
}  # fmt: skip
# Frames: columns are forward, left and up.
BODY, HIPS, CHEST, SKULL, FOOT_L, FOOT_R = range(6)
FRAMES = 6

KEYPOINTS = (
    "nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder", "left_elbow",
    "right_elbow", "left_wrist", "right_wrist", "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle",
    "right_ankle",
)  # fmt: skip
# Nose, eyes and ears in the head's frame, metres for a head of usual size.
FACE = (
    (0.105, 0.0, -0.02), (0.085, 0.032, 0.01), (0.085, -0.032, 0.01), (0.0, 0.076, -0.01), (0.0, -0.076, -0.01),
)  # fmt: skip
# Balls of a shoe in the foot's frame, metres: centre, radius. The toe's distance grows with the body.
HEEL, HEEL_RADIUS = (-0.022, 0.0, -0.038), 0.037
TOE, TOE_RADIUS = (0.135, 0.0, -0.049), 0.026
USUAL_HEIGHT = 1.75  # metres


@dataclass(frozen=True)
class Gait:
    """How somebody walks and carries their arms; angles in radians.

    Attributes:
        stride: largest angle of the thigh.
        knee: largest bend of the knee.
        arm_swing: largest angle of the upper arm.
        elbow: bend of the elbow at rest.
        elbow_left: another bend for the left arm (a phone, a bag), negative for none.
        elbow_right: the same for the right arm.
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
    elbow_left: float = -1.0
    elbow_right: float = -1.0
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
    """Joints (24, 3) and frames (6, 3, 3) in the world, COCO keypoints (17, 3) in the world; metres."""

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


def walk(size: Proportions, gait: Gait, phase: float, pace: float, position: np.ndarray, heading: float) -> Pose:
    """Pose of somebody walking.

    Args:
        size: the body.
        gait: the style.
        phase: angle of the gait cycle; the left thigh is foremost at pi / 2.
        pace: 1 at the person's own usual speed, 0 standing.
        position: (2,), on the ground, metres.
        heading: direction of the walk, radians, 0 along x.
    """
    joints = np.zeros((JOINTS, 3))
    frames = np.stack([np.eye(3)] * FRAMES)
    swing = math.sin(phase)
    frames[HIPS] = _about_up(-0.12 * pace * swing)
    lean = gait.lean + 0.03 * pace
    frames[CHEST] = _about_left(lean) @ _about_up(0.16 * pace * swing)
    frames[SKULL] = _about_left(gait.head_pitch)
    joints[PELVIS] = (0.0, gait.sway * pace * math.cos(phase), 0.0)
    _legs(joints, frames, size, gait, phase, pace)
    joints[WAIST] = joints[PELVIS] + (0.0, 0.0, 0.2 * size.torso)
    joints[NECK] = joints[PELVIS] + frames[CHEST] @ (0.0, 0.0, size.torso)
    joints[HEAD] = joints[NECK] + (math.sin(lean) * size.neck + 0.02, 0.0, size.neck)
    _arms(joints, frames, size, gait, phase, pace)
    for joint, (first, second, share) in BETWEEN.items():
        joints[joint] = (1.0 - share) * joints[first] + share * joints[second]
    lowest = min(_lowest(size, joints[ANKLE_L], frames[FOOT_L]), _lowest(size, joints[ANKLE_R], frames[FOOT_R]))
    joints[:, 2] -= lowest
    turn = _about_up(heading)
    joints = joints @ turn.T + (position[0], position[1], 0.0)
    frames = turn @ frames
    return Pose(joints, frames, _keypoints(joints, frames, size))


def _legs(joints: np.ndarray, frames: np.ndarray, size: Proportions, gait: Gait, phase: float, pace: float) -> None:
    for hip, knee, ankle, foot, side, shift in (
        (HIP_L, KNEE_L, ANKLE_L, FOOT_L, 1.0, 0.0),
        (HIP_R, KNEE_R, ANKLE_R, FOOT_R, -1.0, math.pi),
    ):
        cycle = phase + shift
        thigh = pace * (gait.stride * math.sin(cycle) + 0.05)
        # The knee bends most while the leg is carried forward.
        bend = 0.06 + pace * (0.1 + gait.knee * max(0.0, math.cos(cycle + 0.35)) ** 2)
        spread = side * (gait.stance * size.hip / (size.thigh + size.shin))
        joints[hip] = joints[PELVIS] + frames[HIPS] @ (0.0, side * size.hip, 0.0)
        joints[knee] = joints[hip] + size.thigh * _limb(thigh, spread)
        joints[ankle] = joints[knee] + size.shin * _limb(thigh - bend, spread)
        behind = max(0.0, bend - thigh - 0.25)
        toes_up = max(0.0, thigh - bend) * 0.6
        frames[foot] = _about_up(side * 0.12) @ _about_left(0.85 * behind - toes_up)


def _arms(joints: np.ndarray, frames: np.ndarray, size: Proportions, gait: Gait, phase: float, pace: float) -> None:
    chest = frames[CHEST]
    for shoulder, elbow, wrist, palm, side, shift, own in (
        (SHOULDER_L, ELBOW_L, WRIST_L, PALM_L, 1.0, math.pi, gait.elbow_left),
        (SHOULDER_R, ELBOW_R, WRIST_R, PALM_R, -1.0, 0.0, gait.elbow_right),
    ):
        free = own < 0.0
        swing = math.sin(phase + shift) * pace * (gait.arm_swing if free else 0.15 * gait.arm_swing)
        bend = gait.elbow + 0.35 * pace * gait.arm_swing * (1.0 + math.sin(phase + shift)) if free else own
        joints[shoulder] = joints[NECK] + chest @ (0.0, side * size.shoulder, -0.068)
        joints[elbow] = joints[shoulder] + size.upper_arm * _limb(swing, side * gait.spread)
        inward = side * (gait.spread - 0.09 - 0.25 * min(bend, 1.2))
        lower = _limb(swing + bend, inward)
        joints[wrist] = joints[elbow] + size.forearm * lower
        joints[palm] = joints[wrist] + 0.09 * lower


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
    return np.concatenate([np.array(face), body])
