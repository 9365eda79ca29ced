"""Networks of projects: what OpenStack calls the `network` service (Neutron's API v2.0).

Owns networks, subnets, ports and their addresses, routers, floating IPs, security groups, and their projection into
OVN's northbound database. The database is the truth; every northbound row of ours can be made again from it.
Does not own what a host wires up: bridges, taps and metadata sockets belong to the host's agent.
"""
