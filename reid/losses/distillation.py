"""What a student's embeddings of a batch are taught by a teacher's."""

from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import nn

from reid.distances import euclidean_distances
from reid.losses.gather import gather_with_gradient

TERMS = ("embedding", "relation", "angle")


def cosine_gap(student: torch.Tensor, teacher: torch.Tensor) -> torch.Tensor:
    """Returns the mean of 1 - cosine between the two embeddings of each image, both (B, D); in 0..2.

    It is half the squared Euclidean distance of what retrieval compares, the L2-normalised embeddings.
    """
    return (1.0 - F.cosine_similarity(student.float(), teacher.float(), dim=1)).mean()


def distance_gap(student: torch.Tensor, teacher: torch.Tensor) -> torch.Tensor:
    """Returns how far the distances within the batch are from the teacher's (RKD-D: Park et al., arXiv 1904.05068).

    Distances of all pairs of two images, each divided by the mean over the pairs on its side; the mean Huber loss
    (delta 1) between the two.

    Deviation: embeddings are L2-normalised first, because retrieval compares them so.

    Args:
        student: (B, S).
        teacher: (B, T); T may differ from S.

    Returns:
        A value of 0 or more; 0, still attached to the graph, for a batch without pairs.
    """
    first, second = _relative_distances(student), _relative_distances(teacher)
    return F.smooth_l1_loss(first, second) if len(first) else student.float().sum() * 0.0


def angle_gap(student: torch.Tensor, teacher: torch.Tensor) -> torch.Tensor:
    """Returns how far the angles within the batch are from the teacher's (RKD-A: Park et al., arXiv 1904.05068).

    For each three different images i, j, k the cosine of the angle at j between the directions to i and to k; the mean
    Huber loss (delta 1) between student and teacher. Memory grows with the cube of the batch: 67 MB a copy for 256.

    Deviation: embeddings are L2-normalised first, because retrieval compares them so.

    Args:
        student: (B, S).
        teacher: (B, T); T may differ from S.

    Returns:
        A value of 0 or more; 0, still attached to the graph, for a batch of fewer than three images.
    """
    count = len(student)
    same = torch.eye(count, dtype=torch.bool, device=student.device)
    different = ~(same[:, :, None] | same[:, None, :] | same[None, :, :])  # (j, i, k)
    if not different.any():
        return student.float().sum() * 0.0
    return F.smooth_l1_loss(_angles(student)[different], _angles(teacher)[different])


def _relative_distances(embeddings: torch.Tensor) -> torch.Tensor:
    """Returns the distances of all pairs over their mean, (B * (B - 1) / 2,)."""
    unit = F.normalize(embeddings.float(), dim=1)
    first, second = torch.triu_indices(len(unit), len(unit), 1, device=unit.device)
    distances = euclidean_distances(unit, unit)[first, second]
    # A batch whose embeddings are all alike has no relations.
    return distances / distances.mean().clamp(min=1e-6)


def _angles(embeddings: torch.Tensor) -> torch.Tensor:
    """Returns the cosines of the angles at each image, (B, B, B): first the image at the corner."""
    unit = F.normalize(embeddings.float(), dim=1)
    directions = F.normalize(unit[None] - unit[:, None], dim=2, eps=1e-6)  # (B, B, D), from the corner to the other
    return directions @ directions.transpose(1, 2)


class DistillationLoss(nn.Module):
    """`cosine_gap`, `distance_gap` and `angle_gap`, summed by weight.

    Where the embeddings differ in size, the student's go through a learned linear layer for the cosine; the relations
    need none. Under several processes each training batch is gathered from all, as in `CombinedLoss`: the loss, and
    the gradient of the layer, are the same everywhere.

    Args:
        weights: Term to weight; terms as in `TERMS`. A term with weight 0 is not computed.
        student_size: Size of the student's embeddings.
        teacher_size: Size of the teacher's.
        generator: Draws the linear layer.

    Raises:
        ValueError: When a term is unknown, a weight is negative, or no term is left.
    """

    def __init__(
        self,
        weights: Mapping[str, float],
        student_size: int,
        teacher_size: int,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        for term, weight in weights.items():
            if term not in TERMS:
                raise ValueError(f"distillation term: got {term!r}, allowed: {', '.join(TERMS)}")
            if weight < 0:
                raise ValueError(f"weight of {term}: got {weight}, allowed: 0 or more")
        self.weights = {term: weight for term, weight in weights.items() if weight > 0}
        if not self.weights:
            raise ValueError(f"weights: every term is 0; give one of {', '.join(TERMS)} a positive weight")
        self.projection: nn.Linear | None = None
        if "embedding" in self.weights and student_size != teacher_size:
            self.projection = nn.Linear(student_size, teacher_size, bias=False)
            nn.init.normal_(self.projection.weight, std=student_size**-0.5, generator=generator)

    def forward(self, student: torch.Tensor, teacher: torch.Tensor) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Computes the total and its terms.

        Args:
            student: (B, S) embeddings; gradients flow to these alone.
            teacher: (B, T) embeddings of the same images.

        Returns:
            The weighted total, and each term unweighted and detached, under the name teacher_<term>.
        """
        student, teacher = student.float(), teacher.detach().float()
        if self.training:
            student, teacher = gather_with_gradient(student, teacher)
        projected = student if self.projection is None else self.projection(student)
        terms: dict[str, Callable[[], torch.Tensor]] = {
            "embedding": lambda: cosine_gap(projected, teacher),
            "relation": lambda: distance_gap(student, teacher),
            "angle": lambda: angle_gap(student, teacher),
        }
        total, values = student.new_zeros(()), {}
        for term, weight in self.weights.items():
            value = terms[term]()
            total = total + weight * value
            values[f"teacher_{term}"] = value.detach()
        return total, values
