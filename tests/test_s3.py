"""Results on object storage: the numbers of a local run, directories included, and nothing done twice."""

import re

import pytest
from fourier_addition.pipeline.verify import verify
from s3_server import s3_server
from study import copy_of_the_tree, snakemake

pytest.importorskip("moto")
boto3 = pytest.importorskip("boto3")
pytestmark = [pytest.mark.workflow, pytest.mark.system]

FIGURE = "results/figures/figure-3.csv"
STORAGE = ("--default-storage-provider", "s3", "--default-storage-prefix", "s3://study/first")
KEY, SECRET = "loopback-key", "loopback-secret-4711"


@pytest.fixture(scope="module")
def storage():
    """Environment of a Snakemake call, and the bucket that it fills."""
    with s3_server() as address:
        session = {"aws_access_key_id": KEY, "aws_secret_access_key": SECRET, "region_name": "us-east-1"}
        environment = {
            "SNAKEMAKE_STORAGE_S3_ENDPOINT_URL": address,
            "SNAKEMAKE_STORAGE_S3_ACCESS_KEY": KEY,
            "SNAKEMAKE_STORAGE_S3_SECRET_KEY": SECRET,
        }
        yield environment, boto3.resource("s3", endpoint_url=address, **session).Bucket("study")


@pytest.fixture(scope="module")
def study(storage, tmp_path_factory):
    """Folder of a finished run with its results in storage, what it said, environment and bucket."""
    environment, bucket = storage
    folder = copy_of_the_tree(tmp_path_factory.mktemp("stored"), "micro")
    output = snakemake(folder, "--cores", "2", *STORAGE, FIGURE, environment=environment)
    return folder, output, environment, bucket


def test_a_figure_has_the_bytes_of_a_local_run(study, tmp_path):
    local = copy_of_the_tree(tmp_path, "micro")
    snakemake(local, "--cores", "2", FIGURE)
    bucket = study[3]
    assert bucket.Object(f"first/{FIGURE}").get()["Body"].read() == (local / FIGURE).read_bytes()
    assert not (study[0] / "results").exists()


def test_directories_are_whole_in_storage(study, tmp_path):
    keys = [found.key for found in study[3].objects.all()]
    assert any(re.search(r"activations/test/0\.zarr/.+/c/", key) for key in keys)
    assert any(key.endswith("checkpoint/model.safetensors") for key in keys)
    for key in keys:
        (tmp_path / key).parent.mkdir(parents=True, exist_ok=True)
        study[3].download_file(key, str(tmp_path / key))
    checked, problems = verify(tmp_path)
    # The model, blank and pre-trained, the checkpoint, the capture and the number rows.
    assert checked == 5 and problems == []


def test_a_second_call_does_nothing_here_and_elsewhere(study, tmp_path):
    folder, _, environment, _ = study
    elsewhere = copy_of_the_tree(tmp_path, "micro")
    for place in (folder, elsewhere):
        output = snakemake(place, "--cores", "1", *STORAGE, FIGURE, environment=environment)
        assert "Nothing to be done" in output


def test_keys_are_written_nowhere(study):
    folder, output, _, bucket = study
    assert SECRET not in output and KEY not in output
    texts = [path.read_bytes() for path in folder.rglob("*") if path.is_file()]
    texts += [found.get()["Body"].read() for found in bucket.objects.all()]
    assert not any(SECRET.encode() in text or KEY.encode() in text for text in texts)


def test_every_job_is_given_the_directories_of_its_manifests(storage, tmp_path):
    """On another machine a job finds its inputs and nothing else."""
    folder = copy_of_the_tree(tmp_path, "tiny")
    output = snakemake(folder, "-n", *STORAGE, environment=storage[0])
    jobs = []
    for block in re.split(r"^\s*(?:local)?rule \w+:$", output, flags=re.M)[1:]:
        paths = {
            key: {path.split(" (")[0] for path in line.split(", ")}
            for key, line in re.findall(r"^\s+(input|output): (.*)$", block, re.M)
        }
        jobs.append((paths.get("input", set()), paths.get("output", set())))
    directories = {
        manifest: path
        for _, outputs in jobs
        for path in outputs
        if (manifest := re.sub(r"\.zarr$", "", path) + ".json") in outputs and not path.endswith(".json")
    }
    read = [(manifest, inputs) for inputs, _ in jobs for manifest in inputs if manifest in directories]
    assert len(directories) > 10 and len(read) > 15
    for manifest, inputs in read:
        assert directories[manifest] in inputs, manifest
