from __future__ import annotations

import pytest

from apps.core.context import system
from apps.core.errors import Invalid, NotFound, OverQuota
from apps.identity import services
from apps.identity.models import Project
from apps.identity.services import limits

CTX = system()


@pytest.fixture(autouse=True)
def registered(cloud: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "_registered", {})
    services.limits_register("compute", {"instances": 10, "cores": 20})


@pytest.fixture
def project(cloud: None) -> str:
    return Project.objects.get(name="demo").pk


def claim(project: str, wanted: int, used: int) -> None:
    services.quota_claim(
        CTX, project_id=project, service="compute", resource="instances", wanted=wanted, used=lambda: used
    )


def test_limit_of_a_project_wins_over_everybodys_which_wins_over_the_default(project: str) -> None:
    def limit() -> int:
        return services.limit_get(CTX, project_id=project, service="compute", resource="instances")

    assert limit() == 10
    services.limit_set(CTX, project_id=None, service="compute", resource="instances", value=5)
    assert limit() == 5
    services.limit_set(CTX, project_id=project, service="compute", resource="instances", value=7)
    assert limit() == 7
    assert services.limits_of(CTX, project_id=project, service="compute") == {"instances": 7, "cores": 20}
    assert services.limits_of(CTX, project_id=None, service="compute") == {"instances": 5, "cores": 20}
    services.limits_reset(CTX, project_id=project, service="compute")
    assert limit() == 5


def test_claim_fits_exactly_up_to_the_limit(project: str) -> None:
    claim(project, wanted=2, used=8)
    with pytest.raises(OverQuota) as error:
        claim(project, wanted=3, used=8)
    assert (error.value.used, error.value.wanted, error.value.limit) == (8, 3, 10)


def test_unlimited_is_not_even_counted(project: str) -> None:
    services.limit_set(CTX, project_id=project, service="compute", resource="instances", value=-1)
    services.quota_claim(
        CTX, project_id=project, service="compute", resource="instances", wanted=99, used=lambda: pytest.fail("counted")
    )


def test_unknown_resources_values_and_projects_are_refused(project: str) -> None:
    with pytest.raises(Invalid):
        services.limit_get(CTX, project_id=project, service="compute", resource="ponies")
    with pytest.raises(Invalid):
        services.limit_set(CTX, project_id=project, service="compute", resource="instances", value=-2)
    with pytest.raises(NotFound):
        services.limit_set(CTX, project_id="none", service="compute", resource="instances", value=1)
