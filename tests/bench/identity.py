"""What identity is asked for: tokens while others are ended, signing in, and who has which role."""

from __future__ import annotations

import statistics
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence

from argon2 import PasswordHasher

from tests.bench.cloud import Api, Cloud, cpu_seconds
from tests.bench.rows import Row, pids_of

TOKENS = "/identity/v3/auth/tokens"
REVOKED, A_SECOND = 400, 50
USERS, PROJECTS, GROUPS = 10_000, 500, 50


# --- tokens that are ended while others are shown ------------------------------------------------------


def revoking(cloud: Cloud) -> Iterator[Row]:
    """Validations by one client while another ends 50 tokens a second, against the same without that."""
    admin, subject = cloud.sign_in("kumo-admin"), cloud.sign_in("kumo-demo").token
    doomed = [_another(admin) for _ in range(REVOKED)]
    calm = _validated(admin, subject, lambda taken: len(taken) < 2000)
    ending = threading.Thread(target=_end, args=(cloud.sign_in("kumo-admin"), doomed))
    ending.start()
    busy = _validated(admin, subject, lambda _: ending.is_alive())
    for token in doomed[-5:]:
        if admin.call("GET", TOKENS, **{"X-Subject-Token": token})[0] != 404:
            raise SystemExit("a token that was ended still holds")
    for what, of in (("a second", _rate), ("p99", _p99)):
        yield Row(
            f"token validations while {A_SECOND} tokens a second are ended, {what}",
            of(busy)[1],
            f"none ended {of(calm)[1]}",
            f"{of(busy)[0] / of(calm)[0]:.2f}",
        )


def _another(admin: Api) -> str:
    """One more token of the same user; no password is hashed for it."""
    body = {"auth": {"identity": {"methods": ["token"], "token": {"id": admin.token}}}}
    return str(admin.call("POST", TOKENS, body)[2]["X-Subject-Token"])


def _end(client: Api, tokens: Sequence[str]) -> None:
    began = time.perf_counter()
    for number, token in enumerate(tokens):
        time.sleep(max(began + number / A_SECOND - time.perf_counter(), 0))
        client.need("DELETE", TOKENS, **{"X-Subject-Token": token})


def _validated(admin: Api, subject: str, goes_on: Callable[[list[float]], bool]) -> list[float]:
    """Seconds that each validation took."""
    taken: list[float] = []
    while goes_on(taken):
        began = time.perf_counter()
        admin.need("GET", TOKENS, **{"X-Subject-Token": subject})
        taken.append(time.perf_counter() - began)
    return taken


def _rate(taken: Sequence[float]) -> tuple[float, str]:
    rate = len(taken) / sum(taken)
    return rate, f"{rate:.0f}"


def _p99(taken: Sequence[float]) -> tuple[float, str]:
    slow = statistics.quantiles(taken, n=100)[98] * 1000
    return slow, f"{slow:.1f} ms"


# --- signing in ---------------------------------------------------------------------------------------


def signin(cloud: Cloud) -> Iterator[Row]:
    """CPU time of a sign-in by password in the web process, against checking the stored hash and nothing else."""
    auth = cloud.clouds["kumo-demo"]["auth"]
    with cloud.database.cursor() as cursor:
        cursor.execute("SELECT password_hash FROM identity_user WHERE name = %s", [auth["username"]])
        ((stored,),) = cursor.fetchall()
    hasher, count, pids = PasswordHasher(), 30, pids_of(cloud, "web")
    cpu = cpu_seconds(pids)
    for _ in range(count):
        cloud.sign_in("kumo-demo")
    ours = (cpu_seconds(pids) - cpu) / count * 1000
    began = time.process_time()
    for _ in range(count):
        hasher.verify(stored, auth["password"])
    bare = (time.process_time() - began) / count * 1000
    yield Row(
        "sign-in by password, CPU of the web process", f"{ours:.0f} ms", f"hash {bare:.0f} ms", f"{ours / bare:.2f}"
    )


# --- who has which role -------------------------------------------------------------------------------


def assignments(cloud: Cloud) -> Iterator[Row]:
    """Effective assignments of a cloud with 10,000 users in 500 projects, half of them through groups."""
    admin, mark = cloud.sign_in("kumo-admin"), f"bench-{uuid.uuid4().hex[:8]}"
    _people(cloud, mark)
    try:
        for what, query, least in (
            ("of one project", f"scope.project.id={mark}-p7", USERS // PROJECTS),
            ("of one user", f"user.id={mark}-u7", 1),
            ("of all", "", USERS),
        ):
            times = []
            for _ in range(3):
                began = time.perf_counter()
                found = admin.need("GET", f"/identity/v3/role_assignments?effective&{query}")["role_assignments"]
                times.append(time.perf_counter() - began)
            if len(found) < least:
                raise SystemExit(f"{len(found)} assignments {what}, at least {least} were expected")
            yield Row(f"effective assignments {what}: {len(found)}", f"{statistics.median(times) * 1000:.0f} ms")
    finally:
        with cloud.database.cursor() as cursor:
            cursor.execute("DELETE FROM identity_assignment WHERE target_id LIKE %s", [f"{mark}-%"])
            cursor.execute("DELETE FROM identity_membership WHERE group_id LIKE %s", [f"{mark}-%"])
            for table in ("group", "user", "project"):
                cursor.execute(f"DELETE FROM identity_{table} WHERE id LIKE %s", [f"{mark}-%"])


_PEOPLE = """
INSERT INTO identity_project (id, name, description, options, extra, is_domain, enabled, tags, token_generation,
                              domain_id, parent_id)
SELECT %(m)s || '-p' || n, %(m)s || '-p' || n, '', '{}', '{}', false, true, '{}', 0, 'default', 'default'
FROM generate_series(0, %(projects)s - 1) n;
INSERT INTO identity_user (id, name, description, options, extra, enabled, password_hash, token_generation, domain_id,
                           failed_auth_count, password_is_own)
SELECT %(m)s || '-u' || n, %(m)s || '-u' || n, '', '{}', '{}', true, '', 0, 'default', 0, true
FROM generate_series(0, %(users)s - 1) n;
INSERT INTO identity_group (id, name, description, options, extra, domain_id)
SELECT %(m)s || '-g' || n, %(m)s || '-g' || n, '', '{}', '{}', 'default' FROM generate_series(0, %(groups)s - 1) n;
INSERT INTO identity_membership (user_id, group_id)
SELECT %(m)s || '-u' || n, %(m)s || '-g' || n %% %(groups)s FROM generate_series(0, %(users)s - 1, 2) n;
INSERT INTO identity_assignment (scope, inherited, target_id, role_id, user_id)
SELECT 'project', false, %(m)s || '-p' || n %% %(projects)s, (SELECT id FROM identity_role WHERE name = 'member'),
       %(m)s || '-u' || n FROM generate_series(1, %(users)s - 1, 2) n;
INSERT INTO identity_assignment (scope, inherited, target_id, role_id, group_id)
SELECT 'project', false, %(m)s || '-p' || n, (SELECT id FROM identity_role WHERE name = 'reader'),
       %(m)s || '-g' || n %% %(groups)s FROM generate_series(0, %(projects)s - 1) n;
ANALYZE identity_user, identity_project, identity_membership, identity_assignment
"""


def _people(cloud: Cloud, mark: str) -> None:
    with cloud.database.cursor() as cursor:
        cursor.execute(_PEOPLE, {"m": mark, "users": USERS, "projects": PROJECTS, "groups": GROUPS})
