"""What a new cloud begins with: access files, the guest image, and a demo made through the public API."""

from __future__ import annotations

from pathlib import Path

from . import python
from .run import run, write
from .secret import secret
from .site import CHECKOUT, Site

USERS = {"admin": "kumo-admin", "demo": "kumo-demo"}  # user and project of one name -> entry of clouds.yaml


def build_image(site: Site) -> None:
    """Build the small guest image unless it is there. Raises Failure."""
    built = run([CHECKOUT / "scripts/guest-image", site.path("guest-image")], timeout_s=300)
    write(site.path("guest-image", "current"), built.stdout.splitlines()[-1] + "\n")


def write_access_files(site: Site) -> None:
    """`clouds.yaml`, `passwords` and the demo's key pair, readable by root alone."""
    passwords = {user: secret(site, f"{user}_password") for user in USERS}
    write(site.path("passwords"), "".join(f"{user} {word}\n" for user, word in passwords.items()), 0o600)
    entries = "".join(
        f"  {cloud}:\n"
        "    auth:\n"
        f"      auth_url: {site.url}/identity/v3\n"
        f"      username: {user}\n"
        f"      password: {passwords[user]}\n"
        f"      project_name: {user}\n"
        "      user_domain_name: Default\n"
        "      project_domain_name: Default\n"
        "    region_name: RegionOne\n"
        for user, cloud in USERS.items()
    )
    write(site.path("clouds.yaml"), f"clouds:\n{entries}", 0o600)
    if not site.path("demo_key").exists():
        run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "kumo demo", "-f", site.path("demo_key")])


def image_path(site: Site) -> Path:
    return Path(site.path("guest-image", "current").read_text().strip())


def make(site: Site, *, demo: bool) -> None:
    """Flavors, the external network and, if wanted, the project demo's server. Raises Failure."""
    words: list[str | Path] = ["-m", "scripts.first_data"]
    if demo:
        words += ["--image", image_path(site), "--key", site.path("demo_key")]
    words += ["--external", str(site.external)]
    if site.outside:
        words += ["--no-ssh"]
    python.script(site, *words, extra={"OS_CLIENT_CONFIG_FILE": str(site.path("clouds.yaml"))})


def closing_words(site: Site, *, demo: bool) -> None:
    """How to reach what was made."""
    print(
        f"\nThe cloud is up.\n"
        f"  web address   {site.url}\n"
        f"  S3 address    http://{site.s3_listen}   (also {site.url}/s3)\n"
        f"  passwords     {site.path('passwords')}   (users admin and demo)"
    )
    address = site.path("demo_address")
    if demo and address.exists():
        ssh = f"ssh -i {site.path('demo_key')} root@{address.read_text().strip()}"
        print(f"  into demo     {ssh}")
    print(
        f"  commands      export OS_CLIENT_CONFIG_FILE={site.path('clouds.yaml')} PATH={site.venv}/bin:$PATH\n"
        "                openstack --os-cloud kumo-demo server list\n"
        "                openstack --os-cloud kumo-demo console log show demo\n"
        "                openstack --os-cloud kumo-admin hypervisor list\n"
        "                openstack --os-cloud kumo-demo ec2 credentials create   (an access key for S3)\n"
        f"                aws --endpoint-url http://{site.s3_listen} s3 mb s3://my-bucket\n"
        "  later         ./quickstart.sh status | stop | destroy"
    )
