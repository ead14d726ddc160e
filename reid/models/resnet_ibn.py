"""ResNet-18-IBN-a and ResNet-50-IBN-a (Pan et al., arXiv 1807.09441)."""

from reid.models.resnet import BasicBlock, Bottleneck, ResNet


def resnet18_ibn_a(
    num_classes: int = 0, pooling: str = "avg", last_stride: int = 1, stem_pool: str = "padded"
) -> ResNet:
    """Builds ResNet-18 with half instance normalisation in stages 1 to 3; the arguments are those of `ResNet`.

    The authors' release has this network too; the paper itself shows the 50- and 101-layer ones.
    """
    return ResNet(
        BasicBlock, (2, 2, 2, 2), num_classes, ibn=True, pooling=pooling, last_stride=last_stride, stem_pool=stem_pool
    )


def resnet50_ibn_a(
    num_classes: int = 0, pooling: str = "avg", last_stride: int = 1, stem_pool: str = "padded"
) -> ResNet:
    """Builds ResNet-50 with half instance normalisation in stages 1 to 3; the arguments are those of `ResNet`."""
    return ResNet(
        Bottleneck, (3, 4, 6, 3), num_classes, ibn=True, pooling=pooling, last_stride=last_stride, stem_pool=stem_pool
    )
