"""Addresses of identity's pages, below `/p/<project>/`."""

from django.urls import path
from django.utils.translation import gettext_lazy as _

from apps.core.web import navigation
from apps.identity.web import projects

app_name = "identity"

urlpatterns = [
    path("admin/projects", projects.Projects.as_view(), name="projects"),
    path("admin/projects/<str:ident>", projects.ProjectPage.as_view(), name="project"),
    path("admin/projects/<str:ident>/purge", projects.Purge.as_view(), name="project-purge"),
]

navigation.register(
    navigation.Link(
        "identity:projects", _("Projects"), "folder-kanban", section="admin", order=40, rule=projects.RULE, keys="g j"
    )
)
