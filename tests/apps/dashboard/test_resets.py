"""A new password by mail, through a real SMTP server."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from email.message import Message
from typing import Any

import msgspec
import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.handlers import Message as MessageHandler
from django.test import Client

from apps.core.tokens import token_hash
from apps.dashboard import resets
from apps.dashboard.models import PasswordReset, WebSession
from apps.identity import services as identity
from apps.identity.models import User
from apps.operations.models import Operation
from tests.kit import operations as ops
from tests.kit.brokers import free_port
from tests.kit.sagas import SagaCases

Door = Callable[..., Client]
pytestmark = pytest.mark.django_db


class Letterbox(MessageHandler):
    """Keeps what is delivered; refuses the next `busy` mails for now."""

    def __init__(self) -> None:
        super().__init__()
        self.mails: list[Message] = []
        self.busy = 0

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        if self.busy:
            self.busy -= 1
            return "451 try again later"
        return await super().handle_DATA(server, session, envelope)

    def handle_message(self, message: Message) -> None:
        self.mails.append(message)


@pytest.fixture
def letterbox(settings: Any, people: None) -> Iterator[Letterbox]:
    """A mail server that this cloud sends by; demo has an address."""
    ops.reset()
    User.objects.filter(name="demo").update(extra={"email": "demo@example.org"})
    found = Letterbox()
    port = free_port()
    controller = Controller(found, hostname="127.0.0.1", port=port)
    controller.start()
    mail = msgspec.structs.replace(settings.CONFIG.mail, host="127.0.0.1", port=port, sender="cloud@example.org")
    settings.CONFIG = msgspec.structs.replace(settings.CONFIG, mail=mail)
    yield found
    controller.stop()
    ops.reset()


def ask(name: str = "demo", **headers: str) -> Client:
    """Somebody asks for a mail, and the operation runs."""
    client = Client(headers=headers)
    with ops.committed():
        answer = client.post("/sign-in/forgotten", {"name": name, "domain": "Default"})
    assert answer["Location"] == "/sign-in"
    ops.settle()
    return client


def code(mail: Message) -> str:
    text = mail.get_payload(decode=True).decode()  # type: ignore[union-attr]
    found = re.search(r"http://testserver/sign-in/reset#([\w-]{43})\s", text)
    assert found, text
    return found[1]


def choose(token: str, password: str = "a new one") -> int:
    return Client().post("/sign-in/reset", {"token": token, "password": password, "again": password}).status_code


def test_whoever_reads_the_mail_chooses_a_new_password(letterbox: Letterbox, sign_in: Door) -> None:
    session = sign_in()
    ask()
    (mail,) = letterbox.mails
    assert (mail["From"], mail["To"]) == ("cloud@example.org", "demo@example.org")
    assert choose(code(mail)) == 302
    assert identity.sign_in(name="demo", domain_name="Default", password="a new one").name == "demo"
    assert session.get("/p/demo/tasks").status_code == 302  # sessions from before are over


def test_the_mail_is_in_the_language_of_whoever_asked(letterbox: Letterbox) -> None:
    ask(**{"accept-language": "ja"})
    assert "パスワード" in letterbox.mails[0].get_payload(decode=True).decode()  # type: ignore[union-attr]


def test_the_answer_is_the_same_for_a_name_that_nobody_has(letterbox: Letterbox) -> None:
    pages = [ask(name).get("/sign-in").content.decode() for name in ("demo", "nobody", "admin")]
    shown = [re.sub(r'name="csrfmiddlewaretoken" value="\w+"|X-CSRFToken[^}]*', "", page) for page in pages]
    assert shown[0] == shown[1] == shown[2]
    assert "a mail is on its way" in shown[0]
    assert Operation.objects.filter(kind="dashboard.password_reset.mail").count() == 3
    assert [mail["To"] for mail in letterbox.mails] == ["demo@example.org"]


def test_a_code_is_good_once(letterbox: Letterbox) -> None:
    ask()
    token = code(letterbox.mails[0])
    assert choose(token) == 302
    assert choose(token, "yet another") == 422
    assert identity.sign_in(name="demo", domain_name="Default", password="a new one")


def test_only_the_newest_code_holds(letterbox: Letterbox) -> None:
    ask()
    ask()
    old, new = map(code, letterbox.mails)
    assert choose(old) == 422
    assert choose(new) == 302


@pytest.mark.slow
@pytest.mark.parametrize("what", ["expired", "password changed", "disabled", "locked", "made up"])
def test_a_code_that_no_longer_holds_changes_nothing(letterbox: Letterbox, what: str) -> None:
    ask()
    token = code(letterbox.mails[0])
    user = User.objects.filter(name="demo")
    match what:
        case "expired":
            PasswordReset.objects.update(expires_at="2026-01-01T00:00Z")
        case "password changed":
            user.update(token_generation=9)
        case "disabled":
            user.update(enabled=False)
        case "locked":
            user.update(options={"lock_password": True})
        case "made up":
            token = "x" * 43
    before = user.get().password_hash
    assert choose(token) == 422
    assert user.get().password_hash == before


def test_the_code_is_kept_as_its_hash_and_in_no_operation(letterbox: Letterbox) -> None:
    ask()
    token = code(letterbox.mails[0])
    row, operation = PasswordReset.objects.get(), Operation.objects.get()
    assert token not in str(vars(row))
    assert token not in str(vars(operation)) + str([vars(step) for step in operation.steps.all()])
    assert not WebSession.objects.filter(session_data__contains=token).exists()


def test_a_mail_server_that_is_busy_is_asked_again(letterbox: Letterbox) -> None:
    letterbox.busy = 2
    ask()
    assert len(letterbox.mails) == 1
    assert letterbox.busy == 0
    assert Operation.objects.get().status == "done"


def test_without_a_mail_server_nobody_is_offered_a_mail(people: None) -> None:
    assert "/sign-in/forgotten" not in Client().get("/sign-in").content.decode()
    assert Client().get("/sign-in/forgotten").status_code == 404
    assert Client().post("/sign-in/forgotten", {"name": "demo", "domain": "Default"}).status_code == 404


@pytest.mark.slow
class TestMail(SagaCases):
    """A mail may come twice; the last one holds."""

    kind = "dashboard.password_reset.mail"
    cancellable = False

    @pytest.fixture(autouse=True)
    def _letterbox(self, letterbox: Letterbox) -> None:
        self.letterbox = letterbox

    def begin(self) -> Operation:
        self.letterbox.mails.clear()
        resets.reset_request(ops.SYSTEM, name="demo", domain_name="Default")
        return Operation.objects.filter(kind=self.kind).latest("created_at")

    def assert_done(self, operation: Operation) -> None:
        token = code(self.letterbox.mails[-1])
        assert PasswordReset.objects.get().token_hash == token_hash(token)
