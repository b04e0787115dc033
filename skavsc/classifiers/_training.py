"""One step of the training procedure: crops in, best weights out."""

from __future__ import annotations

import math
import sys
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras.layers import BatchNormalization
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from tqdm import tqdm

from skavsc.classifiers._augmentation import Augmentation
from skavsc.classifiers._backbone import Backbone
from skavsc.classifiers._batches import CropBatches, SecondBatches
from skavsc.classifiers._data import TrainingSet, one_hot
from skavsc.classifiers._interruption import TWICE_SECONDS, interruptions
from skavsc.classifiers._optimizer import Adam
from skavsc.classifiers._streams import ClipStreams
from skavsc.networks import fusion_network


@dataclass(frozen=True)
class Plan:
    """How one network is trained; the values are those of the classifiers' parameters."""

    label: str
    batch_size: int
    patience: int
    rate_patience: int
    rate_schedule: str
    mixup_alpha: float
    mixed: tuple[str, ...]
    augmentations: tuple[Augmentation, ...]
    seed: int
    verbose: int
    mixup_domain: str = "decibels"
    clean_statistics: bool = False


def compile_network(network: keras.Model, learning_rate: float, loss: keras.losses.Loss) -> None:
    """Compile for Adam, anew where it was compiled before."""
    network.compile(
        optimizer=Adam(learning_rate),
        loss=loss,
        metrics=["accuracy"],
        # On TensorFlow XLA is refused under seeds, and without them it costs seconds a fit.
        jit_compile=False if keras.backend.backend() == "tensorflow" else "auto",
    )
    # Built at once: a saved network whose optimizer has no state yet loads with a warning.
    network.optimizer.build(network.trainable_variables)
    # So are the metrics: TensorFlow traces a step once more if that has made variables.
    example = keras.ops.zeros((1, network.output_shape[-1]))
    network.compute_metrics(None, example, example)
    network.reset_metrics()


def compiled(
    build: Callable[[], keras.Model], *, learning_rate: float, label_smoothing: float
) -> keras.Model:
    """Build a network and compile it for categorical cross-entropy."""
    network = build()
    loss = keras.losses.CategoricalCrossentropy(label_smoothing=label_smoothing)
    compile_network(network, learning_rate, loss)
    return network


