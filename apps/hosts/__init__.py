"""Hosts: which machines run guests, whether they answer, what they have, and who claimed how much of it.

Owns enrolment with its certificates, the heartbeat, and capacity claims (OpenStack's service type `placement`).
Does not own what runs on a host: compute does, and asks here for a place.
"""
