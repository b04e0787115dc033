"""Write the inventories of other projects that the documentation refers to.

The build needs no network, so the names that are referred to stand here, with their pages. Run this
script after adding a name.
"""

from pathlib import Path

import sphobjinv

HERE = Path(__file__).parent
PAGES = {
    "joblib": {
        "generated/joblib.{}.html": [
            "class Memory",
            "class Parallel",
            "function dump",
            "function load",
        ],
    },
    # Keras publishes no inventory; its pages have places of other names.
    "keras": {
        "models/model/": ["class Model"],
        "layers/base_layer/": ["class layers.Layer"],
        "ops/": ["module ops"],
        "random/": ["module random"],
        "utils/sklearn_wrappers/": ["class wrappers.SKLearnClassifier"],
    },
    "librosa": {
        "generated/librosa.{}.html": ["function feature.melspectrogram", "function decompose.hpss"],
    },
    "numpy": {
        "reference/generated/numpy.{}.html": [
            "class dtype",
            "class ndarray",
            "function nanmean",
            "function save",
        ],
        "reference/arrays.scalars.html": ["class float32"],
    },
    "pandas": {"reference/api/pandas.{}.html": ["class DataFrame", "class Series"]},
    "python": {
        "library/typing.html": ["class typing.Protocol"],
        "library/collections.abc.html": ["class collections.abc.Callable"],
    },
    "scipy": {"reference/generated/scipy.{}.html": ["function signal.gammatone"]},
    "sklearn": {
        "modules/generated/sklearn.{}.html": [
            "class pipeline.Pipeline",
            "function pipeline.make_pipeline",
            "class calibration.CalibratedClassifierCV",
            "class calibration.CalibrationDisplay",
            "class compose.ColumnTransformer",
            "class ensemble.BaggingClassifier",
            "class ensemble.StackingClassifier",
            "class ensemble.VotingClassifier",
            "class frozen.FrozenEstimator",
            "class linear_model.LogisticRegression",
            "class metrics.ConfusionMatrixDisplay",
            "function metrics.log_loss",
            "class model_selection.GridSearchCV",
            "class model_selection.HalvingRandomSearchCV",
            "class model_selection.GroupKFold",
            "class model_selection.LearningCurveDisplay",
            "class model_selection.StratifiedGroupKFold",
            "function model_selection.cross_val_score",
            "function model_selection.cross_validate",
            "class preprocessing.StandardScaler",
            "class utils.Bunch",
        ],
        "modules/generated/sklearn.metrics.ConfusionMatrixDisplay.html": [
            "method metrics.ConfusionMatrixDisplay.from_predictions",
        ],
        "modules/generated/sklearn.calibration.CalibrationDisplay.html": [
            "method calibration.CalibrationDisplay.from_predictions",
        ],
    },
}


def main() -> None:
    """Write one inventory a project."""
    for project, pages in PAGES.items():
        inventory = sphobjinv.Inventory()
        inventory.project, inventory.version = project, ""
        root = {"python": ""}.get(project, f"{project}.")
        for page, names in pages.items():
            for entry in names:
                role, name = entry.split()
                inventory.objects.append(
                    sphobjinv.DataObjStr(
                        name=root + name,
                        domain="py",
                        role=role,
                        priority="1",
                        uri=page.format(name) + ("" if project == "keras" else "#$"),
                        dispname="-",
                    )
                )
        if project == "sklearn":
            # The docstrings of scikit-learn's methods, which ours inherit, refer to this section.
            inventory.objects.append(
                sphobjinv.DataObjStr(
                    name="accuracy_score",
                    domain="std",
                    role="label",
                    priority="-1",
                    uri="modules/model_evaluation.html#accuracy-score",
                    dispname="Accuracy score",
                )
            )
        text = inventory.data_file(contract=True)
        sphobjinv.writebytes(HERE / f"{project}.inv", sphobjinv.compress(text))


if __name__ == "__main__":
    main()
