"""The host's own TOML file, the only configuration a host has; the only module that reads it.

Named by `KUMO_AGENT_CONFIG`, else `/etc/kumo/agent.toml`. Enrolment writes the keys and certificates
it names.
"""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import Annotated, Any

import msgspec


class AgentConfigError(Exception):
    """The file cannot be used; the text names the key and says what is allowed."""


class AgentConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole file."""

    name: Annotated[
        str,
        msgspec.Meta(description="The host's name in the cloud.", pattern=r"^[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?$"),
    ]
    state: Annotated[str, msgspec.Meta(description="State directory; absolute.")] = "/var/lib/kumo-agent"
    control_url: Annotated[
        str, msgspec.Meta(description="Where hosts reach the control plane: `https://ADDRESS:PORT`.")
    ]
    broker_url: Annotated[
        str,
        msgspec.Meta(
            description="Broker without user and password: `redis://ADDRESS:PORT/0` or `amqp://…`.",
            pattern=r"^(redis|rediss|amqp|amqps)://",
        ),
    ]
    drivers: Annotated[
        dict[str, dict[str, dict[str, Any]]],
        msgspec.Meta(description="Host drivers by family and key, with `BACKEND` and `OPTIONS`."),
    ] = msgspec.field(default_factory=lambda: {"hypervisor": {"default": {"BACKEND": "libvirt", "OPTIONS": {}}}})
    log_level: Annotated[str, msgspec.Meta(description="debug, info, warning or error.")] = "info"

    # Files that enrolment writes below `state/identity`, mode 0600.
    @property
    def root(self) -> Path:
        return Path(self.state)

    @property
    def identity(self) -> Path:
        return self.root / "identity"

    @property
    def certificate(self) -> Path:
        return self.identity / "host.crt"

    @property
    def private_key(self) -> Path:
        return self.identity / "host.key"

    @property
    def authority(self) -> Path:
        return self.identity / "ca.crt"

    @property
    def signing_key(self) -> Path:
        """Ed25519 private key (PEM) that signs what this host says."""
        return self.identity / "signing.key"

    @property
    def control_key(self) -> Path:
        """Ed25519 public key (PEM) of the control plane, which signs what this host is told."""
        return self.identity / "control.pub"

    @property
    def broker_password(self) -> Path:
        return self.identity / "broker_password"

    @property
    def journal(self) -> Path:
        return self.root / "journal.sqlite3"


def load(path: Path | None = None) -> AgentConfig:
    """Read and check the file. Raises AgentConfigError."""
    path = path or Path(os.environ.get("KUMO_AGENT_CONFIG", "/etc/kumo/agent.toml"))
    try:
        return msgspec.convert(tomllib.loads(path.read_text()), AgentConfig)
    except OSError as error:
        raise AgentConfigError(f"{path}: cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise AgentConfigError(f"{path}: {error}") from error
