"""emares18: the trunk of cares18 with efficient multi-scale attention in the place of coordinate attention."""

from reid.models.resnet18 import AttentionResNet18


def emares18(num_classes: int = 0, ibn: bool = True, pooling: str = "gem", last_stride: int = 1) -> AttentionResNet18:
    """Builds emares18 (512-d, 11.2 M parameters without the classifier; the attention has 7 k of them).

    Args:
        num_classes: Training identities; 0 builds no classifier.
        ibn: Half instance normalisation in stages 1 to 3.
        pooling: "gem", "avg" or "max".
        last_stride: 1, or 2 as in ResNet.

    Raises:
        ValueError: When an option is none of these.
    """
    return AttentionResNet18(num_classes, "ema", ibn, pooling, last_stride)
