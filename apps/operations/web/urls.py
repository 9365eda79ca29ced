"""Addresses of the operations' pages, below `/p/<project>/`."""

from django.urls import path
from django.utils.translation import gettext_lazy as _

from apps.core.web import navigation
from apps.core.web.pages import list_paths
from apps.operations.web import views

app_name = "operations"

urlpatterns = [
    *list_paths("tasks", views.Operations),
    path("tasks/log", views.Tasks.as_view(), name="tasks"),
    path("tasks/<uuid:ident>", views.OperationPage.as_view(), name="operation"),
    *list_paths("admin/tasks", views.AllOperations),
]

navigation.register(
    navigation.Link("operations:operations", _("Tasks"), "list-checks", order=90, keys="g t"),
    navigation.Link(
        "operations:all-operations", _("All tasks"), "scroll-text", section="admin", order=90, rule="operations:retry"
    ),
)
