"""workflow/set-up.sh takes the newest Python that fits and works, keeps environments, installs sections."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from study import ROOT

SCRIPT = ROOT / "workflow/set-up.sh"
SH = shutil.which("sh")
AS_VERSION = """#!{sh}
exec {python} -c "
import sys
sys.version_info = (3, {minor}, 1, 'final', 0)
if {without}:
    sys.modules['ensurepip'] = None
exec(sys.argv[1])" "$2"
"""
SHIM = "#!{sh}\necho 'pyenv: {name}: command not found' >&2\nexit 127\n"
PIP = '#!{sh}\necho "$@" >> {folder}/calls\ncat >> {folder}/asked\n'


def program(path: Path, text: str, **values: object) -> Path:
    """An executable file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text.format(sh=SH, python=sys.executable, **values))
    path.chmod(0o755)
    return path


def python(path: Path, minor: int, without_venv: bool = False) -> Path:
    """A program that runs this Python and says that it is another version."""
    return program(path, AS_VERSION, minor=minor, without=without_venv)


def set_up(*arguments, path=(), **environment):
    """The script's status and words, with nothing on the path but some folders."""
    ran = subprocess.run(
        [SH, SCRIPT, *arguments],
        cwd=ROOT,
        env={"PATH": os.pathsep.join(map(str, path)), **environment},
        capture_output=True,
        text=True,
    )
    return ran.returncode, ran.stdout.strip(), ran.stderr.strip()


def test_the_newest_that_fits_is_taken(tmp_path):
    for name, minor in {"python3.11": 11, "python3.13": 13, "python3.12": 12, "python3": 9}.items():
        python(tmp_path / name, minor)
    python(tmp_path / "python3.15", 15)
    assert set_up("--which", path=[tmp_path]) == (0, str(tmp_path / "python3.13"), "")


@pytest.mark.parametrize("minor", [11, 12, 13, 14])
def test_each_alone_is_found_by_each_of_its_names(tmp_path, minor):
    for name in (f"python3.{minor}", "python3", "python"):
        found = python(tmp_path / name.replace(".", "-") / name, minor)
        assert set_up("--which", path=[found.parent]) == (0, str(found), "")


def test_a_shim_that_runs_nothing_is_passed_over_and_hides_nothing(tmp_path):
    for name in ("python3.12", "python3.13", "python3"):
        program(tmp_path / "shims" / name, SHIM, name=name)
    old = python(tmp_path / "old" / "python3.11", 11)
    assert set_up("--which", path=[tmp_path / "shims", old.parent]) == (0, str(old), "")
    new = python(tmp_path / "new" / "python3.12", 12)
    assert set_up("--which", path=[tmp_path / "shims", old.parent, new.parent]) == (0, str(new), "")


def test_a_python_that_can_make_no_environment_is_passed_over(tmp_path):
    python(tmp_path / "python3.13", 13, without_venv=True)
    found = python(tmp_path / "python3.11", 11)
    assert set_up("--which", path=[tmp_path]) == (0, str(found), "")


@pytest.mark.parametrize("minor", [None, 9, 10, 15])
def test_where_none_fits_one_sentence_says_what_was_looked_for(tmp_path, minor):
    if minor is not None:
        python(tmp_path / "python3", minor)
    status, out, said = set_up("run", path=[tmp_path], VENV=str(tmp_path / "made"))
    assert (status, out) == (1, "") and len(said.splitlines()) == 1
    assert said.startswith("No Python 3.11 to 3.14 with venv was found: looked on the path for python3.14,")
    assert "make PYTHON=" in said and not (tmp_path / "made").exists()


def test_an_explicit_one_wins_or_is_refused(tmp_path):
    python(tmp_path / "python3.13", 13)
    given = python(tmp_path / "elsewhere/mine", 12)
    assert set_up("--which", path=[tmp_path], PYTHON=str(given)) == (0, str(given), "")
    for wrong in (str(python(tmp_path / "elsewhere/old", 10)), "nowhere"):
        status, out, said = set_up("--which", path=[tmp_path], PYTHON=wrong)
        assert (status, out) == (1, "") and len(said.splitlines()) == 1
        assert said.startswith(f"PYTHON={wrong} is no Python 3.11 to 3.14 with venv: ")


