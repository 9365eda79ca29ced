#!/bin/bash
# A whole Kumo cloud on this machine: ./quickstart.sh [start] [--no-demo] | stop | status | destroy [--yes]
# State is kept in ./var (KUMO_STATE); it listens at 127.0.0.1:8080 (KUMO_LISTEN). See README.md for the other settings.
set -euo pipefail
cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")"
export KUMO_STARTED=$EPOCHREALTIME

if [ "$(id -u)" != 0 ]; then
  echo "failed: networks and guests need root" >&2
  echo "  next: run it as root, for example sudo ./quickstart.sh" >&2
  exit 1
fi
case ${1:-start} in
  start | --no-demo)
    command -v apt-get >/dev/null || { echo "failed: this script knows Debian 12's apt only" >&2; exit 1; }
    scripts/packages/install run
    [ "${KUMO_BROKER:-redis}" != rabbitmq ] || scripts/packages/install rabbitmq
    ;;
esac
exec /usr/bin/python3 -m scripts.local "$@"
