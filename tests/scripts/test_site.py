"""Settings of one machine's cloud: what is taken, and in which words the rest is refused."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.local import cloud, control, nginx, pools, systemd, view
from scripts.local.run import Failure, alone, wait_until, write
from scripts.local.site import Site, from_environment
from scripts.local.supervisor import Service


@pytest.fixture(autouse=True)
def checkout(monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout without a cloud in its `var`, whose settings would otherwise be read."""
    elsewhere = Path("/srv/checkout")
    monkeypatch.setattr("scripts.local.site.CHECKOUT", elsewhere)
    return elsewhere


@pytest.fixture
def state() -> Iterator[Path]:
    """A state directory whose path is short enough for sockets, which pytest's own is not."""
    with tempfile.TemporaryDirectory(prefix="kt-", dir="/tmp") as made:
        yield Path(made)


def test_defaults_are_the_quickstarts(checkout: Path) -> None:
    site = from_environment({})
    assert site.state == checkout / "var"
    assert site.url == "http://127.0.0.1:8080"
    assert site.s3_listen == "127.0.0.1:9080"
    assert (site.external_gateway, site.underlay_address) == ("172.24.4.1", "172.24.5.1")


@pytest.mark.parametrize(
    ("settings", "address"),
    [
        ({"KUMO_LISTEN": "10.0.0.1:9000"}, "10.0.0.1:10000"),
        ({"KUMO_LISTEN": "10.0.0.1:65000"}, "10.0.0.1:64000"),
        ({"KUMO_S3_LISTEN": "10.0.0.1:80"}, "10.0.0.1:80"),
    ],
)
def test_s3_listens_beside_the_other_address(settings: dict[str, str], address: str) -> None:
    assert from_environment(settings).s3_listen == address


def test_environment_gives_the_same_site_again() -> None:
    site = from_environment({"KUMO_STATE": "/srv/cloud", "KUMO_NAT": "yes", "KUMO_EXTERNAL": "10.1.0.0/24"})
    assert from_environment(site.environment()) == site


def test_next_command_needs_no_settings_again_and_some_cannot_change(state: Path) -> None:
    first = from_environment({"KUMO_STATE": str(state), "KUMO_LISTEN": "127.0.0.1:9000", "KUMO_TAG": "mine"})
    cloud.settle(first)
    assert from_environment({"KUMO_STATE": str(state)}) == first
    with pytest.raises(Failure, match="was made with mine"):
        from_environment({"KUMO_STATE": str(state), "KUMO_TAG": "other"})
    with pytest.raises(Failure, match=r"KUMO_BROKER is rabbitmq, but .* was made with redis"):
        from_environment({"KUMO_STATE": str(state), "KUMO_BROKER": "rabbitmq"})


def test_configuration_follows_a_changed_address_and_keeps_what_an_operator_wrote(state: Path) -> None:
    settings = {"KUMO_STATE": str(state)}
    first = from_environment(settings)
    cloud.settle(first)
    path = state / "kumo.toml"
    path.write_text(control.configuration(first) + "\n[image]\nmax_size_gib = 7\n")
    control.move_address(from_environment({**settings, "KUMO_LISTEN": "127.0.0.1:9000"}))
    assert 'url = "http://127.0.0.1:9000"\ns3_url = "http://127.0.0.1:10000"' in path.read_text()
    assert "max_size_gib = 7" in path.read_text()
    path.write_text(path.read_text().replace("http://127.0.0.1:9000", "https://cloud.example"))
    control.move_address(from_environment({**settings, "KUMO_LISTEN": "127.0.0.1:9001"}))
    assert 'url = "https://cloud.example"' in path.read_text()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("KUMO_LISTEN", "8080"),
        ("KUMO_LISTEN", "localhost:8080"),
        ("KUMO_LISTEN", "127.0.0.1:70000"),
        ("KUMO_S3_LISTEN", "9080"),
        ("KUMO_EXTERNAL", "10.0.0.0/28"),
        ("KUMO_EXTERNAL", "172.24.5.0/24"),
        ("KUMO_UNDERLAY", "10.0.0.1/24"),
        ("KUMO_VIRT", "xen"),
        ("KUMO_BROKER", "zeromq"),
        ("KUMO_NAT", "maybe"),
        ("KUMO_TAG", "Far-too-long"),
        ("KUMO_STATE", "/srv/with space"),
        ("KUMO_STATE", "/srv/" + "long/" * 20),
    ],
)
def test_wrong_setting_is_refused_with_its_value(name: str, value: str) -> None:
    with pytest.raises(Failure) as refused:
        from_environment({name: value})
    assert value.split("/")[1 if value.startswith("/") else 0] in refused.value.reason


