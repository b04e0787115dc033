"""Displays: what they draw, on given axes or new ones, from estimators and predictions."""

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from skavsc.evaluation import (
    ClassAccuracyDisplay,
    ClipDisplay,
    ReliabilityDisplay,
    SceneConfusionDisplay,
    TrainingDisplay,
)
from skavsc.media import read_frames

mpl.use("Agg")


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def fitted(drawn):
    X, y, _ = drawn
    return LogisticRegression().fit(X, y), X, y


def test_classes_that_are_confused_stand_side_by_side():
    labels = np.array(["airport", "bus", "mall", "park", "tram"])
    # airport and mall are confused, and bus and tram; the alphabet separates both pairs.
    counts = 20 * np.eye(5, dtype=int)
    counts[0, 2] = counts[2, 0] = 9
    counts[1, 4] = counts[4, 1] = 8
    true, predicted = np.nonzero(counts)
    repeats = counts[true, predicted]
    y_true, y_pred = labels[np.repeat(true, repeats)], labels[np.repeat(predicted, repeats)]
    display = SceneConfusionDisplay.from_predictions(y_true, y_pred)
    shown = [label.get_text() for label in display.ax_.get_yticklabels()]
    assert sorted(shown) == labels.tolist()
    assert abs(shown.index("airport") - shown.index("mall")) == 1
    assert abs(shown.index("bus") - shown.index("tram")) == 1
    row, column = shown.index("airport"), shown.index("mall")
    assert display.confusion_matrix[row, column] == pytest.approx(9 / 29)
    given = SceneConfusionDisplay.from_predictions(y_true, y_pred, labels=labels, normalize=None)
    np.testing.assert_array_equal(given.confusion_matrix, counts)
    named = SceneConfusionDisplay.from_predictions(y_true, y_pred, display_labels=list("abcde"))
    letters = [label.get_text() for label in named.ax_.get_yticklabels()]
    assert letters == ["abcde"[labels.tolist().index(label)] for label in shown]


def test_from_estimator_is_from_predictions(fitted):
    model, X, y = fitted
    one = SceneConfusionDisplay.from_estimator(model, X, y)
    two = SceneConfusionDisplay.from_predictions(y, model.predict(X))
    np.testing.assert_array_equal(one.confusion_matrix, two.confusion_matrix)
    first = ReliabilityDisplay.from_estimator(model, X, y)
    second = ReliabilityDisplay.from_predictions(y, model.predict_proba(X))
    np.testing.assert_array_equal(first.prob_true, second.prob_true)


def test_reliability_is_accuracy_against_confidence():
    y_true = np.repeat(["bus", "tram"], [7, 3])
    display = ReliabilityDisplay.from_predictions(y_true, np.tile([0.75, 0.25], (10, 1)))
    assert display.prob_true == pytest.approx([0.7])
    assert display.prob_pred == pytest.approx([0.75])
    assert display.ax_.get_ylabel() == "accuracy"


def test_class_accuracy_of_several_systems(fitted):
    model, X, y = fitted
    figure, ax = plt.subplots()
    predicted = {"model": model.predict(X), "always bus": np.full(len(y), "bus")}
    display = ClassAccuracyDisplay.from_predictions(y, predicted, ax=ax)
    assert display.ax_ is ax
    assert display.figure_ is figure
    assert display.accuracies["always bus"].tolist() == [1, 0, 0]
    assert [text.get_text() for text in ax.get_legend().get_texts()] == list(predicted)
    single = ClassAccuracyDisplay.from_estimator(model, X, y)
    np.testing.assert_array_equal(
        single.accuracies["LogisticRegression"], display.accuracies["model"]
    )


def test_training_stages_follow_each_other(fitted):
    histories = {
        "audio": {"loss": [2, 1], "val_loss": [2, 1.5]},
        "fusion": {"loss": [0.5, 0.4, 0.3]},
    }
    display = TrainingDisplay(histories).plot()
    lines = display.ax_.get_legend_handles_labels()[0]
    assert [line.get_xdata().tolist() for line in lines] == [[1, 2], [1, 2], [3, 4, 5]]
    with pytest.raises(ValueError, match="no network"):
        TrainingDisplay.from_estimator(fitted[0])


def test_a_clip_over_time_beside_its_frames(scenes, segment_classifier):
    def brightness(X):
        return np.stack([read_frames(path, fps=1, size=1)[:2, 0, 0] / 255 for path in X["video"]])

    pipeline = make_pipeline(FunctionTransformer(brightness), segment_classifier)
    pipeline.fit(scenes.X, scenes.y)
    display = ClipDisplay.from_estimator(pipeline, scenes.X.iloc[[3]], n_frames=4)
    assert len(display.frame_axes_) == 4
    lines, labels = display.ax_.get_legend_handles_labels()
    assert sorted(labels) == sorted(scenes.target_names)
    drawn = dict(zip(labels, [line.get_ydata() for line in lines], strict=True))
    expected = pipeline[-1].predict_proba_segments(pipeline[:-1].transform(scenes.X.iloc[[3]]))[0]
    np.testing.assert_allclose(
        np.stack([drawn[label] for label in pipeline.classes_], axis=1), expected
    )
    with pytest.raises(ValueError, match="has 2 rows"):
        ClipDisplay.from_estimator(pipeline, scenes.X[:2])
