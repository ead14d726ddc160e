import numpy as np
import pytest

from tracking.boxes import xyxy_to_xyah, xyxy_to_xysr
from tracking.kalman import (
    COVARIANCE,
    POSITION,
    VARIANCE,
    VELOCITY,
    VELOCITY_VARIANCE,
    XYAH,
    XYSR,
    KalmanFilter,
    MotionModel,
    nsa_noise_factor,
)


class Textbook:
    """One track, the matrix form: 8 states, F, H, Q, R as the papers write them."""

    def __init__(self, model: MotionModel, measurement: np.ndarray):
        self.model = model
        self.mean = np.concatenate([measurement, np.zeros(4)])
        scale = model.scale(measurement[None])[0]
        self.covariance = np.diag(
            np.concatenate([scale * np.array(model.initial_position), scale * np.array(model.initial_velocity)]) ** 2
        )
        self.transition = np.eye(8)
        self.transition[:4, 4:] = np.eye(4)
        self.observation = np.eye(4, 8)

    def noise(self) -> np.ndarray:
        return np.diag((self.model.scale(self.mean[None, :4])[0] * np.array(self.model.measurement)) ** 2)

    def predict(self) -> None:
        scale = self.model.scale(self.mean[None, :4])[0]
        process = np.concatenate([scale * self.model.process_position, scale * self.model.process_velocity]) ** 2
        self.mean = self.transition @ self.mean
        self.covariance = self.transition @ self.covariance @ self.transition.T + np.diag(process)

    def distance(self, measurement: np.ndarray) -> float:
        innovation = self.observation @ self.covariance @ self.observation.T + self.noise()
        difference = measurement - self.observation @ self.mean
        return float(difference @ np.linalg.inv(innovation) @ difference)

    def update(self, measurement: np.ndarray, factor: float) -> None:
        h = self.observation
        innovation = h @ self.covariance @ h.T + factor * self.noise()
        gain = self.covariance @ h.T @ np.linalg.inv(innovation)
        self.mean = self.mean + gain @ (measurement - h @ self.mean)
        self.covariance = self.covariance - gain @ innovation @ gain.T


@pytest.mark.parametrize(("model", "convert"), [(XYAH, xyxy_to_xyah), (XYSR, xyxy_to_xysr)], ids=["xyah", "xysr"])
def test_batched_filter_equals_the_matrix_form_of_one_track(model: MotionModel, convert) -> None:
    random = np.random.default_rng(0)
    corner = random.uniform(0, 500, (6, 2))
    boxes = np.hstack([corner, corner + random.uniform([20, 60], [80, 200], (6, 2))])
    kalman = KalmanFilter(model)
    state = kalman.initiate(convert(boxes))
    singles = [Textbook(model, row) for row in convert(boxes)]
    for step in range(40):
        boxes = boxes + np.tile(random.normal(2, 2, (6, 2)), 2) + random.normal(0, 0.4, boxes.shape)
        measured = convert(boxes)
        kalman.predict(state)
        for single in singles:
            single.predict()
        expected = [[single.distance(row) for row in measured] for single in singles]
        np.testing.assert_allclose(kalman.gating_distance(state, measured), expected, rtol=1e-7)
        seen = random.random(6) < 0.7
        factor = nsa_noise_factor(random.uniform(0, 1.2, 6), ("paper", "released", "off")[step % 3])
        factor = np.broadcast_to(factor, 6)
        state[:, seen] = kalman.update(state[:, seen], measured[seen], factor[seen])
        for single, row, scale, met in zip(singles, measured, factor, seen):
            if met:
                single.update(row, scale)
        means = np.array([single.mean for single in singles])
        np.testing.assert_allclose(np.hstack([state[POSITION], state[VELOCITY]]), means, rtol=1e-8, atol=1e-8)
        for index, single in enumerate(singles):
            blocks = np.zeros((8, 8))
            place = np.arange(4)
            blocks[place, place] = state[VARIANCE, index]
            blocks[place + 4, place + 4] = state[VELOCITY_VARIANCE, index]
            blocks[place, place + 4] = blocks[place + 4, place] = state[COVARIANCE, index]
            np.testing.assert_allclose(blocks, single.covariance, rtol=1e-6, atol=1e-9)


def test_nsa_factor() -> None:
    confidence = np.array([-0.5, 0.0, 0.5, 1.0, 7.0])
    np.testing.assert_allclose(nsa_noise_factor(confidence, "paper"), [1, 1, 0.5, 1e-3, 1e-3])
    np.testing.assert_allclose(nsa_noise_factor(confidence, "released"), [1, 1, 0.25, 1e-6, 1e-6])
    assert nsa_noise_factor(confidence, "off") == 1


def test_covariance_stays_positive_definite() -> None:
    kalman = KalmanFilter(XYAH)
    state = kalman.initiate(np.array([[100.0, 100.0, 0.4, 80.0]]))
    for step in range(20_000):
        kalman.predict(state)
        if step % 7 == 0:
            state = kalman.update(
                state, np.array([[100.0, 100.0, 0.4, 80.0]]), nsa_noise_factor(np.ones(1), "released")
            )
    determinant = state[VARIANCE] * state[VELOCITY_VARIANCE] - state[COVARIANCE] ** 2
    assert (state[VARIANCE] > 0).all() and (state[VELOCITY_VARIANCE] > 0).all() and (determinant > 0).all()
