"""A whole cloud on one machine: its services under a supervisor, and hosts made of namespaces.

`quickstart.sh` is this package's command line; the system tests build their hosts and clouds from the same parts.
Everything belongs to one `Site`, keeps its state in one directory and carries that directory's mark.
Standard library only, because it runs before the virtual environment exists.
"""
