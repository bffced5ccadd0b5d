"""Local: the whole stack as processes on this machine, without Docker.

tests/native/test_local_stack.py starts it; tests/unit/test_doctor.py asks which Redis it would start.
"""
