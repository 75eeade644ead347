"""Files of Hugging Face repositories: pinned, checked by their hashes, renamed when whole.

`huggingface_hub` says what there is and where it lies; the bytes come as those of any file (`sources/transfer.py`), for
since version 2 that library forgets a file it was killed in. A token comes from HF_TOKEN or from a login of that
library, the server from ``--endpoint`` or HF_ENDPOINT.
"""

import asyncio
import os
import random
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec

from sphinx_data import storage
from sphinx_data.errors import SphinxError
from sphinx_data.sources import hashes, order
from sphinx_data.sources.catalogue import Hub
from sphinx_data.sources.http import Client, Failed, Limits, host_of
from sphinx_data.sources.receipt import SIDE, Fetched, Receipt, Repository
from sphinx_data.sources.transfer import Transfer, Wanted

_EXPIRED = "status-403"  # what a store says to an address that was signed an hour ago
_ADDRESSES = 100  # that one file may need


class HubFile(msgspec.Struct, frozen=True):
    """A file of a repository at its commit."""

    name: str
    size: int
    sha256: str | None  # of those in large file storage
    blob: str  # git's SHA-1 of the others


class Repo:
    """A repository at one commit. Raises Failed with the mend where it cannot be read."""

    def __init__(self, hub: Hub, *, endpoint: str | None, revision: str | None, limits: Limits) -> None:
        import huggingface_hub

        self.hub, self._limits = hub, limits
        self._endpoint = endpoint
        self._api = huggingface_hub.HfApi(endpoint=endpoint, library_name="sphinx-data")
        wanted = revision or (hub.revision if hub.revision != "unknown" else None)
        self.revision: str = wanted or self._told(
            lambda: self._api.repo_info(hub.repository, repo_type=hub.kind).sha
        )  # fmt: skip

    def files(self) -> list[HubFile]:
        """The files that the entry chooses, by name."""
        from huggingface_hub.hf_api import RepoFile
        from huggingface_hub.utils import filter_repo_objects

        hub = self.hub
        listed = self._told(
            lambda: [
                each
                for each in self._api.list_repo_tree(
                    hub.repository, recursive=True, revision=self.revision, repo_type=hub.kind
                )
                if isinstance(each, RepoFile)
            ]
        )  # fmt: skip
        chosen = filter_repo_objects(listed, allow_patterns=list(hub.patterns) or None, key=lambda each: each.path)
        found = [
            HubFile(each.path, each.size, each.lfs.sha256 if each.lfs else None, each.blob_id)
            for each in chosen
            if order.is_below(each.path)
        ]
        if not found:
            names = ", ".join(hub.patterns) or "any file"
            raise Failed(f"{hub.repository}: has no file like {names} at {self.revision}; see {self.page}")
        return sorted(found, key=lambda each: each.name)

    @property
    def page(self) -> str:
        """Where a person reads about the repository."""
        kind = "datasets/" if self.hub.kind == "dataset" else ""
        return f"https://huggingface.co/{kind}{self.hub.repository}"

    def fetch(self, file: HubFile, staging: str, received: Callable[[int], None]) -> str:
        """Fetch a file below `staging`; returns its path. Raises Failed, and OutputError for a full disk."""
        path = os.path.join(staging, file.name)
        for _ in range(2):
            self._download(file, path, received)
            if file.sha256 or is_right(path, file):  # the first was looked at on the way
                return path
            os.remove(path)
            received(-file.size)
        raise Failed(f"{self.hub.repository}: {file.name} has other bytes than its hash says; try again later")

    def _download(self, file: HubFile, path: str, received: Callable[[int], None]) -> None:
        """The bytes from where the Hub sends; large files lie in stores behind addresses that expire."""
        import huggingface_hub

        hub = self.hub
        url = huggingface_hub.hf_hub_url(
            hub.repository, file.name, repo_type=hub.kind, revision=self.revision, endpoint=self._endpoint
        )
        checksum = f"sha256:{file.sha256}" if file.sha256 else None
        for _ in range(_ADDRESSES):
            place = self._told(lambda: huggingface_hub.get_hf_file_metadata(url, endpoint=self._endpoint)).location
            wanted = Wanted(url=place, path=path, size=file.size, checksum=checksum)
            token = huggingface_hub.utils.build_hf_headers().get("authorization")
            headers = {"Authorization": token} if token and host_of(place) == host_of(url) else {}
            before = _there(path)
            try:
                asyncio.run(self._transfer(wanted, headers, received))
                return
            except Failed as error:
                if error.reason != _EXPIRED or place == url or _there(path) <= before:
                    raise Failed(f"{hub.repository}: {error}", error.reason) from None
        raise Failed(f"{hub.repository}: the addresses of {file.name} expire too soon; run the same command again")

    async def _transfer(self, wanted: Wanted, headers: dict[str, str], received: Callable[[int], None]) -> None:
        async with Client(msgspec.structs.replace(self._limits, allow_private=True), headers) as client:
            await Transfer(client, wanted, received).run()

    def _told(self, step: Callable[[], Any]) -> Any:
        """Repeat what heals; turn what does not into a sentence."""
        for number in range(self._limits.tries):
            try:
                return step()
            except SphinxError:
                raise
            except Exception as error:
                refused = self._refused(error)
                if refused is not None:
                    raise refused from None
                why = " ".join(str(error).split())[:200] or type(error).__name__
            time.sleep(min(self._limits.pause * 2**number, 60) * random.uniform(0.75, 1.25))
        raise Failed(f"{self.hub.repository}: {why}; run the same command again to go on")

    def _refused(self, error: Exception) -> SphinxError | None:
        """What no repetition would mend, in words."""
        from huggingface_hub import errors

        name, token = self.hub.repository, _has_token()
        told = "the account of your token has not accepted its terms" if token else "it needs a token"
        match error:
            case errors.GatedRepoError():
                return Failed(f"{name}: is gated, and {told}: accept them at {self.page} and set HF_TOKEN")
            case errors.RevisionNotFoundError():
                return Failed(f"{name}: has no revision {self.hub.revision}; see {self.page}")
            case errors.RemoteEntryNotFoundError():
                return Failed(f"{name}: a file is gone at {self.revision}; see {self.page}")
            case errors.RepositoryNotFoundError():
                mend = "your token may not read it" if token else "set HF_TOKEN if it is private"
                return Failed(f"{name}: is not there, or not for everybody; {mend}; see {self.page}")
            case errors.HfHubHTTPError() if error.response is not None:
                status = error.response.status_code
                if status in (401, 403):
                    return Failed(f"{name}: the token is refused (status {status}); set HF_TOKEN to one that is valid")
                return None if status in (408, 429) or status >= 500 else Failed(f"{name}: status {status}; {error}")
            case errors.OfflineModeIsEnabled():
                return Failed(f"{name}: HF_HUB_OFFLINE is set, so nothing is fetched; unset it")
            case errors.HFValidationError():
                return Failed(f"{name}: is no name of a repository; write OWNER/NAME")
            case OSError() if error.errno is not None and error.filename is not None:
                return storage.cannot_write(error.filename, error)
            case OSError() if error.errno in storage.NO_ROOM:
                return storage.cannot_write(name, error)
        return None


