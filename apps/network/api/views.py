"""The collections of the network API, and what hangs on their members."""

from __future__ import annotations

from typing import Any

from rest_framework.request import Request
from rest_framework.response import Response

from apps.core import policy
from apps.core.api import types as t
from apps.core.api.listing import Param
from apps.core.api.views import ApiView, Crud
from apps.core.errors import Invalid, NotFound
from apps.network import resources, selectors, services
from apps.network.api.base import NETWORK_API, TAG_PARAMS, NeutronView
from apps.network.models import Port

STATUS_PARAM = Param("status", t.text())


class Networks(NeutronView):
    """`/networks`"""

    resource = resources.NETWORK
    params = (*TAG_PARAMS, STATUS_PARAM)
    calls = Crud.of("network", selectors, services)


class Subnets(NeutronView):
    """`/subnets`"""

    resource = resources.SUBNET
    calls = Crud.of("subnet", selectors, services)


class SubnetPools(NeutronView):
    """`/subnetpools`"""

    resource = resources.SUBNETPOOL
    calls = Crud.of("subnetpool", selectors, services)


class Ports(NeutronView):
    """`/ports`"""

    resource = resources.PORT
    params = (
        *TAG_PARAMS,
        Param("fixed_ips", t.text(), many=True),
        Param("security_groups", t.uuid, many=True),
    )
    calls = Crud.of("port", selectors, services)

    def _written(self, made: Any, view: str) -> Any:
        """A port just made is shown from what the service knows: the commonest call costs one query less."""
        if not isinstance(made, Port) or not hasattr(made, "given_ips"):
            return super()._written(made, view)
        row = {field.attname: getattr(made, field.attname) for field in Port._meta.concrete_fields}
        row["fixed_ip_rows"] = [{"subnet_id": s, "ip_address": a} for s, a in made.given_ips]
        row["group_ids"] = [str(group) for group in made.given_groups]
        return self._render_one(row, view)


class Routers(NeutronView):
    """`/routers`"""

    resource = resources.ROUTER
    params = (*TAG_PARAMS, STATUS_PARAM)
    calls = Crud.of("router", selectors, services)


class FloatingIps(NeutronView):
    """`/floatingips`"""

    resource = resources.FLOATINGIP
    params = (*TAG_PARAMS, STATUS_PARAM)
    calls = Crud.of("floatingip", selectors, services)


class SecurityGroups(NeutronView):
    """`/security-groups`; the project's default group is made when it is first looked for."""

    resource = resources.SECURITY_GROUP
    calls = Crud.of("security_group", selectors, services)

    def list(self, request: Request, **parents: Any) -> Response:
        if self.ctx.project_id:
            services.default_group(self.ctx, project_id=self.ctx.project_id)
        return super().list(request, **parents)


class SecurityGroupRules(NeutronView):
    """`/security-group-rules`; a rule is never changed."""

    resource = resources.SECURITY_GROUP_RULE
    params = ()
    calls = Crud.of("security_group_rule", selectors, services, without=("update",))


class NetworkView(ApiView):
    """Base of calls that are no collection."""

    api = NETWORK_API


_INTERFACE = t.shape({"subnet_id": t.text(64), "port_id": t.text(64)}, closed=False).schema
_ROUTES = t.shape({"router": t.shape({"routes": resources.OBJECTS}, required=("routes",))}, required=("router",)).schema


class RouterInterface(NetworkView):
    """`PUT /routers/{id}/add_router_interface` and `remove_router_interface`."""

    adds: bool = True

    def put(self, request: Request, router_id: str) -> Response:
        body = self.body(_INTERFACE)
        call = services.router_add_interface if self.adds else services.router_remove_interface
        return Response(
            call(self.ctx, router_id=router_id, subnet_id=body.get("subnet_id"), port_id=body.get("port_id"))
        )


class RouterRoutes(NeutronView):
    """`PUT /routers/{id}/add_extraroutes` and `remove_extraroutes`."""

    resource = resources.ROUTER
    calls = Crud()
    adds: bool = True

    def _handler(self, method: str) -> Any:
        return self.replace_routes if method == "put" else None

    def replace_routes(self, request: Request, router_id: str) -> Response:
        routes = self.body(_ROUTES)["router"]["routes"] or []
        call = services.router_add_routes if self.adds else services.router_remove_routes
        call(self.ctx, router_id=router_id, routes=routes)
        return Response(self._render_one(selectors.router_get(self.ctx, router_id=router_id), "show"))


