"""BLAS with one thread where matrices are tiny.

Trackers and scores multiply matrices of some tens of rows. All of BLAS's threads have nothing to share there, and on a
machine that is busy with other work each product waits until the last of them has had its turn.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from threadpoolctl import ThreadpoolController, threadpool_limits


def one_blas_thread() -> AbstractContextManager[Any]:
    """Returns a block in which BLAS has one thread, in this process; other libraries keep theirs.

    Entering looks through the libraries that are loaded, a millisecond or several: once a run, not once a frame.
    """
    limits: AbstractContextManager[Any] = threadpool_limits(1, user_api="blas")
    return limits


def blas_limiter() -> Callable[[], AbstractContextManager[Any]]:
    """Returns what makes such blocks for some tens of microseconds each, where networks run between the frames.

    Libraries that are loaded later are not known to it.
    """
    controller = ThreadpoolController()
    return lambda: controller.limit(limits=1, user_api="blas")
