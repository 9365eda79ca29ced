"""Addresses of the hosts' pages, below `/p/<project>/`."""

from django.urls import path
from django.utils.translation import gettext_lazy as _

from apps.core.web import navigation, palette
from apps.core.web.pages import list_paths
from apps.hosts import selectors
from apps.hosts.web import views

app_name = "hosts"

urlpatterns = [
    *list_paths("admin/hosts", views.Hosts),
    path("admin/hosts/<uuid:ident>", views.HostPage.as_view(), name="host"),
]

navigation.register(
    navigation.Link("hosts:hosts", _("Hosts"), "hard-drive", section="admin", order=10, rule="hosts:list", keys="g h")
)
palette.searcher(
    "host",
    _("Hosts"),
    lambda ctx, words: [
        palette.Hit(h.name, "hosts:host", (h.pk,), "hard-drive", h.zone)
        for h in selectors.host_list(ctx).filter(name__icontains=words)[: palette.MOST]
    ],
)
