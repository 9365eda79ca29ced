"""Unmodified S3 clients against a running cloud: aws, rclone and s3cmd take a tree of files there and back.

`aws` and `s3cmd` come from the package index into a virtual environment of their own, which KUMO_S3_CLIENTS_VENV may
name; `rclone` is Debian's.
"""

from __future__ import annotations

import filecmp
import os
import socket
import subprocess
import sys
import urllib.request
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from botocore.credentials import Credentials

from tests.contract.client import openstack
from tests.kit.s3 import boto

pytestmark = pytest.mark.contract

CLIENTS = ("awscli==1.46.3", "s3cmd==2.4.0")
CHECKOUT = Path(__file__).resolve().parents[2]
MIB = 2**20
REGION = "RegionOne"


@pytest.fixture(scope="module")
def programs() -> Path:
    """Where `aws` and `s3cmd` are."""
    where = Path(os.environ.get("KUMO_S3_CLIENTS_VENV", CHECKOUT / ".venv-s3-clients"))
    if not (where / "bin/s3cmd").exists():
        subprocess.run([sys.executable, "-m", "venv", where], check=True)
        subprocess.run([where / "bin/pip", "-q", "install", *CLIENTS], check=True)
    return where / "bin"


@pytest.fixture(scope="module")
def key(real_cloud: Any) -> Iterator[dict[str, str]]:
    """An access key of the user demo, made and revoked as people do."""
    made = openstack(real_cloud.clouds, "kumo-demo", "ec2", "credentials", "create")
    yield {"access": made["access"], "secret": made["secret"]}
    openstack(real_cloud.clouds, "kumo-demo", "ec2", "credentials", "delete", made["access"], "--quiet")


@pytest.fixture(scope="module")
def address(real_cloud: Any) -> str:
    """S3 at a root of its own."""
    return f"http://{real_cloud.site.s3_listen}"


