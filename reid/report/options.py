"""What a report shows, and how much of it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class ReportOptions:
    """Numbers of the report.

    Attributes:
        fmr: False match rates of the open-set table, above 0 up to 1.
        top: Gallery images a row of the ranked lists.
        num_queries: Rows of each of the three sheets of ranked lists.
        map_points: Images in the embedding map.
        map_people: People with colours there.
        confused: People in the confusion matrix.
        seed: Of all draws.

    Raises:
        ValueError: When a number is out of its range.
    """

    fmr: tuple[float, ...] = (0.001, 0.01, 0.1)
    top: int = 10
    num_queries: int = 6
    map_points: int = 600
    map_people: int = 24
    confused: int = 12
    seed: int = 0

    def __post_init__(self) -> None:
        for name, least in (("top", 1), ("num_queries", 1), ("map_points", 3), ("map_people", 1), ("confused", 2)):
            if getattr(self, name) < least:
                raise ValueError(f"{name}: got {getattr(self, name)}, allowed: {least} or more")
        if not self.fmr or not all(0 < level <= 1 for level in self.fmr):
            raise ValueError(f"fmr: got {self.fmr}, allowed: one or more rates above 0, up to 1")
