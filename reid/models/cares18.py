"""cares18: ResNet-18-IBN-a with coordinate attention, the lightweight default."""

from reid.models.resnet18 import AttentionResNet18


def cares18(
    num_classes: int = 0, attention: str = "coordinate", ibn: bool = True, pooling: str = "gem"
) -> AttentionResNet18:
    """Builds cares18 (512-d).

    Args:
        num_classes: Training identities; 0 builds no classifier.
        attention: "coordinate" (11.4 M parameters without the classifier), "triplet" (11.2 M), which is what the
            weights published under this name hold, "se" or "none".
        ibn: Half instance normalisation in stages 1 to 3.
        pooling: "gem", "avg" or "max".

    Raises:
        ValueError: When the attention or the pooling is none of these.
    """
    return AttentionResNet18(num_classes, attention, ibn, pooling)
