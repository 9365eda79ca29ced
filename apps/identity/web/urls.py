"""Addresses of identity's pages, below `/p/<project>/`."""

from django.urls import path
from django.utils.translation import gettext_lazy as _

from apps.core.web import navigation, palette, subjects
from apps.identity.web import permissions, projects

app_name = "identity"

urlpatterns = [
    path("permissions", permissions.PermissionsPage.as_view(), name="permissions"),
    path("admin/projects", projects.Projects.as_view(), name="projects"),
    path("admin/projects/<str:ident>", projects.ProjectPage.as_view(), name="project"),
    path("admin/projects/<str:ident>/purge", projects.Purge.as_view(), name="project-purge"),
]

navigation.register(
    navigation.Link(
        "identity:projects", _("Projects"), "folder-kanban", section="admin", order=40, rule=projects.RULE, keys="g j"
    )
)
navigation.register(navigation.Link("identity:permissions", _("Permissions"), "shield", order=96, keys="g p"))
subjects.register("project", subjects.Subject(_("project"), "identity:project", projects.names))
palette.register(palette.Command(_("Explain a permission"), "identity:permissions", "shield"))
