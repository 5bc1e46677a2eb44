# The proxy alone, with the configuration mounted at /etc/pgsoftproxy/pgsoftproxy.toml:
#   docker run -v "$PWD/pgsoftproxy.toml:/etc/pgsoftproxy/pgsoftproxy.toml:ro" -p 6543:6543 -p 9187:9187 pgsoftproxy

FROM python:3.12-slim AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /src
COPY requirements/ requirements/
RUN python -m venv /opt/pgsoftproxy \
    && /opt/pgsoftproxy/bin/pip install --requirement requirements/base.txt \
    && python -m venv /opt/build \
    && /opt/build/bin/pip install --constraint requirements/dev.txt hatchling
COPY pyproject.toml README.md LICENSE ./
COPY pgsoftproxy/ pgsoftproxy/
RUN /opt/build/bin/pip wheel --no-deps --no-build-isolation --wheel-dir dist . \
    && /opt/pgsoftproxy/bin/pip install --no-deps dist/*.whl

FROM python:3.12-slim
COPY --from=build /opt/pgsoftproxy /opt/pgsoftproxy
RUN useradd --system --no-create-home --shell /usr/sbin/nologin pgsoftproxy
USER pgsoftproxy
# Inside a container the outside is a network: listen on every address of it.
ENV PATH=/opt/pgsoftproxy/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PGSOFTPROXY_LISTEN__HOST=0.0.0.0 \
    PGSOFTPROXY_METRICS__HOST=0.0.0.0
EXPOSE 6543 9187
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:9187/healthz', timeout=2)"]
ENTRYPOINT ["pgsoftproxy"]
CMD ["run", "--config", "/etc/pgsoftproxy/pgsoftproxy.toml"]
