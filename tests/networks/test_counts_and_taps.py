"""The published sizes: every count of the table, every shape on the way."""

import keras
import numpy as np
import pytest
from keras.ops import convert_to_numpy

from skavsc.networks import audio_network, fusion_network, vgg16_base, visual_network
from skavsc.networks._secrnn import with_backbone


def trainable(network):
    return sum(int(np.prod(weight.shape)) for weight in network.trainable_weights)


@pytest.mark.parametrize(
    ("build", "total", "trained"),
    [
        (audio_network, 323_274, 321_930),
        (visual_network, 14_820_170, 105_482),
        (fusion_network, 15_416_148, 272_704),
        (lambda: fusion_network(readout="early"), 15_309_066, 272_394),
        (
            lambda: fusion_network(
                visual=visual_network(train_backbone=True), train_subnetworks=True
            ),
            15_416_148,
            15_414_804,
        ),
    ],
    ids=["audio", "visual", "late", "early", "unfrozen"],
)
def test_parameter_counts(build, total, trained):
    network = build()
    assert network.count_params() == total
    assert trainable(network) == trained


@pytest.mark.parametrize(
    ("reduction", "total"), [(1, 344_778), (2, 323_274), (4, 312_522), (8, 307_146), (16, 304_458)]
)
def test_reduction_ratio_sets_the_count_of_the_audio_network(reduction, total):
    assert audio_network(reduction=reduction).count_params() == total


@pytest.mark.parametrize(
    ("readout", "total", "trained"), [("late", 15_416_148, 272_704), ("early", 15_309_066, 272_394)]
)
def test_a_backbone_in_front_gives_the_counts_of_the_whole(readout, total, trained):
    backbone = vgg16_base((None, None, 3))
    backbone.trainable = False
    network = fusion_network(readout=readout, visual=visual_network(backbone=None))
    whole = with_backbone(network, backbone)
    assert [tuple(given.shape[1:]) for given in whole.inputs] == [(64, 50, 3), (5, 224, 224, 3)]
    assert whole.count_params() == total
    assert trainable(whole) == trained


def test_a_backbone_in_front_equals_features_first_and_frames_may_be_missing():
    head = visual_network(4, backbone=None)
    base = vgg16_base((32, 64, 3))
    whole = with_backbone(head, base, image_size=(32, 64), pooling="max", preprocessing="none")
    frames = np.random.default_rng(0).integers(0, 256, size=(2, 5, 32, 64, 3)).astype("float32")
    frames[1, 3] = -1
    maps = convert_to_numpy(base(frames.reshape(-1, 32, 64, 3)))
    features = maps.max(axis=(1, 2)).reshape(2, 5, 512)
    features[1, 3] = 0
    np.testing.assert_allclose(
        convert_to_numpy(whole(frames)), convert_to_numpy(head(features)), rtol=1e-4, atol=1e-5
    )


def test_a_backbone_of_another_width_is_refused():
    with pytest.raises(ValueError, match="gives 512 features a frame, visual_network takes 64"):
        with_backbone(visual_network(backbone=None, n_features=64), vgg16_base((None, None, 3)))


def test_shapes_inside_the_audio_network():
    network = audio_network()
    shapes = [tuple(network.get_layer(f"audio_block{b}_pool").output.shape[1:]) for b in (1, 2, 3)]
    assert shapes == [(64, 25, 32), (64, 12, 64), (64, 12, 128)]


@pytest.fixture(scope="module")
def network():
    """Both networks fused late, without an image network, untrained."""
    return fusion_network(visual=visual_network(backbone=None))


def test_taps_of_fusion(network):
    tap = network.get_layer("early_audio_tap")
    assert tuple(tap.input.shape[1:]) == (12, 128)
    assert tuple(tap.output.shape[1:]) == (5, 128)
    assert tuple(network.get_layer("early_taps").output.shape[1:]) == (5, 640)
    assert tuple(network.get_layer("late_scores_joined").output.shape[1:]) == (30,)


