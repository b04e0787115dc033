"""``skavsc models``: frozen networks that are known by name, and model files."""

from __future__ import annotations

import json

import click
import pandas as pd

from skavsc.cli._common import json_option, print_table, say
from skavsc.pretrained import (
    REGISTRY,
    cache_folder,
    describe,
    fetch,
    known_file,
    open_file,
    sha256_of,
)

_name = click.argument("name", type=click.Choice(list(REGISTRY)), metavar="NAME")
_files = click.argument(
    "files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False)
)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def models() -> None:
    """List, fetch, verify and describe frozen networks."""


@models.command("list")
@json_option
def list_models(as_json: bool) -> None:
    """List the frozen networks that are known by name."""
    rows = []
    for name, model in REGISTRY.items():
        address = any(file.url for file in model.files)
        here = model.files and (cache_folder("weights") / model.files[0].name).is_file()
        rows.append(
            {
                "name": name,
                "modality": model.modality,
                "licence": model.licence,
                "file": "here" if here else "can be fetched" if address else "no address",
                "source": model.source,
            }
        )
    print_table(pd.DataFrame(rows), as_json, index=False)


@models.command("fetch")
@_name
@json_option
def fetch_model(name: str, as_json: bool) -> None:
    """Fetch the network NAME into the cache folder and print its path."""
    path = fetch(REGISTRY[name])
    say(f"{name}: {REGISTRY[name].licence}; {REGISTRY[name].source}")
    print_table(pd.DataFrame([{"name": name, "file": str(path)}]), as_json, index=False)


@models.command("verify")
@_files
@json_option
def verify_models(files: tuple[str, ...], as_json: bool) -> None:
    """Find by their sha256 which known networks FILES are; exit status 1 if one is not known."""
    rows: list[dict[str, str | None]] = []
    unknown = []
    for path in files:
        digest = sha256_of(path)
        known = known_file(digest)
        if known is None:
            unknown.append(path)
        rows.append(
            {
                "file": path,
                "network": None if known is None else known[0].name,
                "licence": None if known is None else known[0].licence,
                "sha256": digest,
            }
        )
    print_table(pd.DataFrame(rows), as_json, index=False)
    if unknown:
        raise click.ClickException(f"no known network has the sha256 of {', '.join(unknown)}")


@models.command("show")
@click.argument("file", type=click.Path(exists=True, dir_okay=False))
@json_option
def show_model(file: str, as_json: bool) -> None:
    """Show what FILE takes and gives: a network (.onnx, .tflite, .keras), or a model file."""
    if file.endswith(".skops"):
        from skavsc.persistence import model_card

        card = model_card(file)
        if as_json:
            click.echo(json.dumps(card.description, indent=1))
        else:
            click.echo(str(card))
        return
    network = open_file(file)
    rows = [{"what": "input", "tensor": describe(network.input)}]
    rows += [{"what": "output", "tensor": describe(tensor)} for tensor in network.outputs]
    rows.append({"what": "sha256", "tensor": network.digest})
    print_table(pd.DataFrame(rows), as_json, index=False)
