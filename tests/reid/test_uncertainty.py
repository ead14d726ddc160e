import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from reid.checkpoint import Card, load_checkpoint, save_checkpoint
from reid.compare import CompareConfig
from reid.compare import main as compare
from reid.data.images import Preprocessing
from reid.metrics import RankResult, evaluate_rank
from reid.models import build_model
from reid.uncertainty import bootstrap_intervals, compare_results


def ranking(seed: int, noise: float, people: int = 30, shots: int = 3):
    """Scores of features that are the person's own plus noise; the last person is only in one camera."""
    random = np.random.default_rng(seed)
    pids = np.repeat(np.arange(people), shots)
    centers = np.random.default_rng(99).normal(size=(people, 8))
    sides = [centers[pids] + noise * random.normal(size=(len(pids), 8)) for _ in range(2)]
    distmat = np.linalg.norm(sides[0][:, None] - sides[1][None], axis=2)
    gallery_camids = np.where(pids == people - 1, 0, 1)
    return evaluate_rank(distmat, pids, pids, np.zeros(len(pids), int), gallery_camids), pids


def plain_samples(result, pids, resamples, seed):
    """Draws the identities of each resample one by one and averages their queries."""
    people = sorted({int(pid) for pid, first in zip(pids, result.first_match, strict=True) if first > 0})
    counts = np.random.default_rng(seed).multinomial(len(people), np.full(len(people), 1 / len(people)), size=resamples)
    samples = []
    for row in counts:
        hits, precisions = [], []
        for pid, times in zip(people, row, strict=True):
            for q in np.flatnonzero(np.asarray(pids) == pid):
                hits += [float(result.first_match[q] == 1)] * int(times)
                precisions += [float(result.ap[q])] * int(times)
        samples.append((np.mean(hits), np.mean(precisions)))
    return np.array(samples)


def test_intervals_are_those_of_the_plain_loop():
    result, pids = ranking(0, 1.0)
    found = bootstrap_intervals(result, pids, resamples=200, seed=5, confidence=0.9)
    samples = plain_samples(result, pids, 200, 5)
    for column, (name, value) in enumerate((("Rank-1", result.cmc[0]), ("mAP", result.mAP))):
        assert found[name].value == pytest.approx(value)
        expected = np.quantile(samples[:, column], [0.05, 0.95])
        assert (found[name].low, found[name].high) == pytest.approx(tuple(expected))


def people_of(random, num):
    """Scores of `num` people, whose queries resemble each other: a population with mAP 0.6."""
    skill = np.repeat(random.beta(3, 2, num), 4)
    ap = np.clip(skill + random.uniform(-0.05, 0.05, 4 * num), 0, 1)
    first = np.where(skill > 0.5, 1, 3)
    return RankResult(np.ones(5), float(ap.mean()), 1.0, 4 * num, 0, ap, ap, first), np.repeat(np.arange(num), 4)


def test_intervals_hold_the_truth_as_often_as_they_say():
    random = np.random.default_rng(0)
    found = [bootstrap_intervals(*people_of(random, 80), resamples=300, seed=seed)["mAP"] for seed in range(200)]
    assert 0.9 < np.mean([interval.low <= 0.6 <= interval.high for interval in found]) < 0.99
    # Drawing queries, four a person, as if they were independent would make them half as wide.
    assert np.mean([interval.high - interval.low for interval in found]) == pytest.approx(4 * 0.2 / 80**0.5, rel=0.1)


def test_a_network_beside_itself_does_not_differ():
    result, pids = ranking(0, 1.0)
    found = compare_results(result, result, pids)
    for comparison in found.values():
        assert (comparison.difference.value, comparison.difference.low, comparison.difference.high) == (0, 0, 0)
        assert comparison.p_value == 1


