"""cares18: ResNet-18-IBN-a with coordinate attention, the lightweight default."""

from reid.models.resnet18 import AttentionResNet18


def cares18(
    num_classes: int = 0,
    attention: str = "coordinate",
    ibn: bool = True,
    pooling: str = "gem",
    last_stride: int = 1,
) -> AttentionResNet18:
    """Builds cares18 (512-d).

    Args:
        num_classes: Training identities; 0 builds no classifier.
        attention: "coordinate" (11.4 M parameters without the classifier), "triplet" (11.2 M), which is what the
            weights published under this name hold, "ema", "se" or "none".
        ibn: Half instance normalisation in stages 1 to 3.
        pooling: "gem", "avg" or "max".
        last_stride: 1, or 2 as in ResNet.

    Raises:
        ValueError: When an option is none of these.
    """
    return AttentionResNet18(num_classes, attention, ibn, pooling, last_stride)
