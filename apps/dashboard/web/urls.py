"""Addresses of the door (`site`) and of what lies around every page (`urlpatterns`, below `/p/<project>/`)."""

from django.urls import path
from django.utils.translation import gettext_lazy as _
from django.views.i18n import set_language

from apps.core.web import navigation, palette
from apps.core.web.pages import list_paths
from apps.dashboard.web import door, federated, overview, profile, views

app_name = "dashboard"

site = [
    path("", views.Home.as_view(), name="home"),
    path("sign-in", door.SignIn.as_view(), name="sign-in"),
    path("sign-in/code", door.SignInCode.as_view(), name="sign-in-code"),
    path("sign-in/expired", door.Expired.as_view(), name="expired"),
    path("sign-in/passkey", door.PasskeySignIn.as_view(), name="sign-in-passkey"),
    path("sign-in/forgotten", door.Forgotten.as_view(), name="forgotten"),
    path("sign-in/reset", door.Reset.as_view(), name="reset"),
    path("sign-in/federated/callback", federated.Callback.as_view(), name="federated-callback"),
    path("sign-in/federated/<str:provider>/<str:protocol>", federated.Begin.as_view(), name="federated"),
    path("sign-out", door.SignOut.as_view(), name="sign-out"),
    path("language", set_language, name="language"),
]

urlpatterns = [
    path("", overview.Overview.as_view(), name="overview"),
    path("projects", views.Projects.as_view(), name="projects"),
    path("palette", views.Palette.as_view(), name="palette"),
    path("live", views.LiveTicket.as_view(), name="live"),
    path("profile", profile.Profile.as_view(), name="profile"),
    path("profile/clouds.yaml", profile.ClientFile.as_view(file="clouds.yaml"), name="clouds-yaml"),
    path("profile/openrc.sh", profile.ClientFile.as_view(file="openrc.sh"), name="openrc"),
    path("profile/password", profile.PasswordChange.as_view(), name="password"),
    path("profile/sign-in", profile.SignInWays.as_view(), name="sign-in-ways"),
    path("profile/authenticator", profile.AuthenticatorAdd.as_view(), name="authenticator-add"),
    path("profile/authenticator/remove", profile.AuthenticatorRemove.as_view(), name="authenticator-remove"),
    path("profile/passkeys", profile.PasskeyAdd.as_view(), name="passkey-add"),
    path("profile/passkeys/<uuid:ident>", profile.PasskeyForget.as_view(), name="passkey"),
    *list_paths("profile/sessions", profile.Sessions),
    path("profile/sessions/others", profile.OtherSessions.as_view(), name="other-sessions"),
    *list_paths("profile/credentials", profile.Credentials),
    path("profile/access-keys", profile.AccessKeys.as_view(), name="access-keys"),
    path("profile/access-keys/<slug:key>", profile.AccessKeySecret.as_view(), name="access-key"),
    path("profile/credentials/create", profile.CredentialCreate.as_view(), name="credential-create"),
]

navigation.register(navigation.Link("dashboard:overview", _("Overview"), "gauge", order=0, keys="g o"))
palette.register(
    palette.Command(_("Profile"), "dashboard:profile", "circle-user"),
    palette.Command(_("Make an application credential"), "dashboard:credential-create", "braces"),
)
