"""Weights: the published layout, files that do not fit, and fetching by name."""

import dataclasses
import http.server
import threading

import h5py
import numpy as np
import pytest

from skavsc.exceptions import WeightsError, WeightsNotFoundError
from skavsc.networks import squeezenet11_base, vgg16_base
from skavsc.pretrained import _registry as registry
from skavsc.pretrained._weights import draw_weights, load_weights
from skavsc.visual import ImageEmbedder, VGGPlacesEmbedder

NAME = "vgg16-places365_weights_tf_dim_ordering_tf_kernels_notop.h5"


@pytest.fixture(autouse=True)
def cache_dir(tmp_path, monkeypatch):
    monkeypatch.setenv("SKAVSC_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


def write_keras2(path, network, root="", encode=str):
    """Write the layout of Keras 2, as the published file has it."""
    with h5py.File(path, "w") as file:
        place = file.create_group(root) if root else file
        layers = [layer for layer in network.layers if "images" not in layer.name]
        place.attrs["layer_names"] = [encode(layer.name) for layer in layers]
        for layer in layers:
            group = place.create_group(layer.name)
            names = [f"{layer.name}/{kind}:0" for kind in ("kernel", "bias")]
            names = names[: len(layer.weights)]
            group.attrs["weight_names"] = [encode(name) for name in names]
            for name, array in zip(names, layer.get_weights(), strict=True):
                group[name] = array
    return path


@pytest.fixture(scope="module")
def network():
    network = vgg16_base((32, 32, 3))
    draw_weights(network, 3)
    return network


@pytest.fixture(scope="module")
def published(network, tmp_path_factory):
    return write_keras2(tmp_path_factory.mktemp("published") / NAME, network, encode=str.encode)


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).integers(0, 256, (1, 1, 32, 32, 3), dtype=np.uint8)


def features_of(network, images):
    return ImageEmbedder(network, preprocessing="places365").fit_transform(images)


def test_published_layout(published, network, images):
    features = VGGPlacesEmbedder(published).fit_transform(images)
    np.testing.assert_allclose(features, features_of(network, images), rtol=1e-5, atol=1e-4)


def test_other_layouts(network, tmp_path):
    expected = network.get_weights()
    paths = [
        write_keras2(tmp_path / "whole.h5", network, root="model_weights"),
        tmp_path / "keras3.weights.h5",
        tmp_path / "plain.npz",
    ]
    network.save_weights(paths[1])
    arrays = {
        f"{layer.name}/{kind}": array
        for layer in network.layers
        for kind, array in zip(("kernel", "bias"), layer.get_weights(), strict=False)
    }
    arrays["predictions/kernel"] = np.zeros((512, 365), dtype=np.float32)
    np.savez(paths[2], **arrays)
    for path in paths:
        other = vgg16_base((None, None, 3))
        load_weights(other, path)
        for ours, theirs in zip(other.get_weights(), expected, strict=True):
            np.testing.assert_array_equal(ours, theirs)


def test_differences_are_named(published, tmp_path):
    with h5py.File(published) as source, h5py.File(tmp_path / "odd.h5", "w") as target:
        for name in source:
            if name != "block3_conv2":
                source.copy(name, target)
        target.attrs["layer_names"] = [n for n in source.attrs["layer_names"] if n in target]
        kernel = target["block1_conv1/block1_conv1/kernel:0"]
        turned = kernel[()].transpose(3, 2, 0, 1)
        del target["block1_conv1/block1_conv1/kernel:0"]
        target["block1_conv1/block1_conv1/kernel:0"] = turned
    message = (
        r"odd\.h5 does not fit vgg16: block1_conv1 is \[\(64, 3, 3, 3\), \(64,\)\] in the file, "
        r"not \[\(3, 3, 3, 64\), \(64,\)\]; block3_conv2 is not in the file"
    )
    with pytest.raises(WeightsError, match=message):
        load_weights(vgg16_base((32, 32, 3)), tmp_path / "odd.h5")


def test_weights_of_another_network(published):
    with pytest.raises(WeightsError, match=r"does not fit squeezenet11: conv1 is not in .* more"):
        load_weights(squeezenet11_base(), published)


@pytest.mark.parametrize("name", ["a.h5", "a.npz", "a.weights.h5"])
def test_damaged_file(tmp_path, name, published):
    path = tmp_path / name
    path.write_bytes(published.read_bytes()[:10_000])
    with pytest.raises(WeightsError, match=f"{name} cannot be read as weights"):
        VGGPlacesEmbedder(path).fit([None])


def test_hdf5_of_another_layout(tmp_path):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["data"] = np.zeros(3)
    with pytest.raises(WeightsError, match="no layer names"):
        VGGPlacesEmbedder(tmp_path / "x.h5").fit([None])


def test_missing_file_names_what_is_known():
    with pytest.raises(WeightsNotFoundError, match=r"'gone\.h5' is neither .*vgg16 .*places365"):
        VGGPlacesEmbedder("gone.h5").fit([None])
    with pytest.raises(WeightsNotFoundError, match="there are none"):
        ImageEmbedder("squeezenet11", weights="places365").fit([None])


def test_weights_that_changed_after_fit(published, tmp_path, images):
    path = tmp_path / NAME
    path.write_bytes(published.read_bytes())
    embedder = VGGPlacesEmbedder(path).fit(images)
    changed = vgg16_base((32, 32, 3))
    draw_weights(changed, 9)
    write_keras2(path, changed)
    with pytest.raises(WeightsError, match="not those of fit"):
        embedder.transform(images)


