"""Addresses of the audit log's pages, below `/p/<project>/`."""

from django.urls import path
from django.utils.translation import gettext_lazy as _

from apps.audit.web import views
from apps.core.web import navigation

app_name = "audit"

urlpatterns = [
    path("audit", views.Events.as_view(), name="events"),
    path("audit/<uuid:ident>", views.EventPage.as_view(), name="event"),
]

navigation.register(navigation.Link("audit:events", _("Audit log"), "scroll-text", order=95, keys="g a"))
