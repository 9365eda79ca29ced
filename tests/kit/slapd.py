"""A real OpenLDAP server on loopback, filled before it starts; it can be stopped and started by its process."""

from __future__ import annotations

import datetime
import ipaddress
import shutil
import socket
import subprocess
import time
from collections.abc import Iterable
from pathlib import Path

import ldap
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

SUFFIX = "dc=kumo,dc=test"
ROOT, ROOT_PASSWORD = f"cn=admin,{SUFFIX}", "root-secret"
USERS, GROUPS, IN_GROUP = 10_000, 500, 20
_MOST = 30.0


def user_name(number: int) -> str:
    return f"u{number:05}"


def user_dn(number: int) -> str:
    return f"uid={user_name(number)},ou=people,{SUFFIX}"


def group_dn(number: int) -> str:
    return f"cn=g{number:03},ou=groups,{SUFFIX}"


def _entries() -> Iterable[str]:
    yield f"dn: {SUFFIX}\nobjectClass: dcObject\nobjectClass: organization\no: kumo\n"
    for unit in ("people", "groups"):
        yield f"dn: ou={unit},{SUFFIX}\nobjectClass: organizationalUnit\n"
    for number in range(USERS):
        name = user_name(number)
        off = "employeeType: FALSE\n" if number == USERS - 1 else ""
        yield (
            f"dn: {user_dn(number)}\nobjectClass: inetOrgPerson\ncn: Person {number}\nsn: {number}\n"
            f"mail: {name}@kumo.test\nuserPassword: pw-{name}\n{off}"
        )
    for number in range(GROUPS):
        members = "".join(f"member: {user_dn(number * IN_GROUP + i)}\n" for i in range(IN_GROUP))
        yield f"dn: {group_dn(number)}\nobjectClass: groupOfNames\n{members}"
    yield f"dn: cn=outer,ou=groups,{SUFFIX}\nobjectClass: groupOfNames\nmember: {group_dn(0)}\nmember: {group_dn(1)}\n"
    # A circle: groups in one another must not keep anybody busy for ever.
    yield f"dn: cn=round,ou=groups,{SUFFIX}\nobjectClass: groupOfNames\nmember: cn=about,ou=groups,{SUFFIX}\n"
    yield f"dn: cn=about,ou=groups,{SUFFIX}\nobjectClass: groupOfNames\nmember: cn=round,ou=groups,{SUFFIX}\n"


class Slapd:
    """The server. `ca` is the certificate authority of its TLS address."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.ca = root / "ca.pem"
        port, tls_port = _free_ports()
        self.url, self.tls_url = f"ldap://127.0.0.1:{port}", f"ldaps://127.0.0.1:{tls_port}"
        self._process: subprocess.Popen[bytes] | None = None
        (root / "data").mkdir()
        _certificates(root)
        (root / "slapd.conf").write_text(_CONF.format(root=root, suffix=SUFFIX, dn=ROOT, password=ROOT_PASSWORD))
        ldif = root / "all.ldif"
        ldif.write_text("\n".join(_entries()))
        # A copy of the program: where AppArmor is in force its profile keeps the installed one to its own directories.
        self.program = str(shutil.copy2("/usr/sbin/slapd", root / "slapd"))
        fill = ["-Tadd", "-q", "-f", str(root / "slapd.conf"), "-l", str(ldif)]
        subprocess.run([self.program, *fill], check=True, capture_output=True)

    def start(self) -> None:
        """Start it, and wait until it answers."""
        self._process = subprocess.Popen(
            [self.program, "-d", "0", "-h", f"{self.url} {self.tls_url}", "-f", str(self.root / "slapd.conf")],
            stderr=(self.root / "log").open("ab"),
        )
        deadline = time.monotonic() + _MOST
        while time.monotonic() < deadline and self._process.poll() is None:
            try:
                ldap.initialize(self.url).simple_bind_s()
            except ldap.SERVER_DOWN:
                time.sleep(0.02)
            else:
                return
        raise AssertionError(f"slapd did not start: {(self.root / 'log').read_text()[-2000:]}")

    def stop(self) -> None:
        """Stop it, and wait until it is gone."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(_MOST)
            self._process = None

    def root_connection(self) -> ldap.ldapobject.LDAPObject:
        """A connection that may change everything behind our back."""
        held = ldap.initialize(self.url)
        held.simple_bind_s(ROOT, ROOT_PASSWORD)
        return held


_CONF = """
include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
modulepath /usr/lib/ldap
moduleload back_mdb
pidfile {root}/pid
TLSCACertificateFile {root}/ca.pem
TLSCertificateFile {root}/server.pem
TLSCertificateKeyFile {root}/server.key
sizelimit size.soft=500 size.hard=500 size.pr=500 size.prtotal=unlimited
database mdb
maxsize 268435456
suffix "{suffix}"
rootdn "{dn}"
rootpw {password}
directory {root}/data
dbnosync
index objectClass eq
index uid,cn,member,mail eq
access to attrs=userPassword by anonymous auth by * none
access to * by users read by * none
"""


def _free_ports() -> tuple[int, int]:
    with socket.socket() as one, socket.socket() as other:
        for each in (one, other):
            each.bind(("127.0.0.1", 0))
        return one.getsockname()[1], other.getsockname()[1]


def _certificates(root: Path) -> None:
    """A certificate authority, and a certificate of 127.0.0.1 by it."""
    now = datetime.datetime.now(datetime.UTC)
    keys = [ec.generate_private_key(ec.SECP256R1()) for _ in range(2)]
    names = [x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)]) for text in ("kumo test", "127.0.0.1")]
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    for index, name in enumerate(("ca", "server")):
        extension = x509.BasicConstraints(True, None) if index == 0 else address
        made = (
            x509.CertificateBuilder(names[0], names[index], keys[index].public_key(), x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(extension, critical=index == 0)
            .sign(keys[0], hashes.SHA256())
        )
        (root / f"{name}.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (root / "server.key").write_bytes(
        keys[1].private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
