# One image for the webhook, the node agent, the certificate jobs and the command line tool: they share rate/ and nothing
# else of the image differs. clang exists in the build stage only; no node ever compiles anything.
FROM docker.io/library/node:24-bookworm-slim AS bpf
RUN apt-get update \
 && apt-get install -y --no-install-recommends clang libbpf-dev make \
 && rm -rf /var/lib/apt/lists/*
COPY bpf /src/bpf
RUN make -C /src/bpf

FROM docker.io/library/node:24-bookworm-slim AS packages
WORKDIR /app
COPY package.json package-lock.json ./
RUN npm ci --omit=dev --ignore-scripts

FROM docker.io/library/node:24-bookworm-slim
RUN apt-get update \
 && apt-get install -y --no-install-recommends bpftool \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /app
COPY --from=packages /app/node_modules node_modules
COPY package.json ./
COPY rate rate
COPY certs certs
COPY webhook webhook
COPY nodeagent nodeagent
COPY cli cli
COPY --from=bpf /src/bpf/shaper.bpf.o bpf/shaper.bpf.o
# bpftool lives in an sbin directory, which a non-login PATH may lack.
ENV NODE_ENV=production PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
# The webhook and the certificate jobs need no privilege at all; the agent's manifest asks for what it needs.
USER 65532:65532
