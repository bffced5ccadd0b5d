"""A plan of one GET after another for k9's engine: no Python runs during the test."""

import os

import k9.plan as plans

plan = plans.Plan([plans.get(f"{os.environ['BENCH_URL']}/{os.environ['BENCH_WORK']}")])
