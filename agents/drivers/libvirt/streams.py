"""A guest's serial line as a socket: two threads pump between libvirt's stream and a socket pair."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import Any

import libvirt

PIECE = 64 * 1024


def serial(connection: Any, domain: Any) -> socket.socket:
    """Our end of the guest's serial line. A console that somebody else had open is taken over."""
    stream = connection.newStream(0)
    domain.openConsole(None, stream, libvirt.VIR_DOMAIN_CONSOLE_FORCE)
    ours, theirs = socket.socketpair()
    for name, pump in (("out", _from_guest), ("in", _to_guest)):
        threading.Thread(target=pump, args=(stream, theirs), name=f"serial-{name}", daemon=True).start()
    return ours


def _from_guest(stream: Any, end: socket.socket) -> None:
    try:
        while data := stream.recv(PIECE):
            end.sendall(data)
    except (libvirt.libvirtError, OSError):
        pass  # either side hung up
    finally:
        _hang_up(end)


def _to_guest(stream: Any, end: socket.socket) -> None:
    try:
        while data := end.recv(PIECE):
            view = memoryview(data)
            while view:
                view = view[stream.send(bytes(view)) :]
    except (libvirt.libvirtError, OSError):
        pass
    finally:
        _hang_up(end)
        with contextlib.suppress(libvirt.libvirtError):
            stream.abort()  # also ends the other pump's recv


def _hang_up(end: socket.socket) -> None:
    with contextlib.suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
