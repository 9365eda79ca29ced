"""Paths of identity's API, below `/identity`."""

from __future__ import annotations

from django.urls import path

from apps.identity.api import auth, grants, limits, versions, views
from apps.identity.api.domain_config import domain_config_urls

urlpatterns = [
    path("", versions.Versions.as_view()),
    path("/", versions.Versions.as_view()),
    path("/v3", versions.Version.as_view()),
    path("/v3/", versions.Version.as_view()),
    path("/v3/auth/tokens", auth.tokens),
    path("/v3/auth/tokens/OS-PKI/revoked", auth.RevokedTokens.as_view()),
    path("/v3/auth/catalog", auth.Catalog.as_view()),
    path("/v3/auth/system", auth.System.as_view()),
    path("/v3/auth/projects", views.AuthProjects.as_view(list_view="detail")),
    path("/v3/auth/domains", views.AuthDomains.as_view(list_view="detail")),
    *domain_config_urls(),
    *views.Domains.urls("/v3/domains"),
    *views.Projects.urls("/v3/projects"),
    path("/v3/projects/<str:project_id>/tags", views.ProjectTags.as_view()),
    path("/v3/projects/<str:project_id>/tags/<str:tag>", views.ProjectTag.as_view()),
    *views.Users.urls("/v3/users"),
    path("/v3/users/<str:user_id>/password", views.UserPassword.as_view()),
    path("/v3/users/<str:user_id>/projects", views.UserProjects.as_view(list_view="detail")),
    path("/v3/users/<str:user_id>/groups", views.UserGroups.as_view(list_view="detail")),
    *views.ApplicationCredentials.urls("/v3/users/<str:user_id>/application_credentials"),
    *views.AccessRules.urls("/v3/users/<str:user_id>/access_rules"),
    *views.Groups.urls("/v3/groups"),
    path("/v3/groups/<str:group_id>/users", views.GroupUsers.as_view(list_view="detail")),
    path("/v3/groups/<str:group_id>/users/<str:user_id>", views.GroupUser.as_view()),
    *views.Roles.urls("/v3/roles"),
    path("/v3/roles/<str:prior_role_id>/implies", grants.ImpliedRoles.as_view()),
    path("/v3/roles/<str:prior_role_id>/implies/<str:implied_role_id>", grants.ImpliedRole.as_view()),
    path("/v3/role_inferences", grants.RoleInferences.as_view()),
    path("/v3/role_assignments", grants.RoleAssignments.as_view()),
    *grants.grant_urls(),
    path("/v3/regions/<str:ident>", views.NamedRegion.as_view()),
    *views.Regions.urls("/v3/regions"),
    *views.Services.urls("/v3/services"),
    *views.Endpoints.urls("/v3/endpoints"),
    *limits.RegisteredLimits.urls("/v3/registered_limits"),
    path("/v3/limits/model", limits.LimitModel.as_view()),
    *limits.Limits.urls("/v3/limits"),
]