@pytest.fixture
def bucket() -> str:
    return f"tree-{uuid.uuid4().hex[:12]}"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Files of every kind that clients stumble over."""
    root = tmp_path / "tree"
    for name, size in (
        ("empty", 0), ("one", 1), ("a file of mine.txt", 1000), ("日本語/ü.bin", 70_000), ("deep/er/still/x", 10),
        ("signs+&=@:,;!'()~", 5), ("percent%20x", 5), ("large", 9 * MIB + 7),
    ):  # fmt: skip
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(os.urandom(size))
    return root


def run(*words: str | Path, home: Path, **environment: str) -> str:
    """Run a client with nothing of this machine's own settings. Raises AssertionError with what it said."""
    clean = {"PATH": os.environ["PATH"], "HOME": str(home), "LANG": "C.UTF-8", **environment}
    done = subprocess.run(words, env=clean, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, f"{words}: {done.stdout[-2000:]}{done.stderr[-2000:]}"
    return done.stdout


def assert_same(one: Path, other: Path) -> None:
    """Both trees have the same files with the same bytes."""
    names = [sorted(str(p.relative_to(root)) for p in root.rglob("*") if p.is_file()) for root in (one, other)]
    assert names[0] == names[1]
    _, differing, unread = filecmp.cmpfiles(one, other, names[0], shallow=False)
    assert (differing, unread) == ([], [])


def environment_of_aws(key: Mapping[str, str]) -> dict[str, str]:
    return {"AWS_ACCESS_KEY_ID": key["access"], "AWS_SECRET_ACCESS_KEY": key["secret"], "AWS_DEFAULT_REGION": REGION}


def test_aws_takes_a_tree_there_and_back(
    programs: Path, key: dict[str, str], address: str, bucket: str, tree: Path, tmp_path: Path
) -> None:
    def aws(*words: str | Path) -> str:
        return run(programs / "aws", "--endpoint-url", address, "s3", *words, home=tmp_path, **environment_of_aws(key))

    aws("mb", f"s3://{bucket}")
    aws("sync", "--only-show-errors", tree, f"s3://{bucket}/in")
    assert "large" in aws("ls", "--recursive", f"s3://{bucket}/in/")
    aws("sync", "--only-show-errors", f"s3://{bucket}/in", tmp_path / "back")
    assert_same(tree, tmp_path / "back")
    assert aws("sync", f"s3://{bucket}/in", tmp_path / "back") == ""
    (tree / "one").unlink()
    aws("sync", "--only-show-errors", "--delete", tree, f"s3://{bucket}/in")
    aws("cp", "--only-show-errors", f"s3://{bucket}/in/large", f"s3://{bucket}/copy")
    assert {line.split()[-1] for line in aws("ls", f"s3://{bucket}/").splitlines()} == {"in/", "copy"}
    with urllib.request.urlopen(aws("presign", f"s3://{bucket}/copy").strip()) as answer:
        assert answer.read() == (tree / "large").read_bytes()
    aws("rb", "--force", f"s3://{bucket}")
    assert bucket not in aws("ls")


def test_rclone_takes_a_tree_there_and_back(
    key: dict[str, str], real_cloud: Any, bucket: str, tree: Path, tmp_path: Path
) -> None:
    """Below the prefix of the one address, as the catalogue says."""
    settings = {
        "TYPE": "s3", "PROVIDER": "Other", "ACCESS_KEY_ID": key["access"], "SECRET_ACCESS_KEY": key["secret"],
        "ENDPOINT": f"{real_cloud.url}/s3", "REGION": REGION, "CHUNK_SIZE": "5M", "UPLOAD_CUTOFF": "6M",
    }  # fmt: skip

    def rclone(*words: str | Path) -> str:
        environment = {f"RCLONE_CONFIG_KUMO_{name}": value for name, value in settings.items()}
        return run("rclone", *words, home=tmp_path, **environment)

    rclone("mkdir", f"kumo:{bucket}")
    rclone("sync", tree, f"kumo:{bucket}/in")
    rclone("check", tree, f"kumo:{bucket}/in")
    rclone("sync", f"kumo:{bucket}/in", tmp_path / "back")
    assert_same(tree, tmp_path / "back")
    (tree / "one").unlink()
    rclone("sync", tree, f"kumo:{bucket}/in")
    assert "one" not in rclone("lsf", f"kumo:{bucket}/in").splitlines()
    rclone("move", f"kumo:{bucket}/in/large", f"kumo:{bucket}/moved")
    assert rclone("lsf", f"kumo:{bucket}/moved").splitlines() == ["large"]
    rclone("purge", f"kumo:{bucket}")
    assert f"{bucket}/" not in rclone("lsf", "kumo:").splitlines()


def test_s3cmd_takes_a_tree_there_and_back(
    programs: Path, key: dict[str, str], address: str, bucket: str, tree: Path, tmp_path: Path
) -> None:
    host = address.removeprefix("http://")

    def s3cmd(*words: str | Path, version: str = "") -> str:
        options = ["--no-ssl", f"--host={host}", f"--host-bucket={host}", f"--region={REGION}", "--no-progress"]
        own = [f"--access_key={key['access']}", f"--secret_key={key['secret']}", "--multipart-chunk-size-mb=5"]
        return run(programs / "s3cmd", *options, *own, *([version] if version else []), *words, home=tmp_path)

    s3cmd("mb", f"s3://{bucket}")
    s3cmd("sync", f"{tree}/", f"s3://{bucket}/in/")
    (tmp_path / "back").mkdir()
    s3cmd("sync", f"s3://{bucket}/in/", f"{tmp_path / 'back'}/")
    assert_same(tree, tmp_path / "back")
    (tree / "one").unlink()
    s3cmd("sync", "--delete-removed", f"{tree}/", f"s3://{bucket}/in/")
    assert f"s3://{bucket}/in/one" not in s3cmd("ls", "--recursive", f"s3://{bucket}")
    s3cmd("get", f"s3://{bucket}/in/large", tmp_path / "by-version-2", version="--signature-v2")
    assert (tmp_path / "by-version-2").read_bytes() == (tree / "large").read_bytes()
    s3cmd("rb", "--recursive", "--force", f"s3://{bucket}")
    assert bucket not in s3cmd("ls")


@pytest.fixture
def names_of_localhost(real_cloud: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """`*.localhost` is where this cloud listens, whatever the machine's resolver knows of RFC 6761."""
    ask, there = socket.getaddrinfo, real_cloud.site.s3_listen.rpartition(":")[0]
    monkeypatch.setattr(
        socket,
        "getaddrinfo",
        lambda host, *more, **named: ask(there if host.endswith(".localhost") else host, *more, **named),
    )


@pytest.mark.parametrize("style", ["path", "virtual"])
@pytest.mark.parametrize("signature", ["s3v4", "s3"])
def test_boto3_by_paths_and_by_hosts(
    key: dict[str, str], real_cloud: Any, bucket: str, names_of_localhost: None, style: str, signature: str
) -> None:
    port = real_cloud.site.s3_listen.rpartition(":")[2]
    options: Any = {"signature_version": signature, "s3": {"addressing_style": style}}
    client = boto(f"http://s3.localhost:{port}", Credentials(key["access"], key["secret"]), **options)
    client.create_bucket(Bucket=bucket)
    client.put_object(Bucket=bucket, Key="s3/ü +", Body=b"12345")
    assert client.get_object(Bucket=bucket, Key="s3/ü +")["Body"].read() == b"12345"
    form = client.generate_presigned_post(bucket, "form/${filename}", Conditions=[["content-length-range", 1, 10]])
    assert form["url"].rstrip("/").endswith(f"/{bucket}" if style == "path" else f"{bucket}.s3.localhost:{port}")
    client.delete_object(Bucket=bucket, Key="s3/ü +")
    client.delete_bucket(Bucket=bucket)
