ARG BASE_IMAGE

# The same for every arch: it names none.
FROM ${BASE_IMAGE} AS text
ARG GREETING_VERSION=1.0
RUN echo "version ${GREETING_VERSION}" > /usr/share/greeting/version

FROM ${BASE_IMAGE} AS final
ARG TARGET_ARCH=amd64
COPY --from=text /usr/share/greeting/version /usr/share/greeting/version
RUN greet "${TARGET_ARCH}" > /etc/greeting
