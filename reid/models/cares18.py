"""cares18: ResNet-18-IBN-a with coordinate attention, the lightweight default."""

from reid.models.resnet18 import AttentionResNet18


def cares18(num_classes: int = 0, attention: str = "coordinate") -> AttentionResNet18:
    """Builds cares18 (512-d).

    Args:
        num_classes: Training identities; 0 builds no classifier.
        attention: "coordinate" (11.4 M parameters without the classifier) or "triplet" (11.2 M), which is what the
            weights published under this name hold.

    Raises:
        ValueError: When the attention is neither of these.
    """
    if attention not in ("coordinate", "triplet"):
        raise ValueError(f"attention: got {attention!r}, allowed: coordinate, triplet")
    return AttentionResNet18(num_classes, attention)
