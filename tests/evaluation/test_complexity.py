"""The published sizes, known numbers of operations, and the parts of pipelines and fusions."""

from types import SimpleNamespace

import keras
import numpy as np
import pytest
from keras import layers
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from skavsc import LateFusionClassifier, ModalityUnion
from skavsc.evaluation import complexity_report
from skavsc.networks import (
    audio_network,
    fusion_network,
    onnx_model,
    vgg16_base,
    visual_network,
)
from skavsc.training import SegmentOnnxClassifier

# What one segment takes: the three blocks of the audio network, by their kernels.
BLOCK1 = 64 * 50 * (9 * 3 * 32 + 9 * 32 * 32 + 3 * 32 + 32) + 2 * 32 * 16
BLOCK2 = 64 * 25 * (9 * 32 * 64 + 9 * 64 * 64 + 32 * 64 + 64) + 2 * 64 * 32
BLOCK3 = 64 * 12 * (9 * 64 * 128 + 9 * 128 * 128 + 64 * 128 + 128) + 2 * 128 * 64
AUDIO = BLOCK1 + BLOCK2 + BLOCK3 + 128 * 10
# Known of VGG16 without its dense layers, at 224 x 224.
VGG16 = 15_346_630_656


def test_published_table():
    audio = complexity_report(audio_network()).loc["whole"]
    assert audio["parameters"] == 323_274
    assert audio["multiply_accumulates"] == AUDIO
    assert audio["bytes"] == 4 * 323_274
    visual = complexity_report(visual_network()).loc["whole"]
    assert (visual["parameters"], visual["trainable_parameters"]) == (14_820_170, 105_482)
    head = 5 * (2 * 3 * 32 * (512 + 32) + 64 * 10)
    assert visual["multiply_accumulates"] == 5 * VGG16 + head
    whole = complexity_report(fusion_network()).loc["whole"]
    assert (whole["parameters"], whole["trainable_parameters"]) == (15_416_148, 272_704)
    fusion = 5 * 2 * 3 * 64 * (640 + 64) + 128 * 10 + 30 * 10
    assert whole["multiply_accumulates"] == AUDIO + 5 * VGG16 + head + fusion


def test_images_of_any_size_have_no_number_of_operations():
    row = complexity_report(vgg16_base((None, None, 3))).loc["whole"]
    assert row["parameters"] == 14_714_688
    assert np.isnan(row["multiply_accumulates"])


def test_recurrent_layers_count_every_step():
    inputs = keras.Input((7, 3))
    last = keras.Model(inputs, layers.GRU(4)(inputs))
    every = keras.Model(inputs, layers.GRU(4, return_sequences=True)(inputs))
    for network in (last, every):
        row = complexity_report(network).loc["whole"]
        assert row["multiply_accumulates"] == 7 * 3 * 4 * (3 + 4)


def test_a_depthwise_convolution():
    inputs = keras.Input((8, 8, 6))
    network = keras.Model(inputs, layers.DepthwiseConv2D(3, padding="same")(inputs))
    row = complexity_report(network).loc["whole"]
    assert row["multiply_accumulates"] == 8 * 8 * 9 * 6


def test_steps_of_a_pipeline_with_times(drawn):
    X, y, _ = drawn
    pipeline = make_pipeline(StandardScaler(), LogisticRegression()).fit(X, y)
    table = complexity_report(pipeline, X)
    assert table.index.tolist() == ["whole", "standardscaler", "logisticregression"]
    assert table["parameters"].tolist() == [15 + 18, 15, 18]
    assert table.loc["logisticregression", "multiply_accumulates"] == 15
    assert (table["ms_per_clip"] > 0).all()
    assert complexity_report(pipeline)["ms_per_clip"].isna().all()
    search = GridSearchCV(pipeline, {"logisticregression__C": [1.0]}, cv=2).fit(X, y)
    assert complexity_report(search)["parameters"].tolist() == table["parameters"].tolist()
    with pytest.raises(ValueError, match="n_repeats=0"):
        complexity_report(pipeline, n_repeats=0)


def test_branches_of_a_fusion(drawn):
    X, y, groups = drawn
    union = ModalityUnion([("audio", StandardScaler()), ("visual", FunctionTransformer(np.abs))])
    fusion = LateFusionClassifier(
        [("audio", LogisticRegression()), ("visual", LogisticRegression())], cv=2
    )
    pipeline = make_pipeline(union, fusion).fit(X, y, latefusionclassifier__groups=groups)
    table = complexity_report(pipeline, X, n_repeats=1)
    assert table.index.tolist() == [
        "whole",
        "modalityunion",
        "modalityunion__audio",
        "modalityunion__visual",
        "latefusionclassifier",
        "latefusionclassifier__audio",
        "latefusionclassifier__visual",
    ]
    assert table.loc["modalityunion__visual", "parameters"] == 0
    assert table.loc["whole", "parameters"] == 15 + 18 + 18


def test_a_classifier_that_was_loaded_as_an_onnx_model():
    graph = onnx_model(audio_network(2, input_shape=(16, 50, 1), filters=(4, 4, 4)))
    classifier = SimpleNamespace(keras_classifier_=SegmentOnnxClassifier(graph, history={}))
    row = complexity_report(classifier).loc["whole"]
    assert (row["parameters"], row["bytes"]) == (0, len(graph))
    assert np.isnan(row["multiply_accumulates"])
