"""Lightweight person re-identification: data, models, losses, training, evaluation and export.

`from reid import ReIDModel` is the interface for notebooks; it loads torch when it is asked for, not before.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from reid.data.triplets import TripletDataset, get_market1501_dataset
    from reid.reid_model import ReIDModel

__all__ = ["ReIDModel", "TripletDataset", "get_market1501_dataset"]

_MODULES = {
    "ReIDModel": "reid.reid_model",
    "TripletDataset": "reid.data.triplets",
    "get_market1501_dataset": "reid.data.triplets",
}


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return getattr(importlib.import_module(_MODULES[name]), name)
    raise AttributeError(f"module 'reid' has no attribute {name!r}; it has {', '.join(__all__)}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
