"""The HTML report as browsers show it: in Chromium, light, dark, on a phone and on paper."""

import shutil
from html.parser import HTMLParser
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from sklearn.dummy import DummyClassifier

from skavsc.evaluation import cross_validate_scenes, scene_report, write_report

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
# A label that is no HTML and no formula.
ODD = 'caf\u00e9 <b>& "$x$"</b>'


class Outline(HTMLParser):
    """The elements of a page, in order, with their attributes."""

    def __init__(self, text):
        super().__init__()
        self.elements = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def __getitem__(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture(scope="module")
def report(scenes, media_pipeline):
    labels = np.where(scenes.y == scenes.target_names[0], ODD, scenes.y)
    X = scenes.X.assign(city=np.where(np.arange(len(scenes.X)) % 2, "Lyon", "Oslo"))
    found = cross_validate_scenes(
        media_pipeline, X, labels, groups=scenes.groups, cv=2, modalities=("audio", "video")
    )
    found.histories = [{"audio": {"loss": [2.0, 1.0], "val_loss": [2.0, 1.5]}}, {}]
    return found


@pytest.fixture(scope="module")
def page(report, tmp_path_factory):
    chance = cross_validate_scenes(
        DummyClassifier(), report.clips, report.y, groups=report.groups, cv=2, name="chance"
    )
    complexity = pd.DataFrame({"parameters": [1234567, np.nan]}, index=["whole", "scaler"])
    # Clips whose files are gone, and one that has no sound, have their place too.
    report.clips.loc[report.errors().index[0], "audio"] = None
    report.clips.loc[report.errors().index[1], "video"] = "gone.mp4"
    return report.to_html(
        tmp_path_factory.mktemp("report") / "report.html",
        others=[chance],
        by=["city"],
        complexity=complexity,
        how_to_repeat="skavsc evaluate clips",
        n_errors=3,
        n_label_errors=4,
    )


@pytest.fixture(scope="module")
def browser():
    if CHROMIUM is None or DRIVER is None:
        pytest.skip("needs chromium and chromedriver")
    webdriver = pytest.importorskip("selenium.webdriver")
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for argument in (
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--autoplay-policy=no-user-gesture-required",
    ):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options, webdriver.ChromeService(DRIVER))
    yield driver
    driver.quit()


def show(browser, page, width, colours="light"):
    features = [{"name": "prefers-color-scheme", "value": colours}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 500},
    )
    browser.get(page.as_uri())


def test_figures_and_texts_are_those_of_the_report(page, report):
    text = page.read_text(encoding="utf-8")
    clips = report.summary().loc["clips"]
    assert f"{100 * clips['accuracy']:.1f}\u00a0% of {len(report.y)} clips" in text
    assert f"{clips['macro_log_loss']:.3f}" in text
    for expected in ("video alone", "audio alone", "guessing", "By city", "1,234,567", "chance"):
        assert expected in text
    assert "skavsc evaluate clips" in text
    assert "scikit-learn" in text
    assert "<b>&" not in text
    assert "The picture cannot be read" in text


def test_nothing_is_loaded_and_no_script_runs(page):
    outline = Outline(page.read_text(encoding="utf-8"))
    assert not outline["script"]
    for tag in ("img", "audio"):
        assert outline[tag]
        assert all(element["src"].startswith("data:") for element in outline[tag])
    assert [link["href"] for link in outline["link"]] == ["data:,"]
    assert all(link["href"].startswith("#") for link in outline["a"])


def test_is_readable_without_eyes_and_mouse(page):
    outline = Outline(page.read_text(encoding="utf-8"))
    levels = [int(tag[1]) for tag, _ in outline.elements if tag in ("h1", "h2", "h3")]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    assert all(image["alt"] for image in outline["img"])
    assert all(sound["aria-label"] for sound in outline["audio"])
    assert all(plot["aria-label"] for plot in outline["svg"])
    assert len(outline["svg"]) == 4
    # What scrolls can be reached by the keyboard, and every link leads somewhere.
    scrolling = [element for element in outline["div"] if element.get("class") == "scroll"]
    assert all(element["tabindex"] == "0" for element in scrolling)
    names = [attributes["id"] for _, attributes in outline.elements if "id" in attributes]
    assert {link["href"][1:] for link in outline["a"]} <= set(names)
    assert len(set(names)) == len(names)


