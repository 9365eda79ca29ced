from __future__ import annotations

import base64
import datetime
import hashlib
import hmac
import json
from typing import Any

import pytest

from apps.core.context import system
from apps.identity import selectors, services
from apps.identity.backends import signatures
from apps.identity.models import Credential, CredentialKey, Project, User

from .conftest import Api

# RFC 6238's key, in base32.
SECRET = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"


def me() -> str:
    return User.objects.get(name="demo").pk


def own_project() -> str:
    return Project.objects.get(name="demo").pk


def ec2_body(access: str = "AK", **more: Any) -> dict[str, Any]:
    blob = json.dumps({"access": access, "secret": "s3cret"})
    return {"credential": {"type": "ec2", "blob": blob, "user_id": me(), "project_id": own_project(), **more}}


@pytest.fixture
def key(demo: Api) -> dict[str, Any]:
    answer = demo("POST", f"/users/{me()}/credentials/OS-EC2", {"tenant_id": own_project()})
    assert answer.status_code == 201, answer.content
    return dict(answer.json()["credential"])


# --- /v3/credentials -------------------------------------------------------------------------------


def test_credential_lives_through_create_show_update_list_delete(demo: Api) -> None:
    made = demo("POST", "/credentials", ec2_body()).json()["credential"]
    assert made["id"] == hashlib.sha256(b"AK").hexdigest()
    assert json.loads(made["blob"]) == {"access": "AK", "secret": "s3cret"}
    assert made["links"]["self"].endswith(f"/identity/v3/credentials/{made['id']}")
    blob = json.dumps({"access": "AK2", "secret": "other"})
    changed = demo("PATCH", f"/credentials/{made['id']}", {"credential": {"blob": blob}}).json()["credential"]
    assert changed == made | {"blob": blob}
    assert demo("GET", f"/credentials/{made['id']}").json()["credential"] == changed
    assert demo("GET", "/credentials?type=ec2").json()["credentials"] == [changed]
    assert demo("GET", "/credentials?type=totp").json()["credentials"] == []
    assert demo("DELETE", f"/credentials/{made['id']}").status_code == 204
    assert demo("GET", f"/credentials/{made['id']}").status_code == 403  # nobody may ask what is not there


def test_secret_is_sealed_and_keys_rotate_under_readers(demo: Api) -> None:
    ident = demo("POST", "/credentials", ec2_body()).json()["credential"]["id"]
    assert b"s3cret" not in bytes(Credential.objects.get().sealed_blob)
    before = Credential.objects.get().sealed_blob
    assert services.credential_keys_rotate(system()) == 1
    assert CredentialKey.objects.count() == 1
    assert bytes(Credential.objects.get().sealed_blob) != bytes(before)
    assert "s3cret" in demo("GET", f"/credentials/{ident}").json()["credential"]["blob"]


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"blob": "no json"}, 400),
        ({"blob": json.dumps({"access": "AK"})}, 400),
        ({"blob": json.dumps([1])}, 400),
        ({"blob": 5}, 400),
        ({"project_id": None}, 400),
        ({"type": "totp", "blob": "not base32!"}, 400),
        ({"type": ""}, 400),
        ({"user_id": "nobody"}, 403),
        ({"project_id": "nowhere"}, 404),
    ],
)
def test_bad_credentials_are_refused_and_nothing_is_kept(demo: Api, change: Any, status: int) -> None:
    assert demo("POST", "/credentials", ec2_body(**change)).status_code == status
    assert not Credential.objects.exists()


def test_access_key_belongs_to_one_credential(demo: Api) -> None:
    assert demo("POST", "/credentials", ec2_body()).status_code == 201
    assert demo("POST", "/credentials", ec2_body()).status_code == 409
    assert Credential.objects.count() == 1


def test_what_a_credential_is_for_cannot_change(demo: Api) -> None:
    ident = demo("POST", "/credentials", ec2_body()).json()["credential"]["id"]
    for change in ({"type": "cert"}, {"user_id": "other"}, {"project_id": "other"}):
        assert demo("PATCH", f"/credentials/{ident}", {"credential": change}).status_code == 400
    row = Credential.objects.get()
    assert (row.type, row.user_id, row.project_id) == ("ec2", me(), own_project())


def test_others_credentials_are_seen_by_administrators_only(demo: Api, admin: Api) -> None:
    owner = User.objects.get(name="admin").pk
    body = {"credential": {"type": "cert", "blob": "x", "user_id": owner}}
    assert demo("POST", "/credentials", body).status_code == 403
    ident = admin("POST", "/credentials", body).json()["credential"]["id"]
    assert demo("GET", f"/credentials/{ident}").status_code == 403
    assert demo("GET", "/credentials").json()["credentials"] == []
    assert demo("DELETE", f"/credentials/{ident}").status_code == 403
    assert [c["id"] for c in admin("GET", "/credentials").json()["credentials"]] == [ident]


