"""seres18: the trunk of cares18 with squeeze and excitation in the place of coordinate attention."""

from reid.models.resnet18 import AttentionResNet18


def seres18(num_classes: int = 0, ibn: bool = True, pooling: str = "gem", last_stride: int = 1) -> AttentionResNet18:
    """Builds seres18 (512-d, 11.3 M parameters without the classifier).

    Args:
        num_classes: Training identities; 0 builds no classifier.
        ibn: Half instance normalisation in stages 1 to 3.
        pooling: "gem", "avg" or "max".
        last_stride: 1, or 2 as in ResNet.

    Raises:
        ValueError: When an option is none of these.
    """
    return AttentionResNet18(num_classes, "se", ibn, pooling, last_stride)
