"""What Ctrl-C ends: the training of one network, or, pressed twice, the whole program."""

from __future__ import annotations

import math
import time

# A cross-validation trains one network after the other: who presses Ctrl-C again so soon does
# not mean the network that has just begun.
TWICE_SECONDS = 2.0


class Interruptions:
    """When Ctrl-C was last heard in this process."""

    def __init__(self) -> None:
        self.last = -math.inf

    def heard_twice(self) -> bool:
        """Note that Ctrl-C was heard, and tell whether it had been just before."""
        now = time.monotonic()
        twice = now - self.last < TWICE_SECONDS
        self.last = now
        return twice


interruptions = Interruptions()
