# Two images from one file: `--target api` (no torch) and `--target worker`; `worker-cuda` takes
# TORCH_INDEX, the wheel index that pytorch.org's install page names for your CUDA version.
# `--build-arg PARQUET=1`, in API and worker, reads Parquet uploads.
FROM python:3.11-slim AS base
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 PYTHONPATH=/app TICKFORGE_DATA_DIR=/data
WORKDIR /app
RUN python -c 'import sys; sys.version_info >= (3, 11, 3) or sys.exit("an old python:3.11-slim: docker pull it")'
RUN useradd --system --uid 10001 --home-dir /app tickforge && install -d -o tickforge /data
COPY requirements.txt requirements-parquet.txt ./

FROM base AS api
ARG PARQUET=""
RUN pip install -c requirements.txt ${PARQUET:+-r requirements-parquet.txt} \
    flask celery redis packaging pydantic gunicorn structlog prometheus-client numpy
COPY api api
COPY jobs jobs
COPY models models
COPY examples/data examples/data
USER tickforge
ENV TICKFORGE_HOST=0.0.0.0 TICKFORGE_PORT=8000
EXPOSE 8000
VOLUME /data
HEALTHCHECK --interval=10s --timeout=5s --start-period=10s --retries=3 \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8000/readyz', timeout=4)"]
CMD ["python", "-m", "api"]

FROM base AS worker-files
ARG PARQUET=""
RUN pip install -c requirements.txt ${PARQUET:+-r requirements-parquet.txt} \
    celery redis packaging pydantic structlog numpy safetensors
COPY workers workers
COPY ticks ticks
COPY jobs jobs
COPY models models
COPY examples/data examples/data

FROM worker-files AS worker-cuda
ARG TORCH_INDEX=""
RUN pip install -c requirements.txt ${TORCH_INDEX:+--index-url ${TORCH_INDEX}} torch
USER tickforge
VOLUME /data
# Healthy: the worker has renewed its registration in the store within the last seconds.
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-m", "workers", "--alive"]
STOPSIGNAL SIGTERM
CMD ["python", "-m", "workers", "--queue", "cuda"]

FROM worker-files AS worker
ARG TORCH_INDEX=""
# The engine native compiles each spec when it is trained; graph compiles its loop once, below.
RUN apt-get update && apt-get install -y --no-install-recommends gcc g++ \
    && rm -rf /var/lib/apt/lists/*
RUN pip install -c requirements.txt ${TORCH_INDEX:+--index-url ${TORCH_INDEX}} torch
RUN install -d -o tickforge /cache
ENV XDG_CACHE_HOME=/cache
USER tickforge
RUN python -m ticks.engines.graph
VOLUME /data
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-m", "workers", "--alive"]
STOPSIGNAL SIGTERM
CMD ["python", "-m", "workers", "--queue", "cpu"]
