"""How hosts come in and go, and what their heartbeat tells."""

from __future__ import annotations

import datetime
import io
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import NameOID
from django.core.management import CommandError, call_command
from django.db import connection
from django.db.models.functions import Now
from django.test import Client, RequestFactory

from agents.contracts import Capacity, HostFacts, Inventory, ReportInventory
from apps.core.context import RequestContext
from apps.core.errors import Conflict, Forbidden, Invalid, Unavailable
from apps.hosts import selectors, services
from apps.hosts.models import EnrolToken, Host
from apps.hosts.services import enrolment, heartbeat
from apps.hosts.services.authority import authority
from apps.hosts.states import HostMode, HostState
from apps.operations.models import Executor
from tests.kit.rows import make_host

pytestmark = pytest.mark.django_db
CTX = RequestContext(is_system=True)


@pytest.fixture(autouse=True)
def broker(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Accounts that the broker would have been asked to make."""
    accounts: dict[str, str] = {}
    monkeypatch.setattr(enrolment.accounts, "host_access", accounts.__setitem__)
    monkeypatch.setattr(enrolment.accounts, "host_no_access", lambda name: accounts.pop(name, None))
    return accounts


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """Hosts that were sent something, and which verb."""
    found: list[tuple[str, str]] = []
    monkeypatch.setattr(
        heartbeat.operations, "host_send", lambda ctx, *, host, verb, message: found.append((host, verb))
    )
    return found


def pem_of(key: Any) -> str:
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return key.public_key().public_bytes(serialization.Encoding.PEM, form).decode()


def request_of(key: Any, name: str = "whatever") -> str:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    made = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
    return made.public_bytes(serialization.Encoding.PEM).decode()


def keys() -> dict[str, str]:
    return {
        "csr_pem": request_of(ec.generate_private_key(ec.SECP256R1())),
        "signing_public_key_pem": pem_of(ed25519.Ed25519PrivateKey.generate()),
    }


def enroll(name: str = "hv-1") -> services.Enrolled:
    token = services.host_enroll_token(CTX, name=name, zone="east")
    return services.host_enroll(CTX, token=token, name=name, **keys())


def inventory(**changes: Any) -> Inventory:
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        now = cursor.fetchone()[0]
    facts = HostFacts(
        hostname="hv-1",
        architecture="x86_64",
        cpu_model="test",
        virtualization="qemu",
        hypervisor_version="7.2",
        agent_version="1",
        chassis="chassis-1",
        kernel="6.1",
    )
    capacity = Capacity(vcpus=4, ram_mib=8192, disk_gib=50, disk_free_gib=40)
    defaults: dict[str, Any] = {
        "asked_at": now.isoformat(),
        "host_clock": now.timestamp(),
        "facts": facts,
        "capacity": capacity,
    }
    return Inventory(**defaults | changes)


def test_a_host_enrols_over_http_and_gets_what_it_needs(broker):
    token = services.host_enroll_token(CTX, name="hv-1", zone="east")
    answer = Client().post(
        "/internal/host/v1/enroll", {"token": token, "name": "hv-1", **keys()}, content_type="application/json"
    )
    assert answer.status_code == 201, answer.content
    body = answer.json()
    certificate = x509.load_pem_x509_certificate(body["certificate_pem"].encode())
    certificate.verify_directly_issued_by(authority().certificate)
    assert certificate.subject.rfc4514_string() == "CN=hv-1"
    assert body["ca_pem"] == authority().pem
    assert "PUBLIC KEY" in body["control_public_key_pem"]
    host = Host.objects.get()
    assert (host.name, host.zone, host.state, host.number) == ("hv-1", "east", HostState.ENROLLED, 1)
    assert host.certificate_serial == f"{certificate.serial_number:x}"
    assert broker == {"hv-1": body["broker_password"]}
    assert Executor.objects.get().host == "hv-1"


def test_the_authority_is_told_to_strangers():
    answer = Client().get("/internal/host/v1/ca")
    found = x509.load_pem_x509_certificate(answer.content)
    assert found.fingerprint(hashes.SHA256()).hex() == authority().fingerprint


def test_a_token_counts_once_and_is_stored_as_its_hash():
    token = services.host_enroll_token(CTX, name="hv-1")
    assert token not in str(EnrolToken.objects.values())
    services.host_enroll(CTX, token=token, name="hv-1", **keys())
    before = Host.objects.values().get()
    with pytest.raises(Forbidden):
        services.host_enroll(CTX, token=token, name="hv-1", **keys())
    assert Host.objects.values().get() == before


def test_a_token_counts_for_its_host_and_hour_only():
    token = services.host_enroll_token(CTX, name="hv-1")
    with pytest.raises(Forbidden):
        services.host_enroll(CTX, token=token, name="hv-2", **keys())
    EnrolToken.objects.update(expires_at=Now() - datetime.timedelta(seconds=1))
    with pytest.raises(Forbidden):
        services.host_enroll(CTX, token=token, name="hv-1", **keys())
    assert not Host.objects.exists()


@pytest.mark.parametrize("name", ["", "UPPER", "-x", "x-", "a b", "x" * 64, "a/b"])
def test_unusable_names_get_no_token(name):
    with pytest.raises(Invalid):
        services.host_enroll_token(CTX, name=name)
    assert not EnrolToken.objects.exists()


@pytest.mark.parametrize(
    "bad",
    [
        {"csr_pem": "nonsense"},
        {"csr_pem": request_of(rsa.generate_private_key(65537, 1024))},
        {"signing_public_key_pem": "nonsense"},
        {"signing_public_key_pem": pem_of(ec.generate_private_key(ec.SECP256R1()))},
    ],
)
def test_unusable_keys_leave_the_token_good(bad):
    token = services.host_enroll_token(CTX, name="hv-1")
    with pytest.raises(Invalid):
        services.host_enroll(CTX, token=token, name="hv-1", **keys() | bad)
    assert not Host.objects.exists()
    services.host_enroll(CTX, token=token, name="hv-1", **keys())


def test_a_broker_that_is_down_leaves_the_token_good(monkeypatch):
    token = services.host_enroll_token(CTX, name="hv-1")

    def down(name: str, password: str) -> None:
        raise Unavailable("the broker is down")

    with monkeypatch.context() as patched:
        patched.setattr(enrolment.accounts, "host_access", down)
        with pytest.raises(Unavailable):
            services.host_enroll(CTX, token=token, name="hv-1", **keys())
    assert not Host.objects.exists()
    services.host_enroll(CTX, token=token, name="hv-1", **keys())


def test_only_the_latest_certificate_of_a_host_counts():
    def asking(serial: str) -> Any:
        return RequestFactory().get("/", headers={"X-Kumo-Host": "hv-1", "X-Kumo-Host-Serial": serial})

    first = enroll().host.certificate_serial
    assert selectors.host_of_request(asking(first.upper().zfill(40))).name == "hv-1"
    second = enroll().host.certificate_serial
    assert selectors.host_of_request(asking(second)).name == "hv-1"
    for request in (asking(first), asking(""), RequestFactory().get("/")):
        with pytest.raises(Forbidden):
            selectors.host_of_request(request)
    assert Host.objects.count() == 1


def test_hosts_are_numbered_and_removed(broker):
    enroll("hv-1")
    second = enroll("hv-2").host
    assert second.number == 2
    services.host_remove(CTX, host_id=second.pk)
    assert [h.name for h in Host.objects.all()] == ["hv-1"]
    assert set(broker) == {"hv-1"}
    assert [e.host for e in Executor.objects.all()] == ["hv-1"]


def test_a_host_with_servers_is_not_removed():
    host = make_host()
    services.claim(CTX, consumer_id="6" * 32, project_id="p", vcpus=1, ram_mib=1, disk_gib=1)
    with pytest.raises(Conflict, match="1 servers"):
        services.host_remove(CTX, host_id=host.pk)
    assert Host.objects.exists()


def test_members_of_projects_manage_no_hosts():
    member = RequestContext(project_id="p", roles=frozenset({"member", "reader"}))
    for call in (
        lambda: services.host_enroll_token(member, name="hv-1"),
        lambda: services.host_disable(member, host_id="x"),
        lambda: selectors.host_list(member),
    ):
        with pytest.raises(Forbidden):
            call()


def test_an_inventory_brings_a_host_up_with_what_may_be_claimed(settings):
    enroll()
    seen: list[str] = []

    def look(host: Host, inventory: Inventory) -> None:
        seen.append(host.name)

    services.inventory_handler(look)
    try:
        services.host_report(CTX, host="hv-1", boot_id="b1", inventory=inventory())
    finally:
        heartbeat._handlers.remove(look)
    host = Host.objects.get()
    assert (host.state, host.boot_id, host.chassis) == (HostState.UP, "b1", "chassis-1")
    assert host.capacity == {"vcpus": 16, "ram_mib": 8192 - 512, "disk_gib": 50}
    assert host.facts["architecture"] == "x86_64"
    assert abs(host.clock_skew_s) < 1
    assert seen == ["hv-1"]
    executor = Executor.objects.get()
    assert (executor.state, executor.boot_id) == ("up", "b1")


def test_a_handler_that_fails_does_not_stop_the_heartbeat():
    enroll()

    def broken(host: Host, inventory: Inventory) -> None:
        raise RuntimeError("broken")

    services.inventory_handler(broken)
    try:
        services.host_report(CTX, host="hv-1", boot_id="b1", inventory=inventory())
    finally:
        heartbeat._handlers.remove(broken)
    assert Host.objects.get().is_up


@pytest.mark.parametrize("off", [-30.0, 30.0])
def test_a_clock_that_is_off_stops_placement(off):
    enroll()
    report = inventory()
    services.host_report(CTX, host="hv-1", boot_id="b", inventory=inventory(host_clock=report.host_clock + off))
    assert Host.objects.get().clock_skew_s == pytest.approx(off, abs=2)
    with pytest.raises(services.NoValidHost, match="clock is"):
        services.claim(CTX, consumer_id="6" * 32, project_id="p", vcpus=1, ram_mib=1, disk_gib=1)


def test_a_report_of_a_removed_host_is_ignored():
    services.host_report(CTX, host="gone", boot_id="b", inventory=inventory())
    assert not Host.objects.exists()


def test_silence_takes_a_host_down(monkeypatch):
    monkeypatch.setattr("apps.hosts.services.heartbeat.SILENCE_S", 3600)  # however long the statements take
    quiet, loud = make_host(), make_host()
    Host.objects.filter(pk=quiet.pk).update(last_seen_at=Now() - datetime.timedelta(minutes=61))
    Host.objects.filter(pk=loud.pk).update(last_seen_at=Now() - datetime.timedelta(minutes=50))
    assert services.hosts_silent(CTX) == [quiet.name]
    assert {h.name: h.state for h in Host.objects.all()} == {quiet.name: "down", loud.name: "up"}
    assert services.hosts_silent(CTX) == []


def test_questions_do_not_pile_up_for_hosts_long_gone(sent):
    up = make_host()
    lost = make_host(state=HostState.DOWN)
    just_lost = make_host(state=HostState.DOWN)
    Host.objects.filter(pk=lost.pk).update(state_changed_at=Now() - datetime.timedelta(hours=1))
    Host.objects.filter(pk=just_lost.pk).update(state_changed_at=Now())
    assert set(services.hosts_ask(CTX)) == {up.name, just_lost.name}
    assert set(services.hosts_ask(CTX, also_lost=True)) == {up.name, lost.name, just_lost.name}
    assert sent[0] == (min(up.name, just_lost.name), "inventory.report")
    Executor.objects.create(host=lost.name, public_key="x", state="up")
    assert lost.name in services.hosts_ask(CTX)


def test_what_is_asked_can_be_read_back():
    assert ReportInventory(asked_at=inventory().asked_at)


def call(*words: str) -> str:
    out = io.StringIO()
    call_command("host", *words, stdout=out)
    return out.getvalue()


def test_commands(tmp_path):
    token = call("enroll", "hv-1", "--quiet").strip()
    services.host_enroll(CTX, token=token, name="hv-1", **keys())
    assert authority().fingerprint in call("enroll", "hv-2")
    assert call("fingerprint").strip() == authority().fingerprint
    assert "hv-1" in call("list")
    assert "hv-1" not in call("list", "--up")
    assert "draining" in call("drain", "hv-1", "--reason", "new fan")
    assert "new fan" in call("list")
    assert Host.objects.get().mode == HostMode.DRAINING
    assert "disabled" in call("disable", "hv-1")
    assert "enabled" in call("enable", "hv-1")
    with pytest.raises(CommandError, match="could not be found"):
        call("enable", "nothing")
    call("remove", "hv-1")
    assert not Host.objects.exists()


def test_the_server_certificate_is_kept_while_it_is_good(tmp_path):
    words = ("server-certificate", "--address", "10.0.0.1", "--address", "cloud.example", "--out", str(tmp_path))
    call(*words)
    first = (tmp_path / "server.crt").read_bytes()
    certificate = x509.load_pem_x509_certificate(first)
    certificate.verify_directly_issued_by(authority().certificate)
    assert (tmp_path / "server.key").stat().st_mode & 0o777 == 0o600
    call(*words)
    assert (tmp_path / "server.crt").read_bytes() == first
    call("server-certificate", "--address", "10.0.0.2", "--out", str(tmp_path))
    assert (tmp_path / "server.crt").read_bytes() != first
