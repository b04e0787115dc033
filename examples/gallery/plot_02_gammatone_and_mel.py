"""
Gammatone against mel
=====================

Two filterbanks for the same sound: filters modelled on the inner ear, and the triangles on the mel scale
that most audio systems use.
"""

# %%
# The same clip through both
# --------------------------
# Gammatone levels are in dB relative to full scale, so a quiet clip stays quiet. Log-mel levels are
# relative to the loudest value of the clip, so the level of the recording does not matter.

import matplotlib.pyplot as plt
import numpy as np

from skavsc import GammatoneMelTransformer, make_scenes
from skavsc.audio import plot_clip

scenes = make_scenes(
    "scenes", n_scenes=5, n_locations=8, clips_per_location=2, duration=2.0, size=(160, 120)
)
clip = scenes.X[scenes.y == "park"].iloc[[0]]
banks = {
    name: GammatoneMelTransformer(name, channels="mono", duration=2.0, memory="cache")
    for name in ("gammatone", "mel")
}
figure, axes = plt.subplots(2, 1, figsize=(8, 6), layout="constrained")
for (name, bank), axis in zip(banks.items(), axes, strict=True):
    features = bank.fit_transform(clip)
    plot_clip(features[0], bank, axes=[axis])
    axis.set_title(name)
plt.show()

# %%
# Where the bands are
# -------------------
# Gammatone bands follow the ERB scale of hearing and crowd at low frequencies. Mel bands are evenly spaced
# up to 1 kHz, and evenly on a logarithmic scale above.

figure, axis = plt.subplots(figsize=(7, 3.6), layout="constrained")
for name, bank in banks.items():
    centres = np.sort(bank.centre_frequencies_)
    axis.plot(centres, label=name)
    print(f"{name:>9}: {np.sum(centres < 1000)} of {len(centres)} bands below 1 kHz")
axis.set(yscale="log", ylim=(30, None), xlabel="band", ylabel="centre frequency / Hz")
axis.legend()
plt.show()

# %%
# What a click and a tone become
# ------------------------------
# A gammatone filter rings for some time after a click, and the longer, the lower its band is. A window of the
# Fourier transform has the same length for all bands.

rate = 44_100
sound = 1e-3 * np.random.default_rng(0).normal(size=rate)
sound[rate // 4] = 1.0
sound[rate // 2 :] += 0.3 * np.sin(2 * np.pi * 440 * np.arange(rate // 2) / rate)
figure, axes = plt.subplots(2, 1, figsize=(8, 6), layout="constrained")
for name, axis in zip(banks, axes, strict=True):
    short = GammatoneMelTransformer(name, channels="mono", duration=1.0, window=0.02, hop=0.01)
    plot_clip(short.fit_transform([sound])[0], short, axes=[axis])
    axis.set_title(f"{name}: click at 0.25 s, tone from 0.5 s")
plt.show()
