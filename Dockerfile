# The server in a container: docker build -t polykit-cache . && docker run -d -p 8080:8080 -v polykit:/var/cache/polykit polykit-cache
#
# The build stage also runs the tests that need nothing but the tree; an image exists only when they pass. Give
# --build-arg DEBIAN=debian:12-slim@sha256:… to build on one base for ever, and --build-arg REVISION=$(git rev-parse HEAD)
# to label the image with its commit.
ARG DEBIAN=debian:12-slim

FROM ${DEBIAN} AS build
ENV DEBIAN_FRONTEND=noninteractive
# As in ./dev.
RUN apt-get update \
  && apt-get install --yes --no-install-recommends \
    ca-certificates cmake doctest-dev dpkg-dev file g++ git libboost-dev libcli11-dev libsoci-dev libspdlog-dev \
    libsqlite3-dev libssl-dev libtomlplusplus-dev libyaml-cpp-dev libzstd-dev ninja-build nlohmann-json3-dev pkg-config xz-utils \
  && rm -rf /var/lib/apt/lists/*
WORKDIR /src
# Before everything else, so that a change of the sources does not fetch it again.
COPY packaging/scripts/fetch-httplib packaging/scripts/
RUN packaging/scripts/fetch-httplib .deps/cpp-httplib
COPY . .
# One compiler wants about 1 GiB: JOBS=2 for a small machine.
ARG JOBS=
RUN cmake -S . -B build -G Ninja -DCMAKE_BUILD_TYPE=Release -DPKC_STATIC=ON
RUN ninja -C build -j "${JOBS:-$(nproc)}"
RUN ctest --test-dir build --output-on-failure --no-label-summary --parallel "${JOBS:-$(nproc)}" \
    -L '^(unit|conformance|fault|fuzz|lint)$'
# The program without its symbols, checked to need glibc only, and the licences of what is linked into it. The date is
# for the archive, which ends here.
RUN SOURCE_DATE_EPOCH=0 packaging/scripts/package build /package \
  && mkdir /image \
  && tar --extract --file="$(echo /package/*.tar.gz)" --directory=/image --strip-components=1

FROM ${DEBIAN}
# ca-certificates is for connections to others; the server itself needs glibc only. Group 0 may write as well: it is
# the group of whoever is named by --user 12345.
RUN apt-get update \
  && apt-get install --yes --no-install-recommends ca-certificates \
  && rm -rf /var/lib/apt/lists/* \
  && groupadd --gid 1000 polykit \
  && useradd --uid 1000 --gid 1000 --no-create-home --home-dir /var/cache/polykit --shell /usr/sbin/nologin polykit \
  && install --directory --owner=1000 --group=0 --mode=775 /var/cache/polykit /run/polykit-cache
COPY --from=build /image/polykit-cache /usr/local/bin/
COPY --from=build /image/licenses/ /usr/share/doc/polykit-cache/
ARG VERSION=0.3.0
ARG REVISION=unknown
ARG SOURCE=
LABEL org.opencontainers.image.title="polykit-cache" \
      org.opencontainers.image.description="A self-hosted build cache: one binary, one directory" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.source="${SOURCE}" \
      org.opencontainers.image.licenses="Apache-2.0"
# As variables and not as flags: the health check reads the very same settings, and flags after the image's name do not
# take these away.
ENV POLYKIT_CACHE_STORAGE_DIR=/var/cache/polykit \
    POLYKIT_CACHE_BIND=0.0.0.0 \
    POLYKIT_CACHE_PORT=8080
# By number, so that an orchestrator can tell that it is not root.
USER 1000:1000
WORKDIR /var/cache/polykit
# Artifacts do not belong into a container's own layer; with a volume they stay writable under --read-only, too.
VOLUME /var/cache/polykit
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=10s --start-period=10s --retries=3 CMD ["polykit-cache", "healthcheck"]
ENTRYPOINT ["polykit-cache"]
CMD ["serve"]
