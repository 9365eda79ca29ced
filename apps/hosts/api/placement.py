"""OpenStack's placement API, to be read: hosts as resource providers, what they have and who holds it.

Writing stays with Kumo's own scheduler, so every other method answers 405. The highest version announced is the
last one whose changes to these calls are all here.
"""

from __future__ import annotations

import datetime
from typing import Any

from django.utils import timezone
from django.utils.http import http_date
from rest_framework.request import Request
from rest_framework.response import Response

from apps.core import policy
from apps.core.api.microversions import Microversions
from apps.core.api.service import Api, nova_links, placement_fault
from apps.core.api.views import ApiView
from apps.core.errors import Invalid, NotFound
from apps.hosts import resources, selectors
from apps.hosts.models import Host

VERSIONS = Microversions("placement", (1, 0), (1, 17))
PLACEMENT = Api("placement", "/placement", placement_fault, nova_links, versions=VERSIONS)

SINCE_AGGREGATES = (1, 1)
SINCE_CLASSES = (1, 2)
SINCE_ROOM = (1, 4)
SINCE_TRAITS = (1, 6)
SINCE_PROJECT_USAGES = (1, 9)
SINCE_CANDIDATES = (1, 10)
SINCE_OWNERS = (1, 12)  # allocations name project and user; candidates are keyed by provider
SINCE_TREES = (1, 14)
SINCE_CACHE_HEADERS = (1, 15)
SINCE_LIMIT = (1, 16)
SINCE_CANDIDATE_TRAITS = (1, 17)


class PlacementView(ApiView):
    """Checks that the call exists at the version asked for, and adds the headers of later ones."""

    api = PLACEMENT
    since = (1, 0)

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        if self.version < self.since:
            raise NotFound("The resource")

    def answer(self, body: Any, changed: datetime.datetime | None = None) -> Response:
        headers = {}
        if self.version >= SINCE_CACHE_HEADERS:
            moment = changed or timezone.now()
            headers = {"Last-Modified": http_date(moment.timestamp()), "Cache-Control": "no-cache"}
        return Response(body, headers=headers)

    def provider(self, host: Host) -> dict[str, Any]:
        path = f"/placement/resource_providers/{host.pk}"
        words = ["inventories", "usages"]
        words += ["aggregates"] if self.version >= SINCE_AGGREGATES else []
        words += ["traits"] if self.version >= SINCE_TRAITS else []
        words += ["allocations"] if self.version >= (1, 11) else []
        links = [{"rel": "self", "href": path}, *({"rel": w, "href": f"{path}/{w}"} for w in words)]
        body = {"uuid": str(host.pk), "name": host.name, "generation": host.generation, "links": links}
        if self.version >= SINCE_TREES:
            body |= {"root_provider_uuid": str(host.pk), "parent_provider_uuid": None}
        return body


class Versions(ApiView):
    """`GET /placement`; a version beyond the range is refused here too, which is how clients find the range."""

    api = PLACEMENT
    public = True

    def get(self, request: Request) -> Response:
        version = {
            "id": "v1.0",
            "status": "CURRENT",
            "min_version": "1.0",
            "max_version": f"{VERSIONS.maximum[0]}.{VERSIONS.maximum[1]}",
            "links": [{"rel": "self", "href": ""}],
        }
        return Response({"versions": [version]})


class Providers(PlacementView):
    """`GET /resource_providers`, by name, uuid and resources."""

    def get(self, request: Request) -> Response:
        query = request.query_params
        known = {"name", "uuid", "resources", "in_tree"}
        if unknown := sorted(set(query) - known):
            raise Invalid(f"Hosts cannot be chosen by {unknown[0]} here.", field=unknown[0])
        room = _room(query["resources"]) if "resources" in query and self.version >= SINCE_ROOM else None
        ident = query.get("uuid") or query.get("in_tree", "")
        hosts = selectors.provider_list(self.ctx, name=query.get("name", ""), ident=ident, room=room)
        return self.answer({"resource_providers": [self.provider(host) for host in hosts]})


class OfProvider(PlacementView):
    """Base of the calls below one provider."""

    def get(self, request: Request, ident: str, name: str = "") -> Response:
        host = selectors.provider_get(self.ctx, ident=ident)
        return self.answer(self.show(host, name), host.last_seen_at)

    def show(self, host: Host, name: str = "") -> Any:
        raise NotImplementedError


class Provider(OfProvider):
    """`GET /resource_providers/{uuid}`."""

    def show(self, host: Host, name: str = "") -> Any:
        return self.provider(host)


class Inventories(OfProvider):
    """`GET …/inventories`."""

    def show(self, host: Host, name: str = "") -> Any:
        return {"inventories": resources.inventories(host), "resource_provider_generation": host.generation}


class OneInventory(OfProvider):
    """`GET …/inventories/{class}`."""

    def show(self, host: Host, name: str = "") -> Any:
        found = resources.inventories(host).get(name)
        if found is None:
            raise NotFound("inventory", name)
        return {**found, "resource_provider_generation": host.generation}


class ProviderUsages(OfProvider):
    """`GET …/usages`."""

    def show(self, host: Host, name: str = "") -> Any:
        return {"usages": resources.usages(host), "resource_provider_generation": host.generation}


class ProviderAllocations(OfProvider):
    """`GET …/allocations`."""

    def show(self, host: Host, name: str = "") -> Any:
        claims = selectors.claim_list(self.ctx, host_id=host.pk)
        held = {str(claim.consumer_id): {"resources": resources.allocated(claim)} for claim in claims}
        return {"allocations": held, "resource_provider_generation": host.generation}


