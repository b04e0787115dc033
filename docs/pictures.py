"""Make the pictures of the README: what goes in and comes out, and the top of a report.

    python docs/pictures.py scenes

Chromium and its driver must be installed.
"""

import argparse
import shutil
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from PIL import Image
from selenium import webdriver

from skavsc import (
    GammatoneMelTransformer,
    cross_validate_scenes,
    make_scene_classifier,
    make_scenes,
)
from skavsc.media import read_frames

STATIC = Path(__file__).parent / "_static"
MODALITIES = {"sound": ["audio"], "picture": ["visual"], "both": ["audio", "visual"]}


def recipe(modalities, folder):
    return make_scene_classifier(
        "statistics",
        modalities=modalities,
        duration=4.0,
        C=0.1,
        memory=folder / "cache",
        random_state=0,
    )


def draw_clip(scenes, folder, path):
    """Draw a clip of a location that is held out, and what is predicted for it."""
    held_out = np.flatnonzero(scenes.y == "tram")[-1]
    train = scenes.groups != scenes.groups[held_out]
    clip = scenes.X.iloc[[held_out]]
    figure = plt.figure(figsize=(9, 3.4), layout="constrained")
    grid = figure.add_gridspec(2, 4, width_ratios=[1, 1, 1, 2.6], height_ratios=[1, 1.2])
    frames = read_frames(clip["video"].iloc[0], fps=1, duration=3.0)
    for number, frame in enumerate(frames):
        axes = figure.add_subplot(grid[0, number])
        axes.imshow(frame)
        axes.axis("off")
    sound = GammatoneMelTransformer("mel", channels="mono", duration=4.0).fit_transform(clip)[0]
    axes = figure.add_subplot(grid[1, :3])
    axes.imshow(sound[..., 0], origin="lower", aspect="auto", extent=(0, 4, 0, 64), cmap="magma")
    axes.set(xlabel="time (s)", ylabel="mel band", yticks=[0, 32, 64])
    axes = figure.add_subplot(grid[:, 3])
    for k, (name, modalities) in enumerate(MODALITIES.items()):
        model = recipe(modalities, folder)
        model.fit(scenes.X[train], scenes.y[train], classifier__groups=scenes.groups[train])
        rows = np.arange(len(model.classes_)) + 0.26 * (k - 1)
        axes.barh(rows, model.predict_proba(clip)[0], 0.24, label=name)
    axes.set_yticks(range(len(model.classes_)), [str(label) for label in model.classes_])
    axes.set(xlabel="probability", xlim=(0, 1))
    axes.invert_yaxis()
    axes.legend(frameon=False, loc="upper right")
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=100)
    shrink(path)


def shrink(path):
    """Save a PNG with 128 colours."""
    Image.open(path).convert("RGB").quantize(128).save(path, optimize=True)


def take_picture(page, path, width=1000, height=925):
    """Save the top of an HTML page as a small PNG."""
    options = webdriver.ChromeOptions()
    for option in (
        "--headless=new",
        "--no-sandbox",
        "--hide-scrollbars",
        f"--window-size={width},{height}",
    ):
        options.add_argument(option)
    driver = webdriver.ChromeService(shutil.which("chromedriver"))
    browser = webdriver.Chrome(options=options, service=driver)
    try:
        browser.get(page.absolute().as_uri())
        browser.save_screenshot(str(path))
    finally:
        browser.quit()
    shrink(path)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    scenes = make_scenes(folder / "scenes", n_scenes=6, n_locations=6)
    draw_clip(scenes, folder, STATIC / "clip.png")
    report = cross_validate_scenes(
        recipe(MODALITIES["both"], folder),
        scenes.X,
        scenes.y,
        groups=scenes.groups,
        modalities=("audio", "video"),
        name="sound and picture",
    )
    take_picture(report.to_html(folder / "report.html"), STATIC / "report.png")


if __name__ == "__main__":
    main()
