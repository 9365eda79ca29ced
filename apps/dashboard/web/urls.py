"""Addresses of the door (`site`) and of what lies around every page (`urlpatterns`, below `/p/<project>/`)."""

from django.urls import path
from django.utils.translation import gettext_lazy as _
from django.views.i18n import set_language

from apps.core.web import navigation
from apps.dashboard.web import overview, views

app_name = "dashboard"

site = [
    path("", views.Home.as_view(), name="home"),
    path("sign-in", views.SignIn.as_view(), name="sign-in"),
    path("sign-out", views.SignOut.as_view(), name="sign-out"),
    path("language", set_language, name="language"),
]

urlpatterns = [
    path("", overview.Overview.as_view(), name="overview"),
    path("projects", views.Projects.as_view(), name="projects"),
    path("palette", views.Palette.as_view(), name="palette"),
    path("live", views.LiveTicket.as_view(), name="live"),
]

navigation.register(navigation.Link("dashboard:overview", _("Overview"), "gauge", order=0, keys="g o"))