def test_pairs_are_compared_with_the_same_draws():
    (first, pids), (second, _) = ranking(0, 1.5), ranking(0, 1.2)
    found = compare_results(first, second, pids, resamples=300, seed=3)
    change = plain_samples(second, pids, 300, 3) - plain_samples(first, pids, 300, 3)
    for column, name in enumerate(("Rank-1", "mAP")):
        comparison = found[name]
        low, high = np.quantile(change[:, column], [0.025, 0.975])
        assert (comparison.difference.low, comparison.difference.high) == pytest.approx((low, high))
        tail = min((change[:, column] <= 1e-12).sum(), (change[:, column] >= -1e-12).sum())
        assert comparison.p_value == pytest.approx(min(1, 2 * (tail + 1) / 301), abs=0.02)
    # The same noise on both sides, only weaker: a pair of intervals overlaps where the paired difference does not.
    clear = found["mAP"]
    assert clear.difference.low > 0 and clear.p_value < 0.01
    assert clear.difference.high - clear.difference.low < clear.first.high - clear.first.low
    back = compare_results(second, first, pids, resamples=300, seed=3)["mAP"]
    assert back.difference.low == pytest.approx(-clear.difference.high)


def test_draws_follow_the_seed_and_the_options():
    result, pids = ranking(0, 1.0)
    first = bootstrap_intervals(result, pids, seed=1)["mAP"]
    assert first == bootstrap_intervals(result, pids, seed=1)["mAP"]
    assert first != bootstrap_intervals(result, pids, seed=2)["mAP"]
    narrow = bootstrap_intervals(result, pids, seed=1, confidence=0.5)["mAP"]
    assert first.low < narrow.low < narrow.high < first.high


def test_bad_input_is_named():
    result, pids = ranking(0, 1.0)
    with pytest.raises(ValueError, match="q_pids: got shape"):
        bootstrap_intervals(result, pids[:-1])
    with pytest.raises(ValueError, match="resamples: got 0"):
        bootstrap_intervals(result, pids, resamples=0)
    with pytest.raises(ValueError, match="confidence: got 1"):
        bootstrap_intervals(result, pids, confidence=1)
    with pytest.raises(ValueError, match="1 identities"):
        bootstrap_intervals(evaluate_rank([[0.1, 0.2]], [1], [1, 2], [0], [1, 1]), [1])
    with pytest.raises(ValueError, match="the same queries on both sides"):
        compare_results(result, ranking(0, 1.0, people=20)[0], pids)


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory):
    folder = tmp_path_factory.mktemp("compare")
    paths = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        model = build_model("cares18")
        card = Card("cares18", {}, 0, 512, Preprocessing(32, 16))
        paths.append(folder / f"{'ab'[seed]}.safetensors")
        save_checkpoint(paths[-1], model.state_dict(), card)
    return paths


def test_command_prints_and_writes_the_comparison(checkpoints, tiny_market, run_python, tmp_path):
    out = tmp_path / "comparison.json"
    options = ["--root", tiny_market, "--resamples", 50, "--seed", 4, "--device", "cpu", "--rerank"]
    done = run_python("-m", "reid.compare", *checkpoints, *options, "--out", out, "--confidence", 0.8)
    titles = [f"18 queries of 6 identities, {name}" for name in ("Euclidean, inductive", "Jaccard, transductive")]
    assert done.stdout.index(titles[0]) < done.stdout.index("Rank-1, Euclidean: ") < done.stdout.index(titles[1])
    assert "80 % intervals" in done.stdout and "B - A" in done.stdout
    written = json.loads(out.read_text())
    for name, protocol in (("Euclidean", "inductive"), ("Jaccard", "transductive")):
        first, second = (record for record in written["records"] if record["distance"] == name)
        assert first["protocol"] == second["protocol"] == protocol
        assert first["checkpoint_sha256"] != second["checkpoint_sha256"]
        for metric, comparison in written["comparison"][name].items():
            assert comparison["first"]["value"] == pytest.approx(first["scores"][metric])
            assert comparison["difference"]["value"] == pytest.approx(
                second["scores"][metric] - first["scores"][metric]
            )
    assert (written["confidence"], written["resamples"]) == (0.8, 50)


