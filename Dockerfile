# syntax=docker/dockerfile:1

# Alpine's Rust builds for musl, so the binary is static. Each platform is built on itself:
#   docker buildx build --platform linux/amd64,linux/arm64 --tag ghcr.io/trackdown-dev/trackdown:dev .
FROM rust:1-alpine AS build
# ring, which does the cryptography of rustls, is partly C.
RUN apk add --no-cache ca-certificates gcc musl-dev
WORKDIR /src
COPY . .
ARG TARGETARCH
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target,id=trackdown-target-${TARGETARCH} \
    cargo build --release --locked --bin trackdown \
 && cp target/release/trackdown /trackdown

# The certificates of the API server's authority come with the pod's service account; these are for HTTPS checks.
FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /trackdown /trackdown
USER 65532:65532
EXPOSE 8080
ENTRYPOINT ["/trackdown"]
