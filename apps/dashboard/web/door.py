"""The door: name and password, a code besides, a passkey in their place, and a new password by mail."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode, urlsplit

from django import forms
from django.conf import settings
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django.views import View

from apps.core.api.middleware import client_address
from apps.core.context import RequestContext
from apps.core.errors import KumoError, Unauthorized, Unavailable
from apps.core.web.pages import put_error
from apps.dashboard import attempts, passkeys, resets, sessions
from apps.dashboard.attempts import TooManyAttempts
from apps.dashboard.web.forms import AccountForm, CodeForm, PasswordForm, ResetForm, SignInForm
from apps.identity import services as identity
from apps.identity.selectors import web_sign_ins
from apps.identity.services import MoreFactors, PasswordExpired
from apps.identity.states import Method

EXPIRED_S = 300  # to choose another password in


class Door(View):
    """What the pages outside have in common. `submit` is the word on the button."""

    template = "dashboard/door.html"
    title: Any = ""
    submit: Any = ""

    def show(self, form: forms.Form, status: int = 200, **more: Any) -> HttpResponse:
        shown = {"form": form, "title": self.title, "submit": self.submit, "site": _site(), **more}
        return render(self.request, self.template, shown, status=status)

    def refused(self, form: forms.Form, error: TooManyAttempts, **more: Any) -> HttpResponse:
        """Too often: when to come again, in words and for programs."""
        form.add_error(None, str(error))
        response = self.show(form, error.status, **more)
        response["Retry-After"] = str(error.seconds)
        return response

    def guess(self, *parts: str) -> dict[str, str]:
        """Who is charged for an attempt."""
        return {"address": client_address(self.request), "account": attempts.account_of(parts)}


def _site() -> str:
    return urlsplit(settings.CONFIG.public.url).netloc


def _inside(address: str) -> str:
    """Where to go after signing in: only addresses of this site."""
    own = url_has_allowed_host_and_scheme(address, allowed_hosts=None) and address.startswith("/p/")
    return address if own else "/"


class SignIn(Door):
    """Name and password for a session. A session that existed before is thrown away, its id with it."""

    template = "dashboard/sign_in.html"

    def get(self, request: HttpRequest) -> HttpResponse:
        if sessions.person(request) is not None:
            return redirect(_inside(request.GET.get("next", "")))
        return self.ask(SignInForm(initial={"domain": "Default"}))

    def post(self, request: HttpRequest) -> HttpResponse:
        form = SignInForm(request.POST)
        if not form.is_valid():
            return self.ask(form, 401)
        given = form.cleaned_data
        guess, who = self.guess(given["domain"], given["name"]), {"name": given["name"], "domain_name": given["domain"]}
        try:
            attempts.attempt(**guess)
            with identity.sign_in_event(methods=("session", "password"), **who) as event:
                user = event.user = identity.sign_in(password=given["password"], **who)
        except TooManyAttempts as error:
            return self.refused(form, error, **self.ways())
        except MoreFactors as error:
            attempts.succeeded(**guess)  # the password was right; codes have a count of their own
            return self.ask_further(request, form, error)
        except PasswordExpired as error:
            attempts.succeeded(**guess)
            request.session.flush()
            request.session["expired"] = error.user_id
            request.session.set_expiry(EXPIRED_S)
            return redirect("expired")
        except Unavailable:
            form.add_error(None, gettext("The directory of this domain does not answer. Try again in a moment."))
            return self.ask(form, 503)
        except KumoError:
            form.add_error(None, gettext("No user with this name and password. Check both, and the domain."))
            return self.ask(form, 401)
        attempts.succeeded(**guess)
        sessions.open_session(request, user)
        return redirect(_inside(request.GET.get("next", "")))

    def ask_further(self, request: HttpRequest, form: forms.Form, error: MoreFactors) -> HttpResponse:
        """The password was right; what the user still has to show is asked for on the next page."""
        if not any(Method.TOTP in rule for rule in error.required):
            form.add_error(None, gettext("Your account asks for a way of signing in that these pages do not have."))
            return self.ask(form, 403)
        request.session.flush()
        request.session["half"] = {"receipt": error.text, "user_id": error.user.pk}
        request.session.set_expiry(settings.CONFIG.identity.receipt_minutes * 60)
        wanted = request.GET.get("next", "")
        return redirect(f"{reverse('sign-in-code')}?{urlencode({'next': wanted})}" if wanted else "sign-in-code")

    def ask(self, form: forms.Form, status: int = 200) -> HttpResponse:
        return self.show(form, status, **self.ways())

    def ways(self) -> dict[str, Any]:
        ways = {"by_passkey": passkeys.party() is not None, "by_mail": resets.possible()}
        return ways | {"providers": web_sign_ins()}


class Expired(Door):
    """A new password for somebody whose present one was right, but may not be used any more."""

    title = _("Your password has expired")
    submit = _("Set the password")

    def get(self, request: HttpRequest) -> HttpResponse:
        return self.show(PasswordForm()) if request.session.get("expired") else redirect("sign-in")

    def post(self, request: HttpRequest) -> HttpResponse:
        user_id, form = request.session.get("expired"), PasswordForm(request.POST)
        if user_id is None:
            return redirect("sign-in")
        if not form.is_valid():
            return self.show(form, 422)
        given, guess = form.cleaned_data, self.guess("password", user_id)
        try:
            attempts.attempt(**guess)
            identity.user_change_password(
                user_id=user_id, original_password=given["present"], password=given["password"]
            )
        except TooManyAttempts as error:
            return self.refused(form, error)
        except Unauthorized:
            form.add_error("present", gettext("This is not the present password."))
            return self.show(form, 422)
        except KumoError as error:
            put_error(form, error)
            return self.show(form, 422)
        attempts.succeeded(**guess)
        request.session.flush()
        messages.success(request, gettext("The password is set. Sign in with it."))
        return redirect("sign-in")


class SignInCode(Door):
    """The second step: a code of the user's authenticator. What was shown before is a receipt in the session."""

    title = _("One more step")
    submit = _("Sign in")

    def get(self, request: HttpRequest) -> HttpResponse:
        return self.show(CodeForm()) if request.session.get("half") else redirect("sign-in")

    def post(self, request: HttpRequest) -> HttpResponse:
        half, form = request.session.get("half"), CodeForm(request.POST)
        if half is None:
            return redirect("sign-in")
        if not form.is_valid():
            return self.show(form, 422)
        guess = self.guess("code", half["user_id"])
        try:
            attempts.attempt(**guess)
            with identity.sign_in_event(methods=("session", "totp"), user_id=half["user_id"]) as event:
                passcode = form.cleaned_data["code"]
                user = event.user = identity.sign_in_further(receipt=half["receipt"], passcode=passcode)
        except TooManyAttempts as error:
            return self.refused(form, error)
        except KumoError:
            form.add_error("code", gettext("This code is not right, was used before, or came too late."))
            return self.show(form, 401)
        attempts.succeeded(**guess)
        sessions.open_session(request, user)
        return redirect(_inside(request.GET.get("next", "")))


