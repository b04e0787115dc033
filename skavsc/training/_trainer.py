"""One stage of the training procedure: a training set in, the best weights and a history out."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import keras
from keras.layers import BatchNormalization
from sklearn.exceptions import ConvergenceWarning

from skavsc.pretrained import computing_in
from skavsc.training._batches import CropBatches, SegmentBatches
from skavsc.training._callbacks import (
    TWICE_SECONDS,
    CosineDecay,
    EpochLines,
    StateByEpoch,
    interruptions,
)
from skavsc.training._optimizer import Adam
from skavsc.training._segments import FrameFeatures, TrainingSet
from skavsc.training.augmentation import Augmentation

History = dict[str, list[float]]


@dataclass(frozen=True)
class TrainingOptions:
    """How to train a network; the values are those of the classifiers' parameters.

    Attributes
    ----------
    label : str
        What the network is called in messages.
    keep_interrupted : bool
        Whether Ctrl-C ends the training with the best weights so far, or is passed on.

    Examples
    --------
    >>> from skavsc.training import TrainingOptions
    >>> options = TrainingOptions(
    ...     label="audio",
    ...     epochs=200,
    ...     batch_size=32,
    ...     patience=80,
    ...     rate_patience=15,
    ...     rate_schedule="halving",
    ...     augmentation=(),
    ...     clean_statistics=False,
    ...     verbose=0,
    ... )
    >>> options.keep_interrupted
    True
    """

    label: str
    epochs: int
    batch_size: int
    patience: int
    rate_patience: int
    rate_schedule: str
    augmentation: tuple[Augmentation, ...]
    clean_statistics: bool
    verbose: int
    precision: str = "float32"
    keep_interrupted: bool = True


def compile_for_training(
    network: keras.Model, learning_rate: float, loss: keras.losses.Loss
) -> None:
    """Compile a network for training with Adam; a compiled one is compiled again.

    Parameters
    ----------
    network : keras.Model
        The network, which is changed in place.
    learning_rate : float
        Learning rate of Adam, greater than 0.
    loss : keras.losses.Loss
        The loss.

    Examples
    --------
    >>> import keras
    >>> from skavsc.training import compile_for_training
    >>> inputs = keras.Input((4,))
    >>> network = keras.Model(inputs, keras.layers.Dense(2, activation="softmax")(inputs))
    >>> compile_for_training(network, 1e-3, keras.losses.CategoricalCrossentropy())
    >>> round(float(network.optimizer.learning_rate), 4)
    0.001
    """
    network.compile(
        optimizer=Adam(learning_rate),
        loss=loss,
        metrics=["accuracy"],
        # On TensorFlow, XLA fails with seeds; without them, compiling takes seconds in each fit.
        jit_compile=False if keras.backend.backend() == "tensorflow" else "auto",
    )
    # Built at once: a saved network whose optimizer has no state yet loads with a warning.
    network.optimizer.build(network.trainable_variables)
    # The metrics too: TensorFlow traces a step a second time if the first has created variables.
    example = keras.ops.zeros((1, network.output_shape[-1]))
    network.compute_metrics(None, example, example)
    network.reset_metrics()


def momentum_for(n_clips: int, batch_size: int) -> float:
    """Return a batch-normalisation momentum under which the statistics keep up with training.

    Moving statistics with momentum m are a mean over about the last ``1 / (1 - m)`` steps. For
    Keras's default of 0.99 these are 100 steps: a third of an epoch of the full data set, but
    twenty epochs of 160 clips, whose first weights were quite different, so that validation would
    use wrong statistics. Here they are one epoch: at most Keras's 100 steps and at least 2.

    Parameters
    ----------
    n_clips : int
        Number of training clips.
    batch_size : int
        Number of clips of a step.

    Returns
    -------
    float
        The momentum, from 0.5 to 0.99.

    Examples
    --------
    >>> from skavsc.training import momentum_for
    >>> momentum_for(n_clips=160, batch_size=32), momentum_for(n_clips=8646, batch_size=32)
    (0.8, 0.99)
    """
    n_steps = -(-n_clips // batch_size)
    return min(0.99, 1 - 1 / max(2, n_steps))


# The number of steps that Keras's default momentum of batch normalisation, 0.99, averages over.
STEPS_OF_STATISTICS = 100


def reestimate_statistics(network: keras.Model, batches: CropBatches) -> None:
    """Set the moving statistics of batch normalisation to their mean over many batches."""
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


# Ctrl-C waits for the end of a call, so that one must not take longer than a fraction of a second.
MOST_STEPS_AT_ONCE = 32


def steps_at_once(network: keras.Model, steps_per_epoch: int) -> int:
    """Return how many steps TensorFlow is to train in one call: as many as divide an epoch.

    In a network on embeddings alone, a step takes no longer than the call from Python to
    TensorFlow. On sound or frames it takes longer, and nothing is gained.
    """
    on_vectors = all(len(given.shape) <= 3 for given in network.inputs)
    if keras.backend.backend() != "tensorflow" or not on_vectors:
        return 1
    most = min(steps_per_epoch, MOST_STEPS_AT_ONCE)
    return max(n for n in range(1, most + 1) if steps_per_epoch % n == 0)


def drop_stale_traces(network: keras.Model, traced_for: str) -> None:
    """Drop the traced functions of an earlier fit if they were traced for another value."""
    if getattr(network, "traced_for", traced_for) != traced_for:
        network.train_function = network.test_function = None
    network.traced_for = traced_for


def epoch_callbacks(
    options: TrainingOptions, first_rate: float, initial_epoch: int, *, validated: bool
) -> list[keras.callbacks.Callback]:
    """Return the callbacks that the options ask for, in the order in which they act."""
    callbacks: list[keras.callbacks.Callback] = []
    if options.verbose:
        callbacks.append(EpochLines(options.label))
    if keras.backend.backend() == "jax":
        callbacks.append(StateByEpoch())
    if validated:
        callbacks.append(
            keras.callbacks.EarlyStopping(
                "val_loss", patience=options.patience, restore_best_weights=True
            )
        )
        if options.rate_schedule == "halving":
            callbacks.append(
                keras.callbacks.ReduceLROnPlateau(
                    "val_loss", factor=0.5, patience=options.rate_patience
                )
            )
    if options.rate_schedule == "cosine":
        callbacks.append(CosineDecay(first_rate, initial_epoch, options.epochs))
    return callbacks


def keep_weights_so_far(callbacks: list[keras.callbacks.Callback]) -> str:
    """Restore the weights to keep of an interrupted training; return whether "best" or "last"."""
    kept = "last"
    for callback in callbacks:
        if isinstance(callback, StateByEpoch):
            callback.restore()
        elif isinstance(callback, keras.callbacks.EarlyStopping):
            callback.on_train_end()
            kept = "best"
    return kept


def train_network(
    network: keras.Model,
    training_set: TrainingSet,
    options: TrainingOptions,
    *,
    initial_epoch: int = 0,
) -> History:
    """Train a compiled network; with validation, stop early and restore the best weights.

    Ctrl-C ends the training, not the program: the best weights so far are kept, with a warning;
    unless it is pressed twice, the network has not been trained for an epoch yet, or what is
    trained is kept for later fits, which must not take it for complete.

    Parameters
    ----------
    network : keras.Model
        The network, which is trained in place.
    training_set : TrainingSet
        The clips.
    options : TrainingOptions
        How to train.
    initial_epoch : int, default=0
        Number of epochs that the network has been trained already.

    Returns
    -------
    dict of str to list of float
        The values after each epoch.
    """
    train, validation = training_set.train, training_set.validation
    on_frames = any(isinstance(part, FrameFeatures) for part in train.features.modalities.values())
    batches = CropBatches(
        train,
        training_set.classes,
        batch_size=options.batch_size,
        augmentation=[a for a in options.augmentation if on_frames or not a.on_frames],
        seed=training_set.seed,
        epochs=options.epochs,
        # Counted from 1; clean statistics are computed from the draws of epoch 0.
        first_epoch=initial_epoch + 1,
    )
    held_out = None if validation is None else SegmentBatches(validation, training_set.classes)
    first_rate = float(network.optimizer.learning_rate)
    callbacks = epoch_callbacks(options, first_rate, initial_epoch, validated=held_out is not None)
    # The last, so that it sees what the others add, such as the rate.
    history = keras.callbacks.History()
    callbacks.append(history)
    n_at_once = steps_at_once(network, batches.steps_per_epoch)
    try:
        network.steps_per_execution = n_at_once
        drop_stale_traces(network, f"{n_at_once} {options.precision}")
        with computing_in(network, options.precision):
            network.fit(
                batches,
                epochs=initial_epoch + options.epochs,
                initial_epoch=initial_epoch,
                steps_per_epoch=batches.steps_per_epoch,
                # Crops and order are drawn by the batches, from the seed.
                shuffle=False,
                validation_data=held_out,
                callbacks=callbacks,
                verbose=0,
            )
    except KeyboardInterrupt as interruption:
        n_epochs = len(history.history.get("loss", ()))
        untrained = initial_epoch + n_epochs == 0
        if untrained:
            interruption.add_note(
                f"The {options.label} network had not been trained for an epoch: there is nothing "
                "of it to keep and go on with."
            )
        if interruptions.note() or untrained or not options.keep_interrupted:
            raise
        kept = keep_weights_so_far(callbacks)
        warnings.warn(
            f"training of the {options.label} network was interrupted after {n_epochs} epochs; "
            f"the {kept} weights so far are kept, and the program goes on (Ctrl-C twice within "
            f"{TWICE_SECONDS:.0f} seconds ends it)",
            ConvergenceWarning,
            stacklevel=2,
        )
    finally:
        # In prediction more steps a call only take longer to trace.
        network.steps_per_execution = 1
        if options.rate_schedule == "cosine":
            # A fit that continues starts another cosine.
            network.optimizer.learning_rate = first_rate
        for used in (batches, held_out):
            if used is not None:
                used.release()
    if options.clean_statistics:
        clean = CropBatches(
            train,
            training_set.classes,
            batch_size=options.batch_size,
            seed=training_set.seed,
            first_epoch=initial_epoch,
        )
        reestimate_statistics(network, clean)
        clean.release()
    return {name: [float(value) for value in values] for name, values in history.history.items()}


def joined_history(first: History, second: History) -> History:
    """Return a history with the values of another one after its own."""
    names: dict[str, Any] = {**first, **second}
    return {name: [*first.get(name, []), *second.get(name, [])] for name in names}
