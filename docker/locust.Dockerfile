# Locust master and workers: one image; the command in docker-compose.yml selects the role.
# Up to the marked line this file and target_app.Dockerfile are identical, so that the engine builds and stores
# those layers once.
ARG PYTHON_IMAGE=python:3.13.15-slim-trixie
FROM ${PYTHON_IMAGE}
WORKDIR /app
# Tools that write timestamps into files use this one, so that the same lock produces the same layers.
ENV SOURCE_DATE_EPOCH=0
# A separate environment: the base image may contain packages that pip cannot replace.
COPY requirements.lock ./
RUN python -m venv --without-pip /opt/venv \
 && python -m pip --python /opt/venv install --no-cache-dir --disable-pip-version-check --root-user-action=ignore \
    --only-binary=:all: --require-hashes -r requirements.lock
ENV PATH=/opt/venv/bin:$PATH PYTHONUNBUFFERED=1
RUN useradd --uid 10001 --no-create-home --home-dir /tmp --shell /usr/sbin/nologin app
COPY docker/healthcheck.py ./
# ---- the same up to here ----
# Rarely needed: OTLP=1 installs the packages that export the spans of traced requests. The environment, which is the
# first folder in PATH, has no pip; the image's own Python has.
ARG OTLP=
COPY docker/otlp.lock ./
RUN test -z "$OTLP" || PATH="${PATH#*:}" python -m pip --python /opt/venv install --no-cache-dir --disable-pip-version-check \
    --root-user-action=ignore --only-binary=:all: --no-deps --require-hashes -r otlp.lock
# The results volume takes its owner from this folder.
RUN install -d -o app -g app /app/runs
COPY locust ./locust
COPY local_conf ./local_conf
# Scenarios for the sample target use its data.
COPY target_app ./target_app
ENV PYTHONPATH=/app/locust:/app
USER 10001:10001
EXPOSE 8089 5557 9646
CMD ["locust", "-f", "locust/locustfile.py", "--master"]
