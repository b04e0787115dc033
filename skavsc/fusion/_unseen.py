"""Classes that no clip with a certain set of modalities had in fit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Seen:
    """Which classes the branches know, and which were seen with which of them.

    Attributes
    ----------
    codes : ndarray of shape (n_clips,), int
        The classes of the clips that counted in fit.
    there : ndarray of shape (n_clips, n_branches), bool
        Which branches had each of them.
    known : ndarray of shape (n_branches, n_classes), bool
        Which classes each branch was fitted on.
    prior : ndarray of shape (n_classes,)
        The class frequencies.
    """

    codes: NDArray[np.intp]
    there: Mask
    known: Mask
    prior: Floats

    @classmethod
    def of(
        cls, codes: NDArray[np.intp], there: Mask, weight: Floats, prior: Floats, *, prefit: bool
    ) -> Seen:
        """Note what there is in fit; fitted branches know all classes."""
        counted = weight > 0
        codes, there = codes[counted], there[counted]
        known = np.full((there.shape[1], len(prior)), prefit)
        for branch, has in enumerate(there.T):
            known[branch, codes[has]] = True
        return cls(codes, there, known, prior)

    def completed(
        self, fused: Floats, probabilities: Floats, branches: tuple[int, ...], *, fixed: bool
    ) -> Floats:
        """Give classes that a rule could not learn what the branches that know them say.

        A branch that has never seen a class finds it impossible, and a rule fitted without it does
        so too. Such a class gets its share in the mean over the branches that know it (or its
        frequency, if none does), and the rule decides among the others.

        Parameters
        ----------
        fused : ndarray of shape (n_clips, n_classes)
            What the rule says.
        probabilities : ndarray of shape (n_clips, n_of_these_branches, n_classes)
            What the branches say.
        branches : tuple of int
            The branches that these clips have.
        fixed : bool
            Whether the rule learns nothing, and only the branches must know a class.

        Returns
        -------
        ndarray of shape (n_clips, n_classes)
            Rows sum to 1.
        """
        known = self.known[list(branches)]
        if fixed:
            taught = known.all(axis=0)
        else:
            taught = np.zeros(len(self.prior), dtype=bool)
            taught[self.codes[self.there[:, branches].all(axis=1)]] = True
        if taught.all():
            return fused
        n_knowing = known.sum(axis=0)
        means = (probabilities * known).sum(axis=1) / np.maximum(n_knowing, 1)
        of_nobody = np.where(n_knowing == 0, self.prior, 0)
        means = of_nobody + _scaled(means, 1 - of_nobody.sum())
        left = 1 - means[:, ~taught].sum(axis=1, keepdims=True)
        return np.where(taught, _scaled(fused * taught, left), means)


def _scaled(rows: Floats, total: Any) -> Floats:
    """Give rows that sum to the total, or 0 where they are all 0."""
    return rows / np.maximum(rows.sum(axis=1, keepdims=True), np.finfo(float).tiny) * total
