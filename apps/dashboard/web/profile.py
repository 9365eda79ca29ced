"""The signed-in user's own pages: who they are, how they sign in, where from, and what programs may do for them."""

from __future__ import annotations

import base64
import datetime
import secrets
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import segno
from django import forms
from django.conf import settings
from django.contrib import messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from apps.core.api.middleware import client_address
from apps.core.context import RequestContext
from apps.core.errors import KumoError, Unauthorized
from apps.core.web import cells
from apps.core.web.forms import DescribedForm
from apps.core.web.pages import FormPage, ListPage, Page, said
from apps.core.web.tables import AGE, Action, Column, Empty, Table, deletes, name_column
from apps.dashboard import attempts, clients, passkeys, sessions
from apps.dashboard.models import Passkey, WebSession
from apps.dashboard.web.forms import CodeForm, PasswordForm
from apps.identity import selectors as identity
from apps.identity import services
from apps.identity.models import ApplicationCredential, User

TABS = (
    ("dashboard:profile", _("Account")),
    ("dashboard:sign-in-ways", _("Signing in")),
    ("dashboard:sessions", _("Sessions")),
    ("dashboard:credentials", _("Application credentials")),
    ("dashboard:access-keys", _("Access keys")),
)


class Own(Page):
    """What the pages of the profile share."""

    nav = "dashboard:profile"
    tabs = TABS

    @property
    def user(self) -> User:
        """Whose pages these are. Raises Unauthorized for a session that has just ended."""
        found = sessions.person(self.request)
        if found is None:
            raise Unauthorized(gettext("Sign in first."))
        return found


class Profile(Own):
    """Who one is, the addresses of the APIs, and files for the command line."""

    template = "dashboard/profile/account.html"
    title = _("Profile")

    def get(self, request: HttpRequest) -> HttpResponse:
        user = self.user
        epoch, _revoked = identity.pulse()
        services_shown = identity.catalog(epoch, project_id=self.ctx.project_id, user_id=self.ctx.user_id)
        return self.render(
            facts=[
                (_("Name"), user.name),
                (_("Domain"), user.domain.name),
                (_("Project"), self.ctx.project_name),
                (_("Roles here"), cells.tags(sorted(self.ctx.roles))),
                (_("Mail"), user.extra.get("email")),
                (_("Password changed"), cells.time_ago(user.password_changed_at)),
                (_("User id"), cells.copied(user.pk)),
                (_("Project id"), cells.copied(self.ctx.project_id)),
            ],
            addresses=[
                (service["type"], cells.copied(endpoint["url"]))
                for service in services_shown
                for endpoint in service["endpoints"]
                if endpoint["interface"] == "public"
            ],
            cloud=clients.cloud_name(self.ctx),
        )


class ClientFile(Own):
    """A file for the command line, without a secret in it."""

    file = ""
    makers = {
        "clouds.yaml": (clients.clouds_yaml, "application/yaml"),
        "openrc.sh": (clients.openrc, "text/x-shellscript"),
    }

    def get(self, request: HttpRequest) -> HttpResponse:
        make, kind = self.makers[self.file]
        name = self.file if self.file == "clouds.yaml" else f"{clients.cloud_name(self.ctx)}-{self.file}"
        headers = {"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"}
        return HttpResponse(make(self.ctx), content_type=f"{kind}; charset=utf-8", headers=headers)


# --- the password -----------------------------------------------------------------------------------


class PasswordChange(Own, FormPage):
    """A new password, with the present one as the proof. Every other session and token of the user ends."""

    title = _("Change the password")
    form = PasswordForm
    submit = _("Change the password")
    back = "dashboard:sign-in-ways"

    def save(self, form: forms.Form) -> tuple[str, str]:
        user, given = self.user, form.cleaned_data
        guess = {"address": client_address(self.request), "account": attempts.account_of(("password", user.pk))}
        attempts.attempt(**guess)
        try:
            services.user_change_password(
                user_id=user.pk, original_password=given["present"], password=given["password"]
            )
        except Unauthorized as error:
            raise WrongPassword from error
        attempts.succeeded(**guess)
        user.refresh_from_db()
        sessions.open_session(self.request, user)
        return self.url("dashboard:sign-in-ways"), gettext("The password is changed; other sessions have ended.")


