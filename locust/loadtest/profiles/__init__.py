"""How much load, for how long: load profiles, and how Locust is made to follow one."""
