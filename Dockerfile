# One image for the webhook, the node agent and the command line tool: they share rate/ and nothing else of the image differs.
# clang exists in the build stage only; no node ever compiles anything.
FROM docker.io/library/node:24-bookworm-slim AS bpf
RUN apt-get update \
 && apt-get install -y --no-install-recommends clang libbpf-dev make \
 && rm -rf /var/lib/apt/lists/*
COPY bpf /src/bpf
RUN make -C /src/bpf

FROM docker.io/library/node:24-bookworm-slim AS programs
WORKDIR /src
COPY package.json package-lock.json ./
RUN npm ci --ignore-scripts
COPY rolldown.config.ts ./
COPY rate rate
COPY kube kube
COPY certs certs
COPY webhook webhook
COPY nodeagent nodeagent
COPY cli cli
RUN npx rolldown --config

FROM docker.io/library/node:24-bookworm-slim
RUN apt-get update \
 && apt-get install -y --no-install-recommends libbpf1 \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /app
COPY --from=programs /src/package.json ./
COPY --from=programs /src/dist ./
COPY --from=bpf /src/bpf/*.bpf.o bpf/
# The programs are compiled here, not at each start.
ENV NODE_ENV=production \
    NODE_COMPILE_CACHE=/app/compile-cache
RUN for program in nodeagent webhook cli; do node $program/main.js --help > /dev/null || exit 1; done \
 && printf '#!/bin/sh\nexec node /app/cli/main.js "$@"\n' > /usr/local/bin/podrate \
 && chmod 755 /usr/local/bin/podrate
# The webhook needs no privilege; the agent's manifest asks for what it needs.
USER 65532:65532
