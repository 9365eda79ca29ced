"""libvirt's errors as verb errors: what may work later, what never will, what this host cannot do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import libvirt

from agents.errors import Refused, Transient, Unsupported

_REFUSED = {
    libvirt.VIR_ERR_XML_ERROR,
    libvirt.VIR_ERR_XML_DETAIL,
    libvirt.VIR_ERR_XML_INVALID_SCHEMA,
    libvirt.VIR_ERR_INVALID_ARG,
    libvirt.VIR_ERR_DOM_EXIST,
    libvirt.VIR_ERR_ACCESS_DENIED,
    libvirt.VIR_ERR_AUTH_FAILED,
}
_UNSUPPORTED = {
    libvirt.VIR_ERR_NO_SUPPORT,
    libvirt.VIR_ERR_CONFIG_UNSUPPORTED,
    libvirt.VIR_ERR_ARGUMENT_UNSUPPORTED,
    libvirt.VIR_ERR_OPERATION_UNSUPPORTED,
}


def is_gone(error: libvirt.libvirtError) -> bool:
    """Whether the error says that the domain does not exist."""
    return error.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN


@contextmanager
def translated() -> Iterator[None]:
    """Turn libvirtError into Refused, Unsupported or Transient (everything not known to be hopeless)."""
    try:
        yield
    except libvirt.libvirtError as error:
        code, text = error.get_error_code(), error.get_error_message() or str(error)
        if code in _REFUSED:
            raise Refused(f"libvirt: {text}") from error
        if code in _UNSUPPORTED:
            raise Unsupported(f"libvirt: {text}") from error
        raise Transient(f"libvirt: {text}") from error
