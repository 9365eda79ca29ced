"""Microversions of this API, and the documents by which clients find them. They touch no table."""

from __future__ import annotations

from typing import Any

from rest_framework.request import Request
from rest_framework.response import Response

from apps.core.api.microversions import Microversion, Microversions, text
from apps.core.api.service import Api, nova_fault, nova_links
from apps.core.api.views import ApiView

# Number and what it brought, for the calls that are served; those between concern calls that are not yet. The whole
# walk stands in docs/reference/compute-microversions.md.
HISTORY = (
    Microversion((2, 1), "The API of 2013, without version headers."),
    Microversion((2, 2), "Type of key pairs; their proper status codes."),
    Microversion((2, 3), "More attributes of servers for administrators."),
    Microversion((2, 5), "Filter ip6 when listing servers."),
    Microversion((2, 6), "POST /servers/{id}/remote-consoles instead of actions."),
    Microversion((2, 7), "Access to public flavors cannot be added."),
    Microversion((2, 8), "Console protocol mks, which is not enabled here."),
    Microversion((2, 9), "locked in servers."),
    Microversion((2, 10), "Key pairs of other users for administrators."),
    Microversion((2, 11), "forced_down of services."),
    Microversion((2, 13), "project_id and user_id of server groups."),
    Microversion((2, 15), "Soft policies of server groups."),
    Microversion((2, 16), "host_status in servers."),
    Microversion((2, 18), "The project's id in addresses is optional."),
    Microversion((2, 19), "description of servers."),
    Microversion((2, 21), "Actions of deleted servers."),
    Microversion((2, 22), "Forcing a live migration to complete."),
    Microversion((2, 23), "Migrations of a server."),
    Microversion((2, 24), "Aborting a live migration."),
    Microversion((2, 26), "Tags of servers."),
    Microversion((2, 27), "OpenStack-API-Version."),
    Microversion((2, 28), "cpu_info of hypervisors is an object."),
    Microversion((2, 32), "Tags of devices when creating servers."),
    Microversion((2, 33), "Pages of hypervisors; disks lose their tag."),
    Microversion((2, 35), "Pages of key pairs."),
    Microversion((2, 36), "Proxies to the network and image services end here."),
    Microversion((2, 37), "networks is required, and may be auto or none."),
    Microversion((2, 38), "An unknown status when listing servers is refused."),
    Microversion((2, 39), "maxImageMeta leaves limits."),
    Microversion((2, 40), "Pages of usage."),
    Microversion((2, 41), "uuid of aggregates."),
    Microversion((2, 42), "Tags of devices are back."),
    Microversion((2, 43), "os-hosts ends here."),
    Microversion((2, 44), "Actions on floating IPs end here."),
    Microversion((2, 46), "X-OpenStack-Request-ID."),
    Microversion((2, 47), "The flavor's facts stand in servers."),
    Microversion((2, 48), "One form of diagnostics."),
    Microversion((2, 49), "tag when attaching interfaces."),
    Microversion((2, 50), "Quota classes know server groups."),
    Microversion((2, 51), "Events of actions for everybody; external event volume-extended."),
    Microversion((2, 52), "Tags when creating servers."),
    Microversion((2, 53), "Services and hypervisors are named by UUID."),
    Microversion((2, 54), "key_name when rebuilding servers."),
    Microversion((2, 55), "description of flavors."),
    Microversion((2, 57), "Personality ends here."),
    Microversion((2, 58), "Pages of actions."),
    Microversion((2, 59), "Pages of migrations."),
    Microversion((2, 61), "Extra specs in flavors."),
    Microversion((2, 62), "Hosts in events of actions."),
    Microversion((2, 63), "trusted_image_certificates in servers."),
    Microversion((2, 64), "One policy and rules of server groups."),
    Microversion((2, 65), "Aborting queued live migrations; there are none."),
    Microversion((2, 66), "changes-before when listing servers and actions."),
    Microversion((2, 67), "volume_type of block devices, for which no server has volumes yet."),
    Microversion((2, 69), "Lists may lack servers of parts that are down; here none are."),
    Microversion((2, 70), "tag in interfaces."),
    Microversion((2, 71), "server_groups in a server."),
    Microversion((2, 72), "Ports with a guaranteed bandwidth; none has one."),
    Microversion((2, 73), "locked_reason, and the filter locked."),
    Microversion((2, 74), "host and hypervisor_hostname when creating servers."),
    Microversion((2, 75), "Unknown parameters are refused; PUT of a server answers with all attributes."),
    Microversion((2, 76), "External event power-update."),
    Microversion((2, 78), "topology of servers."),
    Microversion((2, 80), "Owners of migrations."),
    Microversion((2, 82), "External event accelerator-request-bound."),
    Microversion((2, 83), "More filters of servers for everybody."),
    Microversion((2, 84), "details in events of actions."),
    Microversion((2, 86), "Extra specs are validated."),
    Microversion((2, 88), "Hypervisors say less of capacity, and their uptime and servers."),
    Microversion((2, 90), "hostname of servers may be chosen."),
    Microversion((2, 92), "Key pairs are imported only; @ and . in their names."),
    Microversion((2, 93), "External event volume-reimaged."),
    Microversion((2, 94), "hostname may be a full domain name."),
    Microversion((2, 96), "pinned_availability_zone in servers."),
    Microversion((2, 98), "Image properties in servers."),
    Microversion((2, 99), "Console type spice-direct, which is not enabled here."),
    Microversion((2, 100), "scheduler_hints in servers."),
)
VERSIONS = Microversions("compute", (2, 1), HISTORY[-1].version, legacy="X-OpenStack-Nova-API-Version")
COMPUTE = Api(
    name="compute",
    prefix="/compute",
    fault=nova_fault,
    links=nova_links,
    versions=VERSIONS,
    id_header="X-Compute-Request-Id",
)
UPDATED = "2013-07-23T11:33:21Z"


