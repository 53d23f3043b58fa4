# `qcs-jax predict` and whatever else needs no extra: README.md says how to run it. With
# `--target=serve` the server: qcs_jax/serve/operate.md says how.
FROM python:3.13-slim AS predict

# The source is lent for this one command, and what is built in it is discarded (BuildKit).
RUN --mount=type=bind,rw,target=/source pip install --no-cache-dir /source \
    && useradd --create-home --uid 1000 qcs

# A number: Kubernetes cannot tell from a name that it is not root.
USER 1000
WORKDIR /work
ENTRYPOINT ["qcs-jax"]


FROM predict AS serve

USER root
RUN --mount=type=bind,rw,target=/source pip install --no-cache-dir "/source[serve]"

USER 1000
EXPOSE 8000
HEALTHCHECK --start-period=60s --interval=30s --timeout=5s CMD ["python", "-c", "import http.client; server = http.client.HTTPConnection('127.0.0.1', 8000, timeout=4); server.request('GET', '/healthz'); exit(server.getresponse().status != 200)"]
# Whoever reaches the container needs the token in this file, which is mounted.
ENTRYPOINT ["qcs-jax", "serve", "--host=0.0.0.0", "--port=8000", "--token-file=/run/secrets/qcs-jax/token"]


# What is built without a target.
FROM predict
