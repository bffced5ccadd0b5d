"""Random input at every interface: accepted, or refused cleanly."""
