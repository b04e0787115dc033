"""Every page of the documentation in a browser, on a wide and on a narrow screen."""

import shutil
from pathlib import Path

import pytest

PAGES = Path(__file__).parents[1] / "docs" / "_build"
NAMES = sorted(
    str(page.relative_to(PAGES)) for page in PAGES.rglob("*.html") if "_static" not in page.parts
)

# What makes a page wider than the screen, so that the whole of it scrolls sideways.
TOO_WIDE = """
const width = document.documentElement.clientWidth;
if (document.documentElement.scrollWidth <= width) return [];
return [...document.querySelectorAll("body *")]
    .filter(e => e.getBoundingClientRect().right > width + 1)
    .slice(0, 5).map(e => e.outerHTML.slice(0, 100));
"""
BROKEN = """
return [...document.images]
    .filter(i => i.loading !== "lazy" && !(i.complete && i.naturalWidth > 0)).map(i => i.src);
"""


@pytest.fixture(scope="module")
def browser():
    """Return a headless Chromium."""
    webdriver = pytest.importorskip("selenium.webdriver")
    binary, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not (binary and driver):
        pytest.skip("needs chromium and chromedriver")
    if not NAMES:
        pytest.skip("needs the pages: make docs")
    options = webdriver.ChromeOptions()
    options.binary_location = binary
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    service = webdriver.ChromeService(driver)
    chromium = webdriver.Chrome(options=options, service=service)
    yield chromium
    chromium.quit()


@pytest.mark.slow
@pytest.mark.parametrize("width", [1200, 360])
def test_pages_are_whole(browser, width):
    # A window is not narrower than 500 pixels, a device is.
    screen = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
    found = {}
    for name in NAMES:
        browser.get((PAGES / name).as_uri())
        faults = {
            "wider than the screen": browser.execute_script(TOO_WIDE),
            "broken images": browser.execute_script(BROKEN),
            "errors": [
                entry["message"]
                for entry in browser.get_log("browser")
                if entry["level"] == "SEVERE"
            ],
        }
        if any(faults.values()):
            found[name] = {kind: what for kind, what in faults.items() if what}
    assert found == {}