class WrongPassword(KumoError):
    """The present password is not this one."""

    status = 422
    field = "present"

    def __init__(self) -> None:
        super().__init__(gettext("This is not the present password."))


# --- sessions ---------------------------------------------------------------------------------------

# What a browser says of itself → what people call it; the first that fits counts.
BROWSERS = (
    ("Edg/", "Edge"),
    ("OPR/", "Opera"),
    ("Firefox/", "Firefox"),
    ("Chromium/", "Chromium"),
    ("Chrome/", "Chrome"),
    ("Safari/", "Safari"),
    ("curl/", "curl"),
)
SYSTEMS = (
    ("Android", "Android"),
    ("iPhone", "iOS"),
    ("iPad", "iPadOS"),
    ("Windows", "Windows"),
    ("Mac OS X", "macOS"),
    ("CrOS", "ChromeOS"),
    ("Linux", "Linux"),
)


def browser_cell(row: WebSession, page: Any) -> Any:
    """What browser on what system, with its own words on hover."""
    found = (next((name for part, name in table if part in row.browser), "") for table in (BROWSERS, SYSTEMS))
    words = " · ".join(name for name in found if name) or gettext("unknown")
    mark = cells.tags([gettext("this one")]) if row.pk == sessions.current_key(page.request) else ""
    return format_html('<span title="{}">{}</span> {}', row.browser, words, mark)


SESSIONS = Table(
    columns=(
        Column(key="browser", label=_("Browser"), lead=True, cell=browser_cell),
        Column(key="address", label=_("Address"), cell=cells.text("address")),
        Column(key="seen", label=_("Last seen"), sort="seen_at", cell=cells.ago("seen_at")),
        Column(key="opened", label=_("Signed in"), cell=cells.ago("opened_at")),
    ),
    sort="-seen",
    actions=(
        Action(
            name="end",
            label=_("End"),
            icon="log-out",
            danger=True,
            done=_("Ended"),
            call=lambda ctx, row: sessions.web_session_end(ctx, web_session_id=row.pk),
            question=_("Whoever uses that browser has to sign in again."),
        ),
    ),
)


class Sessions(Own, ListPage):
    """Where the user is signed in."""

    template = "dashboard/profile/sessions.html"
    title = _("Sessions")
    list_nav = "dashboard:sessions"
    table = SESSIONS

    @staticmethod
    def rows(ctx: RequestContext) -> QuerySet[WebSession]:
        return sessions.web_session_list(ctx)


class OtherSessions(Own):
    """Ends all sessions but the one this is asked in."""

    def post(self, request: HttpRequest) -> HttpResponse:
        ended = sessions.web_session_end(self.ctx, all_but=sessions.current_key(request))
        return self.answer(self.url("dashboard:sessions"), ("success", said(gettext("Ended"), ended)))


# --- application credentials --------------------------------------------------------------------------


def roles_cell(row: ApplicationCredential, page: Any) -> Any:
    return cells.tags(role.name for role in row.roles.all())


def expiry_cell(row: ApplicationCredential, page: Any) -> Any:
    """When it ends, and whether it has."""
    if row.expires_at is None:
        return gettext("never")
    if row.expires_at <= timezone.now():
        return cells.badge("off", gettext("Expired"))
    return format_html('<time datetime="{}">{}</time>', row.expires_at.isoformat(), f"{row.expires_at:%Y-%m-%d}")


CREDENTIALS = Table(
    columns=(
        name_column(),
        Column(key="project", label=_("Project"), cell=cells.text("project.name")),
        Column(key="roles", label=_("Roles"), cell=roles_cell),
        Column(key="expires", label=_("Ends"), cell=expiry_cell),
        Column(key="id", label=_("Id"), cell=cells.short_id()),
        AGE,
    ),
    sort="name",
    search=("name__icontains", "id__startswith"),
    actions=(
        deletes(
            lambda ctx, row: services.application_credential_delete(
                ctx, user_id=row.user_id, application_credential_id=row.pk
            ),
            question=_("Programs that sign in with it are refused from now on, and their tokens end."),
        ),
    ),
    empty=Empty(
        icon="braces",
        title=_("No application credentials yet"),
        text=_("A program signs in with one in place of your password, in one project and with roles that you choose."),
        link="dashboard:credential-create",
        label=_("Make one"),
    ),
)


