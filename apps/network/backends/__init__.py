"""The network backend: OVN, through its northbound database."""
