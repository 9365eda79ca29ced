"""What the dashboard does outside the database: mail."""

from __future__ import annotations

import smtplib
import ssl
from email.message import EmailMessage
from email.utils import formatdate, make_msgid

from django.conf import settings
from django.utils import translation
from django.utils.translation import gettext as _

from agents.errors import Transient
from apps.dashboard import resets
from apps.operations.registry import JobContext
from apps.operations.view import Op

SMTP_S = 20


def mail_reset(op: Op, job: JobContext) -> None:
    """Mail the operation's user an address for a new password; nobody, where there is no such user.

    Tried again, it makes a new token, so that of several mails the last one holds.
    """
    user = resets.reachable(op.subject_id)
    if user is None or not resets.possible():
        return
    token = resets.token_made(user)
    with translation.override(op.input.get("language", "en")):
        send(
            to=str(user.extra["email"]),
            subject=_("A new password for Kumo"),
            text=_(
                "Somebody, probably you, asked for a new password for %(name)s at %(site)s.\n\n"
                "Open this address within %(minutes)d minutes and choose one:\n\n%(url)s\n\n"
                "If it was not you, do nothing: the password stays as it is."
            )
            % {
                "name": user.name,
                "site": settings.CONFIG.public.url,
                "minutes": settings.CONFIG.mail.reset_minutes,
                # behind the `#`: browsers send it to no server, so it is in no log
                "url": f"{settings.CONFIG.public.url}/sign-in/reset#{token}",
            },
        )


def send(*, to: str, subject: str, text: str) -> None:
    """Hand one mail to the configured server. Raises Transient when it does not take it: try again."""
    mail = settings.CONFIG.mail
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = mail.sender, to, subject
    message["Date"], message["Message-ID"] = formatdate(), make_msgid(domain=mail.sender.rpartition("@")[2])
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(text)
    tls = ssl.create_default_context()
    try:
        with (
            smtplib.SMTP_SSL(mail.host, mail.port, timeout=SMTP_S, context=tls)
            if mail.security == "tls"
            else smtplib.SMTP(mail.host, mail.port, timeout=SMTP_S)
        ) as server:
            if mail.security == "starttls":
                server.starttls(context=tls)
            if mail.user:
                server.login(mail.user, (settings.CONFIG.secrets / "mail_password").read_text().strip())
            server.send_message(message)
    except (OSError, smtplib.SMTPException) as error:
        raise Transient(f"The mail server {mail.host} did not take the mail: {type(error).__name__}.") from error
