"""Addresses of the operations' pages, below `/p/<project>/`."""

from django.urls import path
from django.utils.translation import gettext_lazy as _

from apps.core.web import navigation
from apps.operations.web import views

app_name = "operations"

urlpatterns = [
    path("tasks", views.Operations.as_view(), name="operations"),
    path("tasks/log", views.Tasks.as_view(), name="tasks"),
    path("tasks/act/<slug:action>", views.Act.as_view(), name="act"),
    path("tasks/<uuid:ident>", views.OperationPage.as_view(), name="operation"),
    path("admin/tasks", views.AllOperations.as_view(), name="all-operations"),
    path("admin/tasks/act/<slug:action>", views.ActAll.as_view(), name="act-all"),
]

navigation.register(
    navigation.Link("operations:operations", _("Tasks"), "list-checks", order=90, keys="g t"),
    navigation.Link(
        "operations:all-operations", _("All tasks"), "scroll-text", section="admin", order=90, rule="operations:retry"
    ),
)
