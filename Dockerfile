# Minnow in a container; see docs/install.md.
#     docker build -t minnow .
#     docker run --rm -v "$PWD:/work" minnow fit --data photos/ --limit 'latency_ms<=1.4'
FROM python:3.12-slim AS wheel
WORKDIR /source
COPY . .
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheels .

FROM python:3.12-slim
# Index of the builds of PyTorch for one version of CUDA, or for CPUs alone; without it PyPI's.
ARG TORCH_INDEX=
# Extras, as in: [openvino,ray]
ARG EXTRAS=
COPY --from=wheel /wheels /wheels
# The wheel has its own ranges of versions.
# hadolint ignore=DL3013
RUN if [ -n "$TORCH_INDEX" ]; then \
        pip install --no-cache-dir --index-url "$TORCH_INDEX" 'torch>=2.9,<2.16' 'torchvision>=0.24,<0.31'; \
    fi \
    && wheel="$(echo /wheels/minnow-*.whl)" \
    && pip install --no-cache-dir "${wheel}${EXTRAS}" \
    && useradd --create-home --uid 1000 minnow \
    && mkdir /work /cache \
    && chown minnow /work /cache
ENV MINNOW_CACHE=/cache
USER 1000
WORKDIR /work
VOLUME /cache
ENTRYPOINT ["minnow"]
CMD ["--help"]
