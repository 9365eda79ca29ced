"""A small cloud with one thing of every kind, and callers of every persona with real tokens.

Everything belongs to the project `one` of the domain `acme` and, where a user owns things, to its member `owner`.
"""

from __future__ import annotations

import datetime
import time
from collections.abc import Mapping
from typing import Any

from django.test import Client
from django.utils import timezone

from apps.audit.models import Event
from apps.compute.models import Aggregate, Flavor, FlavorAccess, KeyPair, Server, ServerGroup
from apps.compute.states import ServerState
from apps.core.context import RequestContext, system
from apps.identity import models as identity
from apps.identity import selectors, services
from apps.identity.backends.tokens import Claims, new_audit_id, seal
from apps.identity.states import Method, Scope
from apps.image import services as images
from apps.image.states import DefinitionKind
from apps.network import services as networks
from apps.network.models import Port
from apps.operations.models import Operation
from tests.kit.rows import make_host
from tests.policy.oracle import IMPLIED, Persona

HOUR = datetime.timedelta(hours=1)
DOMAIN, ONE, TWO = "acme", "one", "two"
_IN_ONE = {"project_id": ONE, "project_domain_id": DOMAIN}
# name, role, user, where; a persona without a role shows no token, or one that has expired.
PERSONAS = (
    Persona("no token", "", ""),
    Persona("expired token", "", "owner"),
    Persona("other project", "member", "stranger", {"project_id": TWO, "project_domain_id": DOMAIN}),
    Persona("reader", "reader", "reader", _IN_ONE),
    Persona("owner", "member", "owner", _IN_ONE),
    Persona("member", "member", "member", _IN_ONE),
    Persona("manager", "manager", "manager", _IN_ONE),
    Persona("project admin", "admin", "admin", _IN_ONE),
    Persona("service", "service", "service", {"project_id": TWO, "project_domain_id": DOMAIN}),
    Persona("domain reader", "reader", "domain-reader", {"domain_id": DOMAIN}),
    Persona("domain manager", "manager", "domain-manager", {"domain_id": DOMAIN}),
    Persona("domain admin", "admin", "domain-admin", {"domain_id": DOMAIN}),
    Persona("system reader", "reader", "system-reader", {"system_scope": "all"}),
    Persona("system admin", "admin", "system-admin", {"system_scope": "all"}),
)


