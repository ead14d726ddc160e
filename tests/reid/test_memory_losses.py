import math
import tempfile
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from pytorch_metric_learning.distances import CosineSimilarity
from pytorch_metric_learning.losses import ContrastiveLoss, CrossBatchMemory
from torch.nn.functional import normalize
from torch.nn.parallel import DistributedDataParallel

from reid.losses import ClusterContrastLoss, CombinedLoss, CrossBatchMemoryLoss, LossOptions

MEMORIES = {"cluster_contrast": 1.0, "xbm": 1.0}
OPTIONS = LossOptions(xbm_size=20, xbm_start=1)


def batches(count: int, size: int = 8, classes: int = 4) -> list[tuple[torch.Tensor, torch.Tensor]]:
    generator = torch.Generator().manual_seed(0)
    return [
        (torch.randn(size, 6, generator=generator), torch.randint(classes, (size,), generator=generator))
        for _ in range(count)
    ]


class PlainContrast:
    """Cluster contrast, an image and a class at a time."""

    def __init__(self, momentum: float, scale: float) -> None:
        self.momentum, self.scale = momentum, scale
        self.mean: dict[int, torch.Tensor] = {}
        self.hard: dict[int, torch.Tensor] = {}

    def __call__(self, features: torch.Tensor, labels: torch.Tensor) -> float:
        rows = [row / row.norm() for row in features]
        members = {int(c): [row for row, label in zip(rows, labels) if label == c] for c in labels.unique()}
        for c, group in members.items():
            if c not in self.mean:
                self.mean[c] = self.hard[c] = normalize(sum(group), dim=0)
        total = 0.0
        for memory in (self.mean, self.hard):
            for row, label in zip(rows, labels.tolist(), strict=True):
                scores = {c: self.scale * float(row @ center) for c, center in memory.items()}
                total -= scores[label] - math.log(sum(math.exp(score) for score in scores.values()))
        for c, group in members.items():
            least = min(float(row @ self.hard[c]) for row in group)
            hardest = next(row for row in group if float(row @ self.hard[c]) <= least + 1e-5)
            for memory, new in ((self.mean, sum(group) / len(group)), (self.hard, hardest)):
                memory[c] = normalize(self.momentum * memory[c] + (1 - self.momentum) * new, dim=0)
        return total / 2 / len(rows)


@pytest.mark.parametrize(("momentum", "scale"), [(0.1, 20.0), (0.8, 5.0)])
def test_cluster_contrast_equals_a_plain_loop(momentum: float, scale: float) -> None:
    loss, plain = ClusterContrastLoss(7, 6, momentum, scale), PlainContrast(momentum, scale)
    for index, (features, labels) in enumerate(batches(6)):
        labels = labels + min(index, 3)  # new classes appear on the way
        assert loss(features, labels).item() == pytest.approx(plain(features, labels), rel=1e-4)
    assert sorted(plain.mean) == loss.met.nonzero().flatten().tolist()


def test_cluster_contrast_learns_from_both_memories_and_rests_in_evaluation() -> None:
    loss = ClusterContrastLoss(4, 6)
    for features, labels in batches(3):
        loss(features, labels)
    assert not torch.allclose(loss.mean_centers, loss.hard_centers)
    before = {name: value.clone() for name, value in loss.state_dict().items()}
    loss.eval()(*batches(1)[0])
    assert all(torch.equal(before[name], value) for name, value in loss.state_dict().items())


def test_xbm_equals_pytorch_metric_learning() -> None:
    contrastive = ContrastiveLoss(pos_margin=1, neg_margin=0.5, distance=CosineSimilarity())
    oracle = CrossBatchMemory(contrastive, embedding_size=6, memory_size=20)
    ours = CrossBatchMemoryLoss(20, 6)
    for features, labels in batches(6):  # 48 features: the ring turns over twice
        mine, theirs = features.clone().requires_grad_(), features.clone().requires_grad_()
        loss, expected = ours(mine, labels), oracle(theirs, labels)
        assert loss.item() == pytest.approx(expected.item(), rel=1e-4)
        loss.backward()
        expected.backward()
        assert torch.allclose(mine.grad, theirs.grad, atol=1e-5)


def test_xbm_equals_a_plain_loop() -> None:
    ours, ring = CrossBatchMemoryLoss(20, 6, start=1), []
    for step, (features, labels) in enumerate(batches(6)):
        expected = 0.0
        rows = list(zip(normalize(features, dim=1), labels.tolist(), strict=True))
        if step >= 1:
            ring = (ring + rows)[-20:]
            costs: tuple[list[float], list[float]] = ([], [])
            for row, label in rows:
                for other, theirs in ring:
                    if other is not row:
                        cosine = float(row @ other)
                        costs[label == theirs].append(1 - cosine if label == theirs else max(0.0, cosine - 0.5))
            positive = [[cost for cost in side if cost > 0] for side in costs]
            expected = sum(sum(side) / max(1, len(side)) for side in positive)
        assert ours(features, labels).item() == pytest.approx(expected, rel=1e-4)


