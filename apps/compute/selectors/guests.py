"""What other apps ask about guests on a host."""

from __future__ import annotations

from uuid import UUID

from apps.compute.models import Server
from apps.core.transactions import internal
from apps.hosts.models import Host


@internal("the image service, before it hands a host an image's bytes")
def image_is_used(host: Host, image_id: UUID) -> bool:
    """Is a server that starts from the image placed on the host? The host may fetch it then."""
    return Server.objects.filter(host_name=host.name, image_id=image_id).exists()