class World:
    """Ids by name, for the paths and bodies of the matrix, and a token for each persona."""

    def __init__(self) -> None:
        self.names: dict[str, str] = {}
        self.tokens: dict[str, str] = {"no token": ""}
        self.client = Client(raise_request_exception=False)
        services.bootstrap(system(), passwords={}, demo=False)
        self._identity()
        for persona in PERSONAS[1:]:
            self._enlist(persona)
        self.tokens["expired token"] = self._token(PERSONAS[1], Scope.PROJECT, ONE, expired=True)
        self.owner = RequestContext(user_id="owner", project_id=ONE, roles=frozenset(IMPLIED["member"]))
        self.admin = RequestContext(user_id="admin", project_id=ONE, roles=frozenset(IMPLIED["admin"]))
        self._credential()
        self._limits()
        self._catalogue()
        self._federation()
        self._secrets()
        self._network()
        self._images()
        self._compute()
        selectors.forget()

    def name(self, **ids: object) -> None:
        self.names |= {key: str(value) for key, value in ids.items()}

    # --- callers -----------------------------------------------------------------------------------

    def _enlist(self, persona: Persona) -> None:
        user, _ = identity.User.objects.get_or_create(pk=persona.user_id, name=persona.user_id, domain_id=DOMAIN)
        if not persona.role:
            return
        scope = next(s for s in (Scope.PROJECT, Scope.DOMAIN, Scope.SYSTEM) if f"{s}_" in "".join(persona.facts))
        target = persona.facts.get(f"{scope}_id", "")
        role = identity.Role.objects.get(name=persona.role, domain=None)
        identity.Assignment.objects.create(user=user, role=role, scope=scope, target_id=target or None)
        self.tokens[persona.name] = self._token(persona, scope, target)

    @staticmethod
    def _token(persona: Persona, scope: Scope, target: str, *, expired: bool = False) -> str:
        now = time.time()
        claims = Claims(
            user_id=persona.user_id,
            user_generation=0,
            scope=scope,
            target_id=target,
            target_generation=0,
            methods=(Method.PASSWORD,),
            issued_at=int(now * 1_000_000),
            expires_at=int(now) + (-60 if expired else 3600),
            audit_ids=(new_audit_id(),),
        )
        return seal(claims, services.key_ring_ensured().newest)

    def _credential(self) -> None:
        """An application credential of the owner, limited to one call; and one call that none is limited to."""
        owner = identity.User.objects.get(pk="owner")
        credential = identity.ApplicationCredential.objects.create(
            name="key", user=owner, project_id=ONE, secret_hash=""
        )
        rule = identity.AccessRule.objects.create(user=owner, service="compute", method="GET", path="/v2.1/servers")
        self.name(credential=credential.pk, accessrule=rule.pk)

    # --- things ------------------------------------------------------------------------------------

    def _identity(self) -> None:
        domain = identity.Project.objects.create(pk=DOMAIN, name=DOMAIN, is_domain=True)
        for ident in (ONE, TWO):
            identity.Project.objects.create(pk=ident, name=ident, domain=domain, parent=domain)
        empty = identity.Project.objects.create(name="empty", domain=domain, parent=domain, tags=["blue"])
        user = identity.User.objects.create(name="plain", domain=domain)
        group = identity.Group.objects.create(name="crew", domain=domain)
        other = identity.User.objects.create(name="outside", domain=domain)
        identity.Membership.objects.create(group=group, user=user)
        role = identity.Role.objects.create(name="extra", domain=None)
        implied = identity.Role.objects.create(name="less", domain=None)
        more = identity.Role.objects.create(name="even-less", domain=None)
        identity.ImpliedRole.objects.create(prior=role, implied=implied)
        special = identity.Role.objects.create(name="special", domain=domain)
        closed = identity.Project.objects.create(pk="closed", name="closed", is_domain=True, enabled=False)
        region = identity.Region.objects.create(pk="north")
        bare = identity.Region.objects.create(pk="bare")
        service = identity.Service.objects.create(type="weather", name="weather")
        endpoint = identity.Endpoint.objects.create(
            service=service, region=region, interface="public", url="http://weather", name=""
        )
        for scope, target in ((Scope.PROJECT, empty), (Scope.DOMAIN, domain), (Scope.SYSTEM, None)):
            for inherited in (False, True) if target else (False,):
                place = {"role": role, "scope": scope, "target": target, "inherited": inherited}
                identity.Assignment.objects.create(user=user, **place)
                identity.Assignment.objects.create(group=group, **place)
        self.name(
            domain=DOMAIN, closed=closed.pk, one=ONE, two=TWO, project=empty.pk, user=user.pk, outside=other.pk,
            group=group.pk, role=role.pk, implied=implied.pk, more=more.pk, special=special.pk, region=region.pk,
            bare=bare.pk, service=service.pk, endpoint=endpoint.pk, owner="owner",
        )  # fmt: skip

    def _secrets(self) -> None:
        """What the owner and the administrator made through the API, and an OAuth token as one would be left."""
        cert = {"type": "cert", "blob": "x", "user_id": "owner"}
        trust = {
            "trustor_user_id": "owner", "trustee_user_id": "member", "impersonation": False, "project_id": ONE,
            "roles": [{"name": "member"}],
        }  # fmt: skip
        consumer = self.made("project admin", "/identity/v3/OS-OAUTH1/consumers", {"consumer": {}})["consumer"]["id"]
        member = identity.Role.objects.get(name="member", domain=None)
        token = identity.AccessToken.objects.create(
            consumer_id=consumer, sealed_secret=b"", project_id=ONE, user_id="owner"
        )
        token.roles.add(member)
        asked = identity.RequestToken.objects.create(
            consumer_id=consumer, sealed_secret=b"", requested_project_id=ONE, expires_at=timezone.now() + HOUR
        )
        keys = self.made("owner", "/identity/v3/users/owner/credentials/OS-EC2", {"tenant_id": ONE})
        self.name(
            cert=self.made("owner", "/identity/v3/credentials", {"credential": cert})["credential"]["id"],
            accesskey=keys["credential"]["access"], consumer=consumer, accesstoken=token.pk, requesttoken=asked.pk,
            trust=self.made("owner", "/identity/v3/OS-TRUST/trusts", {"trust": trust})["trust"]["id"],
            memberrole=member.pk,
        )  # fmt: skip

    def made(self, persona: str, path: str, body: Any) -> Any:
        """What this caller makes through the API."""
        headers = {"X-Auth-Token": self.tokens[persona]}
        answer = self.client.post(path, body, content_type="application/json", headers=headers)
        assert answer.status_code < 300, answer.content
        return answer.json() if answer.content else None

    def _catalogue(self) -> None:
        endpoint, project = self.names["endpoint"], self.names["project"]
        group = identity.EndpointGroup.objects.create(name="some", filters={"interface": "public"})
        identity.ProjectEndpoint.objects.create(project_id=project, endpoint_id=endpoint)
        identity.ProjectEndpointGroup.objects.create(project_id=project, endpoint_group=group)
        policy = identity.Policy.objects.create(blob="x", type="text/plain")
        service, region = self.names["service"], self.names["region"]
        for place in (
            {"endpoint_id": endpoint},
            {"service_id": service},
            {"service_id": service, "region_id": region},
        ):
            identity.PolicyAssociation.objects.create(policy=policy, **place)
        self.name(endpointgroup=group.pk, policy=policy.pk)

    def _federation(self) -> None:
        provider = identity.IdentityProvider.objects.create(pk="acme", domain_id=DOMAIN)
        mapping = identity.FederationMapping.objects.create(pk="acme", rules=[])
        identity.FederationProtocol.objects.create(provider=provider, name="acme", mapping=mapping)
        identity.ServiceProvider.objects.create(pk="acme", auth_url="https://a", sp_url="https://a")

    def _limits(self) -> None:
        service = identity.Service.objects.get(pk=self.names["service"])
        unused = identity.Limit.objects.create(service=service, resource="unused", value=5)
        identity.Limit.objects.create(service=service, resource="kept", value=5)
        limit = identity.Limit.objects.create(service=service, resource="kept", value=4, project_id=ONE)
        identity.DomainOption.objects.create(domain_id="closed", group="ldap", option="url", value="ldap://old")
        self.name(registered=unused.pk, limit=limit.pk)

    def _network(self) -> None:
        network = networks.network_create(self.owner, name="net")
        type(network).objects.filter(pk=network.pk).update(tags=["blue"])
        subnet = networks.subnet_create(self.owner, network_id=str(network.pk), cidr="10.0.0.0/24")
        spare = networks.subnet_create(self.owner, network_id=str(network.pk), cidr="10.0.1.0/24")
        port = networks.port_create(self.owner, network_id=str(network.pk))
        plugged = networks.port_create(self.owner, network_id=str(network.pk))
        pool = networks.subnetpool_create(self.owner, name="pool", prefixes=["10.8.0.0/16"])
        group = networks.security_group_create(self.owner, name="web")
        rule = networks.security_group_rule_create(
            self.owner, security_group_id=str(group.pk), direction="ingress", protocol="tcp"
        )
        flat: dict[str, Any] = {"network_type": "flat", "physical_network": "physnet1"}
        public = networks.network_create(self.admin, name="public", external=True, **flat)
        networks.subnet_create(self.admin, network_id=str(public.pk), cidr="172.31.0.0/24", enable_dhcp=False)
        gateway = {"network_id": str(public.pk)}
        router = networks.router_create(self.owner, name="door", external_gateway_info=gateway)
        networks.router_add_interface(self.owner, router_id=str(router.pk), subnet_id=str(subnet.pk))
        floating = networks.floatingip_create(self.owner, floating_network_id=str(public.pk))
        empty = networks.network_create(self.owner, name="empty")
        self.name(
            network=network.pk, subnet=subnet.pk, spare=spare.pk, port=port.pk, plugged=plugged.pk, pool=pool.pk,
            sg=group.pk, sgrule=rule.pk, public=public.pk, router=router.pk, floating=floating.pk, empty=empty.pk,
            address=floating.floating_ip_address,
        )  # fmt: skip

    def _images(self) -> None:
        def made(name: str, visibility: str) -> Any:
            return images.image_create(
                self.owner, name=name, visibility=visibility, container_format="bare", disk_format="raw",
                tags=["blue"], extra={"kept": "yes"},
            )  # fmt: skip

        shared, ready, queued = made("shared", "shared"), made("ready", "private"), made("queued", "private")
        images.member_add(self.owner, image_id=shared.pk, member_id=TWO)
        for image in (shared, ready):
            answer = self.client.put(
                f"/image/v2/images/{image.pk}/file", b"0" * 1024, content_type="application/octet-stream",
                headers={"X-Auth-Token": self.tokens["owner"]},
            )  # fmt: skip
            assert answer.status_code == 204, answer.content
        definitions = {
            DefinitionKind.PROPERTY: [{"name": "kept", "title": "Kept", "type": "string"}],
            DefinitionKind.OBJECT: [{"name": "kept"}],
            DefinitionKind.TAG: [{"name": "kept"}],
            DefinitionKind.RESOURCE_TYPE: [{"name": "kept"}],
        }
        space = images.namespace_create(self.admin, namespace="OS::Ours", definitions=definitions)
        self.name(shared=shared.pk, image=ready.pk, queued=queued.pk, namespace=space.name)

    def _compute(self) -> None:
        host = make_host("hv-1")
        flavor = Flavor.objects.create(pk="1", name="small", vcpus=1, ram_mib=64, root_gib=1, extra_specs={"a": "b"})
        closed = Flavor.objects.create(pk="2", name="closed", vcpus=1, ram_mib=64, root_gib=1, is_public=False)
        FlavorAccess.objects.create(flavor=closed, project_id=ONE)
        KeyPair.objects.create(user_id="owner", name="key", public_key="ssh-rsa AAAA", fingerprint="00")
        facts = {"name": "small", "vcpus": 1, "ram": 64, "disk": 1, "ephemeral": 0, "swap": 0, "extra_specs": {}}
        server, busy, off = (
            Server.objects.create(
                user_id="owner", project_id=ONE, name=name, hostname=name, state=state, power="running",
                host_name=host_name, flavor_id="1", flavor=facts, vcpus=1, ram_mib=64, disk_gib=1, metadata={"a": "b"},
                tags=["blue"],
            )
            for name, state, host_name in (
                ("web", ServerState.ACTIVE, "hv-1"),
                ("busy", ServerState.ACTIVE, "hv-1"),
                ("off", ServerState.SHUTOFF, ""),
            )
        )  # fmt: skip
        Port.objects.filter(pk=self.names["plugged"]).update(
            server_id=server.pk, device_id=str(server.pk), device_owner="compute:nova"
        )
        group = ServerGroup.objects.create(user_id="owner", project_id=ONE, name="apart", policy="anti-affinity")
        aggregate = Aggregate.objects.create(name="rack", hosts=["hv-1"])
        self.name(
            server=server.pk, flavor=flavor.pk, closed_flavor=closed.pk, host=host.pk, host_name=host.name,
            servergroup=group.pk, aggregate=aggregate.pk, hypervisor=host.number, off=off.pk,
        )  # fmt: skip
        answer = self.client.post(
            f"/compute/v2.1/servers/{busy.pk}/action", {"os-stop": None}, content_type="application/json",
            headers={"X-Auth-Token": self.tokens["owner"]},
        )  # fmt: skip
        assert answer.status_code == 202, answer.content
        event = Event.objects.filter(project_id=ONE, user_id="owner").earliest("at")
        self.name(event=event.id)
        operation = Operation.objects.get(subject_id=str(busy.pk))
        self.name(busy=busy.pk, request=answer["X-Openstack-Request-Id"], operation=operation.pk)

    # --- asking ------------------------------------------------------------------------------------

    def filled(self, value: Any) -> Any:
        """Text with `{name}`s, or a body of such texts, with the ids in their places."""
        if isinstance(value, str):
            for name, ident in self.names.items():
                value = value.replace(f"{{{name}}}", ident)
            return value
        if isinstance(value, Mapping):
            return {key: self.filled(inner) for key, inner in value.items()}
        return [self.filled(inner) for inner in value] if isinstance(value, list) else value
