# Three images from one file: `--target api` (no torch), `worker`, and `worker-cuda` for a GPU: PyPI's
# torch for Linux, which has CUDA 13.0 and needs a driver of 580 or newer. For an older driver
# `--build-arg TORCH_INDEX=https://download.pytorch.org/whl/cu126`, or as pytorch.org names it.
# `--build-arg PARQUET=1`, in API and worker, reads Parquet uploads; `--build-arg ONNX=1`, in a
# worker, writes model.onnx.
FROM python:3.11-slim AS base
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 PYTHONPATH=/app TICKFORGE_DATA_DIR=/data
WORKDIR /app
RUN python -c 'import sys; sys.version_info >= (3, 11, 3) or sys.exit("an old python:3.11-slim: docker pull it")'
RUN useradd --system --uid 10001 --home-dir /app tickforge && install -d -o tickforge /data
COPY requirements.txt requirements-parquet.txt requirements-onnx.txt ./

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
ARG ONNX=""
RUN pip install -c requirements.txt ${PARQUET:+-r requirements-parquet.txt} \
    ${ONNX:+-c requirements-onnx.txt onnx onnxscript} \
    celery redis packaging pydantic structlog numpy safetensors httpcore anyio certifi
COPY workers workers
COPY ticks ticks
COPY jobs jobs
COPY models models
COPY examples/data examples/data

FROM worker-files AS worker-cuda
ARG TORCH_INDEX=""
# As a second index: what torch needs beside itself is not on each of pytorch.org's. 2.13.0+cu126
# counts as newer than PyPI's 2.13.0.
RUN pip install -c requirements.txt ${TORCH_INDEX:+--extra-index-url ${TORCH_INDEX}} torch
RUN python -c 'import sys, torch; torch.version.cuda or sys.exit("this torch is built for CPUs alone: set TORCH_INDEX")'
# the container's runtime then mounts the driver's libraries, with the one that lists its GPUs
ENV NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility
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
