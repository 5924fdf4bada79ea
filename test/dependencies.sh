#!/bin/sh
# Brings node_modules to what package-lock.json says, and does nothing when it is there already. Runs before the npm
# scripts that a fresh clone offers, with whatever Node.js the machine has; what follows runs with the one it installs.
set -eu
cd "$(dirname "$0")/.."
stamp=node_modules/.installed-lock
want=$(sha256sum package-lock.json | cut -d' ' -f1)
[ "$(cat "$stamp" 2>/dev/null || true)" = "$want" ] && exit 0
echo "Installing the npm packages of package-lock.json ..."
npm ci --no-audit --no-fund --loglevel=error
echo "$want" > "$stamp"
