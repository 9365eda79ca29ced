"""Paths of compute's API, below `/compute`."""

from __future__ import annotations

from django.urls import URLPattern, path, re_path

from apps.compute.api import catalogue, cloud, older, parts, servers, versions

SERVER = "/servers/<str:server_id>"
FLAVOR = "/flavors/<str:flavor_id>"
HYPERVISORS = "/os-hypervisors"
QUOTAS = "/os-quota-sets/<str:project_id>"


def _paths(version: str) -> list[URLPattern]:
    server, flavor = version + SERVER, version + FLAVOR
    return [
        path(version, versions.Root.as_view(path=version.strip("/"))),
        path(f"{version}/", versions.Root.as_view(path=version.strip("/"))),
        *servers.Servers.urls(f"{version}/servers"),
        path(f"{server}/remote-consoles", servers.RemoteConsoles.as_view()),
        path(f"{server}/ips", parts.Addresses.as_view()),
        path(f"{server}/ips/<str:label>", parts.Addresses.as_view()),
        path(f"{server}/metadata", parts.Metadata.as_view()),
        path(f"{server}/metadata/<str:key>", parts.MetadataItem.as_view()),
        path(f"{server}/tags", parts.Tags.as_view()),
        path(f"{server}/tags/<str:tag>", parts.Tag.as_view()),
        path(f"{server}/os-interface", parts.Interfaces.as_view()),
        path(f"{server}/os-interface/<str:port_id>", parts.Interface.as_view()),
        path(f"{server}/os-security-groups", parts.ServerGroupsOfServer.as_view()),
        path(f"{server}/kumo-decision", parts.PlacementDecision.as_view()),
        path(f"{server}/os-instance-actions", parts.InstanceActions.as_view()),
        path(f"{server}/os-instance-actions/<str:request_id>", parts.InstanceAction.as_view()),
        *catalogue.Flavors.urls(f"{version}/flavors"),
        path(f"{flavor}/os-flavor-access", catalogue.FlavorAccesses.as_view()),
        path(f"{flavor}/os-extra_specs", catalogue.ExtraSpecs.as_view()),
        path(f"{flavor}/os-extra_specs/<str:key>", catalogue.ExtraSpec.as_view()),
        *catalogue.KeyPairs.urls(f"{version}/os-keypairs"),
        *catalogue.ServerGroups.urls(f"{version}/os-server-groups"),
        path(version + HYPERVISORS, cloud.Hypervisors.as_view()),
        path(f"{version}{HYPERVISORS}/detail", cloud.Hypervisors.as_view(detail=True)),
        path(f"{version}{HYPERVISORS}/statistics", cloud.HypervisorStatistics.as_view()),
        path(f"{version}{HYPERVISORS}/<str:ident>", cloud.Hypervisor.as_view()),
        path(f"{version}{HYPERVISORS}/<str:ident>/search", cloud.HypervisorSearch.as_view()),
        path(f"{version}{HYPERVISORS}/<str:ident>/servers", cloud.HypervisorSearch.as_view(with_servers=True)),
        path(f"{version}{HYPERVISORS}/<str:ident>/uptime", cloud.HypervisorUptime.as_view()),
        path(f"{version}/os-hosts", cloud.Hosts.as_view()),
        path(f"{version}/os-hosts/<str:name>", cloud.Hosts.as_view()),
        path(f"{version}/os-services", cloud.Services.as_view()),
        path(f"{version}/os-services/<str:ident>", cloud.Service.as_view()),
        path(f"{version}/os-availability-zone", cloud.Zones.as_view()),
        path(f"{version}/os-availability-zone/detail", cloud.Zones.as_view(detail=True)),
        path(f"{version}/os-aggregates", cloud.Aggregates.as_view()),
        path(f"{version}/os-aggregates/<str:ident>", cloud.AggregateView.as_view()),
        path(f"{version}/os-aggregates/<str:ident>/action", cloud.AggregateAction.as_view()),
        path(f"{version}/limits", cloud.Limits.as_view()),
        path(version + QUOTAS, cloud.QuotaSet.as_view()),
        path(f"{version}{QUOTAS}/defaults", cloud.QuotaSet.as_view(part="defaults")),
        path(f"{version}{QUOTAS}/detail", cloud.QuotaSet.as_view(part="detail")),
        path(f"{version}/os-quota-class-sets/<str:name>", cloud.QuotaClassSet.as_view()),
        path(f"{version}/os-simple-tenant-usage", cloud.Usages.as_view()),
        path(f"{version}/os-simple-tenant-usage/<str:project_id>", cloud.Usage.as_view()),
        path(f"{version}/os-security-groups", older.SecurityGroups.as_view()),
        path(f"{version}/os-security-groups/<str:ident>", older.SecurityGroupView.as_view()),
        path(f"{version}/os-security-group-rules", older.SecurityGroupRules.as_view()),
        path(f"{version}/os-security-group-rules/<str:ident>", older.SecurityGroupRuleView.as_view()),
        path(f"{version}/os-floating-ips", older.FloatingIps.as_view()),
        path(f"{version}/os-floating-ips/<str:ident>", older.FloatingIpView.as_view()),
        path(f"{version}/os-floating-ip-pools", older.FloatingIpPools.as_view()),
        path(f"{version}/os-networks", older.TenantNetworks.as_view()),
        path(f"{version}/os-networks/<str:ident>", older.TenantNetworks.as_view()),
        path(f"{version}/os-tenant-networks", older.TenantNetworks.as_view()),
        path(f"{version}/os-tenant-networks/<str:ident>", older.TenantNetworks.as_view()),
        path(f"{version}/images", older.Images.as_view()),
        path(f"{version}/images/detail", older.Images.as_view(detail=True)),
        path(f"{version}/images/<str:ident>", older.ImageView.as_view()),
        path(f"{version}/images/<str:ident>/metadata", older.ImageMetadata.as_view()),
        path(f"{version}/images/<str:ident>/metadata/<str:key>", older.ImageMetadataItem.as_view()),
        path(f"{version}/extensions", cloud.Extensions.as_view()),
        path(f"{version}/extensions/<str:alias>", cloud.Extensions.as_view()),
    ]


urlpatterns = [
    path("", versions.Roots.as_view()),
    path("/", versions.Roots.as_view()),
    *_paths("/v2.1"),
    *_paths("/v2"),
    re_path(r"^/(?!v2(?:\.1)?(?:/|$))(?P<rest>.*)$", versions.Choices.as_view()),
]
