"""Jobs use instructions that most processors have, so that other processors give the same numbers."""

import json
import os
import subprocess
import sys

import pytest
from fourier_addition.errors import UserError
from fourier_addition.files.manifests import read_json
from fourier_addition.pipeline.processor import AVX2, SWITCH, choose_instructions, has_avx2, instructions
from study import copy_of_the_tree, finished, snakemake

HERE = has_avx2()
UNASKED = {name: value for name, value in os.environ.items() if name not in (*AVX2, SWITCH)}
FOUND = """
import json, numpy, torch
from numpy._core import _multiarray_umath as loops
from threadpoolctl import threadpool_info

wide = [name for name in loops.__cpu_dispatch__ if name != "X86_V3" and loops.__cpu_features__[name]]
cores = sorted({each["architecture"] for each in threadpool_info() if each["internal_api"] == "openblas"})
print(json.dumps([torch.backends.cpu.get_cpu_capability(), wide, cores]))
"""


def described(tmp_path, flags):
    file = tmp_path / "cpuinfo"
    file.write_text(f"processor\t: 0\nmodel name\t: A flags: processor\nflags\t\t: {flags}\nbugs\t\t: none\n")
    return file


def test_what_a_processor_has_is_read_off_its_description(tmp_path):
    assert has_avx2(described(tmp_path, "fpu sse2 fma bmi1 avx2 bmi2 avx512f"))
    assert not has_avx2(described(tmp_path, "fpu sse2 avx fma bmi2"))
    assert not has_avx2(described(tmp_path, "fpu sse2 avx2"))
    # An ARM processor has no such line, other systems have no such file.
    (tmp_path / "cpuinfo").write_text("processor\t: 0\nFeatures\t: fp asimd\n")
    assert not has_avx2(tmp_path / "cpuinfo")
    assert not has_avx2(tmp_path / "none")


def test_every_library_is_told_and_what_a_user_has_set_stays():
    given = {"OPENBLAS_CORETYPE": "Zen", "HOME": "/home/a"}
    choose_instructions(given, available=True)
    assert given == {**AVX2, "OPENBLAS_CORETYPE": "Zen", "HOME": "/home/a"}
    assert instructions(given) == "partly avx2"
    alone = {}
    choose_instructions(alone, available=True)
    assert instructions(alone) == "avx2"


def test_native_and_a_processor_without_the_instructions_are_left_alone():
    native = {SWITCH: "native"}
    choose_instructions(native, available=True)
    assert native == {SWITCH: "native"} and instructions(native) == "native"
    # A job of a cluster inherits what the submitting machine has set.
    inherited = {**AVX2, "OPENBLAS_CORETYPE": "Nehalem"}
    choose_instructions(inherited, available=False)
    assert inherited == {"OPENBLAS_CORETYPE": "Nehalem"}
    with pytest.raises(UserError, match=f"{SWITCH} is 'avx512': it may be avx2 or native"):
        choose_instructions({SWITCH: "avx512"}, available=True)


@pytest.mark.skipif(not HERE, reason="the processor has no AVX2")
def test_the_libraries_do_as_they_are_told():
    environment = dict(UNASKED)
    choose_instructions(environment, available=True)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", FOUND], env=environment, stdout=subprocess.PIPE
    )
    assert done.returncode == 0 and json.loads(done.stdout) == ["AVX2", [], ["Haswell"]]


@pytest.mark.workflow
def test_a_study_asks_for_them_and_says_so(tmp_path_factory):
    folder = finished(tmp_path_factory.getbasetemp())
    read = [read_json(file) for file in folder.glob("results/runs/*/*.json")]
    found = {content["provenance"]["instructions"] for content in read if "provenance" in content}
    assert found == {"avx2" if HERE else "native"}


@pytest.mark.workflow
def test_another_word_is_refused_in_a_sentence(tmp_path):
    folder = copy_of_the_tree(tmp_path, "micro")
    output = snakemake(folder, "-n", expect=1, environment={SWITCH: "avx512"})
    assert f"{SWITCH} is 'avx512': it may be avx2 or native." in output and "Traceback" not in output