_TAGS = t.shape({"tags": t.array(t.text(255))}, required=("tags",)).schema


class Tags(NetworkView):
    """`/{collection}/{id}/tags`"""

    def get(self, request: Request, collection: str, ident: str) -> Response:
        return Response({"tags": services.tag_list(self.ctx, collection=collection, ident=ident)})

    def put(self, request: Request, collection: str, ident: str) -> Response:
        tags = services.tags_set(self.ctx, collection=collection, ident=ident, tags=self.body(_TAGS)["tags"])
        return Response({"tags": tags})

    def delete(self, request: Request, collection: str, ident: str) -> Response:
        services.tags_clear(self.ctx, collection=collection, ident=ident)
        return Response(status=204)


class Tag(NetworkView):
    """`/{collection}/{id}/tags/{tag}`"""

    def get(self, request: Request, collection: str, ident: str, tag: str) -> Response:
        if tag not in services.tag_list(self.ctx, collection=collection, ident=ident):
            raise NotFound("Tag", tag, code="TagNotFound")
        return Response(status=204)

    def put(self, request: Request, collection: str, ident: str, tag: str) -> Response:
        services.tag_add(self.ctx, collection=collection, ident=ident, tag=tag)
        return Response(status=201)

    def delete(self, request: Request, collection: str, ident: str, tag: str) -> Response:
        services.tag_remove(self.ctx, collection=collection, ident=ident, tag=tag)
        return Response(status=204)


_QUOTA = t.shape({"quota": t.Type({"type": "object", "additionalProperties": resources.INTEGER.schema})}).schema


class Quotas(NetworkView):
    """`/quotas`"""

    def get(self, request: Request) -> Response:
        return Response({"quotas": services.quota_list(self.ctx)})


class Quota(NetworkView):
    """`/quotas/{project}`"""

    def get(self, request: Request, project_id: str) -> Response:
        return Response({"quota": services.quota_get(self.ctx, project_id=project_id)})

    def put(self, request: Request, project_id: str) -> Response:
        body = self.body(_QUOTA)
        if "quota" not in body:
            raise Invalid("The body needs quota.", field="quota")
        wanted = {name: int(value) for name, value in body["quota"].items() if name not in {"project_id", "tenant_id"}}
        return Response({"quota": services.quota_update(self.ctx, project_id=project_id, limits=wanted)})

    def delete(self, request: Request, project_id: str) -> Response:
        services.quota_reset(self.ctx, project_id=project_id)
        return Response(status=204)


class QuotaDefault(NetworkView):
    """`/quotas/{project}/default`"""

    def get(self, request: Request, project_id: str) -> Response:
        return Response({"quota": services.quota_defaults(self.ctx, project_id=project_id)})


class QuotaDetails(NetworkView):
    """`/quotas/{project}/details.json`"""

    def get(self, request: Request, project_id: str) -> Response:
        return Response({"quota": services.quota_details(self.ctx, project_id=project_id)})


class Agents(NetworkView):
    """`/agents` and `/agents/{id}`"""

    def get(self, request: Request, ident: str = "") -> Response:
        agents = selectors.agent_list(self.ctx)
        if not ident:
            kept = [a for a in agents if all(str(a.get(k, v)) == v for k, v in request.query_params.items())]
            return Response({"agents": kept})
        found = next((a for a in agents if a["id"] == ident), None)
        if found is None:
            raise NotFound("Agent", ident, code="AgentNotFound")
        return Response({"agent": found})


class AvailabilityZones(NetworkView):
    """`/availability_zones`"""

    def get(self, request: Request) -> Response:
        zones = selectors.availability_zone_list(self.ctx)
        wanted = request.query_params
        kept = [{k: v for k, v in z.items() if k != "id"} for z in zones]
        return Response({"availability_zones": [z for z in kept if all(z.get(k, v) == v for k, v in wanted.items())]})


class ServiceProviders(NetworkView):
    """`/service-providers`"""

    def get(self, request: Request) -> Response:
        policy.enforce(self.ctx, "get_service_provider")
        return Response({"service_providers": [{"service_type": "L3_ROUTER_NAT", "name": "ovn", "default": True}]})
