"""Whole classifiers by name: unfitted Pipelines from a clip table to labels."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from numbers import Integral, Real
from typing import Any, Literal, NamedTuple, TypeAlias

import joblib
import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedGroupKFold, StratifiedKFold
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from skavsc._sklearn_compat import DocLinkMixin, Interval, StrOptions, validate_params
from skavsc.audio import AudioEmbedder, GammatoneMelTransformer
from skavsc.classifiers import AudioSceneClassifier, SECRNNClassifier, VisualSceneClassifier
from skavsc.evaluation import macro_log_loss_scorer
from skavsc.fusion import LateFusionClassifier, ModalityUnion
from skavsc.pooling import TimePooling
from skavsc.visual import ImageEmbedder, PixelEmbedder, VGGPlacesEmbedder, VideoFrameSampler

__all__ = ["Choice", "LocationFolds", "choose_recipe", "make_scene_classifier", "scale_clips"]

Memory: TypeAlias = str | os.PathLike[str] | joblib.Memory | None

# Of each class, for the strength to be chosen inside the folds of a fusion inside test folds.
_FEWEST_LOCATIONS = 10

# The strengths that are tried: from almost constant to almost unregularised.
_STRENGTHS = tuple(np.logspace(-3, 1, 9).tolist())


class LocationFolds(DocLinkMixin, BaseEstimator):
    """Stratified folds that keep recording locations together and suit few clips.

    `sklearn.model_selection.StratifiedGroupKFold`, but without ``groups`` each clip is a location
    of its own, and there are never more folds than the rarest class has locations.

    Parameters
    ----------
    n_splits : int, default=5
        Maximum number of folds, at least 2.
    random_state : int or None, default=None
        If given, the clips are shuffled before they are split.

    Examples
    --------
    >>> import numpy as np
    >>> from skavsc.recipes import LocationFolds
    >>> y = np.array(["park", "park", "tram", "tram", "tram", "tram"])
    >>> groups = np.array([0, 1, 2, 2, 3, 4])
    >>> LocationFolds(5).get_n_splits(y=y, groups=groups)
    2
    """

    def __init__(self, n_splits: int = 5, *, random_state: int | None = None) -> None:
        self.n_splits = n_splits
        self.random_state = random_state

    def get_n_splits(self, X: Any = None, y: ArrayLike = (), groups: Any = None) -> int:
        """Return the number of folds.

        Parameters
        ----------
        X : object, default=None
            Ignored.
        y : array-like of shape (n_clips,)
            The labels.
        groups : array-like of shape (n_clips,), default=None
            The recording locations.

        Returns
        -------
        int
            At least 2.

        Raises
        ------
        ValueError
            If a class has one location only.
        """
        labels = np.asarray(y)
        places = np.arange(len(labels)) if groups is None else np.asarray(groups)
        counts = {
            label: len(np.unique(places[labels == label])) for label in np.unique(labels).tolist()
        }
        rarest = min(counts, key=lambda label: counts[label])
        if counts[rarest] < 2:
            raise ValueError(
                f"class {rarest!r} has one recording location only, which cannot be in training "
                "and validation at once; add clips from another, or leave the class out"
            )
        return min(self.n_splits, counts[rarest])

    def split(
        self, X: Any, y: ArrayLike, groups: Any = None
    ) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]]:
        """Generate the training and test rows of each fold.

        Parameters
        ----------
        X : sequence of n_clips rows
            The clips; only their number matters.
        y : array-like of shape (n_clips,)
            The labels.
        groups : array-like of shape (n_clips,), default=None
            The recording locations.

        Yields
        ------
        train : ndarray of int
            The training rows.
        test : ndarray of int
            The test rows.
        """
        kind = StratifiedKFold if groups is None else StratifiedGroupKFold
        folds = kind(
            self.get_n_splits(X, y, groups),
            shuffle=self.random_state is not None,
            random_state=self.random_state,
        )
        yield from folds.split(np.zeros(len(np.asarray(y))), y, groups)


def scale_clips(X: NDArray[Any]) -> NDArray[Any]:
    """Scale the features of each clip to a mean square of 1.

    Parameters
    ----------
    X : ndarray of shape (n_clips, n_features)
        The features; a clip whose features are all 0 stays so.

    Returns
    -------
    ndarray of shape (n_clips, n_features)
        The scaled features.

    Examples
    --------
    >>> import numpy as np
    >>> from skavsc.recipes import scale_clips
    >>> scale_clips(np.array([[3.0, -3.0], [0.0, 0.0]]))
    array([[ 1., -1.],
           [ 0.,  0.]])
    """
    sizes = np.sqrt(np.mean(np.square(X), axis=1, keepdims=True))
    return X / np.where(sizes == 0, 1, sizes)


def _linear_branch(C: float | None, random_state: int | None) -> Any:
    """Build a pooled, scaled logistic regression, its strength chosen inside if None."""
    branch = make_pipeline(
        TimePooling(("mean", "std", "max")),
        # Clips are scaled and not features: features that are nearly always 0 would be blown up.
        StandardScaler(with_std=False),
        FunctionTransformer(scale_clips, feature_names_out="one-to-one"),
        # As many axes as clips hold all there is to learn; on them the solver is quick and exact.
        PCA(),
        LogisticRegression(C=1.0 if C is None else C, tol=1e-5, max_iter=1000),
    )
    if C is not None:
        return branch
    return GridSearchCV(
        branch,
        {"logisticregression__C": list(_STRENGTHS)},
        scoring=macro_log_loss_scorer,
        cv=LocationFolds(4, random_state=random_state),
    )


def _picture(embedder: Any, fps: float, **options: Any) -> Pipeline:
    return Pipeline([("frames", VideoFrameSampler(fps=fps, **options)), ("embedding", embedder)])


@validate_params(
    {
        "recipe": [StrOptions({"embeddings", "statistics", "published"})],
        "modalities": [list, tuple],
        "duration": [Interval(Real, 0, None, closed="neither")],
        "audio_model": "no_validation",
        "image_model": "no_validation",
        "C": [Interval(Real, 0, None, closed="neither"), None],
        "memory": "no_validation",
        "n_jobs": [Integral, None],
        "on_error": [StrOptions({"raise", "missing"})],
        "random_state": [Integral, None],
        "verbose": ["verbose"],
    },
    prefer_skip_nested_validation=True,
)
def make_scene_classifier(
    recipe: Literal["embeddings", "statistics", "published"] = "embeddings",
    *,
    modalities: Sequence[str] = ("audio", "visual"),
    duration: float = 10.0,
    audio_model: Any = "yamnet",
    image_model: Any = "vgg16-places365",
    C: float | None = None,
    memory: Memory = None,
    n_jobs: int | None = None,
    on_error: Literal["raise", "missing"] = "raise",
    random_state: int | None = None,
    verbose: int | bool = 0,
) -> Pipeline:
    """Build an unfitted Pipeline from a clip table to scene labels.

    Parameters
    ----------
    recipe : {"embeddings", "statistics", "published"}, default="embeddings"
        ``"embeddings"``: frozen pretrained networks for sound and picture, their mean, deviation
        and maximum over time, a regularised logistic regression for each modality, and late
        fusion. For 20 to some thousand clips; fits in seconds once the embeddings are computed.

        ``"statistics"``: the same on log-mel spectrograms and on frames of 8 x 8 pixels. A
        baseline that needs no pretrained network.

        ``"published"``: the squeeze-excitation convolutional recurrent networks of DCASE 2021 task
        1b, trained on the clips. For thousands of clips.
    modalities : sequence of {"audio", "visual"}, default=("audio", "visual")
        What is used of the clips. With both, a clip may lack one, but not with ``"published"``.
    duration : float, default=10.0
        How much of each clip is used, in seconds, greater than 0.
    audio_model : str, path-like or model, default="yamnet"
        The frozen network for sound of ``"embeddings"``, as for `AudioEmbedder`.
    image_model : str, path-like or model, default="vgg16-places365"
        The frozen network for frames, as for `ImageEmbedder`; for ``"published"`` the weights of
        VGG16 as for `VGGPlacesEmbedder`, where the default means ``"places365"``.
    C : float, default=None
        Inverse strength of regularisation of the logistic regressions, greater than 0. None
        chooses it by inner folds over recording locations, which each class needs at least two
        of.
    memory : str, path-like or joblib.Memory, default=None
        A folder in which the features of each clip are kept.
    n_jobs : int, default=None
        Number of clips, and of fits, that are processed at the same time, as in joblib; None is 1.
    on_error : {"raise", "missing"}, default="raise"
        What to do with a file that cannot be read: raise its MediaError, or take it for missing
        and warn. With ``"missing"`` a clip of which nothing can be read is left out of ``fit``, and
        is predicted by the class frequencies; but ``"published"`` takes no such clips.
    random_state : int, default=None
        Seed of inner folds and networks.
    verbose : bool or int, default=0
        Whether to show progress bars.

    Returns
    -------
    sklearn.pipeline.Pipeline
        The steps ``features`` and ``classifier``. Pass recording locations as
        ``pipeline.fit(X, y, classifier__groups=groups)``.

    Raises
    ------
    ValueError
        If a parameter is not one of the above.

    See Also
    --------
    skavsc.evaluation.cross_validate_scenes : Measure how good it is on held-out locations.

    Examples
    --------
    >>> from skavsc import make_scene_classifier
    >>> pipeline = make_scene_classifier("statistics", duration=4.0)
    >>> [name for name, _ in pipeline.steps]
    ['features', 'classifier']
    """
    chosen = tuple(modalities)
    if not chosen or len(set(chosen)) < len(chosen) or not set(chosen) <= {"audio", "visual"}:
        raise ValueError(
            f"modalities={modalities!r}; it must hold 'audio', 'visual' or both, once each"
        )
    shared: dict[str, Any] = {"memory": memory, "n_jobs": n_jobs, "verbose": verbose}
    read: dict[str, Any] = {"duration": duration, "on_error": on_error}
    parts: dict[str, Any] = {}
    if recipe == "embeddings":
        # One frame per second shows what there is to see of a place.
        # Overlapping windows: the loudest moment of a clip is whole in one of them.
        parts["audio"] = AudioEmbedder(audio_model, hop=0.25, **read, **shared)
        parts["visual"] = _picture(ImageEmbedder(image_model, **shared), 1.0, **read)
    elif recipe == "statistics":
        parts["audio"] = GammatoneMelTransformer("mel", **read, **shared)
        parts["visual"] = _picture(PixelEmbedder(**shared), 1.0, size=64, **read)
    else:
        weights = "places365" if image_model == "vgg16-places365" else image_model
        parts["audio"] = GammatoneMelTransformer(**read, **shared)
        parts["visual"] = _picture(VGGPlacesEmbedder(weights, **shared), 5.0, **read)
    features: Any = ModalityUnion([(name, parts[name]) for name in chosen])
    if len(chosen) == 1:
        features = parts[chosen[0]]
    return Pipeline(
        [
            ("features", features),
            ("classifier", _classifier(recipe, chosen, C, n_jobs, on_error, random_state, verbose)),
        ]
    )


def _classifier(
    recipe: str,
    modalities: tuple[str, ...],
    C: float | None,
    n_jobs: int | None,
    on_error: str,
    random_state: int | None,
    verbose: int | bool,
) -> Any:
    """Build the last step of a recipe."""
    if recipe == "published":
        if len(modalities) == 2:
            return SECRNNClassifier(fusion="late", random_state=random_state, verbose=verbose)
        kind = AudioSceneClassifier if modalities == ("audio",) else VisualSceneClassifier
        return kind(random_state=random_state, verbose=verbose)
    branch = _linear_branch(C, random_state)
    # With one branch there is nothing to learn, but clips that lack it are left out and named.
    rule: dict[str, Any] = {"final_estimator": "mean"} if len(modalities) == 1 else {}
    return LateFusionClassifier(
        [(name, branch) for name in modalities],
        **rule,
        cv=LocationFolds(5, random_state=random_state),
        # A broken file often has neither sound nor picture.
        missing="prior" if on_error == "missing" else "raise",
        n_jobs=n_jobs,
    )


class Choice(NamedTuple):
    """A recipe that suits clips, and why.

    Attributes
    ----------
    recipe : str
        The name of the recipe.
    C : float or None
        The strength for `make_scene_classifier`; None chooses it by inner folds.
    reason : str
        Why it suits.

    Examples
    --------
    >>> from skavsc.recipes import Choice
    >>> Choice("statistics", C=0.1, reason="no frozen network is at hand").recipe
    'statistics'
    """

    recipe: str
    C: float | None
    reason: str


def choose_recipe(
    y: ArrayLike,
    groups: ArrayLike | None,
    modalities: Sequence[str],
    *,
    audio_model: Any = None,
    image_model: Any = None,
) -> Choice:
    """Choose a recipe by what there is: frozen networks, and locations a class.

    Parameters
    ----------
    y : array-like of shape (n_clips,)
        The labels.
    groups : array-like of shape (n_clips,) or None
        The recording locations; None takes each clip for one.
    modalities : sequence of {"audio", "visual"}
        What the clips have.
    audio_model, image_model : str, path-like or model, default=None
        The available frozen networks.

    Returns
    -------
    Choice
        ``"embeddings"`` where each modality has a frozen network, ``"statistics"`` otherwise.
        ``"published"`` is never chosen: it takes thousands of clips and hours.

    Examples
    --------
    >>> from skavsc.recipes import choose_recipe
    >>> choice = choose_recipe(["park"] * 20 + ["tram"] * 20, None, ["audio"])
    >>> choice.recipe, choice.C
    ('statistics', None)
    """
    labels = np.asarray(y)
    places = np.arange(len(labels)) if groups is None else np.asarray(groups)
    fewest = min(len(np.unique(places[labels == label])) for label in np.unique(labels))
    # Outer, fusion's and search's folds each need locations of every class on both sides.
    few = fewest < _FEWEST_LOCATIONS
    models = {"audio": audio_model, "visual": image_model}
    without = [name for name in modalities if models[name] is None]
    if without:
        reason = "no frozen network was given for " + " and ".join(without)
        return Choice("statistics", 0.01 if few else None, reason)
    return Choice("embeddings", 0.1 if few else None, "frozen networks are there")
