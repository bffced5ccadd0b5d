"""Virtual users: their base class, the execution of their tasks, and the user pool of the open model."""
