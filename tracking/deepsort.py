"""DeepSORT (Wojke et al., arXiv 1703.07402): a matching cascade by age, on the nearest of a track's last looks.

The stages, the filter and the gate are those of `tracking.strongsort`, which grew out of it; here stand its values.
"""

from dataclasses import dataclass

from tracking.kalman import NsaMode
from tracking.strongsort import StrongSort, StrongSortOptions


@dataclass(frozen=True)
class DeepSortOptions(StrongSortOptions):
    """The paper's values, on the same options as StrongSORT's.

    The paper keeps 100 looks a track, matches in a cascade, sets lambda = 0 (the motion gates but has no cost) and
    keeps tracks for 30 frames, three hits making a track. It learns its limit of the appearance distance from data
    without giving it; 0.3 stays, as for StrongSORT with the same network.
    """

    ema: bool = False
    motion_cost: bool = False
    nsa: NsaMode = "off"
    cascade: bool = True


class DeepSort(StrongSort):
    """Tracks people by appearance, those seen last first, then by overlap.

    It differs from StrongSORT in its options only.
    """

    def __init__(self, options: DeepSortOptions | None = None):
        super().__init__(options or DeepSortOptions())
