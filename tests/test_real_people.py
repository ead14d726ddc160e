"""Crops of people who come one by one and of MOT frames; same people against different ones."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from experiments.real_people import (
    VIDEO,
    People,
    real_separations,
    separation,
    sequence_people,
    video_people,
    visits,
)


def people(person: list[int], scene: list[int], frame: list[int]) -> People:
    return People([], np.array(person), np.array(scene), np.array(frame))


@pytest.mark.parametrize("apart", [1, 3])
def test_separation_is_that_of_all_pairs(apart: int) -> None:
    random = np.random.default_rng(0)
    found = people(
        random.integers(0, 5, 40).tolist(), random.integers(0, 2, 40).tolist(), random.integers(0, 9, 40).tolist()
    )
    embeddings = random.normal(size=(40, 6)).astype(np.float32)
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    same, different = [], []
    for i in range(40):
        for j in range(i):
            if found.scene[i] != found.scene[j]:
                continue
            similarity = float(embeddings[i] @ embeddings[j])
            if found.person[i] != found.person[j]:
                different.append(similarity)
            elif abs(int(found.frame[i]) - int(found.frame[j])) >= apart:
                same.append(similarity)
    auc = np.mean([float(a > b) + 0.5 * float(a == b) for a in same for b in different])
    value, count, others = separation(embeddings, found, apart)
    assert (count, others) == (len(same), len(different)) and value == pytest.approx(auc)


def test_separation_needs_both_kinds() -> None:
    with pytest.raises(ValueError, match="got 0 same pairs among 1"):
        separation(np.eye(2, dtype=np.float32), people([0, 1], [0, 0], [1, 2]))


def test_visits_are_runs() -> None:
    assert visits([5, 10, 15, 40, 60, 65, 80], least=10, gap=14) == [(5, 15), (60, 80)]
    assert visits([5, 10, 15, 40, 60, 65], least=10, gap=10) == [(5, 15)]
    assert visits([], least=1, gap=1) == []


def write_video(path: Path, comings: list[tuple[int, int]], frames: int = 130) -> None:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 10, (96, 72))
    random = np.random.default_rng(0)
    colours = [(20, 20, 200), (200, 20, 20), (20, 200, 20)]
    for number in range(1, frames + 1):
        frame = random.normal(128, 3, (72, 96, 3))
        for colour, (start, end) in zip(colours, comings):
            if start <= number <= end:
                frame[10:62, 30:50] = colour
        writer.write(frame.clip(0, 255).astype(np.uint8))
    writer.release()


def test_each_visit_is_a_person(tmp_path: Path) -> None:
    path = tmp_path / VIDEO
    path.parent.mkdir()
    path = path.with_suffix(".avi")
    write_video(path, [(40, 64), (90, 120)])
    found = video_people(path, every=3)
    assert sorted(set(found.person.tolist())) == [0, 1] and set(found.frame[found.person == 0]) <= set(range(40, 65))
    assert all(crop.shape[0] in range(50, 56) and crop.shape[1] in range(18, 24) for crop in found.crops)
    # RGB: the first is red, the second blue.
    means = [
        np.mean([crop.mean(axis=(0, 1)) for crop, p in zip(found.crops, found.person) if p == n], axis=0)
        for n in (0, 1)
    ]
    assert means[0][0] > 150 > means[0][2] and means[1][2] > 150 > means[1][0]
    write_video(path, [(40, 64)])
    with pytest.raises(ValueError, match="found 1 people, allowed: two or more"):
        video_people(path, every=3)
    with pytest.raises(FileNotFoundError, match="no such video"):
        video_people(tmp_path / "absent.mp4")


def test_crops_of_sequences_are_the_visible_pedestrians(tmp_path: Path) -> None:
    folder = tmp_path / "SEQ-01"
    (folder / "img1").mkdir(parents=True)
    (folder / "gt").mkdir()
    size = "imDir=img1\nframeRate=5\nseqLength=9\nimWidth=200\nimHeight=120\nimExt=.png\n"
    (folder / "seqinfo.ini").write_text(f"[Sequence]\nname=SEQ-01\n{size}")
    image = np.zeros((120, 200, 3), np.uint8)
    image[10:100, 20:60] = (0, 0, 255)
    for frame in (1, 2):
        cv2.imwrite(str(folder / "img1" / f"{frame:06d}.png"), image)
    person = "21,11,40,90,1,1"  # the red block: pixels count from 1
    rows = [f"{frame},1,{person},0.9" for frame in (1, 2, 3)] + [f"1,2,{person},0.2", "1,3,21,11,40,30,1,1,0.9"]
    rows += ["1,4,21,11,40,90,0,1,0.9", "1,5,21,11,40,90,1,3,0.9", "2,6,-19,31,40,95,1,1,0.9"]
    (folder / "gt" / "gt.txt").write_text("\n".join(rows) + "\n")
    found = sequence_people(tmp_path)
    assert found.person.tolist() == [1, 1, 6] and found.frame.tolist() == [1, 2, 2]  # frame 3 has no image
    assert found.crops[0].shape == (90, 40, 3) and (found.crops[0] == (255, 0, 0)).all()
    assert found.crops[2].shape == (90, 20, 3)
    with pytest.raises(FileNotFoundError, match="no sequences"):
        sequence_people(tmp_path / "SEQ-01")


def test_nothing_is_measured_where_nothing_is(tmp_path: Path) -> None:
    assert real_separations(tmp_path, lambda crops: np.zeros((len(crops), 2), np.float32)) == {}


@pytest.mark.real_data
@pytest.mark.slow
def test_six_people_come_one_by_one(shared_data: Path) -> None:
    found = video_people(shared_data / VIDEO)
    first = [int(found.frame[found.person == person].min()) for person in range(6)]
    assert first == [65, 235, 510, 750, 930, 1240] and found.person.max() == 5
