"""Load profiles: how much load is generated for how long, and the Locust shape that follows one."""
