"""A hypervisor host as its verbs see it: configuration, files, drivers, and the way to the control plane.

Everything big is made on first use, so that commands which need one part load one part.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING

from agents import plugins
from agents.config import AgentConfig
from agents.contracts import DomainEvent
from agents.layout import Layout
from agents.loop import BackgroundLoop

if TYPE_CHECKING:
    from agents.console import Consoles
    from agents.control import ControlPlane
    from agents.drivers.hypervisor import Hypervisor
    from agents.images import ImageCache
    from agents.metadata import MetadataService

log = logging.getLogger(__name__)


class Host:
    """What `job.host` is. `on_event` is set before `start` and called from a thread of the driver's."""

    def __init__(self, config: AgentConfig) -> None:
        self.config = config
        self.layout = Layout(config.root)
        self.loop = BackgroundLoop("host-sockets")
        self.on_event: Callable[[DomainEvent], None] = lambda event: None
        self._adopted = False

    @cached_property
    def hypervisor(self) -> Hypervisor:
        spec = self.config.drivers.get("hypervisor", {}).get("default")
        if spec is None:
            raise plugins.PluginError("this host's file names no driver hypervisor.default")
        return plugins.build("hypervisor", spec, self.layout, key="drivers.hypervisor.default")

    @cached_property
    def control(self) -> ControlPlane:
        from agents.control import ControlPlane

        return ControlPlane(self.config)

    @cached_property
    def images(self) -> ImageCache:
        from agents import disks
        from agents.images import ImageCache

        return ImageCache(self.layout, self.control.image, lambda: disks.images_in_use(self.layout))

    @cached_property
    def metadata(self) -> MetadataService:
        from agents.metadata import MetadataService

        return MetadataService(self.loop, self.control, self.hypervisor.wiring)

    @cached_property
    def consoles(self) -> Consoles:
        from agents.console import Consoles

        return Consoles(self.loop, self.control)

    def start(self) -> None:
        """Take over what is on the host already and report what happens from now on.

        Called once by the worker, in the process that runs verbs.
        """
        self.layout.make()
        self.hypervisor.listen(self._report, self._adopt)

    def tend(self) -> None:
        """Mend what was not possible at start or was lost since. Called with every heartbeat."""
        if not self._adopted:
            self._adopt()
        self.metadata.mend()

    def _adopt(self) -> None:
        self._adopted = False
        self.metadata.adopt(self.hypervisor.networks)
        self._adopted = True

    def _report(self, event: DomainEvent) -> None:
        """Hand an event on; what goes wrong there is logged, and the next inventory tells it again."""
        try:
            self.on_event(event)
        except Exception:
            log.exception("event of server %s was not reported", event.observed.server_id)

    def stop(self) -> None:
        """Let go of connections; guests and their networks' metadata endpoints stay, to be adopted again."""
        self.hypervisor.close()
        self.loop.close()
