"""Code digests that rerun what a change touches, and files that appear whole or not at all."""

import ast
import errno
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
from fourier_addition.errors import UserError
from fourier_addition.files import whole
from fourier_addition.files.checks import verify_manifest
from fourier_addition.files.manifests import read_manifest, write_manifest
from fourier_addition.files.parquet import write_parquet
from fourier_addition.files.whole import replacing, write_json
from fourier_addition.pipeline.code_digest import SCRIPTS, code_digest, local_imports, reachable
from fourier_addition.pipeline.source_facts import FactsKeeper, dumped, facts_of
from fourier_addition.pipeline.verify import verify

ROOT = Path(__file__).resolve().parents[1]


def digest_in(folder: Path, script: str = "job_script.py") -> str:
    """Digest in a fresh process, because digests are remembered."""
    code = "import sys; from pathlib import Path; "
    code += "from fourier_addition.pipeline.code_digest import code_digest; "
    code += "print(code_digest(sys.argv[1], Path(sys.argv[2])))"
    environment = {"PYTHONPATH": str(SCRIPTS)}
    ran = subprocess.run(
        [sys.executable, "-c", code, script, str(folder)], env=environment, capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.strip()


@pytest.fixture()
def code(tmp_path):
    package = tmp_path / "science"
    package.mkdir()
    (package / "__init__.py").write_text('"""Science."""\n')
    (package / "low.py").write_text('"""Low."""\n\n\ndef f(x):\n    """Twice."""\n    return 2 * x\n')
    (package / "high.py").write_text("from science.low import f\n\n\ndef g(x):\n    return f(x) + 1\n")
    (package / "other.py").write_text("y = 1\n")
    (tmp_path / "job_script.py").write_text("from science.high import g\n\nprint(g(1))\n")
    return tmp_path


def test_comments_docstrings_and_formatting_change_nothing(code):
    before = digest_in(code)
    (code / "science/low.py").write_text("# why\ndef f( x ):\n    '''Two times x.'''\n    return (2*x)\n")
    assert digest_in(code) == before


def test_the_words_of_a_refusal_change_nothing(code):
    (code / "science/low.py").write_text("def f(x):\n    raise UserError(f'{x} will not do.')\n")
    before = digest_in(code)
    (code / "science/low.py").write_text("def f(x):\n    raise UserError('No.')\n")
    assert digest_in(code) == before
    (code / "science/low.py").write_text("def f(x):\n    raise ValueError('No.')\n")
    assert digest_in(code) != before


@pytest.mark.parametrize(
    ("file", "text", "changes"),
    [
        ("science/low.py", "def f(x):\n    return 3 * x\n", True),
        ("science/high.py", "from science.low import f\n\n\ndef g(x):\n    return f(x)\n", True),
        ("job_script.py", "from science.high import g\n\nprint(g(2))\n", True),
        ("science/__init__.py", "z = 0\n", True),
        ("science/other.py", "y = 2\n", False),
    ],
)
def test_only_reachable_code_counts(code, file, text, changes):
    before = digest_in(code)
    (code / file).write_text(text)
    assert (digest_in(code) != before) is changes


@pytest.mark.parametrize(
    "line",
    [
        "from . import low",
        "import importlib\nimportlib.import_module('a')",
        "from importlib import import_module as load",
        "import importlib.util\nimportlib.util.spec_from_file_location('a', 'a.py')",
        "import runpy\nrunpy.run_path('a.py')",
        "import builtins\nbuiltins.__import__('a')",
        "__import__('a')",
        "exec('import a')",
        "eval('a')",
    ],
)
def test_imports_that_cannot_be_followed_are_refused(tmp_path, line):
    (tmp_path / "s.py").write_text(line + "\n")
    with pytest.raises(UserError, match="hide code from the digest"):
        local_imports(tmp_path / "s.py", tmp_path)


def test_a_method_that_is_called_eval_is_no_import(tmp_path):
    (tmp_path / "s.py").write_text("model.eval()\n")
    assert local_imports(tmp_path / "s.py", tmp_path) == ()


def test_facts_are_those_of_the_file_as_it_is(tmp_path):
    """Kept by content: whatever a path held before, and whatever lies in the file of facts."""
    source, kept = tmp_path / "s.py", tmp_path / ".snakemake/facts.json"
    texts = ["import a\n", "from b import c\n\nx = 1\n", "from . import d\n", '"""Words."""\nimport a\n']
    for text in texts:
        source.write_text(text)
        first = FactsKeeper(kept)
        assert first.facts(source) == facts_of(text, "s.py")
        first.keep()
        again = FactsKeeper(kept)
        assert again.facts(source) == facts_of(text, "s.py")
        assert not again.new
    assert len(json.loads(kept.read_text())["facts"]) == 1
    source.write_text(texts[0])
    assert FactsKeeper(kept).facts(source) == facts_of(texts[0], "s.py")


@pytest.mark.parametrize(
    "damage", ["", "{", "[]", '{"way": "another", "facts": {}}', '{"way": "WAY", "facts": {"0": 1}}']
)
def test_facts_that_cannot_be_read_are_learned_anew(tmp_path, damage):
    source, kept = tmp_path / "s.py", tmp_path / "facts.json"
    source.write_text("import a\n")
    keeper = FactsKeeper(kept)
    expected = keeper.facts(source)
    keeper.keep()
    kept.write_text(damage.replace("WAY", json.loads(kept.read_text())["way"]))
    assert FactsKeeper(kept).facts(source) == expected


PASSES_ON = (
    '"""Science."""\n\nfrom science.high import g\nfrom science.other import y\n\n__all__ = ["g", "y"]\n'
)


@pytest.mark.parametrize(
    ("taken", "file", "changes"),
    [
        ("from science import g", "science/high.py", True),
        ("from science import g", "science/low.py", True),
        ("from science import g", "science/other.py", False),
        ("from science.low import f", "science/other.py", False),
        ("from science.low import f", "science/low.py", True),
        ("from science import other", "science/other.py", True),
        ("from science import other", "science/low.py", False),
        ("import science", "science/other.py", True),
        ("import science.low", "science/low.py", True),
    ],
)
def test_a_package_that_only_passes_names_on_is_seen_through(code, taken, file, changes):
    (code / "science/__init__.py").write_text(PASSES_ON)
    (code / "job_script.py").write_text(taken + "\n")
    before = digest_in(code)
    (code / file).write_text((code / file).read_text() + "\nNEW = 1\n")
    assert (digest_in(code) != before) is changes


def test_a_package_that_does_something_counts_whole(code):
    (code / "science/__init__.py").write_text(PASSES_ON + "\nprint(g(1))\n")
    (code / "job_script.py").write_text("from science.low import f\n")
    before = digest_in(code)
    (code / "science/other.py").write_text("y = 2\n")
    assert digest_in(code) != before


@pytest.mark.parametrize("script", sorted(path.name for path in SCRIPTS.glob("*.py")))
def test_every_script_has_a_digest(script):
    assert len(code_digest(script)) == 16
    assert SCRIPTS / "fourier_addition" / "errors.py" in reachable(SCRIPTS / script)


def test_every_python_writes_a_syntax_tree_alike():
    """The text is Python 3.11's; a newer one would write other digests, and all results would rerun."""
    tree = ast.parse("class A:\n    def f(self, x=None):\n        return []\n")
    assert dumped(tree) == (
        "Module(body=[ClassDef(name='A', bases=[], keywords=[], body=[FunctionDef(name='f', "
        "args=arguments(posonlyargs=[], args=[arg(arg='self'), arg(arg='x')], kwonlyargs=[], kw_defaults=[], "
        "defaults=[Constant(value=None)]), body=[Return(value=List(elts=[], ctx=Load()))], "
        "decorator_list=[])], decorator_list=[])], type_ignores=[])"
    )


def test_figures_do_not_depend_on_each_other():
    lens = set(reachable(SCRIPTS / "figure_lens.py"))
    assert SCRIPTS / "fourier_addition/plots/lens.py" in lens
    assert SCRIPTS / "fourier_addition/plots/waves.py" not in lens
    assert SCRIPTS / "fourier_addition/training/loop.py" not in lens


def test_a_failed_write_leaves_what_was_there(tmp_path):
    target = tmp_path / "table.json"
    write_json({"a": 1}, target)
    with pytest.raises(RuntimeError), replacing(target) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert json.loads(target.read_text()) == {"a": 1}
    assert list(tmp_path.iterdir()) == [target]


def test_what_a_killed_write_left_is_cleared(tmp_path):
    leftover = tmp_path / ".table.parquet.partial"
    leftover.mkdir()
    (leftover / "table.parquet").write_text("half")
    write_parquet(pd.DataFrame({"x": [1]}), tmp_path / "table.parquet")
    assert [path.name for path in tmp_path.iterdir()] == ["table.parquet"]


@pytest.fixture()
def old_folder(tmp_path):
    """A folder with one file in a folder below, which is to be replaced."""
    (tmp_path / "store/c").mkdir(parents=True)
    (tmp_path / "store/c/0").write_text("old")
    return tmp_path / "store"


def renew(folder):
    """Replace a folder by one that holds a new file."""
    with replacing(folder) as temporary:
        temporary.mkdir()
        (temporary / "0").write_text("new")


def files_in(folder):
    """Every file below a folder: relative path -> text."""
    return {str(p.relative_to(folder)): p.read_text() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_a_folder_replaces_a_folder(old_folder):
    renew(old_folder)
    assert files_in(old_folder.parent) == {"store/0": "new"}
    assert list(old_folder.parent.iterdir()) == [old_folder]


@pytest.mark.parametrize(("step", "kept"), [(1, "store/c/0"), (2, "store/c/0")])
@pytest.mark.parametrize("reason", [OSError(errno.EBUSY, "busy"), KeyboardInterrupt()])
def test_a_rename_that_fails_keeps_the_old_folder(old_folder, monkeypatch, step, kept, reason):
    """Step 1 moves the old folder away, step 2 puts the new one in its place."""
    rename, calls = os.replace, []

    def fail_once(source, target):
        calls.append((source, target))
        if len(calls) == step:
            raise reason
        rename(source, target)

    monkeypatch.setattr(os, "replace", fail_once)
    with pytest.raises(type(reason)):
        renew(old_folder)
    assert files_in(old_folder.parent) == {kept: "old"}
    assert list(old_folder.parent.iterdir()) == [old_folder]


def test_a_body_that_makes_nothing_keeps_the_old_folder(old_folder):
    with pytest.raises(FileNotFoundError), replacing(old_folder):
        pass
    assert files_in(old_folder.parent) == {"store/c/0": "old"}


def not_empty(times):
    """A `shutil.rmtree` that finds a folder not empty so many times, as a network disk may."""
    remove, failed = shutil.rmtree, []

    def rmtree(path, ignore_errors=False):
        if Path(path).exists() and len(failed) < times:
            failed.append(path)
            if not ignore_errors:
                raise OSError(errno.ENOTEMPTY, "Directory not empty", str(path))
            return
        remove(path, ignore_errors)

    return rmtree


@pytest.mark.parametrize("times", [1, whole.REMOVALS - 1])
def test_an_old_folder_that_is_not_empty_at_once_is_removed_later(old_folder, monkeypatch, times):
    monkeypatch.setattr(shutil, "rmtree", not_empty(times))
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    renew(old_folder)
    assert list(old_folder.parent.iterdir()) == [old_folder]


def test_an_old_folder_that_stays_lies_in_the_workspace_until_the_next_time(old_folder, monkeypatch):
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", not_empty(100))
        renew(old_folder)
    assert files_in(old_folder.parent) == {".store.partial/store.old/c/0": "old", "store/0": "new"}
    renew(old_folder)
    assert files_in(old_folder.parent) == {"store/0": "new"}
    assert list(old_folder.parent.iterdir()) == [old_folder]


def test_another_reason_is_not_waited_for(old_folder, monkeypatch):
    def refuse(path, ignore_errors=False):
        if not ignore_errors and Path(path).exists():
            raise PermissionError(errno.EACCES, "denied", str(path))

    monkeypatch.setattr(shutil, "rmtree", refuse)
    monkeypatch.setattr(time, "sleep", lambda seconds: pytest.fail("waited"))
    renew(old_folder)
    assert files_in(old_folder)["0"] == "new"


def test_manifests_notice_every_change(tmp_path):
    store = tmp_path / "a.zarr"
    (store / "c").mkdir(parents=True)
    (store / "c" / "0").write_bytes(b"chunk")
    (store / "c" / "1").write_bytes(b"chunk two")
    write_manifest(tmp_path / "a.json", store, provenance={"seed": 0})
    (store / ".snakemake_timestamp").touch()
    assert verify(tmp_path) == (1, [])
    assert read_manifest(tmp_path / "a.json")["provenance"]["packages"]["python"]
    (store / "c" / "0").write_bytes(b"chUnk")
    (store / "c" / "1").unlink()
    (store / "c" / "2").write_bytes(b"")
    problems = verify_manifest(tmp_path / "a.json")
    assert len(problems) == 3
    assert all(any(f"c/{name}" in problem for problem in problems) for name in "012")


def test_a_foreign_file_is_no_manifest(tmp_path):
    write_json({"x": 1}, tmp_path / "x.json")
    with pytest.raises(UserError, match=r"x\.json is not a manifest"):
        read_manifest(tmp_path / "x.json")
    (tmp_path / "y.json").write_text("{")
    with pytest.raises(UserError, match=r"y\.json is not valid JSON"):
        read_manifest(tmp_path / "y.json")
