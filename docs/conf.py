"""Configuration of the documentation."""

import gc
import os
import shutil
import sys
from pathlib import Path

from numpydoc.xref import DEFAULT_LINKS

import skavsc

GALLERY = os.environ.get("SKAVSC_DOCS_GALLERY", "1") == "1"
if not GALLERY:
    # Pages are trees, which a collector of garbage passes over again and again to free little.
    gc.disable()

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "_extensions"))

from api_reference import public_classes  # noqa: E402

# Examples run where they lie and write scenes, caches and reports there: run copies.
EXAMPLES = HERE / "_generated" / "gallery"
for old in EXAMPLES.glob("plot_*.py"):
    old.unlink()
shutil.copytree(HERE.parent / "examples" / "gallery", EXAMPLES, dirs_exist_ok=True)

# TensorFlow greets on the error stream unless it is told not to before it loads.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

project = "skavsc"
author = "the skavsc developers"
copyright = f"2026, {author}"  # noqa: A001
release = skavsc.__version__
version = release

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.intersphinx",
    "sphinx_design",
    "sphinx_gallery.gen_gallery",
    "numpydoc",
    "myst_parser",
    "api_reference",
    "check_links",
    "drawings",
    "mathml",
]
root_doc = "index"
exclude_patterns = ["_build", "_extensions", "_generated", "_templates", "inventories"]
templates_path = ["_templates"]
# Docstrings write names as scikit-learn's do, in single backticks.
default_role = "py:obj"
# A name that leads nowhere fails the build.
nitpicky = True
# Lists of methods beside a page are narrow.
toc_object_entries_show_parents = "hide"
myst_enable_extensions = ["colon_fence", "deflist", "dollarmath", "attrs_inline"]
myst_heading_anchors = 3

autosummary_generate = True
autodoc_typehints = "none"
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False
# Types of parameters link to their pages; of the words of numpydoc's own list only ndarray does.
numpydoc_xref_param_type = True
numpydoc_xref_ignore = "all"
numpydoc_xref_aliases = (
    {word: word for word in DEFAULT_LINKS}
    | {"ndarray": "numpy.ndarray", "DataFrame": "pandas.DataFrame"}
    | {
        name: f":class:`{name}`"
        for name in (
            "joblib.Memory",
            "keras.Model",
            "pandas.DataFrame",
            "sklearn.pipeline.Pipeline",
            "sklearn.utils.Bunch",
        )
    }
    | {full.rpartition(".")[2]: full for full in public_classes()}
)

# The build needs no network: inventories hold the names that the documentation refers to.
intersphinx_mapping = {
    name: (address, str(HERE / "inventories" / f"{name}.inv"))
    for name, address in {
        "joblib": "https://joblib.readthedocs.io/en/stable/",
        "keras": "https://keras.io/api/",
        "librosa": "https://librosa.org/doc/latest/",
        "numpy": "https://numpy.org/doc/stable/",
        "pandas": "https://pandas.pydata.org/docs/",
        "python": "https://docs.python.org/3/",
        "scipy": "https://docs.scipy.org/doc/scipy/",
        "sklearn": "https://scikit-learn.org/stable/",
    }.items()
}

# Diagrams of estimators in the gallery link to the API reference beside it.
os.environ["SKAVSC_DOCS_URL"] = ".."

sphinx_gallery_conf = {
    "examples_dirs": str(EXAMPLES),
    "gallery_dirs": "gallery",
    "filename_pattern": r"/plot_",
    "within_subsection_order": "FileNameSortKey",
    "remove_config_comments": True,
    "download_all_examples": False,
    "show_memory": False,
    # Its page needs scripts from the network.
    "write_computation_times": False,
    "min_reported_time": 1e9,
    "plot_gallery": GALLERY,
}
suppress_warnings = ["config.cache"]

html_math_renderer = "mathml"
html_theme = "pydata_sphinx_theme"
html_static_path = ["_static"]
html_title = "skavsc"
# Without it the theme complains, on a reader's first page, that it knows no mode.
html_context = {"default_mode": "auto"}
html_css_files = ["skavsc.css"]
# Sections of one page have nothing to navigate: leave the room to the text.
html_sidebars = {"getting_started": [], "method": []}
html_theme_options = {
    "show_nav_level": 2,
    "navigation_with_keys": False,
    # The button alone: beside the search field the header would need two rows.
    "navbar_persistent": ["search-button"],
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
    "show_prev_next": True,
    "icon_links": [],
}
html_show_sourcelink = False
