"""What a prediction rests on: Grad-CAM of the networks, occlusion for any classifier."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from skavsc._sklearn_compat import _num_samples
from skavsc.evaluation._cross_validation import check_modalities, final_classifier, without_modality
from skavsc.networks import AUDIO_TAP, VISUAL_TAP
from skavsc.training import gradients_of

_TAPS = {"audio": AUDIO_TAP, "visual": VISUAL_TAP}


def grad_cam(
    classifier: Any, X: Any, *, targets: ArrayLike | None = None, batch_size: int = 32
) -> dict[str, NDArray[np.float32]]:
    """Compute which bands, time frames and frames of picture speak for a label.

    Parameters
    ----------
    classifier : classifier
        A fitted `AudioSceneClassifier`, `VisualSceneClassifier` or `SECRNNClassifier`; or a
        pipeline or search that ends in one.
    X : array-like, structured array or pandas.DataFrame of n_clips rows
        The clips, as for ``predict``.
    targets : array-like of shape (n_clips,), optional
        The label of each clip to explain; by default the predicted one.
    batch_size : int, default=32
        Number of segments at a time, at least 1.

    Returns
    -------
    dict of str to ndarray, float32
        For each modality that the network has, values of at least 0 in units of the score before
        the softmax, less the mean of the scores of all labels: ``"audio"`` of shape (n_clips,
        n_bands, n_time_frames), ``"visual"`` of shape (n_clips, n_frames). NaN in segments that
        are missing, and after the last whole one.

    Raises
    ------
    ValueError
        If the classifier has no such network, it takes frames in place of their embeddings, or a
        target is no class.

    Notes
    -----
    The gradient is that of the score of the label with respect to the last maps of the audio
    network, averaged over bands and time frames to a weight a map [1]_, and with respect to the
    features of each frame, which are multiplied by it one by one, since a recurrent layer weighs
    each frame differently [2]_. It runs on every backend of Keras.

    References
    ----------
    .. [1] Selvaraju et al.: Grad-CAM: visual explanations from deep networks via gradient-based
       localization. ICCV, 2017.
    .. [2] Draelos, Carin: Use HiResCAM instead of Grad-CAM for faithful explanations of
       convolutional neural networks. arXiv 2011.08891, 2020.

    Examples
    --------
    >>> import numpy as np
    >>> from skavsc import AudioSceneClassifier, grad_cam
    >>> rng = np.random.default_rng(0)
    >>> y = np.array(["park", "tram"] * 4)
    >>> X = rng.normal(-40, 4, size=(8, 16, 100, 1))  # 8 clips of 2 s, 16 bands
    >>> X[y == "tram", :8] += 20
    >>> classifier = AudioSceneClassifier(filters=(4, 4, 4), epochs=1, validation_fraction=0)
    >>> grad_cam(classifier.fit(X, y), X)["audio"].shape
    (8, 16, 100)
    """
    classifier, X = final_classifier(classifier, X)
    network = getattr(getattr(classifier, "keras_classifier_", None), "model_", None)
    if network is None:
        raise ValueError(
            f"{type(classifier).__name__} has no network of its own; use occlusion_importance"
        )
    names = [given.name for given in network.inputs]
    codes = _target_codes(classifier, X, targets)
    segments = {
        given.name: _segments(X[given.name] if len(names) > 1 else X, given.shape[1:])
        for given in network.inputs
    }
    n_segments = min(values.shape[1] for values in segments.values())
    there = np.logical_and.reduce(
        [
            ~np.isnan(values[:, :n_segments]).any(axis=tuple(range(2, values.ndim)))
            for values in segments.values()
        ]
    )
    clip, segment = np.nonzero(there)
    maps: dict[str, list[NDArray[Any]]] = {name: [] for name in names}
    explain = _explainer(network, names)
    for start in range(0, len(clip), batch_size):
        rows = clip[start : start + batch_size], segment[start : start + batch_size]
        batch = [segments[name][rows].astype(np.float32) for name in names]
        for name, found in zip(names, explain(batch, codes[rows[0]]), strict=True):
            maps[name].append(found)
    result = {}
    for name in names:
        values = segments[name]
        length = values.shape[-2]
        bands = values.shape[2:-2]
        joined = np.full((len(codes), n_segments, *bands, length), np.nan, dtype=np.float32)
        if maps[name]:
            joined[clip, segment] = np.concatenate(maps[name])
        # From (clip, segment, band, time) to (clip, band, all time).
        ordered = np.moveaxis(joined, 1, -2)
        flat = ordered.reshape(*ordered.shape[:-2], n_segments * length)
        source = X[name] if len(names) > 1 else X
        rest = np.shape(source)[-2] - flat.shape[-1]
        padding = [(0, 0)] * (flat.ndim - 1) + [(0, rest)]
        result[name] = np.pad(flat, padding, constant_values=np.nan)
    return result


def _target_codes(classifier: Any, X: Any, targets: ArrayLike | None) -> NDArray[np.intp]:
    """Return the column of the label of each clip that is to be explained."""
    labels = classifier.predict(X) if targets is None else np.asarray(targets)
    unknown = np.setdiff1d(labels, classifier.classes_)
    if len(unknown):
        raise ValueError(
            f"targets holds {unknown.tolist()}, which are not among the classes "
            f"{classifier.classes_.tolist()}"
        )
    if len(labels) != _num_samples(X):
        raise ValueError(f"targets has {len(labels)} labels for {_num_samples(X)} clips")
    return np.searchsorted(classifier.classes_, labels)


def _segments(features: Any, shape: tuple[int, ...]) -> NDArray[Any]:
    """Return the segments of clips, of shape (n_clips, n_segments) and that of one."""
    values = np.asarray(features)
    if values.ndim != len(shape) + 1 or values.shape[-1] != shape[-1]:
        raise ValueError(
            f"the network takes segments of shape {tuple(shape)}, the features of a clip have "
            f"{values.shape[1:]}; give the embeddings of frames, not the frames"
        )
    length = shape[-2]
    n_segments = values.shape[-2] // length
    whole = values[..., : n_segments * length, :]
    cut = whole.reshape(*values.shape[:-2], n_segments, length, values.shape[-1])
    return np.moveaxis(cut, -3, 1)


def _explainer(
    network: Any, names: Sequence[str]
) -> Callable[[list[NDArray[Any]], NDArray[np.intp]], list[NDArray[Any]]]:
    """Return the function from segments and classes to a map for each input."""
    layers = [network.get_layer(_TAPS[name]) for name in names]
    taps = [layer.output for layer in layers]
    scores = [
        layer
        for layer in network.layers
        if isinstance(layer, keras.layers.Dense) and layer.activation is keras.activations.softmax
    ][-1]
    to_taps = keras.Model(network.inputs, taps)
    from_taps = keras.Model(taps, scores.input)

    def explain(batch: list[NDArray[Any]], codes: NDArray[np.intp]) -> list[NDArray[Any]]:
        outputs = to_taps(batch, training=False)
        outputs = list(outputs) if isinstance(outputs, list | tuple) else [outputs]
        wanted = np.eye(scores.units, dtype=np.float32)[codes]

        def score(values: list[Any]) -> Any:
            inner = from_taps(values, training=False)
            # Before the softmax, whose gradient vanishes where the network is sure.
            logits = keras.ops.matmul(inner, scores.kernel) + scores.bias
            if len(logits.shape) == 3:
                logits = keras.ops.mean(logits, axis=1)
            # The softmax does not change where all scores rise alike: what counts is the margin.
            return keras.ops.sum((logits - keras.ops.mean(logits, axis=-1, keepdims=True)) * wanted)

        gradients = gradients_of(score, outputs)
        found = []
        for given, output, gradient in zip(batch, outputs, gradients, strict=True):
            activation = keras.ops.convert_to_numpy(output)
            if activation.ndim == 4:
                gradient = gradient.mean(axis=(1, 2), keepdims=True)
            importance = np.maximum((gradient * activation).sum(axis=-1), 0)
            found.append(_stretched(importance, given.shape[-2]))
        return found

    return explain


def _stretched(maps: NDArray[Any], length: int) -> NDArray[Any]:
    """Stretch the last axis of maps to a length, linearly between the middles of their steps."""
    if maps.shape[-1] == length:
        return maps
    # Pooling drops what does not fill a step, so that a step is a whole number of time frames.
    ratio = length // maps.shape[-1]
    places = (np.arange(length) + 0.5) / ratio - 0.5
    rows = maps.reshape(-1, maps.shape[-1])
    stretched = [np.interp(places, np.arange(maps.shape[-1]), row) for row in rows]
    return np.reshape(stretched, (*maps.shape[:-1], length))


def occlusion_importance(
    estimator: Any,
    X: Any,
    *,
    axis: int | Sequence[int] = (),
    size: int | Sequence[int] = 1,
    field: str | None = None,
    fill: str | float = "mean",
    targets: ArrayLike | None = None,
) -> NDArray[np.float64]:
    """Compute by how much a probability falls when a part of the input is covered.

    Parameters
    ----------
    estimator : classifier
        Any fitted classifier with ``predict_proba``, such as the steps of a pipeline from the
        features on, ``pipeline[1:]``.
    X : array-like, structured array or pandas.DataFrame of n_clips rows
        What the classifier takes. Lazy frames are decoded, all at once.
    axis : int or sequence of int, default=()
        The axes of X that are divided into windows: of features (n_clips, n_bands, n_time_frames,
        n_channels) 1 are bands and 2 is time; of frames (n_clips, n_frames, height, width, 3)
        ``(2, 3)`` are regions. None, ``()``, covers all of the field: a whole modality.
    size : int or sequence of int, default=1
        The width of a window along each axis. The last may be narrower.
    field : str, optional
        The field of a structured array, or the column of a clip table (as a whole only).
    fill : {"mean"} or float, default="mean"
        What a window is filled with: the mean of the clip in each channel (the last axis), or a
        number; NaN for what the classifier takes as missing. A whole modality is made missing.
    targets : array-like of shape (n_clips,), optional
        The label of each clip to explain; by default the predicted one.

    Returns
    -------
    ndarray of shape (n_clips, n_windows, ...), float64
        The probability of the label less that without the window; an axis of windows for each of
        ``axis``.

    Raises
    ------
    ValueError
        If there is no such field, an axis or size does not fit, or a target is no class.

    References
    ----------
    Zeiler, Fergus: Visualizing and understanding convolutional networks. ECCV, 2014.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.naive_bayes import GaussianNB
    >>> from skavsc.evaluation import occlusion_importance
    >>> X = np.array([[0.0, 1.0, 9.0], [0.1, 1.0, 8.0], [5.0, 1.0, 9.0], [5.1, 1.0, 8.0]])
    >>> model = GaussianNB().fit(X, [0, 0, 1, 1])
    >>> occlusion_importance(model, X, axis=1, fill=1.0).mean(axis=0).argmax()
    np.int64(0)
    """
    axes = (axis,) if isinstance(axis, int | np.integer) else tuple(axis)
    sizes = (size,) * len(axes) if isinstance(size, int | np.integer) else tuple(size)
    if len(sizes) != len(axes) or any(width < 1 for width in sizes):
        raise ValueError(f"size={size!r} must be a width of at least 1 for each of axis={axis!r}")
    if field is not None:
        check_modalities(X, [field])
    codes = _target_codes(estimator, X, targets)
    rows = np.arange(len(codes))
    whole = estimator.predict_proba(X)[rows, codes]
    if not axes:
        if field is None:
            raise ValueError("axis=() covers a whole modality; name it by field=")
        return whole - estimator.predict_proba(without_modality(X, field))[rows, codes]
    if isinstance(X, pd.DataFrame):
        raise ValueError(
            "X is a DataFrame, of whose columns no part can be covered; give the features, and the "
            "steps of the pipeline that follow them"
        )
    values = X if field is None else X[field]
    if getattr(values, "dtype", np.dtype(object)).hasobject:
        values = np.stack([np.asarray(item) for item in values])
    if not all(0 < place < values.ndim for place in axes):
        raise ValueError(f"axis={axis!r} must be axes of the clips, from 1 to {values.ndim - 1}")
    content = _fill_values(values, fill)
    steps = [range(0, values.shape[place], width) for place, width in zip(axes, sizes, strict=True)]
    drops = []
    for starts in itertools.product(*steps):
        window: list[Any] = [slice(None)] * values.ndim
        for place, start, width in zip(axes, starts, sizes, strict=True):
            window[place] = slice(start, start + width)
        covered = values.copy()
        covered[tuple(window)] = content
        given: Any = covered
        if field is not None:
            given = X.copy()
            given[field] = covered
        drops.append(whole - estimator.predict_proba(given)[rows, codes])
    return np.stack(drops, axis=1).reshape(len(codes), *(len(step) for step in steps))


def _fill_values(values: NDArray[Any], fill: str | float) -> NDArray[Any]:
    """Return what a window of every clip is filled with, to be broadcast over it."""
    if fill != "mean":
        return np.asarray(fill, dtype=values.dtype)
    if values.ndim == 2:
        return np.nanmean(values, axis=1, keepdims=True).astype(values.dtype)
    inner = tuple(range(1, values.ndim - 1))
    return np.nanmean(values, axis=inner, keepdims=True).astype(values.dtype)
