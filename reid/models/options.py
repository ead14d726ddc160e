"""Options that every backbone has."""

import dataclasses

RENORMS = ("off", "batch", "pk")


@dataclasses.dataclass(frozen=True)
class GenericOptions:
    """Options of `build_model` that do not depend on the backbone.

    Attributes:
        renorm: "off", "batch" (batch renormalisation in the place of each BatchNorm layer), or "pk" (its variant for
            batches of P identities with K images side by side).
        renorm_instances: K of "pk", 2 or more; 0 otherwise.
        renorm_warmup: Steps of plain batch normalisation before the ramps of renormalisation, which end after 5 (d)
            and 8 (r) times as many. The paper (arXiv 1702.03275) has 5,000, a thirtieth of its training; the default
            is about that share of 60 epochs on Market-1501.
        num_cameras: Cameras of the training set; 0 for a model that knows no cameras.
        cam_factor: Factor of the camera vectors; 0 is off, exactly: none are built.

    Raises:
        ValueError: When a value is outside its range or two contradict each other.
    """

    renorm: str = "off"
    renorm_instances: int = 0
    renorm_warmup: int = 500
    num_cameras: int = 0
    cam_factor: float = 0.0

    def __post_init__(self) -> None:
        if self.renorm not in RENORMS:
            raise ValueError(f"renorm: got {self.renorm!r}, allowed: {', '.join(RENORMS)}")
        if self.renorm == "pk" and self.renorm_instances < 2:
            raise ValueError(f"renorm_instances: got {self.renorm_instances}, allowed: 2 or more with renorm pk")
        if self.renorm != "pk" and self.renorm_instances:
            raise ValueError(f"renorm_instances: got {self.renorm_instances} with renorm {self.renorm}, allowed: 0")
        if self.renorm_warmup < 0:
            raise ValueError(f"renorm_warmup: got {self.renorm_warmup}, allowed: 0 or more steps")
        if self.num_cameras < 0:
            raise ValueError(f"num_cameras: got {self.num_cameras}, allowed: 0 or more")
        if self.cam_factor < 0:
            raise ValueError(f"cam_factor: got {self.cam_factor}, allowed: 0 (off) or more")
        if self.cam_factor > 0 and not self.num_cameras:
            raise ValueError(
                f"cam_factor: got {self.cam_factor} with num_cameras 0, allowed: 0 for a model without cameras"
            )
