# All services of ovomesh in one image: small, without a shell, not root. It holds no model: those are pulled at the start
# (InferencePool: spec.model), or mounted.
#
# NOT BUILT BY CI: there is no container runtime where the tests run. What is checked is that every program that the chart
# names is copied here (`cargo xtask test --only generated`).
#
#   docker build -t ovomesh:dev .                                    computes on CPUs
#   docker build -t ovomesh:dev-cuda --build-arg DEVICE=cuda .       computes on GPUs: 3 GB more
ARG DEVICE=cpu

FROM rust:1.95-bookworm AS build
RUN apt-get update && apt-get install -y --no-install-recommends python3 python3-pip python3-venv \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
# libtorch into .cache/, checked by hash; then every program, those on Kubernetes included.
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/src/target \
    cargo run --quiet --package xtask -- fetch --libtorch \
    && cargo build --release --bins \
        --package ovomesh-scanner-gateway --features ovomesh-scanner-gateway/kubernetes,ovomesh-inference/pull \
        --package ovomesh-preprocess --package ovomesh-inference --package ovomesh-results-store \
        --package ovomesh-query --package ovomesh-operator --package ovomesh-scanner-agent --package ovomesh-cli \
    && mkdir -p /out/bin /out/lib \
    && cp target/release/ovomesh target/release/ovomesh-scanner-gateway target/release/ovomesh-preprocess \
        target/release/ovomesh-inference target/release/ovomesh-results-store target/release/ovomesh-query \
        target/release/ovomesh-operator target/release/ovomesh-scanner-agent \
        /out/bin/ \
    && cp -L .cache/libtorch/lib/*.so* /out/lib/

# The CUDA half of the same wheel: inference opens libtorch_cuda.so when it is beside libtorch.
FROM build AS libraries-cuda
RUN python3 -m pip download --no-deps --only-binary=:all: --dest /wheels torch==2.13.0 \
    && python3 -m pip install --break-system-packages --no-cache-dir --target /cuda /wheels/*.whl \
    && cp -L /cuda/torch/lib/*.so* /out/lib/ && find /cuda/nvidia -name '*.so*' -exec cp -L {} /out/lib/ \;

FROM build AS libraries-cpu

FROM libraries-${DEVICE} AS libraries

# glibc and the C++ runtime, and nothing else.
FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=libraries /out/lib/ /usr/local/lib/
COPY --from=libraries /out/bin/ /usr/local/bin/
ENV LD_LIBRARY_PATH=/usr/local/lib
# As the chart has it, so that a volume belongs to the same user everywhere.
USER 65532:65532
ENTRYPOINT ["/usr/local/bin/ovomesh"]
