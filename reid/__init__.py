"""Lightweight person re-identification: data, models, losses, training, evaluation and export.

`from reid import ReIDModel` is the interface for notebooks; it loads torch when it is asked for, not before.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from reid.reid_model import ReIDModel

__all__ = ["ReIDModel"]


def __getattr__(name: str) -> Any:
    if name == "ReIDModel":
        from reid.reid_model import ReIDModel

        return ReIDModel
    raise AttributeError(f"module 'reid' has no attribute {name!r}; it has {', '.join(__all__)}")