class SignOut(View):
    """Ends the session."""

    def post(self, request: HttpRequest) -> HttpResponse:
        user = sessions.person(request)
        if user is not None:
            identity.sign_out_event(user)
        request.session.flush()
        return redirect("sign-in")


class PasskeySignIn(Door):
    """GET asks the browser for a key, POST takes its answer and says where to go."""

    def get(self, request: HttpRequest) -> HttpResponse:
        response = HttpResponse(passkeys.ask(request.session), content_type="application/json")
        response["Cache-Control"] = "no-store"
        return response

    def post(self, request: HttpRequest) -> HttpResponse:
        guess = self.guess("passkey", client_address(request))
        try:
            attempts.attempt(**guess)
            with identity.sign_in_event(methods=("session", "passkey")) as event:
                user = event.user = passkeys.signed_in(request.session, passkeys.read(request.body))
        except KumoError as error:
            response = JsonResponse({"error": str(error)}, status=error.status)
            if isinstance(error, TooManyAttempts):
                response["Retry-After"] = str(error.seconds)
            return response
        attempts.succeeded(**guess)
        sessions.open_session(request, user)
        return JsonResponse({"to": _inside(request.GET.get("next", ""))})


class Forgotten(Door):
    """Asks for a mail with the way to a new password. The answer is the same whoever is named."""

    title = _("Forgotten your password?")
    submit = _("Send me a mail")

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        if not resets.possible():
            raise Http404
        return super().dispatch(request, *args, **kwargs)

    def get(self, request: HttpRequest) -> HttpResponse:
        return self.show(AccountForm(initial={"domain": "Default"}))

    def post(self, request: HttpRequest) -> HttpResponse:
        form = AccountForm(request.POST)
        if not form.is_valid():
            return self.show(form, 422)
        given = form.cleaned_data
        try:
            attempts.attempt(**self.guess("mail", given["domain"], given["name"]))
        except TooManyAttempts as error:
            return self.refused(form, error)
        ctx = RequestContext(request_id=getattr(request, "request_id", ""))
        resets.reset_request(ctx, name=given["name"], domain_name=given["domain"])
        words = gettext("If there is such a user with a mail address, a mail is on its way. It holds for %d minutes.")
        messages.info(request, words % settings.CONFIG.mail.reset_minutes)
        return redirect("sign-in")


class Reset(Door):
    """A new password for whoever has the code from the mail."""

    title = _("Choose a new password")
    submit = _("Set the password")

    def get(self, request: HttpRequest) -> HttpResponse:
        return self.show(ResetForm())

    def post(self, request: HttpRequest) -> HttpResponse:
        form = ResetForm(request.POST)
        if not form.is_valid():
            return self.show(form, 422)
        given, guess = form.cleaned_data, self.guess("reset", client_address(request))
        try:
            attempts.attempt(**guess)
            ctx = RequestContext(request_id=getattr(request, "request_id", ""))
            resets.password_reset(ctx, token=given["token"], password=given["password"])
        except TooManyAttempts as error:
            return self.refused(form, error)
        except KumoError as error:
            put_error(form, error)
            return self.show(form, 422)
        attempts.succeeded(**guess)
        request.session.flush()
        messages.success(request, gettext("The password is set. Sign in with it."))
        return redirect("sign-in")