class Credentials(Own, ListPage):
    title = _("Application credentials")
    list_nav = "dashboard:credentials"
    table = CREDENTIALS
    create = ("dashboard:credential-create", _("Make one"), "")

    @staticmethod
    def rows(ctx: RequestContext) -> QuerySet[ApplicationCredential]:
        mine = identity.application_credential_list(ctx, user_id=ctx.user_id)
        return mine.select_related("project").prefetch_related("roles")


LIVES = (("30", _("30 days")), ("90", _("90 days")), ("365", _("a year")), ("", _("no end")))


class CredentialForm(DescribedForm):
    """An application credential for the project of the page."""

    roles = forms.MultipleChoiceField(
        label=_("Roles"), widget=forms.CheckboxSelectMultiple, help_text=_("What the program may do, at most.")
    )
    days = forms.ChoiceField(label=_("Good for"), choices=LIVES, required=False, initial="90")
    unrestricted = forms.BooleanField(
        label=_("May make and delete application credentials itself"),
        required=False,
        help_text=_("Only for programs that need it: whoever has such a secret can make more of them."),
    )


class CredentialCreate(Own, FormPage):
    """Makes one; its secret is on the answer and nowhere else."""

    title = _("Make an application credential")
    form = CredentialForm
    submit = _("Make it")
    back = "dashboard:credentials"

    def make(self, data: Any = None, files: Any = None) -> forms.Form:
        roles = sorted(self.ctx.roles)
        return CredentialForm(data, initial={"roles": roles}, choices={"roles": [(r, r) for r in roles]})

    def finish(self, form: forms.Form) -> HttpResponse:
        given = form.cleaned_data
        ends = timezone.now() + datetime.timedelta(days=int(given["days"])) if given["days"] else None
        made, secret = services.application_credential_create(
            self.ctx,
            user_id=self.ctx.user_id,
            name=given["name"],
            description=given["description"],
            roles=[{"name": name} for name in given["roles"]],
            expires_at=ends,
            unrestricted=given["unrestricted"],
        )
        shown = clients.Secret(made.pk, secret)
        response = self.render(
            "dashboard/profile/credential_made.html",
            title=made.name,
            made=made,
            secret=secret,
            clouds=clients.clouds_yaml(self.ctx, shown),
            openrc=clients.openrc(self.ctx, shown),
            cloud=clients.cloud_name(self.ctx),
        )
        response["Cache-Control"] = "no-store"
        return response


# --- access keys -------------------------------------------------------------------------------------


class AccessKeys(Own):
    """Keys for programs that speak EC2's or S3's way. As in OpenStack, their owner may read the secret again."""

    template = "dashboard/profile/access_keys.html"
    title = _("Access keys")

    def get(self, request: HttpRequest) -> HttpResponse:
        keys = identity.ec2_credential_list(self.ctx, user_id=self.ctx.user_id)
        here = [key for key in keys if key["tenant_id"] == self.ctx.project_id]
        return self.render(
            keys=here,
            elsewhere=len(keys) - len(here),
            endpoint=clients.s3_endpoint(),
            region=settings.CONFIG.public.region,
        )

    def post(self, request: HttpRequest) -> HttpResponse:
        if "delete" in request.POST:
            key = request.POST["delete"]
            services.ec2_credential_delete(self.ctx, user_id=self.ctx.user_id, credential_id=key)
            return self.answer(self.url("dashboard:access-keys"), ("success", said(gettext("Deleted"), key[:8])))
        made = services.ec2_credential_create(self.ctx, user_id=self.ctx.user_id, tenant_id=self.ctx.project_id)
        return shown_key(self, made)


class AccessKeySecret(Own):
    """The secret of one key, when its owner asks for it."""

    def post(self, request: HttpRequest, key: str) -> HttpResponse:
        return shown_key(self, identity.ec2_credential_get(self.ctx, user_id=self.ctx.user_id, credential_id=key))


