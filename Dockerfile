# `qcs-jax predict` and whatever else needs no extra. README.md says how to run it.
FROM python:3.13-slim

# The source is lent for this one command, and what is built in it is discarded (BuildKit).
RUN --mount=type=bind,rw,target=/source pip install --no-cache-dir /source \
    && useradd --create-home qcs

USER qcs
WORKDIR /work
ENTRYPOINT ["qcs-jax"]