def test_an_environment_is_kept_or_refused_but_never_replaced(tmp_path):
    tools = os.environ["PATH"].split(os.pathsep)
    kept = python(tmp_path / "kept/bin/python", 12)
    program(tmp_path / "kept/bin/pip", PIP, folder=tmp_path)
    before = kept.read_bytes()
    assert set_up("run", path=tools, VENV=str(tmp_path / "kept")) == (0, "", "")
    assert kept.read_bytes() == before and sorted(p.name for p in kept.parent.iterdir()) == ["pip", "python"]
    old = python(tmp_path / "old/bin/python", 10)
    status, out, said = set_up("run", path=tools, VENV=str(tmp_path / "old"))
    assert (status, out) == (1, "") and f"delete the folder {tmp_path / 'old'}" in said
    assert old.exists()


def test_sections_are_installed_as_they_are_asked_for(tmp_path):
    python(tmp_path / "env/bin/python", 12)
    program(tmp_path / "env/bin/pip", PIP, folder=tmp_path)
    tools = os.environ["PATH"].split(os.pathsep)
    lock = (ROOT / "requirements.lock").read_text()
    parts = dict(re.findall(r"^# \[(\w+)\].*\n((?:(?!# \[).*\n)+)", lock, flags=re.M))
    assert list(parts) == ["run", "cluster", "test", "site"]
    for names in (["run"], ["cluster"], ["run", "cluster", "test"]):
        (tmp_path / "asked").unlink(missing_ok=True)
        assert set_up(*names, path=tools, VENV=str(tmp_path / "env")) == (0, "", "")
        asked = [line for line in (tmp_path / "asked").read_text().splitlines() if line[0] != "#"]
        assert asked == [line for name in names for line in parts[name].splitlines()]


def made(*words: str) -> str:
    """What make would do for a folder without an environment."""
    outer = {"MAKEFLAGS", "MAKELEVEL", "MFLAGS", "PYTHON"}
    environment = {name: value for name, value in os.environ.items() if name not in outer}
    command = ["make", "-n", "VENV=not-there", *words]
    return subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    ).stdout


@pytest.mark.parametrize(
    ("words", "sections"),
    [
        ((), ["run"]),
        (("cluster",), ["run", "cluster"]),
        (("PROFILE=profiles/slurm",), ["run", "cluster"]),
        (("test",), ["run", "cluster", "test", "site"]),
        (("test-system",), ["run", "cluster", "test", "site"]),
        (("lint",), ["run", "cluster", "test", "site"]),
    ],
)
def test_every_target_installs_what_it_needs(words, sections):
    output = made(*words)
    assert re.findall(r"^VENV=\"not-there\" .* sh workflow/set-up\.sh (\w+)$", output, re.M) == sections
    assert ("--workflow-profile profiles/slurm" in output) == ("PROFILE=profiles/slurm" in words)


@pytest.mark.parametrize("target", ["all", "why", "report", "verify"])
@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "There is no configuration {file} that can be read: give the path of a YAML file"),
        ("a folder", "There is no configuration {file} that can be read: give the path of a YAML file"),
        (b"# \xfcber", "The configuration {file} is no text in UTF-8: save it as UTF-8"),
    ],
)
def test_a_configuration_that_cannot_be_read_is_named_before_the_set_up(tmp_path, target, content, said):
    file = tmp_path / "mine.yaml"
    if content == "a folder":
        file.mkdir()
    elif content is not None:
        file.write_bytes(content)
    ran = subprocess.run(
        ["make", target, f"CONFIG={file}", f"VENV={tmp_path / 'venv'}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        # As a user calls it: what `make test` hands on would have it tell the folders that it enters.
        env={name: value for name, value in os.environ.items() if not name.startswith("MAKE")},
    )
    # The second line is make's own.
    assert ran.returncode != 0 and ran.stdout == "" and len(ran.stderr.splitlines()) == 2
    assert ran.stderr.startswith(said.format(file=file)) and not (tmp_path / "venv").exists()


def test_a_configuration_may_have_a_space_and_a_quote_in_its_path(tmp_path):
    file = tmp_path / "it's mine.yaml"
    file.write_text("")
    for target in ("all", "why", "report"):
        assert f'--configfile "{file}"' in made(target, f"CONFIG={file}")