def fetch(
    hub: Hub, folder: str, done: Receipt, *, endpoint: str | None, parallel: int, limits: Limits,
    received: Callable[[int], None], finished: Callable[[str, Fetched], None],
) -> tuple[Repository, list[str]]:  # fmt: skip
    """Fetch what is missing of an entry; returns what it is, and what failed."""
    known = done.repositories.get(order.asked(hub))
    repo = Repo(hub, endpoint=endpoint, revision=known.revision if known else None, limits=limits)
    files = repo.files()
    staging = os.path.join(folder, SIDE, "hub", f"{hub.kind}s--{hub.repository.replace('/', '--')}")

    def one(file: HubFile) -> str | None:
        place = os.path.normpath(os.path.join(hub.to, file.name))
        path = os.path.join(folder, place)
        try:
            if not (os.path.isfile(path) and is_right(path, file)):
                fetched = repo.fetch(file, staging, received)
                Path(path).parent.mkdir(parents=True, exist_ok=True)
                os.replace(fetched, path)
            url = f"{repo.page}/resolve/{repo.revision}/{file.name}"
            checksum = f"sha256:{file.sha256}" if file.sha256 else None
            finished(place, Fetched(
                url=url, size=file.size, xxh3=hashes.digest(path), checksum=checksum, revision=repo.revision
            ))  # fmt: skip
        except Failed as error:
            return str(error)
        except OSError as error:
            raise storage.cannot_write(path, error) from None
        return None

    places = [os.path.normpath(os.path.join(hub.to, file.name)) for file in files]
    missing = [
        file for file, place in zip(files, places, strict=True)
        if not (done.has(folder, place) and done.files[place].revision == repo.revision)
    ]  # fmt: skip
    with ThreadPoolExecutor(parallel) as pool:
        failed = [why for why in pool.map(one, missing) if why]
    return Repository(revision=repo.revision, files=tuple(places)), failed


def is_right(path: str, file: HubFile) -> bool:
    """Whether a file has the size and the hash that the repository gives."""
    if os.path.getsize(path) != file.size:
        return False
    if file.sha256:
        return hashes.checksum(path, f"sha256:{file.sha256}")
    return hashes.git_blob(path, file.size) == file.blob


def _has_token() -> bool:
    import huggingface_hub

    return bool(huggingface_hub.get_token())


def _there(path: str) -> int:
    """Bytes that the disk holds of a file under way."""
    try:
        return os.stat(f"{path}.part").st_blocks
    except OSError:
        return 0