@pytest.mark.parametrize(("width", "colours"), [(1200, "light"), (1200, "dark"), (360, "light")])
def test_fits_the_screen_without_errors(browser, page, width, colours):
    show(browser, page, width, colours)
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    assert browser.get_log("browser") == []
    sizes = browser.execute_script(
        "return [...document.images].map(image => [image.complete, image.naturalWidth])"
    )
    assert sizes
    assert all(complete and natural > 0 for complete, natural in sizes)
    colour = browser.execute_script(
        "return getComputedStyle(document.documentElement).backgroundColor"
    )
    brightness = sum(int(part) for part in colour[4:-1].split(",")) / 3
    assert (brightness > 200) == (colours == "light")


def test_sound_plays(browser, page):
    show(browser, page, 1200)
    browser.set_script_timeout(20)
    times = browser.execute_async_script(
        """
        const done = arguments[arguments.length - 1];
        Promise.all([...document.querySelectorAll("audio")].map(async sound => {
            sound.muted = true;
            await sound.play();
            await new Promise(later => {
                sound.ontimeupdate = () => sound.currentTime && later();
            });
            return [sound.currentTime, sound.duration];
        })).then(done, error => done(String(error)));
        """
    )
    assert isinstance(times, list), times
    assert len(times) >= 3
    for played, duration in times:
        assert played > 0
        # MP3 has whole frames, with some padding.
        assert duration == pytest.approx(1, abs=0.15)


def test_text_can_be_read_against_its_background(browser, page):
    contrast = """
        const luminance = colour => {
            const parts = colour.match(/[\\d.]+/g).slice(0, 3).map(value => {
                const share = value / 255;
                return share <= 0.03928 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
            });
            return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2];
        };
        const background = luminance(
            getComputedStyle(document.querySelector(".card")).backgroundColor);
        return [".card p", ".card .small", "nav a"].map(name => {
            const text = luminance(getComputedStyle(document.querySelector(name)).color);
            return (Math.max(text, background) + 0.05) / (Math.min(text, background) + 0.05);
        });
    """
    for colours in ("light", "dark"):
        show(browser, page, 1200, colours)
        # The bound of the Web Content Accessibility Guidelines, level AA.
        assert min(browser.execute_script(contrast)) > 4.5


def test_prints(browser, page):
    show(browser, page, 1200)
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    hidden = browser.execute_script(
        "return ['nav', 'audio'].map(n => getComputedStyle(document.querySelector(n)).display)"
    )
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})
    assert hidden == ["none", "none"]


def test_a_thousand_clips_make_a_small_file(tmp_path, scenes):
    rng = np.random.default_rng(0)
    labels = np.array([f"scene {number}" for number in range(10)])
    y = labels[np.arange(1000) % 10]
    rows = np.arange(1000) % len(scenes.X)
    report = scene_report(
        y,
        rng.dirichlet(np.ones(10), 1000),
        labels=labels,
        groups=np.arange(1000) // 5,
        clips=scenes.X.iloc[rows],
    )
    path = write_report(report, tmp_path / "large.html")
    outline = Outline(path.read_text(encoding="utf-8"))
    assert 12 <= len(outline["audio"]) <= 20
    # Clips of 10 s have five times the sound of these.
    sound = sum(len(element["src"]) for element in outline["audio"])
    assert path.stat().st_size + 4 * sound < 20e6


def test_a_report_without_errors_and_media(tmp_path):
    report = scene_report(["bus", "tram"], np.eye(2))
    text = write_report(report, tmp_path / "right.html").read_text(encoding="utf-8")
    assert "No clip is wrong" in text
    assert not Outline(text)["audio"]