def _links(base: str, path: str) -> list[dict[str, str]]:
    return [
        {"rel": "self", "href": f"{base}/compute/{path}/"},
        {"rel": "describedby", "type": "text/html", "href": "http://docs.openstack.org/"},
    ]


def _brief(base: str) -> list[dict[str, Any]]:
    return [
        {
            "id": "v2.0",
            "status": "SUPPORTED",
            "version": "",
            "min_version": "",
            "updated": "2011-01-21T11:33:21Z",
            "links": [{"rel": "self", "href": f"{base}/compute/v2/"}],
        },
        {
            "id": "v2.1",
            "status": "CURRENT",
            "version": text(VERSIONS.maximum),
            "min_version": text(VERSIONS.minimum),
            "updated": UPDATED,
            "links": [{"rel": "self", "href": f"{base}/compute/v2.1/"}],
        },
    ]


def _media(version: str) -> list[dict[str, str]]:
    return [{"base": "application/json", "type": f"application/vnd.openstack.compute+json;version={version}"}]


class Roots(ApiView):
    """`GET /compute`: the versions there are."""

    api = COMPUTE
    public = True

    def get(self, request: Request) -> Response:
        return Response({"versions": _brief(self.base)})


class Root(ApiView):
    """`GET /compute/v2.1` and `/v2`: one of them in full. `path` comes with the URL."""

    api = COMPUTE
    public = True
    path = "v2.1"

    def get(self, request: Request) -> Response:
        brief = next(v for v in _brief(self.base) if f"/{self.path}/" in v["links"][0]["href"])
        media = _media("2" if self.path == "v2" else "2.1")
        return Response({"version": brief | {"links": _links(self.base, self.path), "media-types": media}})


class Choices(ApiView):
    """An address without a version that exists: what there is to choose from, with 300."""

    api = COMPUTE
    public = True

    def get(self, request: Request, rest: str = "") -> Response:
        choices = [
            {
                "id": version["id"],
                "status": version["status"],
                "links": [{"rel": "self", "href": f"{version['links'][0]['href']}{rest}"}],
                "media-types": _media("2" if version["id"] == "v2.0" else "2.1"),
            }
            for version in _brief(self.base)
        ]
        return Response({"choices": choices}, status=300)
