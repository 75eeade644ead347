"""Objects between two processes over a socket."""

import pickle
import select
import socket
import struct
from typing import Any


class Channel:
    """Objects over a socket; `multiprocessing.connection` copies each picture three times more often.

    What an object gives as a `pickle.PickleBuffer` is sent as it lies, and arrives as bytes.
    """

    _SIZE = struct.Struct("<Q")

    def __init__(self, end: socket.socket) -> None:
        self._end, self.received = end, 0  # bytes so far
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)  # a page, so that nobody waits for the other
        self._ready = select.poll()
        self._ready.register(end, select.POLLIN)

    def send(self, thing: Any) -> None:
        """Raises ConnectionError when the other end is gone."""
        apart: list[pickle.PickleBuffer] = []
        data = pickle.dumps(thing, 5, buffer_callback=apart.append)
        buffers = [buffer.raw() for buffer in apart]
        sizes = [len(data), *map(len, buffers)]
        head = b"".join(map(self._SIZE.pack, [len(sizes), *sizes]))
        pieces: list[bytes | memoryview] = [head, data, *buffers]
        sent = self._end.sendmsg(pieces)  # at once, so that the other side is woken once
        for piece in pieces:
            if sent < len(piece):
                self._end.sendall(piece[sent:])
            sent = max(0, sent - len(piece))

    def receive(self) -> Any:
        """Raises EOFError when the other end is gone."""
        (count,) = self._SIZE.unpack(self._taken(self._SIZE.size))
        sizes = [size for (size,) in self._SIZE.iter_unpack(self._taken(count * self._SIZE.size))]
        data, *buffers = map(self._taken, sizes)
        self.received += sum(sizes)
        return pickle.loads(data, buffers=buffers)

    def wait(self, seconds: float) -> bool:
        """Whether something can be received, or the other end is gone, within so many seconds."""
        return bool(self._ready.poll(1000 * seconds))

    def close(self) -> None:
        """Close this end."""
        self._end.close()

    def _taken(self, size: int) -> bytes:
        """The next bytes, in memory of their own."""
        data = self._end.recv(size, socket.MSG_WAITALL)
        while len(data) < size:  # a signal came between, or the other end is gone
            more = self._end.recv(size - len(data), socket.MSG_WAITALL)
            if not more:
                raise EOFError
            data += more
        return data
