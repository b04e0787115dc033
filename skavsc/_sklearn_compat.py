"""Every private name of scikit-learn that skavsc uses, in one place.

They are tested with the oldest and the newest supported version; where a name has moved between
versions, it is looked up here.
"""

import os
import sys
from typing import Any

from sklearn.base import _fit_context
from sklearn.ensemble._base import _BaseHeterogeneousEnsemble
from sklearn.model_selection._search import BaseSearchCV
from sklearn.model_selection._split import GroupsConsumerMixin
from sklearn.utils import _safe_indexing
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions, validate_params
from sklearn.utils._repr_html.estimator import _VisualBlock
from sklearn.utils.metadata_routing import _raise_for_params, _routing_enabled
from sklearn.utils.metaestimators import _BaseComposition
from sklearn.utils.validation import (
    _check_feature_names_in,
    _check_response_method,
    _check_sample_weight,
    _num_samples,
)


def accepts_sample_weight(scorer: Any) -> bool:
    """Return whether the metric of a scorer takes ``sample_weight``."""
    return scorer._accept_sample_weight()


class DocLinkMixin:
    """Link the HTML diagram of an estimator to its page of the API reference.

    The environment variable ``SKAVSC_DOCS_URL`` says where the documentation is, such as
    ``https://docs.example.org/skavsc``; without it there is no link.
    """

    _doc_link_module = "skavsc"

    def _get_doc_link(self) -> str:
        """Return the address of the page, or the empty string, which scikit-learn does not link."""
        address = os.environ.get("SKAVSC_DOCS_URL", "").rstrip("/")
        kind = type(self)
        if not address or kind.__module__.partition(".")[0] != self._doc_link_module:
            return ""
        # Pages have the names under which estimators are imported.
        room = kind.__module__.partition("._")[0]
        if kind.__name__ in dir(sys.modules[self._doc_link_module]):
            room = self._doc_link_module
        return f"{address}/api/generated/{room}.{kind.__name__}.html"


__all__ = [
    "BaseSearchCV",
    "DocLinkMixin",
    "GroupsConsumerMixin",
    "HasMethods",
    "Interval",
    "StrOptions",
    "_BaseComposition",
    "_BaseHeterogeneousEnsemble",
    "_VisualBlock",
    "_check_feature_names_in",
    "_check_response_method",
    "_check_sample_weight",
    "_fit_context",
    "_num_samples",
    "_raise_for_params",
    "_routing_enabled",
    "_safe_indexing",
    "accepts_sample_weight",
    "validate_params",
]
