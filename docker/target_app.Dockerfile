# The sample target under Gunicorn.
# Up to the marked line this file and locust.Dockerfile are identical, so that the engine builds and stores
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
COPY target_app ./target_app
ENV PYTHONPATH=/app
USER 10001:10001
EXPOSE 5000
CMD ["python", "-m", "gunicorn", "-c", "python:target_app.gunicorn_conf", "target_app:create_app()"]
