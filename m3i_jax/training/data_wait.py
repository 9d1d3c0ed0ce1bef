"""Says, once, that the devices wait for data, and what can be done about it."""

from collections.abc import Callable
from logging import getLogger

LOG = getLogger(__name__)
SHARE = 0.05  # of the time, above which waiting is worth a word
SPAN = 30.0  # seconds over which it is looked at


def watch() -> Callable[[float, float], None]:
    """(seconds that went by, seconds of them that were waited) -> a warning when it is too much."""
    gone, idle, said = [0.0], [0.0], [False]

    def look(seconds: float, waited: float) -> None:
        gone[0], idle[0] = gone[0] + seconds, idle[0] + waited
        if gone[0] < SPAN:
            return
        share = idle[0] / gone[0]
        gone[0], idle[0] = 0.0, 0.0
        if share > SHARE and not said[0]:
            said[0] = True
            LOG.warning(
                "%.0f %% of the time went by waiting for data: allow this process more cores "
                "(config.threads=0 takes all of them), read faster by config.crops.decode=fast and "
                "config.crops.resize=fast (pip install 'm3i_jax[fast]'), or keep smaller copies of "
                "the images",
                100 * share,
            )

    return look
