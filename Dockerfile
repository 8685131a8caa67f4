# The course in containers, one stage for each tier:
#   docker build --target cpu    --tag onramp:cpu    .     # no GPU needed
#   docker build --target course --tag onramp:course .     # TensorRT 10.16; for 11.2 add
#       --build-arg TENSORRT_IMAGE=nvcr.io/nvidia/tensorrt:26.08-py3 --build-arg TIER=trt11
#   docker build --target llm    --tag onramp:llm    .     # TensorRT-LLM 1.2.1
# and to work in it:
#   docker run --rm -it -p 127.0.0.1:8888:8888 onramp:cpu                                  # prints JupyterLab's address
#   docker run --rm -it -p 127.0.0.1:8888:8888 --gpus all --shm-size 2g onramp:course
# Versions of Debian packages are those of the pinned image's release; a pinned one would vanish from the mirrors.

ARG TENSORRT_IMAGE=nvcr.io/nvidia/tensorrt:26.05-py3

FROM debian:12.13-slim AS tools
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends \
        ca-certificates g++ gcc git libc6-dev make python3.11 python3.11-venv \
    && rm -rf /var/lib/apt/lists/*
RUN useradd --create-home --shell /bin/bash --uid 1010 learner
USER 1010:1010
WORKDIR /home/learner/onramp

FROM tools AS cpu
LABEL org.opencontainers.image.title="onramp-cpu" \
      org.opencontainers.image.description="From a PyTorch driving or robot model to a measured engine: the CPU tier" \
      org.opencontainers.image.licenses="Apache-2.0"
ENV PIP_NO_CACHE_DIR=1 JUPYTER_PREFER_ENV_PATH=1
COPY --chown=1010:1010 . .
RUN make data
EXPOSE 8888
HEALTHCHECK --interval=5m --timeout=60s --start-period=30s \
    CMD [".venv/bin/python", "-m", "helpers", "doctor", "--json"]
CMD [".venv/bin/jupyter", "lab", "--ip=0.0.0.0", "--no-browser"]

# hadolint ignore=DL3006
FROM ${TENSORRT_IMAGE} AS course
ARG TIER=trt10
LABEL org.opencontainers.image.title="onramp-course" \
      org.opencontainers.image.description="From a PyTorch driving or robot model to a measured engine: TensorRT on a GPU" \
      org.opencontainers.image.licenses="Apache-2.0"
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends git make python3-venv \
    && rm -rf /var/lib/apt/lists/*
RUN useradd --create-home --shell /bin/bash --uid 1010 learner
USER 1010:1010
WORKDIR /home/learner/onramp
ENV PIP_NO_CACHE_DIR=1 JUPYTER_PREFER_ENV_PATH=1 PYTHONPATH=/home/learner/onramp
COPY --chown=1010:1010 requirements requirements
# The image brings TensorRT itself, for its own Python; everything else comes from the tier's lock.
RUN python3 -m venv --system-site-packages .venv-gpu \
    && grep -Ev '^(#|-|tensorrt-cu1[23])' "requirements/${TIER}.txt" >/tmp/lock.txt \
    && .venv-gpu/bin/python -m pip install --no-deps --require-hashes --requirement requirements/build.txt \
    && .venv-gpu/bin/python -m pip install --no-deps --require-hashes --no-build-isolation --requirement /tmp/lock.txt
COPY --chown=1010:1010 . .
EXPOSE 8888
HEALTHCHECK --interval=5m --timeout=60s --start-period=30s \
    CMD [".venv-gpu/bin/python", "-c", "import tensorrt, helpers.records"]
CMD [".venv-gpu/bin/jupyter", "lab", "--ip=0.0.0.0", "--no-browser"]

FROM nvcr.io/nvidia/tensorrt-llm/release:1.2.1 AS llm
LABEL org.opencontainers.image.title="onramp-llm" \
      org.opencontainers.image.description="From a PyTorch driving or robot model to a measured engine: TensorRT-LLM" \
      org.opencontainers.image.licenses="Apache-2.0"
RUN useradd --create-home --shell /bin/bash --uid 1010 learner
USER 1010:1010
WORKDIR /home/learner/onramp
ENV PYTHONPATH=/home/learner/onramp
COPY --chown=1010:1010 . .
HEALTHCHECK --interval=5m --timeout=60s --start-period=60s \
    CMD ["python3", "-c", "import importlib.util, helpers.records; assert importlib.util.find_spec('tensorrt_llm')"]
CMD ["bash"]
