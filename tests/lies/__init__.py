"""Ways to make a load generator lie, each built for real: none may pass in silence."""
