"""What a run came to: rules, trust in the generator, and the verdict."""
