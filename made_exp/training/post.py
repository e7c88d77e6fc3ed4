"""Values sent from one process to another of this machine, large tensors without copies."""

import io
import pickle
import select
import socket
import struct
from typing import Any, final

import torch
from torch import Tensor
from typing_extensions import override

_SIZE = struct.Struct("<Q")


class _Pickler(pickle.Pickler):
    """Leaves the numbers of tensors to be sent as they lie in memory."""

    @override
    def reducer_override(self, obj: Any) -> Any:
        if isinstance(obj, Tensor) and obj.dtype != torch.bfloat16:
            return torch.from_numpy, (obj.detach().contiguous().numpy(),)
        return NotImplemented


@final
class Post:
    """One end of the sockets between two processes.

    Args:
        end: The socket.
    """

    def __init__(self, end: socket.socket) -> None:
        self._end, self._poll = end, select.poll()
        self._poll.register(end.fileno(), select.POLLIN)

    def close(self) -> None:
        """Give up this end; the other side reads no more."""
        self._end.close()

    def has_come(self) -> bool:
        """Whether there is something to read: a value, or the other side's end."""
        return bool(self._poll.poll(0))

    def send(self, value: Any) -> None:
        """Send a value of plain values and tensors on the CPU.

        Raises:
            OSError: If the other side has gone.
        """
        head = io.BytesIO()
        buffers: list[pickle.PickleBuffer] = []
        _Pickler(head, 5, buffer_callback=buffers.append).dump(value)
        parts = [head.getbuffer(), *(buffer.raw() for buffer in buffers)]
        sizes = [_SIZE.pack(part.nbytes) for part in parts]
        self._end.sendall(b"".join([_SIZE.pack(len(parts)), *sizes]))
        for part in parts:
            self._end.sendall(part)

    def read(self) -> Any:
        """Wait for the next value.

        Raises:
            EOFError, OSError: If the other side has gone.
        """
        (count,) = _SIZE.unpack(self._receive(_SIZE.size))
        sizes = self._receive(count * _SIZE.size)
        head, *buffers = [self._receive(size) for (size,) in _SIZE.iter_unpack(sizes)]
        return pickle.loads(head, buffers=buffers)

    def _receive(self, size: int) -> bytearray:
        received = bytearray(size)
        view, done = memoryview(received), 0
        while done < size:
            count = self._end.recv_into(view[done:])
            if not count:
                raise EOFError
            done += count
        return received
