"""seres18: the trunk of cares18 with squeeze and excitation in the place of coordinate attention."""

from reid.models.resnet18 import AttentionResNet18


def seres18(num_classes: int = 0) -> AttentionResNet18:
    """Builds seres18 (512-d, 11.3 M parameters without the classifier).

    Args:
        num_classes: Training identities; 0 builds no classifier.
    """
    return AttentionResNet18(num_classes, "se")
