# The proxy alone, with the configuration mounted at /etc/pgsoftproxy/pgsoftproxy.toml:
#   docker run -v "$PWD/pgsoftproxy.toml:/etc/pgsoftproxy/pgsoftproxy.toml:ro" -p 6543:6543 pgsoftproxy
# It writes nothing: --read-only --cap-drop ALL may be added. docs/operations.md has the rest.

# The version of Python, and of Debian, that the tests run on.
FROM python:3.11-slim-bookworm AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /src
COPY requirements/ requirements/
# For the kernel; what runs has no compiler.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends gcc libc6-dev \
    && rm -rf /var/lib/apt/lists/*
RUN python -m venv /opt/pgsoftproxy \
    && /opt/pgsoftproxy/bin/pip install --only-binary :all: --requirement requirements/base.txt \
    && python -m venv /opt/build \
    && grep -h == requirements/*.txt >pins.txt \
    && /opt/build/bin/pip install --only-binary :all: --constraint pins.txt hatchling cython
COPY pyproject.toml hatch_build.py README.md LICENSE ./
COPY pgsoftproxy/ pgsoftproxy/
RUN PGSOFTPROXY_KERNEL=compiled /opt/build/bin/pip wheel --no-deps --no-build-isolation --wheel-dir dist . \
    && /opt/pgsoftproxy/bin/pip install --no-deps dist/*.whl \
    && /opt/pgsoftproxy/bin/pip uninstall --yes setuptools pip

FROM python:3.11-slim-bookworm
LABEL org.opencontainers.image.title="pgsoftproxy" \
    org.opencontainers.image.description="A PostgreSQL wire-protocol proxy that makes soft delete unforgettable" \
    org.opencontainers.image.licenses="GPL-3.0-or-later"
RUN groupadd --gid 10001 pgsoftproxy \
    && useradd --uid 10001 --gid 10001 --no-log-init --no-create-home --home-dir /nonexistent \
       --shell /usr/sbin/nologin pgsoftproxy
COPY --from=build /opt/pgsoftproxy /opt/pgsoftproxy
# By number, so that Kubernetes can tell that it is not root.
USER 10001:10001
# Inside a container the outside is a network: listen on every address of it.
ENV PATH=/opt/pgsoftproxy/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PGSOFTPROXY_LISTEN__HOST=0.0.0.0 \
    PGSOFTPROXY_METRICS__HOST=0.0.0.0 \
    PGSOFTPROXY_METRICS__PORT=9187
EXPOSE 6543 9187
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s \
    CMD ["python", "-c", "import os, urllib.request as r; r.urlopen(f'http://127.0.0.1:{os.environ[\"PGSOFTPROXY_METRICS__PORT\"]}/healthz', timeout=2)"]
ENTRYPOINT ["pgsoftproxy"]
CMD ["run", "--config", "/etc/pgsoftproxy/pgsoftproxy.toml"]
