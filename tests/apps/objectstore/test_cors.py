"""Pages of other origins: only those that the container names get at answers."""

from __future__ import annotations

import pytest

GOOD, OTHER = "https://good.example", "https://other.example"


@pytest.fixture(autouse=True)
def one(alice, box):
    alice("POST", "/box", X_Container_Meta_Access_Control_Allow_Origin=f"{GOOD} https://also.example")
    alice("POST", "/box", X_Container_Meta_Access_Control_Max_Age="60")
    alice("POST", "/box", X_Container_Meta_Access_Control_Expose_Headers="X-Mine")
    alice.put("/box/a", b"1", X_Object_Meta_B="2")


def test_a_page_that_is_named_may_ask_first(stranger):
    asked = {"Access_Control_Request_Method": "PUT", "Access_Control_Request_Headers": "x-auth-token"}
    answer = stranger("OPTIONS", "/box/a", Origin=GOOD, **asked)
    assert answer.status_code == 200
    assert answer["Access-Control-Allow-Origin"] == GOOD
    assert "PUT" in answer["Access-Control-Allow-Methods"]
    assert (answer["Access-Control-Max-Age"], answer["Access-Control-Allow-Headers"]) == ("60", "x-auth-token")
    assert stranger("OPTIONS", "/box/a", Origin=OTHER, **asked).status_code == 401
    assert stranger("OPTIONS", "/none/a", Origin=GOOD, **asked).status_code == 401
    assert stranger("OPTIONS", "/box/a", Origin=GOOD, Access_Control_Request_Method="TRACE").status_code == 401
    assert "PUT" in stranger("OPTIONS", "/box/a")["Allow"]


def test_only_pages_that_are_named_see_answers(alice, stranger):
    answer = alice("GET", "/box/a", Origin=GOOD)
    assert (answer["Access-Control-Allow-Origin"], answer["Vary"]) == (GOOD, "Origin")
    exposed = answer["Access-Control-Expose-Headers"].split(", ")
    assert {"etag", "x-trans-id", "x-object-meta-b", "x-mine"} <= set(exposed)
    assert alice("GET", "/box/none", Origin=GOOD)["Access-Control-Allow-Origin"] == GOOD
    for answer in (alice("GET", "/box/a", Origin=OTHER), alice("GET", "", Origin=GOOD), alice("GET", "/box/a")):
        assert "Access-Control-Allow-Origin" not in answer
    assert stranger("GET", "/box/a", Origin=GOOD).status_code == 401


def test_all_pages(alice):
    alice("POST", "/box", X_Container_Meta_Access_Control_Allow_Origin="*")
    assert alice("GET", "/box/a", Origin=OTHER)["Access-Control-Allow-Origin"] == "*"