def test_audio_tap_is_the_mean_over_bands_then_windows_of_three(network):
    probe = keras.Model(
        network.inputs,
        [
            network.get_layer("audio_block3_output").output,
            network.get_layer("early_audio_tap").output,
        ],
    )
    rng = np.random.default_rng(0)
    inputs = [rng.normal(size=(2, 64, 50, 3)), rng.normal(size=(2, 5, 512))]
    maps, tap = (convert_to_numpy(output) for output in probe(inputs))
    over_bands = maps.mean(axis=1)
    expected = np.stack([over_bands[:, s : s + 3].mean(axis=1) for s in range(0, 10, 2)], axis=1)
    np.testing.assert_allclose(tap, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("readout", ["late", "early"])
def test_probabilities_sum_to_one(readout):
    network = fusion_network(3, readout=readout, visual=visual_network(3, backbone=None))
    rng = np.random.default_rng(0)
    output = convert_to_numpy(
        network([rng.normal(size=(4, 64, 50, 3)), rng.normal(size=(4, 5, 512))])
    )
    assert output.shape == (4, 3)
    assert (output >= 0).all()
    np.testing.assert_allclose(output.sum(axis=1), 1, rtol=1e-5)


def test_visual_network_with_backbone_equals_backbone_then_head():
    whole = visual_network(4, image_size=32)
    head = visual_network(4, backbone=None)
    head.set_weights(whole.get_weights()[-len(head.get_weights()) :])
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 256, size=(2, 5, 32, 32, 3)).astype("float32")
    base = whole.get_layer("vgg16")
    means = np.array([104.006, 116.669, 122.679], "float32")
    one_by_one = [
        convert_to_numpy(base(image[None, :, :, ::-1] - means))
        for image in frames.reshape(-1, 32, 32, 3)
    ]
    features = np.concatenate(one_by_one).mean(axis=(1, 2)).reshape(2, 5, 512)
    np.testing.assert_allclose(
        convert_to_numpy(whole(frames)), convert_to_numpy(head(features)), rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: fusion_network(readout="middle"), "readout='middle'"),
        (lambda: visual_network(backbone="alexnet"), "backbone='alexnet'"),
        (lambda: visual_network(image_size=32, pooling="sum"), "pooling='sum'"),
        (lambda: visual_network(image_size=32, preprocessing="caffe"), "caffe"),
        (lambda: audio_network(filters=(32, 64)), "filters"),
        (lambda: audio_network(filters=(4, 64, 64), reduction=8), "reduction=8"),
        (
            lambda: fusion_network(visual=visual_network(backbone=None, n_frames=7)),
            "5 steps per segment and the visual network 7",
        ),
    ],
)
def test_unknown_values_are_named(build, message):
    with pytest.raises(ValueError, match=message):
        build()


def test_untrained_late_fusion_follows_the_mean_of_the_three_scores(network):
    probe = keras.Model(
        network.inputs, [network.get_layer("late_scores_joined").output, network.output]
    )
    rng = np.random.default_rng(0)
    joined, late = probe([rng.normal(size=(20, 64, 50, 3)), rng.normal(size=(20, 5, 512))])
    mean = convert_to_numpy(joined).reshape(20, 3, 10).mean(axis=1)
    np.testing.assert_array_equal(convert_to_numpy(late).argmax(axis=1), mean.argmax(axis=1))


def test_scaled_frames_do_not_depend_on_the_scale_of_the_image_network():
    network = visual_network(3, backbone=None, scale_frames=True)
    assert network.count_params() == visual_network(3, backbone=None).count_params()
    features = np.random.default_rng(0).normal(size=(4, 5, 512)).astype("float32")
    np.testing.assert_allclose(
        convert_to_numpy(network(300 * features + 40)),
        convert_to_numpy(network(features)),
        atol=1e-3,
    )