def test_xbm_starts_late_and_its_term_is_zero_before() -> None:
    loss = CrossBatchMemoryLoss(64, 6, start=2)
    values = []
    for features, labels in batches(4):
        features.requires_grad_()
        value = loss(features, labels)
        value.backward()
        values.append(value.item())
        assert torch.isfinite(features.grad).all()
    assert values[:2] == [0.0, 0.0] and min(values[2:]) > 0
    assert int((loss.memory_labels >= 0).sum()) == 16
    with pytest.raises(ValueError, match="xbm_size: got 4, allowed: at least the 8"):
        CrossBatchMemoryLoss(4, 6)(*batches(1)[0])


def build() -> CombinedLoss:
    generator = torch.Generator().manual_seed(0)
    weights = MEMORIES | {"center": 5e-4}
    return CombinedLoss(weights, num_classes=4, feature_size=6, options=OPTIONS, generator=generator)


def test_state_resumes_exactly() -> None:
    first, second, data = build(), build(), batches(8)
    for features, labels in data[:4]:
        first(features, None, labels)
    second.load_state_dict(first.state_dict())
    for features, labels in data[4:]:
        assert torch.equal(first(features, None, labels)[0], second(features, None, labels)[0])


def test_two_steps_before_a_backward_pass() -> None:
    loss, data = build(), batches(3)
    totals = [loss(features.requires_grad_(), None, labels)[0] for features, labels in data]
    sum(totals).backward()
    assert all(torch.isfinite(features.grad).all() for features, _ in data)


def test_bf16_autocast_changes_nothing_for_equal_features() -> None:
    inside, outside = build(), build()
    for features, labels in batches(3):
        half = features.bfloat16()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            total = inside(half, None, labels)[0]
        assert total.dtype == torch.float32 and torch.equal(total, outside(half.float(), None, labels)[0])


def test_grow_keeps_the_old_classes_and_starts_the_new_at_their_centroids() -> None:
    options = LossOptions(class_balance=True, class_counts=(2, 3, 4, 5), xbm_size=32)
    weights = MEMORIES | {"center": 5e-4, "cross_entropy": 1.0}
    loss = CombinedLoss(weights, num_classes=4, feature_size=6, options=options)
    loss(batches(1)[0][0], torch.randn(8, 4), batches(1)[0][1])
    before = {name: value.clone() for name, value in loss.state_dict().items()}
    centroids = 3 * torch.randn(2, 6)
    loss.grow(centroids)
    after = loss.state_dict()
    assert torch.equal(after["terms.center.centers"], torch.cat([before["terms.center.centers"], centroids]))
    for name in ("mean_centers", "hard_centers"):
        grown = after[f"terms.cluster_contrast.{name}"]
        assert torch.equal(grown[:4], before[f"terms.cluster_contrast.{name}"])
        assert torch.allclose(grown[4:], normalize(centroids, dim=1))
    assert after["terms.cluster_contrast.met"][4:].all()
    assert after["terms.cross_entropy.class_weights"][4:].tolist() == [1.0, 1.0]
    features = torch.randn(6, 6, requires_grad=True)
    loss(features, torch.randn(6, 6), torch.arange(6))[0].backward()
    # The weight of the term slows neither the old centers nor the new ones.
    gradient = loss.center_parameters()[0].grad
    center = loss.terms["center"].centers
    assert torch.allclose(gradient, 2 * (center - features).detach() / 6, rtol=1e-4)
    with pytest.raises(ValueError, match=r"centroids: got shape \(2, 5\), allowed: \(K, 6\)"):
        loss.grow(torch.zeros(2, 5))


def _work(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    loss = DistributedDataParallel(build())
    for features, labels in batches(4):
        own = slice(0, 4) if rank == 0 else slice(4, 8)
        own_features = features[own].clone().requires_grad_()
        loss(own_features, None, labels[own])[0].backward()
    torch.save(loss.module.state_dict(), f"{folder}/{rank}.pt")
    dist.destroy_process_group()


def test_two_processes_have_the_memories_of_one_with_the_whole_batch() -> None:
    with tempfile.TemporaryDirectory() as folder:
        torch.multiprocessing.spawn(_work, (folder,), nprocs=2)
        states = [torch.load(Path(folder) / f"{rank}.pt", weights_only=True) for rank in range(2)]
    single = build()
    for features, labels in batches(4):
        single(features, None, labels)
    for name, value in single.state_dict().items():
        for state in states:
            assert torch.allclose(state[name].float(), value.float(), atol=1e-6), name
