"""The quickstart's command line: start, stop, status and destroy of one machine's cloud."""

from __future__ import annotations

import argparse
import sys

from . import cloud
from .run import Failure, alone, end_running
from .site import from_environment


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="./quickstart.sh", description="A whole Kumo cloud on this machine.")
    parser.add_argument("command", nargs="?", default="start", choices=("start", "stop", "status", "destroy"))
    parser.add_argument("--no-demo", action="store_true", help="start without project demo's resources and server")
    parser.add_argument("--yes", action="store_true", help="destroy without asking")
    given = parser.parse_args(arguments)
    try:
        site = from_environment()
        if given.command == "status":
            return cloud.status(site)
        with alone(site.lock):
            if given.command == "start":
                return cloud.start(site, demo=not given.no_demo)
            if given.command == "stop":
                return cloud.stop(site)
            return cloud.destroy(site, confirmed=given.yes)
    except Failure as failure:
        if failure.reason:  # else it was said already
            print(f"\nfailed: {failure.reason}", file=sys.stderr)
        if failure.next_step:
            print(f"  next: {failure.next_step}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\ninterrupted; run ./quickstart.sh again to go on, or ./quickstart.sh stop", file=sys.stderr)
        return 130
    finally:
        end_running()


sys.exit(main(sys.argv[1:]))
