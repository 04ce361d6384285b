"""Public files, found in a folder of the user's, in the cache, or fetched once; always checked."""

from __future__ import annotations

import hashlib
import os
import sys
from dataclasses import dataclass
from pathlib import Path

from partwise.exceptions import DataError, ResourceError
from partwise.utils.atomic import atomic_path, explain_os_error

__all__: list[str] = []

#: Seconds that a silent server is waited for.
TIMEOUT = 30.0
_CHUNK = 1 << 20


@dataclass(frozen=True)
class PublicFile:
    """A file that is published somewhere.

    Attributes
    ----------
    what
        What the file is, for messages.
    name
        Its file name, in the user's folder and in the cache.
    url
        Where it is published.
    sha256
        Checksum of its contents, hexadecimal.
    n_bytes
        Its size.
    stand_in
        What to use instead, for messages.
    """

    what: str
    name: str
    url: str
    sha256: str
    n_bytes: int
    stand_in: str


def cache_folder() -> Path:
    """Return the folder for fetched files: `PARTWISE_CACHE_DIR`, else the platform's place."""
    own = os.environ.get("PARTWISE_CACHE_DIR")
    if own:
        return Path(own)
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local"
        return Path(base) / "partwise" / "cache"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "partwise"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "partwise"


def locate(file: PublicFile, *, timeout: float = TIMEOUT) -> Path:
    """Return where a public file lies on this machine; fetch it if it is not there yet.

    Looked for in the folder that `PARTWISE_DATA_DIR` names, then in `cache_folder()`, where it is
    put, whole or not at all, if it has to be fetched.

    Raises
    ------
    DataError
        If the file in the user's folder is not the published one.
    ResourceError
        If it can neither be found nor fetched; the text says where to put it and what to use
        instead.
    """
    given = os.environ.get("PARTWISE_DATA_DIR")
    if given and (own := Path(given) / file.name).is_file():
        if _sha256(own) != file.sha256:
            raise DataError(
                f"this is not {file.what} as published (its SHA-256 is not {file.sha256}); "
                "replace it, or remove it to have it fetched",
                path=own,
            )
        return own
    cached = cache_folder() / file.name
    if cached.is_file() and _sha256(cached) == file.sha256:
        return cached
    contents = _download(file, timeout)
    try:
        cached.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(cached) as temporary:
            temporary.write_bytes(contents)
    except OSError as error:
        raise explain_os_error(error, cached) from error
    return cached


def _download(file: PublicFile, timeout: float) -> bytes:
    import http.client
    import urllib.request

    try:
        with urllib.request.urlopen(file.url, timeout=timeout) as response:
            contents: bytes = response.read(file.n_bytes + 1)
    except (OSError, http.client.HTTPException) as error:
        raise _unavailable(file, f"it could not be fetched ({error})") from error
    if hashlib.sha256(contents).hexdigest() != file.sha256:
        raise _unavailable(file, "what the server sent is not the published file")
    return contents


def _unavailable(file: PublicFile, why: str) -> ResourceError:
    return ResourceError(
        f"{file.what} is not on this machine, and {why}. Put {file.name} from {file.url} into "
        f"{cache_folder()}, or into the folder that PARTWISE_DATA_DIR names; or use "
        f"{file.stand_in}"
    )


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as stream:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
