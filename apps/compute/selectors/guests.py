"""Who asks the metadata service: the guest that alone can have a source address on a network."""

from __future__ import annotations

import ipaddress
from uuid import UUID

from django.db.models import Q

from apps.compute.models import Server
from apps.compute.selectors._common import as_uuid
from apps.core.context import RequestContext
from apps.core.transactions import internal
from apps.hosts.models import Host
from apps.network.models import Port


@internal("the host's view of metadata, which knows the asking host by its certificate")
def guest_by_address(ctx: RequestContext, *, network_id: UUID, address: str, host_name: str) -> Server | None:
    """The server on that host behind an address of a network.

    None where nobody has it, or where a port of another project on the network may claim it through its allowed
    address pairs: then nobody can say who asks.
    """
    try:
        asked = ipaddress.ip_address(address)
    except ValueError:
        return None
    ports = Port.objects.filter(network_id=network_id)
    port = ports.filter(fixed_ips__address=str(asked), device_owner__startswith="compute:").first()
    if port is None:
        return None
    others = ports.exclude(Q(project_id=port.project_id) | Q(allowed_address_pairs=[]))
    for pairs in others.values_list("allowed_address_pairs", flat=True):
        if any(_covers(pair["ip_address"], asked) for pair in pairs):
            return None
    return Server.objects.filter(pk=as_uuid(port.device_id), host_name=host_name).first()


def image_is_used(host: Host, image_id: UUID) -> bool:
    """Is a server that starts from the image placed on the host? The host may fetch it then."""
    return Server.objects.filter(host_name=host.name, image_id=image_id).exists()


def _covers(prefix: str, address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    network = ipaddress.ip_network(prefix, strict=False)
    return network.version == address.version and address in network
