"""The names that other libraries give to the parts of networks which are the same here."""

from collections.abc import Mapping

import torch

# Beginning of a name there -> beginning of the name here; the first that fits counts.
# fast-reid: backbone, heads. Strong baseline and AGW: base, bottleneck, global_pool. torchreid: classifier.
PUBLISHED: Mapping[str, str] = {
    "backbone.": "",
    "base.": "",
    "heads.bottleneck.0.": "head.bottleneck.",
    "heads.pool_layer.": "head.pool.",
    "heads.classifier.": "head.classifier.",
    "heads.weight": "head.classifier.weight",
    "bottleneck.": "head.bottleneck.",
    "global_pool.": "head.pool.",
    "classifier.": "head.classifier.",
}


def renamed(state: Mapping[str, torch.Tensor], names: Mapping[str, str] = PUBLISHED) -> dict[str, torch.Tensor]:
    """Returns the tensors under the names that they have here; a name that fits no rule stays."""
    result = {}
    for name, tensor in state.items():
        rule = next((start for start in names if name.startswith(start)), "")
        result[names.get(rule, "") + name.removeprefix(rule)] = tensor
    return result


def is_fast_reid(state: Mapping[str, torch.Tensor]) -> bool:
    """Says whether these are weights of a whole network of fast-reid."""
    return any(name.startswith("heads.") for name in state) and any(name.startswith("backbone.") for name in state)
