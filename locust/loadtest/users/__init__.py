"""Virtual users: the base class, how a user walks through its tasks, and the pool of the open model."""
