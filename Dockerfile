# One image; the command chooses the process: web (the default), worker background, worker clock, worker trainer,
# migrate. For a GPU: docker build --build-arg EXTRA=gpu .
ARG PYTHON=3.11
FROM python:${PYTHON}-slim AS build
ARG EXTRA=cpu
# Where else pip may look, such as an index with CPU-only builds of torch, which are much smaller.
ARG PIP_EXTRA_INDEX_URL=
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python -m venv /opt/tandem
WORKDIR /src
# The dependencies change less often than the code: they get a layer of their own.
COPY pyproject.toml README.md ./
COPY requirements/constraints.txt requirements/
RUN mkdir adapters backend models \
    && touch adapters/__init__.py backend/__init__.py models/__init__.py \
    && /opt/tandem/bin/pip install -c requirements/constraints.txt ".[${EXTRA},postgres]"
COPY adapters adapters
COPY backend backend
COPY models models
RUN /opt/tandem/bin/pip install --no-deps --force-reinstall .

FROM python:${PYTHON}-slim
RUN useradd --uid 1000 --create-home tandem && install -d -o tandem -g tandem /data
COPY --from=build /opt/tandem /opt/tandem
ENV PATH=/opt/tandem/bin:$PATH PYTHONUNBUFFERED=1 TANDEM_HOME=/data
USER tandem
WORKDIR /home/tandem
VOLUME /data
EXPOSE 9090
STOPSIGNAL SIGTERM
ENTRYPOINT ["tandem"]
CMD ["web"]
