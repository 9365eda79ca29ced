"""Images: what guests boot from. Registers, takes and gives bytes, shares (OpenStack's service type `image`).

Owns image records, their members, and the bytes in an image store. Does not own the copies that hosts keep: these
are the hosts' own, fetched from here. Nothing reads an image's content before it was inspected.
"""