def test_dataset_options_reach_the_reader_and_unknown_cameras_are_told(checkpoints, tiny_market, tmp_path, capsys):
    table = tmp_path / "images.csv"
    files = sorted((tiny_market / "bounding_box_test").iterdir())
    table.write_text("path,pid\n" + "".join(f"{path},{path.name[:4]}\n" for path in files))
    folder = {"root": table, "dataset": "folder", "device": "cpu", "resamples": 20}
    compare(CompareConfig(*checkpoints, **folder, dataset_options=("test-fraction=0.8",)))
    told = capsys.readouterr().out
    assert "of 5 identities, Euclidean" in " ".join(told.split()) and "note: cameras are unknown" in told
    assert "Jaccard" not in told
    with pytest.raises(ValueError, match="NAME=VALUE"):
        compare(CompareConfig(*checkpoints, **folder, dataset_options=("test-fraction",)))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"confidence": 1.0}, "confidence: got 1.0, allowed: above 0, below 1"),
        ({"resamples": 0}, "resamples: got 0"),
        ({"batch_size": 0}, "batch_size: got 0"),
        ({"seed": -1}, "seed: got -1"),
    ],
    ids=str,
)
def test_numbers_out_of_range_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        CompareConfig(Path("a.onnx"), Path("b.onnx"), Path("market"), **options)


def test_a_network_that_learnt_from_test_images_is_no_rival(checkpoints, tiny_market, tmp_path, capsys):
    state, card = load_checkpoint(checkpoints[1])
    save_checkpoint(tmp_path / "b.safetensors", state, dataclasses.replace(card, scores=[{"protocol": "transductive"}]))
    with pytest.raises(ValueError, match=r"a.safetensors is inductive, .*b.safetensors transductive: a network that"):
        compare(CompareConfig(checkpoints[0], tmp_path / "b.safetensors", tiny_market, device="cpu"))
    assert capsys.readouterr().out == ""  # nothing was read, nothing embedded


def test_the_batch_size_reaches_both_networks(checkpoints, tiny_market, monkeypatch):
    opened = []

    class Opened:
        protocol = "inductive"

        def __init__(self, path, *, device, batch_size):
            opened.append((path, batch_size))

    def stop(*_, **__):
        raise ValueError("enough")

    monkeypatch.setattr("reid.compare.Embedder", Opened)
    monkeypatch.setattr("reid.compare.read_test_set", stop)
    with pytest.raises(ValueError, match="enough"):
        compare(CompareConfig(*checkpoints, tiny_market, batch_size=3))
    assert opened == [(path, 3) for path in checkpoints]


def test_help_and_unknown_options(checkpoints, tiny_market, run_python, repository, tmp_path):
    done = run_python(repository / "reid/compare.py", "--help", cwd=tmp_path)
    assert all(word in done.stdout for word in ("usage", "A B", "--root", "--confidence"))
    options = ["--root", tiny_market, "--no-such-option", 3]
    done = run_python("-m", "reid.compare", *checkpoints, *options, check=False)
    assert done.returncode != 0 and "no-such-option" in done.stdout + done.stderr


def test_command_names_what_is_missing(checkpoints, tiny_market, run_python, tmp_path, repository):
    for arguments, word in (
        ([checkpoints[0], tmp_path / "absent.onnx", "--root", tiny_market], "absent.onnx"),
        ([*checkpoints, "--root", tmp_path], "bounding_box_train"),
        ([*checkpoints, "--root", tiny_market, "--dataset", "nowhere"], "nowhere"),
    ):
        done = run_python(repository / "reid/compare.py", *arguments, check=False)
        assert done.returncode == 2 and word in done.stderr and "Traceback" not in done.stderr
