"""Where the scoped sockets are on the disk. Each in a folder of its own, or where its person says.

A folder of its own can be mounted into a container as a whole: a restarted agent makes the socket
anew there, and the container sees it.
"""

import logging
import stat
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from socket import socket as Socket  # noqa: N812 - `socket` is a scoped one here
from typing import Protocol, TypeVar

from tool_agentd.adapters.lease_book import LeaseBook
from tool_agentd.adapters.listening import ListeningSocket, bind, check_path, remove_stale
from tool_agentd.adapters.own_directory import ensure_own_directory
from tool_agentd.adapters.own_file import check_place
from tool_agentd.adapters.worker import Workers
from tool_agentd.errors import ConfigurationError, ConflictError, TemporarilyUnavailableError
from tool_agentd.model import Rights, ScopedSocket

T = TypeVar("T")

FOLDER = "scoped"
"""Beside the agent's socket."""
BOOK = "sockets"
"""In the state directory."""
SOCKET = "agent.sock"
OWN_MODE, ADMITTING_MODE = 0o600, 0o666
"""Of the socket: where another user is admitted, the kernel lets everybody knock, and the agent
answers that one alone."""
OWN_FOLDER, ADMITTING_FOLDER = 0o700, 0o711
"""Of its folder: another user may pass through, and list or change nothing."""
OTHER = "choose another --path"
DEADLINE = 8.0
"""Seconds until a caller is told that the disk does not answer: below the client's own limit."""

log = logging.getLogger(__name__)


class Entrance(Protocol):
    """A socket that is served."""

    async def close(self) -> None:
        """Take in nobody any more, and cut off whoever is in."""
        ...


TakeIn = Callable[[Socket, Rights, int | None], Entrance]
"""Begins to serve a listening socket, with its rights, to the user that it admits."""


class DiskPlaces:
    """Implements ports.ScopedPlaces."""

    def __init__(self, state: str, agent: str, take_in: TakeIn) -> None:
        """Record below `state`; sockets stand beside `agent`, the agent's own."""
        self._book = LeaseBook(f"{state}/{BOOK}")
        self._folder = f"{Path(agent).parent}/{FOLDER}"
        self._take_in = take_in
        self._open: dict[str, tuple[ListeningSocket, Entrance]] = {}
        self._workers = Workers(
            "the disk",
            room="scoped",
            error=TemporarilyUnavailableError,
            limit=2,
            deadline=DEADLINE,
        )

    def usual_path(self, name: str) -> str:
        """Return where a socket of this name listens, unless its person says otherwise."""
        return f"{self._folder}/{name}/{SOCKET}"

    async def record(self, socket: ScopedSocket) -> None:
        """Write its record durably. Raises ConfigurationError or TemporarilyUnavailableError."""
        await self._on_disk(lambda: self._book.write(socket.name, socket))

    async def forget(self, socket: ScopedSocket) -> None:
        """Remove its record, and the folder that was made for it; a disk that fails is logged."""
        try:
            await self._on_disk(lambda: self._remove(socket))
        except (ConfigurationError, TemporarilyUnavailableError) as error:
            log.warning("the record of the scoped socket %s stays: %s", socket.name, error.detail)

    async def recorded(self) -> Sequence[ScopedSocket]:
        """Return every record that makes sense."""
        return await self._on_disk(lambda: self._book.read(ScopedSocket))

    async def open(self, socket: ScopedSocket, rights: Rights) -> None:
        """Listen, and serve with these rights. Raises ConfigurationError or ConflictError."""
        listening = await self._on_disk(lambda: self._listen(socket))
        entrance = self._take_in(listening.sock, rights, socket.uid)
        self._open[socket.name] = listening, entrance

    async def close(self, socket: ScopedSocket) -> None:
        """Stop listening, cut off whoever is connected, and take the socket away."""
        there = self._open.pop(socket.name, None)
        if there is not None:
            listening, entrance = there
            closing = entrance.close()
            listening.close()
            await closing

    def _remove(self, socket: ScopedSocket) -> None:
        self._book.forget(socket.name)
        if socket.own_folder:
            with suppress(OSError):  # a killed agent has left it
                Path(socket.path).unlink()
            with suppress(OSError):  # what somebody has put there is not ours to remove
                Path(socket.path).parent.rmdir()

    def _listen(self, socket: ScopedSocket) -> ListeningSocket:
        path = socket.path
        _check_path(path)
        mode = OWN_MODE if socket.uid is None else ADMITTING_MODE
        if socket.own_folder:
            self._make_folder(Path(path).parent, socket.uid)
        else:
            missing = check_place(path)
            if missing:
                message = f"{missing[0]} is not there"
                raise ConfigurationError(message, hint=f"run 'mkdir -p {Path(path).parent}'")
        try:
            remove_stale(path)
        except ConflictError:
            message = f"{path} is a socket that is in use"
            raise ConflictError(message, hint=OTHER) from None
        try:
            return ListeningSocket(path, bind(path, mode), None)
        except ConfigurationError as error:
            raise ConfigurationError(error.detail, hint=OTHER) from None

    def _make_folder(self, folder: Path, uid: int | None) -> None:
        ensure_own_directory(self._folder)
        with suppress(FileExistsError):
            folder.mkdir()
        if folder.is_symlink() or not stat.S_ISDIR(folder.lstat().st_mode):
            message = f"{folder} is no folder"
            raise ConfigurationError(message, hint=f"move {folder} away")
        folder.chmod(OWN_FOLDER if uid is None else ADMITTING_FOLDER)

    async def _on_disk(self, work: Callable[[], T]) -> T:
        """Run what blocks. Raises what `work` raises; a disk's error is ConfigurationError."""

        def explained() -> T:
            try:
                return work()
            except OSError as error:
                where = error.filename or self._folder
                raise ConfigurationError(f"{where}: {error.strerror or error}") from error

        return await self._workers.run(explained)


def _check_path(path: str) -> None:
    """Refuse what cannot be a socket's path, and what is there and is none.

    Raises ConfigurationError.
    """
    try:
        check_path(path)
    except ConfigurationError as error:
        raise ConfigurationError(error.detail, hint=OTHER) from None
    if Path(path).exists() and not Path(path).is_socket():
        message = f"{path} is there and is no socket; it is left as it is"
        raise ConfigurationError(message, hint=OTHER)