def test_closed_ancestor_is_the_topmost() -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as made:
        Path(made).chmod(0o755)
        outer = Path(made, "closed")
        inner = outer / "also/inner"
        inner.mkdir(parents=True)
        for directory in (outer, outer / "also"):
            directory.chmod(0o700)
        assert view.closed_ancestor(inner) == outer
        for directory in (outer, outer / "also"):
            directory.chmod(0o701)
        assert view.closed_ancestor(inner) is None


def test_host_is_named_by_its_certificate_alone() -> None:
    text = nginx.configuration(Site(state=Path("/srv/kumo")))
    public, hosts = text.split("# --- clients ---")[1].split("# --- hosts")
    assert "location /internal/ { return 404; }" in public
    # every place that sets headers anew sets this one, since nginx then inherits none
    for part in (public, hosts):
        for location in part.split("location ")[1:]:
            if "proxy_set_header" in location:
                assert "proxy_set_header X-Kumo-Host" in location
    assert 'proxy_set_header X-Kumo-Host "";' in public


def test_configuration_is_what_the_control_plane_takes(tmp_path: Path) -> None:
    from cloud.config import load

    path = tmp_path / "kumo.toml"
    path.write_text(control.configuration(Site(state=Path("/srv/kumo"))))
    config = load(path)
    assert config.state == Path("/srv/kumo")
    assert config.ovn.northbound == "unix:/srv/kumo/ovn/nb.sock"
    assert config.broker.url == "redis://172.24.5.1:6379/0"


def test_processes_of_the_pools_are_the_operators_to_say_and_the_database_has_room_for_them(state: Path) -> None:
    site = from_environment({"KUMO_STATE": str(state)})
    assert (pools.options(site, "bytes")[:2], pools.connections(site)) == (("--workers", "1"), 100)
    path = state / "kumo.toml"
    path.write_text(control.configuration(site) + "\n[pools]\nbytes_processes = 3\n")
    assert (pools.processes(site, "web"), pools.processes(site, "bytes"), pools.connections(site)) == (1, 3, 164)
    for wrong in ("pools = 1\n", "[pools]\nweb_processes = 'many'\n", "[pools\n"):
        path.write_text(wrong)
        with pytest.raises(Failure, match=r"kumo\.toml cannot be used"):
            pools.connections(site)


def test_service_becomes_one_process_that_keeps_its_id() -> None:
    service = Service("web", ("server", "--name", "a b"), user="kumo", groups=("www-data",), environment={"A": "1 2"})
    script = service.run_script(Path("/srv/kumo/services/web"))
    assert script.splitlines()[-1] == "exec chpst -P -u kumo:www-data server --name 'a b'"
    assert "export A='1 2'" in script


def test_written_file_has_its_mode_from_the_start_and_is_left_alone_when_equal(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    assert write(path, "x", 0o600)
    before = path.stat()
    assert before.st_mode & 0o777 == 0o600
    assert not write(path, "x", 0o600)
    assert path.stat().st_ino == before.st_ino


def test_waiting_ends_with_words() -> None:
    with pytest.raises(Failure, match="the moon: not within 0 s"):
        wait_until(lambda: False, seconds=0, what="the moon")


def test_address_of_a_network_that_the_start_makes_is_not_called_busy() -> None:
    nginx.refuse_busy(from_environment({"KUMO_LISTEN": "172.31.255.1:8080", "KUMO_UNDERLAY": "172.31.255.0/24"}))


def test_address_that_this_machine_has_not_is_refused() -> None:
    with pytest.raises(Failure, match=r"192\.0\.2\.1:8080 cannot be used"):
        nginx.refuse_busy(from_environment({"KUMO_LISTEN": "192.0.2.1:8080"}))


def test_second_start_waits_for_the_first_one(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    with alone(lock), pytest.raises(Failure, match="has not ended"), alone(lock, seconds=0):
        pass
    with alone(lock, seconds=0):
        pass


def test_stop_by_the_machine_leaves_the_unit_enabled_and_stop_by_hand_does_not(
    state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = from_environment({"KUMO_STATE": str(state)})
    told: list[list[str]] = []
    monkeypatch.setattr(systemd, "RUNNING", tmp_path)
    monkeypatch.setattr(systemd, "UNITS", tmp_path)
    monkeypatch.setattr(systemd, "run", lambda words, **_: told.append(words))
    systemd.come_back(site)
    assert [words[1] for words in told] == ["daemon-reload", "enable", "start"]
    told.clear()
    with monkeypatch.context() as unit:
        assert f"\nEnvironment={systemd.BY_UNIT}=yes\n" in systemd.text(site)
        unit.setenv(systemd.BY_UNIT, "yes")
        systemd.stay_away(site)
        systemd.come_back(site)
        assert not told
    systemd.stay_away(site)
    assert [words[1] for words in told] == ["disable"]
