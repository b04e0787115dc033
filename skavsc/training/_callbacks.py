"""What happens between epochs, and what Ctrl-C ends."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable
from typing import Any

import keras
from numpy.typing import NDArray
from tqdm import tqdm

# A cross-validation trains one network after the other: a second Ctrl-C so soon is not for the
# network whose training has just begun, but for the program.
TWICE_SECONDS = 2.0


class Interruptions:
    """When Ctrl-C was last pressed in this process.

    Parameters
    ----------
    clock : callable
        Returns the time in seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self.last = -math.inf

    def note(self) -> bool:
        """Note that Ctrl-C was pressed; return whether it had been just before."""
        now = self.clock()
        repeated = now - self.last < TWICE_SECONDS
        self.last = now
        return repeated


interruptions = Interruptions()


class EpochLines(keras.callbacks.Callback):
    """Write one line per epoch to the error stream, past any progress bar."""

    def __init__(self, label: str) -> None:
        super().__init__()
        self.label = label

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Write the line."""
        values = ", ".join(f"{name} {value:.4g}" for name, value in (logs or {}).items())
        line = f"{self.label}: epoch {epoch + 1}/{self.params['epochs']}: {values}"
        tqdm.write(line, file=sys.stderr)


class StateByEpoch(keras.callbacks.Callback):
    """Keep the state before each epoch, so that it can be restored.

    While JAX trains a batch, Keras's variables are empty; an interruption leaves them so.
    """

    def __init__(self) -> None:
        super().__init__()
        self.state: list[tuple[Any, NDArray[Any]]] = []

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Keep the state."""
        network = self.model
        groups = network.variables, network.optimizer.variables, network.metrics_variables
        self.state = [(v, keras.ops.convert_to_numpy(v)) for group in groups for v in group]

    def restore(self) -> None:
        """Restore the state before the last epoch."""
        for variable, value in self.state:
            variable.assign(value)


class CosineDecay(keras.callbacks.LearningRateScheduler):
    """Lower the learning rate from its start to 0 along half a cosine, over some epochs."""

    def __init__(self, first_rate: float, initial_epoch: int, epochs: int) -> None:
        def rate(epoch: int) -> float:
            done = (epoch - initial_epoch) / epochs
            return first_rate * (1 + math.cos(math.pi * done)) / 2

        super().__init__(rate)