def momentum_for(n_clips: int, batch_size: int) -> float:
    """Give a batch-normalisation momentum under which the statistics keep up with training.

    Moving statistics with momentum m remember about ``1 / (1 - m)`` steps. Keras's default of
    0.99 is then 100 steps, a third of an epoch of the full data set but twenty epochs of 160
    clips, in which the network has long moved on and validation sees a network that is none.
    The memory is one epoch here: at most Keras's 100 steps and at least 2.
    """
    n_steps = -(-n_clips // batch_size)
    return min(0.99, 1 - 1 / max(2, n_steps))


# As many as Keras's own momentum of batch normalisation, 0.99, remembers.
STEPS_OF_STATISTICS = 100


def take_statistics(network: keras.Model, batches: CropBatches) -> None:
    """Take the moving statistics of batch normalisation anew: their mean over many batches."""
    norms = [layer for layer in network.layers if isinstance(layer, BatchNormalization)]
    momenta = [layer.momentum for layer in norms]
    try:
        for step in range(STEPS_OF_STATISTICS):
            inputs = batches[step][0]
            for layer in norms:
                layer.momentum = step / (step + 1)
            network(inputs, training=True)
    finally:
        for layer, momentum in zip(norms, momenta, strict=True):
            layer.momentum = momentum


# What TensorFlow trains at once where that is a fraction of a second: Ctrl-C waits for its end.
MOST_STEPS_AT_ONCE = 32


def steps_at_once(network: keras.Model, steps_per_epoch: int) -> int:
    """Give how many steps TensorFlow is to train in one call: as many as divide an epoch.

    In a network on embeddings alone, vectors in time, a step takes no longer than the way from
    Python to TensorFlow and back. Where there is sound or there are frames it takes long enough.
    """
    on_vectors = all(len(stream.shape) <= 3 for stream in network.inputs)
    if keras.backend.backend() != "tensorflow" or not on_vectors:
        return 1
    most = min(steps_per_epoch, MOST_STEPS_AT_ONCE)
    return max(n for n in range(1, most + 1) if steps_per_epoch % n == 0)


class _EpochLines(keras.callbacks.Callback):
    """One line an epoch on the error stream, past any progress bar."""

    def __init__(self, label: str) -> None:
        super().__init__()
        self.label = label

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        values = ", ".join(f"{name} {value:.4g}" for name, value in (logs or {}).items())
        line = f"{self.label}: epoch {epoch + 1}/{self.params['epochs']}: {values}"
        tqdm.write(line, file=sys.stderr)


class _StateByEpoch(keras.callbacks.Callback):
    """The state before each epoch, to go back to.

    While JAX trains a batch, Keras's variables are empty; an interruption leaves them so.
    """

    def __init__(self) -> None:
        super().__init__()
        self.state: list[tuple[Any, NDArray[Any]]] = []

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        network = self.model
        groups = network.variables, network.optimizer.variables, network.metrics_variables
        self.state = [(v, keras.ops.convert_to_numpy(v)) for group in groups for v in group]

    def restore(self) -> None:
        for variable, value in self.state:
            variable.assign(value)


def train_on_crops(
    network: keras.Model,
    clips: ClipStreams,
    targets: NDArray[np.float32],
    weights: NDArray[np.float32] | None,
    *,
    epochs: int,
    initial_epoch: int,
    plan: Plan,
    training: TrainingSet,
) -> dict[str, list[float]]:
    """Train a compiled network; with validation, stop early and restore the best weights.

    Ctrl-C ends the training, not the program: the best weights so far are kept, with a warning;
    unless it is pressed twice, the network has not been trained for an epoch yet, or what is
    trained is kept for later fits, which must not take it for complete.
    """
    batches = CropBatches(
        clips,
        training.train.rows,
        targets,
        weights,
        batch_size=plan.batch_size,
        mixup_alpha=plan.mixup_alpha,
        mixed=plan.mixed,
        mixup_domain=plan.mixup_domain,
        augmentations=plan.augmentations,
        seed=plan.seed,
        epochs=epochs,
        # Counted from 1; from the draws of epoch 0 clean statistics are taken.
        first_epoch=initial_epoch + 1,
    )
    callbacks: list[keras.callbacks.Callback] = []
    if plan.verbose:
        callbacks.append(_EpochLines(plan.label))
    state = _StateByEpoch() if keras.backend.backend() == "jax" else None
    if state is not None:
        callbacks.append(state)
    held = training.held
    stopping = judged = None
    if held is not None:
        judged = SecondBatches(
            held.clips, held.rows, one_hot(held.labels, training.classes), held.weights
        )
        stopping = keras.callbacks.EarlyStopping(
            "val_loss", patience=plan.patience, restore_best_weights=True
        )
        callbacks.append(stopping)
        if plan.rate_schedule == "halving":
            callbacks.append(
                keras.callbacks.ReduceLROnPlateau(
                    "val_loss", factor=0.5, patience=plan.rate_patience
                )
            )
    first_rate = float(network.optimizer.learning_rate)
    if plan.rate_schedule == "cosine":

        def falling(epoch: int) -> float:
            done = (epoch - initial_epoch) / epochs
            return first_rate * (1 + math.cos(math.pi * done)) / 2

        callbacks.append(keras.callbacks.LearningRateScheduler(falling))
    # The last, so that it sees what the others add, such as the rate.
    history = keras.callbacks.History()
    callbacks.append(history)
    n_at_once = steps_at_once(network, batches.steps_per_epoch)
    try:
        network.steps_per_execution = n_at_once
        if getattr(network, "steps_at_once", 1) != n_at_once:
            # The function of an earlier fit, if there is one, takes another number.
            network.train_function = None
            network.steps_at_once = n_at_once
        network.fit(
            batches,
            epochs=initial_epoch + epochs,
            initial_epoch=initial_epoch,
            steps_per_epoch=batches.steps_per_epoch,
            # Crops and order are drawn by the batches, from the seed.
            shuffle=False,
            validation_data=judged,
            callbacks=callbacks,
            verbose=0,
        )
    except KeyboardInterrupt as interruption:
        n_epochs = len(history.history.get("loss", ()))
        untrained = initial_epoch + n_epochs == 0
        if untrained:
            interruption.add_note(
                f"The {plan.label} network had not been trained for an epoch: there is nothing of "
                "it to keep and go on with."
            )
        if interruptions.heard_twice() or untrained or not training.keeps_half_trained:
            raise
        if state is not None:
            state.restore()
        if stopping is not None:
            stopping.on_train_end()
        warnings.warn(
            f"training of the {plan.label} network was interrupted after {n_epochs} epochs; the "
            f"{'last' if stopping is None else 'best'} weights so far are kept, and the program "
            f"goes on (Ctrl-C twice within {TWICE_SECONDS:.0f} seconds ends it)",
            ConvergenceWarning,
            stacklevel=2,
        )
    finally:
        # The same in prediction would only be traced longer.
        network.steps_per_execution = 1
        if plan.rate_schedule == "cosine":
            # Whoever goes on from here begins another fall.
            network.optimizer.learning_rate = first_rate
        for used in (batches, judged):
            if used is not None:
                used.release()
    if plan.clean_statistics:
        clean = CropBatches(
            clips,
            training.train.rows,
            targets,
            None,
            batch_size=plan.batch_size,
            mixup_alpha=0,
            mixed=(),
            seed=plan.seed,
            first_epoch=initial_epoch,
        )
        take_statistics(network, clean)
    return {name: [float(value) for value in values] for name, values in history.history.items()}


def build_fusion(
    n_classes: int,
    *,
    audio: Callable[[], keras.Model],
    visual: Callable[[], keras.Model],
    readout: str,
    units: int,
) -> keras.Model:
    """Build the fusion network on subnetworks of its own."""
    return fusion_network(n_classes, readout=readout, audio=audio(), visual=visual(), units=units)


@dataclass(frozen=True)
class FineTuning:
    """How a network is trained as a whole at the end; with a backbone on frames, it included."""

    plan: Plan
    learning_rate: float
    backbone: Backbone | None


def train_in_steps(
    network: keras.Model,
    clips: ClipStreams,
    *data: Any,
    trained: Sequence[keras.Model],
    fine_tuning: FineTuning | None,
    epochs: int,
    initial_epoch: int,
    plan: Plan,
    training: TrainingSet,
) -> dict[str, list[float]]:
    """Train what a network adds to frozen, trained ones, then all of it where that is asked for.

    The frozen ones are the subnetworks that it is built on, and the image network that made the
    embeddings.
    """
    # The early readout has no use for the subnetworks' scores, so it lacks those layers.
    own = {layer.name: layer for layer in network.layers}
    pairs = [
        (own[layer.name], layer) for sub in trained for layer in sub.layers if layer.name in own
    ]
    for layer, source in pairs:
        layer.set_weights(source.get_weights())
    history = train_on_crops(
        network,
        clips,
        *data,
        epochs=epochs,
        initial_epoch=initial_epoch,
        plan=plan,
        training=training,
    )
    if fine_tuning is None:
        return history
    first_rate, loss = float(network.optimizer.learning_rate), network.loss
    whole, backbone = network, fine_tuning.backbone
    if backbone is not None:
        training = training.on_frames()
        clips = training.train.clips
        # It shares its layers with the network and the backbone, which are thereby trained.
        whole = backbone.before(network, clips.streams["visual"].segment_shape[1:3])
    frozen = [layer for layer, _ in pairs] + ([] if backbone is None else [backbone.network])
    for layer in frozen:
        layer.trainable = True
    compile_network(whole, fine_tuning.learning_rate, loss)
    more = train_on_crops(
        whole,
        clips,
        *data,
        epochs=epochs,
        initial_epoch=initial_epoch + len(history["loss"]),
        plan=fine_tuning.plan,
        training=training,
    )
    for layer in frozen:
        layer.trainable = False
    compile_network(network, first_rate, loss)
    return {name: history[name] + more.get(name, []) for name in history}
