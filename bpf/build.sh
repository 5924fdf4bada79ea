#!/bin/sh
# Builds the objects for a command from the source tree, where what builds them is there. A command that needs them says
# what is missing; others, such as admit, do without.
command -v clang >/dev/null && command -v make >/dev/null || exit 0
make -s -C "$(dirname "$0")" || true
