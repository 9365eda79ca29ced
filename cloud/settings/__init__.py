"""Django's settings; everything an operator may change comes from `cloud.config`."""