def shown_key(page: Page, key: dict[str, Any]) -> HttpResponse:
    """A key with its secret, and what programs are told of it."""
    response = page.render(
        "dashboard/profile/access_key_secret.html",
        title=_("Access key"),
        key=key,
        endpoint=clients.s3_endpoint(),
        region=settings.CONFIG.public.region,
        snippets=clients.s3_snippets(page.ctx, key["access"], key["secret"]),
    )
    response["Cache-Control"] = "no-store"
    return response


# --- ways to sign in ----------------------------------------------------------------------------------


class SignInWays(Own):
    """Password, and what is asked besides or in place of it."""

    template = "dashboard/profile/sign_in.html"
    title = _("Signing in")

    def get(self, request: HttpRequest) -> HttpResponse:
        user = self.user
        return self.render(
            changed_at=user.password_changed_at,
            expires_at=user.password_expires_at,
            authenticator=services.authenticator_count(self.ctx),
            passkeys=Passkey.objects.filter(user=user).order_by("created_at"),
            may_add=passkeys.party() is not None,
        )


class AuthenticatorAdd(Own, FormPage):
    """A secret as a QR code, kept once a code of it was typed; until then it is in the session alone."""

    template = "dashboard/profile/authenticator.html"
    title = _("Add an authenticator")
    form = CodeForm
    submit = _("Add")
    back = "dashboard:sign-in-ways"

    def get(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        request.session["authenticator"] = base64.b32encode(secrets.token_bytes(20)).decode()
        return self.show(self.make())

    def show(self, form: forms.Form, status: int = 200, **more: Any) -> HttpResponse:
        secret = self.request.session.get("authenticator", "")
        site = urlsplit(settings.CONFIG.public.url).netloc
        label = quote(f"Kumo {site}:{self.ctx.user_name}")
        address = f"otpauth://totp/{label}?{urlencode({'secret': secret, 'issuer': f'Kumo {site}'})}"
        response = super().show(
            form,
            status,
            **more,
            secret=" ".join(secret[i : i + 4] for i in range(0, len(secret), 4)),
            picture=segno.make_qr(address, error="m").svg_data_uri(scale=5, border=4, light="#fff", dark="#000"),
        )
        response["Cache-Control"] = "no-store"
        return response

    def save(self, form: forms.Form) -> tuple[str, str]:
        secret = self.request.session.get("authenticator", "")
        services.authenticator_add(self.ctx, secret=secret, passcode=form.cleaned_data["code"])
        del self.request.session["authenticator"]
        return self.url("dashboard:sign-in-ways"), gettext("From now on a code is asked for at each sign-in.")


class AuthenticatorRemove(Own, FormPage):
    """No codes any more; a present code shows that it is the user who wishes it."""

    title = _("Remove the authenticator")
    form = CodeForm
    submit = _("Remove")
    back = "dashboard:sign-in-ways"

    def save(self, form: forms.Form) -> tuple[str, str]:
        guess = {"address": client_address(self.request), "account": attempts.account_of(("code", self.ctx.user_id))}
        attempts.attempt(**guess)
        services.authenticator_remove(self.ctx, passcode=form.cleaned_data["code"])
        attempts.succeeded(**guess)
        return self.url("dashboard:sign-in-ways"), gettext("No code is asked for any more.")


class PasskeyAdd(Own):
    """GET asks the browser to make a key, POST keeps it."""

    def get(self, request: HttpRequest) -> HttpResponse:
        response = HttpResponse(passkeys.offer(request.session, self.user), content_type="application/json")
        response["Cache-Control"] = "no-store"
        return response

    def post(self, request: HttpRequest) -> HttpResponse:
        answer = passkeys.read(request.body)
        name = str(answer.pop("name", ""))
        try:
            made = passkeys.add(self.ctx, request.session, answer, name)
        except KumoError as error:
            return JsonResponse({"error": str(error)}, status=error.status)
        messages.success(request, said(gettext("Added"), made.name))
        return JsonResponse({"to": self.url("dashboard:sign-in-ways")})


class PasskeyForget(Own):
    """Takes a key away."""

    def post(self, request: HttpRequest, ident: Any) -> HttpResponse:
        passkeys.passkey_delete(self.ctx, passkey_id=ident)
        return self.answer(self.url("dashboard:sign-in-ways"), ("success", gettext("Deleted")))