def test_number_of_credentials_is_bounded(demo: Api, configured: Any) -> None:
    configured(max_credentials_per_user=1)
    assert demo("POST", "/credentials", ec2_body("one")).status_code == 201
    assert demo("POST", "/credentials", ec2_body("two")).status_code == 403
    assert Credential.objects.count() == 1


def test_programs_cannot_reach_credentials(demo: Api, nobody: Api, key: dict[str, Any]) -> None:
    body = {"application_credential": {"name": "robot", "unrestricted": True}}
    made = demo("POST", f"/users/{me()}/application_credentials", body).json()["application_credential"]
    proof = {"id": made["id"], "secret": made["secret"]}
    auth = {"auth": {"identity": {"methods": ["application_credential"], "application_credential": proof}}}
    robot = Api(nobody("POST", "/auth/tokens", auth)["X-Subject-Token"])
    for path in ("/credentials", f"/users/{me()}/credentials/OS-EC2"):
        assert robot("GET", path).status_code == 403
    assert robot("POST", "/credentials", ec2_body()).status_code == 403
    tenant = {"tenant_id": own_project()}
    assert robot("POST", f"/users/{me()}/credentials/OS-EC2", tenant).status_code == 403
    assert Credential.objects.count() == 1


# --- access keys -----------------------------------------------------------------------------------


def test_access_keys_are_listed_shown_and_deleted(demo: Api, key: dict[str, Any]) -> None:
    assert (key["user_id"], key["tenant_id"], key["trust_id"]) == (me(), own_project(), None)
    path = f"/users/{me()}/credentials/OS-EC2"
    assert demo("GET", path).json()["credentials"] == [key]
    assert demo("GET", f"{path}/{key['access']}").json()["credential"] == key
    assert demo("DELETE", f"{path}/{key['access']}").status_code == 204
    assert demo("GET", f"{path}/{key['access']}").status_code == 404
    assert demo("GET", path).json()["credentials"] == []


def test_access_key_leads_to_its_user_while_everything_holds(demo: Api, admin: Api, key: dict[str, Any]) -> None:
    found = selectors.access_key(key["access"])
    assert found is not None
    assert (found.user_id, found.project_id, found.secret) == (me(), own_project(), key["secret"])
    assert found.context.roles == {"member", "reader"}
    assert selectors.access_key("unknown") is None
    admin("PATCH", f"/users/{me()}", {"user": {"enabled": False}})
    assert selectors.access_key(key["access"]) is None
    admin("PATCH", f"/users/{me()}", {"user": {"enabled": True}})
    assert selectors.access_key(key["access"]) == found
    admin("PATCH", f"/projects/{own_project()}", {"project": {"enabled": False}})
    assert selectors.access_key(key["access"]) is None


def test_known_access_key_costs_one_query(key: dict[str, Any], django_assert_num_queries: Any) -> None:
    selectors.access_key(key["access"])
    with django_assert_num_queries(1):
        selectors.access_key(key["access"])


@pytest.mark.parametrize("lent", ["trust_id", "app_cred_id", "access_token_id"])
def test_key_that_a_delegation_made_elsewhere_opens_nothing(demo: Api, lent: str) -> None:
    blob = json.dumps({"access": "brought", "secret": "along", lent: "0123"})
    body = {"type": "ec2", "blob": blob, "user_id": me(), "project_id": own_project()}
    assert demo("POST", "/credentials", {"credential": body}).status_code == 201
    assert selectors.access_key("brought") is None


# --- signatures ------------------------------------------------------------------------------------


def signed_v2(access: str, secret: str, **more: Any) -> dict[str, Any]:
    """A request as EC2's front end hands it over, signed as AWS's documentation of version 2 says."""
    params = {"Action": "DescribeInstances", "AWSAccessKeyId": access, "SignatureVersion": "2"} | {
        "SignatureMethod": "HmacSHA256"
    }
    query = "&".join(f"{k}={params[k]}" for k in sorted(params))
    text = f"GET\nec2.test:8773\n/services/Cloud\n{query}"
    signature = base64.b64encode(hmac.new(secret.encode(), text.encode(), "sha256").digest()).decode()
    return {
        "access": access,
        "signature": signature,
        "host": "ec2.test:8773",
        "verb": "GET",
        "path": "/services/Cloud",
        "params": params,
        **more,
    }


