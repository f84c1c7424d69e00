"""The real models, prepared once for all tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from appliance.adapters.onnxruntime_engine import OnnxRuntimeEngine
from trt_engines.fetch import published_model
from trt_engines.manifest import bundled_manifest
from trt_engines.packages import cache_folder
from trt_engines.prepare import ModelPaths, ensure_prepared


@pytest.fixture(scope="session")
def cache() -> Path:
    return cache_folder()


@pytest.fixture(scope="session")
def models(cache: Path) -> ModelPaths:
    return ensure_prepared(cache)


@pytest.fixture(scope="session")
def detector(models: ModelPaths) -> OnnxRuntimeEngine:
    return OnnxRuntimeEngine(models.detector)


@pytest.fixture(scope="session")
def embedder(models: ModelPaths) -> OnnxRuntimeEngine:
    return OnnxRuntimeEngine(models.embedder)


@pytest.fixture(scope="session")
def published(cache: Path) -> dict[str, bytes]:
    manifest = bundled_manifest()
    return {
        role: published_model(manifest, manifest.default(role), folder=Path(), cache=cache)
        for role in ("detector", "embedder")
    }