class ProviderTraits(OfProvider):
    """`GET …/traits`."""

    since = SINCE_TRAITS

    def show(self, host: Host, name: str = "") -> Any:
        return {"traits": resources.traits(host), "resource_provider_generation": host.generation}


class ProviderAggregates(OfProvider):
    """`GET …/aggregates`: none here, compute's own do not reach down."""

    since = SINCE_AGGREGATES

    def show(self, host: Host, name: str = "") -> Any:
        return {"aggregates": []}


class Allocations(PlacementView):
    """`GET /allocations/{consumer}`."""

    def get(self, request: Request, consumer: str) -> Response:
        claim = selectors.consumer_get(self.ctx, consumer=consumer)
        body: dict[str, Any] = {"allocations": {}}
        if claim is not None:
            held = {"generation": claim.host.generation, "resources": resources.allocated(claim)}
            body["allocations"] = {str(claim.host_id): held}
            if self.version >= SINCE_OWNERS:
                body |= {"project_id": claim.project_id, "user_id": claim.project_id}
        return self.answer(body, claim.created_at if claim else None)


class ProjectUsages(PlacementView):
    """`GET /usages?project_id=…`."""

    since = SINCE_PROJECT_USAGES

    def get(self, request: Request) -> Response:
        project_id = request.query_params.get("project_id", "")
        if not project_id:
            raise Invalid("Say which project, by project_id.", field="project_id")
        used = selectors.project_usage(self.ctx, project_id=project_id)
        return self.answer({"usages": {name: used[r] for name, r in resources.CLASSES.items() if used[r]}})


class ResourceClasses(PlacementView):
    """`GET /resource_classes`."""

    since = SINCE_CLASSES

    def get(self, request: Request) -> Response:
        policy.enforce(self.ctx, "placement:resource_classes:list")
        return self.answer({"resource_classes": [_resource_class(name) for name in resources.CLASSES]})


class OneResourceClass(PlacementView):
    """`GET /resource_classes/{name}`."""

    since = SINCE_CLASSES

    def get(self, request: Request, name: str) -> Response:
        policy.enforce(self.ctx, "placement:resource_classes:list")
        if name not in resources.CLASSES:
            raise NotFound("resource class", name)
        return self.answer(_resource_class(name))


class Traits(PlacementView):
    """`GET /traits`: the ones hosts may have, by `name=startswith:…` or `name=in:…`."""

    since = SINCE_TRAITS

    def get(self, request: Request) -> Response:
        policy.enforce(self.ctx, "placement:traits:list")
        word, _, rest = request.query_params.get("name", "").partition(":")
        found = list(resources.TRAITS)
        if word == "startswith":
            found = [t for t in found if t.startswith(rest)]
        elif word == "in":
            found = [t for t in found if t in rest.split(",")]
        elif word:
            raise Invalid("name takes startswith:… or in:….", field="name")
        return self.answer({"traits": found})


class OneTrait(PlacementView):
    """`GET /traits/{name}`: 204 where there is such a trait."""

    since = SINCE_TRAITS

    def get(self, request: Request, name: str) -> Response:
        policy.enforce(self.ctx, "placement:traits:list")
        if name not in resources.TRAITS:
            raise NotFound("trait", name)
        response = self.answer(None)
        response.status_code = 204
        return response


class Candidates(PlacementView):
    """`GET /allocation_candidates?resources=…`."""

    since = SINCE_CANDIDATES

    def get(self, request: Request) -> Response:
        query = request.query_params
        if unknown := sorted(set(query) - {"resources", "limit"}):
            raise Invalid(f"Candidates cannot be chosen by {unknown[0]} here.", field=unknown[0])
        wanted = _amounts(query.get("resources", ""))
        hosts = selectors.candidate_list(self.ctx, room={resources.CLASSES[n]: v for n, v in wanted.items()})
        if "limit" in query and self.version >= SINCE_LIMIT:
            hosts = hosts[: _positive("limit", query["limit"])]
        summaries = {str(host.pk): self._summary(host) for host in hosts}
        return self.answer(
            {"allocation_requests": [self._request(h, wanted) for h in hosts], "provider_summaries": summaries}
        )

    def _request(self, host: Host, wanted: dict[str, int]) -> dict[str, Any]:
        if self.version >= SINCE_OWNERS:
            return {"allocations": {str(host.pk): {"resources": wanted}}}
        return {"allocations": [{"resource_provider": {"uuid": str(host.pk)}, "resources": wanted}]}

    def _summary(self, host: Host) -> dict[str, Any]:
        have = {name: {"capacity": host.capacity[r], "used": host.used[r]} for name, r in resources.CLASSES.items()}
        traits = {"traits": resources.traits(host)} if self.version >= SINCE_CANDIDATE_TRAITS else {}
        return {"resources": have, **traits}


def _resource_class(name: str) -> dict[str, Any]:
    return {"name": name, "links": [{"rel": "self", "href": f"/placement/resource_classes/{name}"}]}


def _room(text: str) -> dict[str, int]:
    return {resources.CLASSES[name]: amount for name, amount in _amounts(text).items()}


def _amounts(text: str) -> dict[str, int]:
    """`VCPU:1,MEMORY_MB:512` as a dict. Raises Invalid."""
    found = {}
    for item in text.split(","):
        name, _, amount = item.partition(":")
        if name not in resources.CLASSES:
            raise Invalid(f"There is no resource class {name!r}: {', '.join(resources.CLASSES)}.", field="resources")
        found[name] = _positive("resources", amount)
    return found


def _positive(name: str, text: str) -> int:
    if not text.isdecimal() or not 0 < int(text) < 2**31:
        raise Invalid(f"{name} needs whole numbers above zero, not {text!r}.", field=name)
    return int(text)
