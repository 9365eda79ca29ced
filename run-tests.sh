#!/bin/bash
# Installs what tests need and runs them: ./run-tests.sh [--fast] [STAGE...]
# Stages: static unit ceph system contract browser kill conformance; --fast is the inner loop: static (without docs) and unit.
# Prints a line per stage and ends with 1 if one failed. Leaves nothing behind, however it ends.
# shellcheck disable=SC2317  # functions are called by the name of their stage
set -uo pipefail
cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")" || exit 1

all=(static unit ceph system contract browser kill conformance)
fast=0 chosen=()
for word; do
  case $word in
    --fast) fast=1 ;;
    -h | --help) sed -n '2,4s/^# //p' "$0"; exit 0 ;;
    *)
      [[ " ${all[*]} " == *" $word "* ]] || { echo "no stage $word; stages: ${all[*]}" >&2; exit 2; }
      chosen+=("$word")
      ;;
  esac
done
if [ ${#chosen[@]} -eq 0 ]; then
  if [ $fast = 1 ]; then chosen=(static unit); else chosen=("${all[@]}"); fi
fi

venv=${KUMO_VENV:-$PWD/.venv}
# Where Python is told to keep no compiled modules, each process of a run (and each server it starts) would compile them anew.
unset PYTHONDONTWRITEBYTECODE
work=$(mktemp -d /tmp/kumo-tests.XXXXXX)
chmod 755 "$work"
cloud_pid=
cleanup() {
  trap - EXIT
  stop_cloud
  [ ! -s "$work/pg/postmaster.pid" ] || (cd / && as_postgres "$pg/pg_ctl" -D "$work/pg" -m immediate stop >/dev/null)
  rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 130' INT TERM HUP

# --- what stages stand on ---

as_postgres() { if [ "$(id -u)" = 0 ]; then setpriv --reuid postgres --regid postgres --init-groups "$@"; else "$@"; fi; }

prepare() {
  if [ "$(id -u)" = 0 ]; then scripts/packages/install run test || return 1; fi
  [ -z "${KUMO_VENV:-}" ] || return 0 # an environment that is given is used as it is
  local stamp=$venv/.kumo-requirements-dev wanted
  wanted=$(cat requirements*.txt | sha256sum)
  if [ "$(cat "$stamp" 2>/dev/null)" != "$wanted" ]; then
    [ -x "$venv/bin/pip" ] || /usr/bin/python3 -m venv "$venv" || return 1
    "$venv/bin/pip" install -q --disable-pip-version-check -r requirements-dev.txt || return 1
    echo "$wanted" >"$stamp"
  fi
}

# A throw-away PostgreSQL that need not survive anything, unless KUMO_TEST_PG names one.
start_postgresql() {
  [ -z "${KUMO_TEST_PG:-}" ] || return 0
  local port
  pg=$(printf '%s\n' /usr/lib/postgresql/*/bin | sort -V | tail -n 1)
  port=$("$venv/bin/python" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
  install -d -m 700 "$work/pg"
  [ "$(id -u)" != 0 ] || chown postgres:postgres "$work/pg"
  (
    cd /
    as_postgres "$pg/initdb" -D "$work/pg" -U kumo --auth=trust --no-sync --locale=C.UTF-8 --encoding=UTF8 >/dev/null &&
      as_postgres "$pg/pg_ctl" -D "$work/pg" -w -l "$work/pg/log" start -o \
        "-p $port -k '' -c listen_addresses=127.0.0.1 -c fsync=off -c full_page_writes=off -c max_connections=200 \
        -c synchronous_commit=off -c jit=off -c dynamic_shared_memory_type=mmap" >/dev/null &&
      as_postgres "$pg/createdb" -h 127.0.0.1 -p "$port" -U kumo "$KUMO_TEST_DB"
  ) || return 1
  export KUMO_TEST_PG=127.0.0.1:$port
}

# One cloud of namespaces for all the stages that need one.
start_cloud() {
  [ -z "$cloud_pid" ] || return 0
  mkfifo "$work/hold"
  "$venv/bin/python" -m tests.kit.cloud "$work/cloud" <"$work/hold" &
  cloud_pid=$!
  exec 9>"$work/hold"
  while [ ! -s "$work/cloud" ]; do
    kill -0 "$cloud_pid" 2>/dev/null || { cloud_pid=; return 1; }
    sleep 0.5
  done
  KUMO_TEST_CLOUD=$(cat "$work/cloud")
  export KUMO_TEST_CLOUD
}

stop_cloud() {
  [ -n "$cloud_pid" ] || return 0
  exec 9>&-
  wait "$cloud_pid"
  cloud_pid=
}

# --- the stages ---

run_pytest() {
  "$venv/bin/python" -m pytest -p no:cacheprovider --durations=5 "$@"
  local code=$?
  [ "$code" = 5 ] && code=0 # no test of that kind
  return "$code"
}

stage_static() {
  local code=0
  "$venv/bin/ruff" check . || code=1
  "$venv/bin/ruff" format --check . || code=1
  "$venv/bin/python" -m mypy cloud apps agents scripts tests || code=1
  "$venv/bin/lint-imports" --no-cache || code=1
  DJANGO_SETTINGS_MODULE=cloud.settings.test "$venv/bin/python" manage.py makemigrations --check --dry-run || code=1
  if [ "$fast" = 0 ]; then "$venv/bin/sphinx-build" -q -W --keep-going docs "$work/docs" || code=1; fi
  return "$code"
}
stage_unit() {
  local left_out="ceph or system or contract or browser or kill"
  [ "$fast" = 0 ] || left_out+=" or slow"
  # Each process begins with half of the tests, in their order, so that fixtures of modules are made once.
  run_pytest -n 2 --dist worksteal -m "not ($left_out)" tests
}
stage_ceph() {
  if [ "$(id -u)" = 0 ]; then scripts/packages/install ceph || return 1; fi
  run_pytest -m ceph tests
}
stage_system() { run_pytest -m system tests; }
stage_contract() { run_pytest -m contract tests; }
stage_browser() { run_pytest -m browser tests; }
stage_kill() { run_pytest -m kill tests; }
stage_conformance() {
  local code=0 selection
  for selection in --smoke --objects; do
    OS_CLIENT_CONFIG_FILE=$KUMO_TEST_CLOUD/clouds.yaml "$venv/bin/python" tests/conformance/run --cloud kumo-admin "$selection" ||
      code=1
  done
  OS_CLIENT_CONFIG_FILE=$KUMO_TEST_CLOUD/clouds.yaml "$venv/bin/python" tests/conformance/backups --cloud kumo-admin ||
    code=1
  return "$code"
}

export KUMO_TEST_DB=${KUMO_TEST_DB:-kumo_tests}
echo "preparing"
if ! prepare || ! start_postgresql; then
  echo "failed: the tests' surroundings could not be made (see above)" >&2
  exit 1
fi
failed=0 summary=()
for stage in "${chosen[@]}"; do
  echo "=== $stage"
  began=$SECONDS
  case $stage in
    system | contract | browser | kill | conformance)
      if ! start_cloud; then
        failed=1 summary+=("$(printf '%-12s %-7s %4d s  the cloud did not start' "$stage" FAILED $((SECONDS - began)))")
        continue
      fi
      ;;
  esac
  "stage_$stage" 2>&1 | tee "$work/$stage.log"
  code=${PIPESTATUS[0]}
  detail=$(grep -E '[0-9]+ (passed|failed|errors?).* in [0-9.]+s' "$work/$stage.log" | tail -n 1)
  if [ "$code" = 0 ]; then word=ok; else word=FAILED failed=1; fi
  summary+=("$(printf '%-12s %-7s %4d s  %s' "$stage" "$word" $((SECONDS - began)) "$detail")")
done
echo "=== summary"
printf '%s\n' "${summary[@]}"
exit $failed
