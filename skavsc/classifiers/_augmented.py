"""Estimators with a list of augmentations, whose parameters they have as nested parameters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

from sklearn.base import BaseEstimator

from skavsc._sklearn_compat import DocLinkMixin
from skavsc.training import ClipFeatures
from skavsc.training.augmentation import Augmentation


class AugmentedEstimator(DocLinkMixin, BaseEstimator):
    """Base of estimators with the parameter ``augmentation``: a list, or "published"."""

    augmentation: Sequence[Augmentation] | str

    def _published_augmentation(self) -> list[Augmentation]:
        """Return the augmentations of the published system."""
        return []

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the parameters.

        Parameters
        ----------
        deep : bool, default=True
            Whether to return those of nested objects too, such as
            ``augmentation__mixup__alpha``.

        Returns
        -------
        dict of str to any
            The values by name.
        """
        params = super().get_params(deep)
        if deep:
            for name, augmentation in self._named_augmentation().items():
                for key, value in augmentation.get_params().items():
                    params[f"augmentation__{name}__{key}"] = value
        return params

    def set_params(self, **params: Any) -> Self:
        """Set parameters.

        Parameters
        ----------
        **params : objects
            The values by name; names may be nested, such as ``augmentation__mixup__alpha``.

        Returns
        -------
        object
            This classifier.

        Raises
        ------
        ValueError
            If there is no such parameter.
        """
        nested = {key: params.pop(key) for key in list(params) if key.startswith("augmentation__")}
        super().set_params(**params)
        if nested:
            named = self._named_augmentation()
            if self.augmentation == "published":
                self.augmentation = list(named.values())
            for key, value in nested.items():
                name, _, parameter = key.removeprefix("augmentation__").partition("__")
                if name not in named or not parameter:
                    raise ValueError(
                        f"Invalid parameter {key!r} for estimator {self}: its augmentations are "
                        f"{list(named)}"
                    )
                named[name].set_params(**{parameter: value})
        return self

    def _augmentation_steps(self) -> list[Any]:
        if isinstance(self.augmentation, list | tuple):
            return list(self.augmentation)
        # What is neither is refused in fit.
        return self._published_augmentation()

    def _named_augmentation(self) -> dict[str, Augmentation]:
        """Return the augmentations by the lower-case names of their classes."""
        steps = [step for step in self._augmentation_steps() if isinstance(step, Augmentation)]
        names = [type(step).__name__.lower() for step in steps]
        return {
            name if names.count(name) == 1 else f"{name}-{names[: index + 1].count(name)}": step
            for index, (name, step) in enumerate(zip(names, steps, strict=True))
        }

    def _check_augmentation(self, features: ClipFeatures) -> None:
        """Raise if an augmentation would change nothing, or does not fit the features."""
        shapes = {name: part.segment_shape for name, part in features.modalities.items()}
        for step in self._augmentation_steps():
            if not isinstance(step, Augmentation):
                raise TypeError(
                    f"augmentation holds {step!r}; each must be a "
                    "skavsc.training.augmentation.Augmentation"
                )
            if step.modality not in (None, *shapes):
                raise ValueError(
                    f"augmentation holds {step!r}, which changes the modality {step.modality!r}; "
                    f"{type(self).__name__} takes {' and '.join(shapes)}"
                )
            if step.on_frames and getattr(self, "fine_tune", None) != "all":
                raise ValueError(
                    f"augmentation holds {step!r}, which changes frames; only "
                    'fine_tune="all" trains on frames'
                )
            step.check(shapes)
