#!/usr/bin/env bash
# Write requirements.lock from pyproject.toml: versions and hashes, no addresses. torch is left out: its CPU and CUDA builds differ.
set -euo pipefail
cd "$(dirname "$0")/../.."
tool="$(mktemp -d)"
trap 'rm -rf "$tool"' EXIT
python3 -m venv "$tool"
"$tool/bin/pip" install --quiet uv
"$tool/bin/uv" pip compile --quiet --python-version 3.11 --extra test --generate-hashes --no-emit-index-url --no-annotate --no-header \
  --no-emit-package torch pyproject.toml -o requirements.lock