# Files that reach for others, or promise what they do not hold.


def test_hdf5_that_points_to_other_files(published, tmp_path):
    other = tmp_path / "other.h5"
    with h5py.File(other, "w") as file:
        file["secret"] = np.zeros((3, 3, 3, 64), dtype=np.float32)
    place = "block1_conv1/block1_conv1/kernel:0"
    for name in ("link", "storage", "virtual"):
        path = tmp_path / f"{name}.h5"
        path.write_bytes(published.read_bytes())
        with h5py.File(path, "a") as file:
            shape = file[place].shape
            del file[place]
            if name == "link":
                file[place] = h5py.ExternalLink(str(other), "secret")
            elif name == "storage":
                outside = [(str(tmp_path / "raw.bin"), 0, h5py.h5f.UNLIMITED)]
                file.create_dataset(place, shape, "f4", external=outside)
            else:
                layout = h5py.VirtualLayout(shape, "f4")
                layout[...] = h5py.VirtualSource(str(other), "secret", shape=shape)
                file.create_virtual_dataset(place, layout)
        with pytest.raises(WeightsError, match=r"kernel:0.*(link to another|in another file)"):
            VGGPlacesEmbedder(path).fit([None])


@pytest.mark.parametrize("name", ["a.h5", "a.weights.h5"])
def test_small_file_that_promises_gigabytes(tmp_path, network, name):
    path = tmp_path / name
    if name == "a.h5":
        write_keras2(path, network)
        place = "block1_conv1/block1_conv1/kernel:0"
    else:
        network.save_weights(path)
        place = "layers/conv2d/vars/0"
    with h5py.File(path, "a") as file:
        assert place in file
        del file[place]
        file.create_dataset(place, (3, 3, 3, 1 << 30), "f4", chunks=(3, 3, 3, 64))
    with pytest.raises(WeightsError, match=r"1073741824"):
        load_weights(vgg16_base((32, 32, 3)), path)


# Fetching by name. The network is a server on this machine.


@pytest.fixture
def server(published, monkeypatch):
    """Serve the folder of the generated file, at the address of the registry's entry."""
    requests = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args):
            super().__init__(*args, directory=published.parent)

        def log_message(self, *args):
            requests.append(self.path)

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as httpd:
        threading.Thread(target=httpd.serve_forever, daemon=True).start()
        use_file(monkeypatch, url=f"http://127.0.0.1:{httpd.server_port}/{NAME}")
        yield requests
        httpd.shutdown()


def use_file(monkeypatch, **changes):
    entry = registry.REGISTRY["vgg16-places365"]
    file = dataclasses.replace(entry.files[0], **changes)
    monkeypatch.setitem(registry.REGISTRY, entry.name, dataclasses.replace(entry, files=(file,)))


def test_fetched_once_at_fit(server, cache_dir, network, images):
    embedder = VGGPlacesEmbedder()
    assert not server
    features = embedder.fit_transform(images)
    np.testing.assert_allclose(features, features_of(network, images), rtol=1e-5, atol=1e-4)
    assert (cache_dir / "weights" / NAME).is_file()
    VGGPlacesEmbedder().fit(images)
    assert server == [f"/{NAME}"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"sha256": "0" * 64}, "hash"), ({"size": 7}, "bytes and not 7")],
)
def test_wrong_file_is_not_kept(server, monkeypatch, cache_dir, changes, message):
    use_file(monkeypatch, **changes)
    with pytest.raises(WeightsNotFoundError, match=f"{message}.*put it at"):
        VGGPlacesEmbedder().fit([None])
    assert not (cache_dir / "weights" / NAME).exists()


def test_login_page_is_not_kept(server, monkeypatch, cache_dir, published):
    page = published.with_name("login.html")
    page.write_text("<!doctype html><title>Log in</title>")
    entry = registry.REGISTRY["vgg16-places365"].files[0]
    use_file(monkeypatch, url=entry.url.replace(NAME, page.name))
    with pytest.raises(WeightsNotFoundError, match=r"web page .*put it at .*weights="):
        VGGPlacesEmbedder().fit([None])
    assert not (cache_dir / "weights" / NAME).exists()


def test_wrong_file_that_is_there_already(cache_dir):
    place = cache_dir / "weights" / NAME
    place.parent.mkdir(parents=True)
    place.write_text("<html>Log in</html>")
    with pytest.raises(WeightsNotFoundError, match="is not the file of vgg16-places365: it is a w"):
        VGGPlacesEmbedder().fit([None])


def test_without_a_network(monkeypatch, cache_dir, published, images):
    use_file(monkeypatch, url=f"http://127.0.0.1:9/{NAME}")
    place = cache_dir / "weights" / NAME
    with pytest.raises(WeightsNotFoundError) as caught:
        VGGPlacesEmbedder().fit(images)
    assert f"put it at {place}, or pass weights=" in str(caught.value)
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(published.read_bytes())
    assert np.isfinite(VGGPlacesEmbedder().fit_transform(images)).all()


def test_address_of_the_published_file():
    (file,) = registry.REGISTRY["vgg16-places365"].files
    assert file.name == NAME
    assert file.url.startswith("https://github.com/GKalliatakis/Keras-VGG16-places365/releases/")
