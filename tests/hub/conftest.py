"""A running hub, and the real client pointed at it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import close_session, constants

from dsv4recipe import build, load_recipe, make_plan, open_checkpoint
from dsv4recipe.hub import failures
from tests.hub.server import COMMIT, Hub


@pytest.fixture(scope="session")
def q4q8_bundle(tiny_source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a folder of known origin builds: the same as the hub's."""
    known = open_checkpoint(tiny_source, f"deepseek-ai/DeepSeek-V4-Flash@{COMMIT}")
    return build(make_plan(load_recipe("q4q8"), known), known, tmp_path_factory.mktemp("known") / "q4q8")


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    """A hub; this process' huggingface_hub asks it, with an empty home, no token, and short waits."""
    home = tmp_path / "hf-home"
    with Hub() as hub:
        environment = {"HF_ENDPOINT": hub.endpoint, "HF_HOME": str(home), "NO_PROXY": "127.0.0.1"}
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_HUB_OFFLINE"):
            monkeypatch.delenv(name, raising=False)
        # The client reads these when it is imported, which another test may have done.
        monkeypatch.setattr(constants, "ENDPOINT", hub.endpoint)
        template = hub.endpoint + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(home / "hub"))
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(home / "token"))
        monkeypatch.setattr(failures, "FIRST_WAIT", 0.001)
        close_session()
        yield hub
        close_session()
