"""The live process: the stream of changes to open pages, and the meeting place of consoles.

Plain ASGI without Django, because it is small, holds many idle connections and does little: it checks a signed
ticket or a one-time token, and passes on ids or bytes. `cloud.asgi` wires it.
"""