def test_ec2_signature_gives_a_token_of_the_user(admin: Api, key: dict[str, Any]) -> None:
    answer = admin("POST", "/ec2tokens", {"credentials": signed_v2(key["access"], key["secret"])})
    assert answer.status_code == 200, answer.content
    token = answer.json()["token"]
    assert token["methods"] == ["ec2credential"]
    assert (token["user"]["id"], token["project"]["id"]) == (me(), own_project())
    assert Api(answer["X-Subject-Token"])("GET", "/auth/catalog").status_code == 200


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"signature": "wrong"}, 401),
        ({"signature": ""}, 401),
        ({"path": "/other"}, 401),
        ({"access": "unknown"}, 404),
        ({"params": {"SignatureVersion": "9"}}, 401),
    ],
)
def test_bad_ec2_signatures_give_nothing(admin: Api, key: dict[str, Any], change: Any, status: int) -> None:
    answer = admin("POST", "/ec2tokens", {"credentials": signed_v2(key["access"], key["secret"]) | change})
    assert answer.status_code == status
    assert "X-Subject-Token" not in answer


def test_signatures_without_an_access_key_or_right_are_refused(admin: Api, demo: Api, key: dict[str, Any]) -> None:
    assert admin("POST", "/ec2tokens", {"credentials": {}}).status_code == 401
    assert admin("POST", "/ec2tokens", {"credentials": []}).status_code == 400
    body = {"credentials": signed_v2(key["access"], key["secret"])}
    assert demo("POST", "/ec2tokens", body).status_code == 403
    assert Api()("POST", "/ec2tokens", body).status_code == 401


def test_version_4_is_that_of_the_aws_test_suite() -> None:
    """`get-vanilla` of Amazon's published Signature Version 4 test suite."""
    signed = {
        "signature": "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
        "host": "example.amazonaws.com",
        "verb": "GET",
        "path": "/",
        "params": {},
        "headers": {
            "X-Amz-Date": "20150830T123600Z",
            "Authorization": "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, "
            "SignedHeaders=host;x-amz-date, Signature=x",
        },
        "body_hash": hashlib.sha256(b"").hexdigest(),
    }
    signatures.check_ec2("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", signed)
    with pytest.raises(signatures.BadSignature):
        signatures.check_ec2("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", signed | {"verb": "PUT"})


def s3_v4(secret: str, stamp: str = "20260101T000000Z") -> tuple[str, str]:
    day = stamp[:8]
    text = f"AWS4-HMAC-SHA256\n{stamp}\n{day}/RegionOne/s3/aws4_request\n{'0' * 64}"
    key = f"AWS4{secret}".encode()
    for part in (day, "RegionOne", "s3", "aws4_request"):
        key = hmac.new(key, part.encode(), "sha256").digest()
    return base64.urlsafe_b64encode(text.encode()).decode(), hmac.new(key, text.encode(), "sha256").hexdigest()


def test_s3_signatures_say_who_signed_and_hand_out_no_token(admin: Api, key: dict[str, Any]) -> None:
    token, signature = s3_v4(key["secret"])
    body = {"credentials": {"access": key["access"], "token": token, "signature": signature}}
    answer = admin("POST", "/s3tokens", body)
    assert answer.status_code == 200, answer.content
    assert answer.json()["token"]["user"]["id"] == me()
    assert "X-Subject-Token" not in answer
    text = b"GET\n\n\nThu, 17 Nov 2005 18:49:58 GMT\n/bucket/key"
    old = base64.b64encode(hmac.new(key["secret"].encode(), text, "sha1").digest()).decode()
    body["credentials"] |= {"token": base64.urlsafe_b64encode(text).decode(), "signature": old}
    assert admin("POST", "/s3tokens", body).status_code == 200
    body["credentials"]["signature"] = signature
    assert admin("POST", "/s3tokens", body).status_code == 401
    body["credentials"]["token"] = "%%%"
    assert admin("POST", "/s3tokens", body).status_code == 401


def test_old_signatures_are_refused(admin: Api, key: dict[str, Any]) -> None:
    token, signature = s3_v4(key["secret"])
    body: dict[str, Any] = {"credentials": {"access": key["access"], "token": token, "signature": signature}}
    now = datetime.datetime.now(datetime.UTC)
    for minutes, status in ((1, 200), (16, 401)):
        stamp = (now - datetime.timedelta(minutes=minutes)).strftime("%Y-%m-%dT%H:%M:%SZ")
        body["credentials"]["params"] = {"Timestamp": stamp}
        assert admin("POST", "/s3tokens", body).status_code == status
    body["credentials"]["params"] = {"Timestamp": "yesterday"}
    assert admin("POST", "/s3tokens", body).status_code == 401
