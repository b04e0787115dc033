"""From the files of a clip to the features of both modalities, against how scripts usually do it.

The usual way is that of the published code: ``gammatone.gtgram`` on left, right and difference,
OpenCV's grab and retrieve loop, and Keras ``predict`` of VGG16 with average pooling. Both sides run
in turn, round after round, in one process; the figure is the median of the rounds' ratios. Run it
as ``python benchmarks/bench_whole_clip.py [--rounds 5] [--runtime auto] [--precision auto]``.
"""

from __future__ import annotations

import argparse
import tempfile
import warnings
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
import soundfile
import soxr
from bench_audio import scene, with_gammatone
from bench_visual import SIZE, interleaved, moving_texture, opencv_loop
from sklearn.pipeline import Pipeline

from skavsc import GammatoneMelTransformer, ModalityUnion, VGGPlacesEmbedder, VideoFrameSampler
from skavsc.exceptions import UntrainedWeightsWarning
from skavsc.media import write_clip
from skavsc.networks import vgg16_base
from skavsc.pretrained import open_keras
from skavsc.visual._image_network import preprocess


def usual_way(network: Any, sound_path: Path, picture_path: Path) -> np.ndarray:
    """Compute both features as a script would, and give those of the frames."""
    sound, rate = soundfile.read(sound_path, always_2d=True)
    with_gammatone(soxr.resample(sound, rate, 44_100).T)
    frames = preprocess(opencv_loop(picture_path), "places365")
    return network.predict(frames, batch_size=10, verbose=0)


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--runtime", default="auto")
    parser.add_argument("--precision", default="float32")
    options = parser.parse_args()
    warnings.simplefilter("ignore", UntrainedWeightsWarning)
    with tempfile.TemporaryDirectory() as folder:
        sound_path, picture_path = Path(folder) / "clip.wav", Path(folder) / "clip.mp4"
        soundfile.write(sound_path, soxr.resample(scene().T, 44_100, 48_000), 48_000, "PCM_24")
        write_clip(picture_path, moving_texture(np.random.default_rng(0)), 30, quality=20)
        clip = pd.DataFrame({"audio": [str(sound_path)], "video": [str(picture_path)]})
        embedder = VGGPlacesEmbedder(None, runtime=options.runtime, precision=options.precision)
        picture = Pipeline([("frames", VideoFrameSampler()), ("embedding", embedder)])
        features = ModalityUnion([("audio", GammatoneMelTransformer()), ("visual", picture)])
        # Both sides warm: kernels compiled, networks open and traced.
        ours = features.fit_transform(clip)["visual"][0]
        fitted = features.named_transformers_["visual"]["embedding"]
        base = vgg16_base((SIZE, SIZE, 3))
        base.set_weights(open_keras("vgg16", None, fitted.seed_).model.get_weights())
        pooled = keras.layers.GlobalAveragePooling2D()(base.output)
        network = keras.Model(base.inputs, pooled)
        theirs = usual_way(network, sound_path, picture_path)
        usual, own, ratio = interleaved(
            lambda: usual_way(network, sound_path, picture_path),
            lambda: features.transform(clip),
            options.rounds,
        )
    deviation = np.abs(ours - theirs).max() / np.abs(theirs).max()
    print(
        f"usual way {usual:.2f} s, skavsc with {fitted.runtime_} in {fitted.precision_} "
        f"{own:.2f} s, {ratio}"
    )
    print(f"largest deviation of the embeddings, of the largest value: {deviation:.1e}")


if __name__ == "__main__":
    main()
