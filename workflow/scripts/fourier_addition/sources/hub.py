"""Weights from a model hub, through huggingface_hub and its cache.

Addresses and secrets come from the environment that huggingface_hub reads: HF_ENDPOINT, HF_HOME,
HF_TOKEN, HF_HUB_OFFLINE. The revision is pinned, so a file that the cache holds is never asked for
again.

huggingface_hub resumes a broken transfer while its process lives. After a kill it starts from zero,
because it gives every download a temporary file of its own. Weights are therefore downloaded here:
into one partial file for each blob of the cache, which a Range request continues. The complete file is
checked against the SHA-256 that the hub states, and only then moved to where the cache expects it.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fourier_addition.errors import UserError
from fourier_addition.files.manifests import sha256_file
from fourier_addition.sources.meter import Silent, meter
from fourier_addition.sources.model_files import INDEX, SMALL_FILES, check_file, select
from fourier_addition.sources.reach import Obtained, Unreachable, is_sha256

KEYS = ("hub", "revision", "file")

logger = logging.getLogger(__name__)


def check(where: str, source: Mapping[str, Any]) -> None:
    """Raise UserError unless the source names a repository and pins a commit of it."""
    repository, revision = source["hub"], source.get("revision")
    if not isinstance(repository, str) or not re.fullmatch(r"[\w.-]+(/[\w.-]+)?", repository):
        raise UserError(f"{where}.hub must read owner/repository, not {repository!r}.")
    if not isinstance(revision, str) or not re.fullmatch(r"[0-9a-f]{40}", revision):
        raise UserError(
            f"{where}.revision must pin a commit of {repository} by its 40 hexadecimal digits, not"
            f" {revision!r}: they stand on the repository's page under 'History', or behind"
            f' python -c "import huggingface_hub; print(huggingface_hub.model_info({repository!r}).sha)".'
        )
    check_file(where, source)


def obtain(
    where: str, source: Mapping[str, Any], *, scratch: Path, cache: Path | None, progress: bool
) -> Obtained:
    """Bring a repository's configuration, tokenizer and safetensors, or one GGUF file, into the cache.

    where: the key of the model, for messages. cache: folder for downloads, with the hub's cache in
    `hub`; the user's own where it is None. Where the cache holds the files, no request is made. Raises
    Unreachable when the hub does not answer or does not give access, UserError when the repository
    holds no safetensors.
    """
    repository, revision = source["hub"], source["revision"]
    label = f"{where}: hub repository {repository} at {revision}"
    with _told_apart(repository, revision):
        # Imported here: the import takes most of a second and reads the environment.
        import huggingface_hub

        # The log lines of the HTTP client would put signed addresses into the log.
        for client in ("httpx", "httpx2"):
            logging.getLogger(client).setLevel(logging.WARNING)
        store = Path(huggingface_hub.constants.HF_HUB_CACHE) if cache is None else cache / "hub"

        def snapshot(names: list[str], bar: type) -> Path:
            return Path(
                huggingface_hub.snapshot_download(
                    repository, revision=revision, cache_dir=store, allow_patterns=names, tqdm_class=bar
                )
            )

        # The small files first: with the listing they say which weights are wanted.
        folder = snapshot(list(SMALL_FILES), Silent)
        index = folder / INDEX if (folder / INDEX).is_file() else None
        names = select(label, _listing(repository, revision, store, folder), index, source.get("file"))

        # Then the weights, one by one, and last what is not addressed by SHA-256.
        large = [name for name in names if not (folder / name).exists()]
        downloaded = [
            _download_weights(repository, revision, name, store, progress=progress) for name in large
        ]
        folder = snapshot(names, Silent if all(downloaded) else meter(progress))
    return Obtained({name: folder / name for name in names}, link=True)


def _listing(repository: str, revision: str, store: Path, folder: Path) -> list[str]:
    """Names of the files at the top of the repository.

    The listing is the hub's, which the cache keeps; without one, the listing of the cached files.
    """
    from huggingface_hub import get_cached_repo_tree
    from huggingface_hub.errors import CachedRepoTreeNotFoundError

    try:
        return [file.path for file in get_cached_repo_tree(repository, revision=revision, cache_dir=store)]
    except CachedRepoTreeNotFoundError:
        # An older client filled the cache, and there is no network to ask for the listing.
        return [file.name for file in folder.iterdir() if file.is_file()]


def _download_weights(repository: str, revision: str, name: str, store: Path, *, progress: bool) -> bool:
    """Download one large file into the blobs of the cache, from where an earlier run was interrupted.

    Returns False, and downloads nothing, where the hub does not address the file by SHA-256 or does
    not send it over plain HTTP: such a file is left to `snapshot_download`. Raises Unreachable when the
    file arrives damaged.
    """
    from huggingface_hub import constants, get_hf_file_metadata, hf_hub_url
    from huggingface_hub.file_download import http_get, repo_folder_name

    # `utils` re-exports both names without saying so to type checkers.
    from huggingface_hub.utils import WeakFileLock, build_hf_headers  # type: ignore[attr-defined]

    # What the hub says of the file: its SHA-256 is the name of its blob.
    url = hf_hub_url(repository, name, revision=revision)
    headers = build_hf_headers()
    metadata = get_hf_file_metadata(url, headers=headers, retry_on_errors=True)
    sha256, size = metadata.etag, metadata.size
    if not is_sha256(sha256) or size is None or size > constants.MAX_HTTP_DOWNLOAD_SIZE:
        return False

    # Places in the layout of huggingface_hub's cache; the lock is the one that other processes take.
    folder = repo_folder_name(repo_id=repository, repo_type="model")
    blob = store / folder / "blobs" / sha256
    partial = blob.with_name(f"{sha256}.resumable.incomplete")
    lock = store / ".locks" / folder / f"{sha256}.lock"
    for directory in (blob.parent, lock.parent):
        directory.mkdir(parents=True, exist_ok=True)

    with WeakFileLock(lock):
        if blob.exists():
            return True

        # Continue a partial file, unless it is longer than the whole.
        done = partial.stat().st_size if partial.exists() else 0
        if done > size:
            partial.unlink()
            done = 0
        if done:
            logger.info("%s: continuing at %d of %d bytes", name, done, size)
        with partial.open("ab") as file:
            # The URL is the hub's own: at every retry the hub redirects to a freshly signed address, and
            # the client does not send the token there.
            http_get(
                url,
                file,
                resume_size=done,
                headers=headers,
                expected_size=size,
                displayed_filename=name,
                tqdm_class=meter(progress),
            )

        # Only a complete and undamaged file gets its place in the cache.
        if sha256_file(partial) != sha256:
            partial.unlink()
            raise Unreachable(f"{name} arrived damaged (not the SHA-256 that the hub states); try again")
        os.replace(partial, blob)
    return True


@contextmanager
def _told_apart(repository: str, revision: str) -> Iterator[None]:
    """Turn an error of huggingface_hub into Unreachable, with a reason that a user can act on.

    An error that no other source would mend passes as it is: a full disk, or a fault of the entry.
    """
    from huggingface_hub import constants, errors

    try:
        yield
    except errors.HFValidationError as error:
        raise UserError(f"{repository!r} is not the name of a repository: {error}") from error
    except errors.HfHubHTTPError as error:
        raise Unreachable(_refusal(error, repository, revision)) from error
    except (errors.LocalEntryNotFoundError, errors.OfflineModeIsEnabled) as error:
        cause = error.__cause__
        if constants.HF_HUB_OFFLINE:
            reason = "HF_HUB_OFFLINE is set and the cache does not hold all of it"
            raise Unreachable(reason, network=True) from error
        if isinstance(cause, errors.HfHubHTTPError):
            raise Unreachable(_refusal(cause, repository, revision)) from error
        if isinstance(cause, errors.FileMetadataError):
            raise Unreachable(f"what answers is not a model hub: {_line(cause)}") from error
        raise Unreachable(f"the hub cannot be reached ({_line(cause or error)})", network=True) from error
    except errors.HTTPError as error:  # type: ignore[attr-defined]  # the HTTP client's, re-exported
        reason = f"the connection to the hub failed ({_line(error)}); what has arrived is kept"
        raise Unreachable(reason, network=True) from error
    except OSError as error:
        # A full disk has an error number; an error that huggingface_hub words itself has none.
        if error.errno is not None:
            raise
        raise Unreachable(_line(error)) from error


def _refusal(error: Any, repository: str, revision: str) -> str:
    """Why the hub refuses a request, in one clause. error: an HfHubHTTPError."""
    from huggingface_hub import errors

    status = error.response.status_code
    token = (
        "HF_TOKEN is set, but not to"
        if os.environ.get("HF_TOKEN")
        else "set the environment variable HF_TOKEN to"
    )
    if isinstance(error, errors.GatedRepoError):
        return (
            f"{repository} is gated: accept its terms on its page, and {token} a token of the account that"
            f" did (status {status})"
        )
    if isinstance(error, errors.RevisionNotFoundError):
        return f"{repository} has no revision {revision}"
    if isinstance(error, errors.RepositoryNotFoundError) or status in (401, 403, 404):
        return (
            f"{repository} does not exist or is private: check its name, or {token} a token that may read it"
        )
    return f"the hub answered with status {status}"


def _line(error: BaseException) -> str:
    """An exception in one short line. Its type comes first, as some exceptions have no text."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:160]}" if text else type(error).__name__
