#!/bin/sh
# deploy/install.sh PYTHON REQUIREMENTS: install what is pinned there, by its hashes, and this checkout, for that Python.
# uv does it; where uv cannot (it does not know an index that only pip's configuration names), pip does.
set -eu
python=$1 requirements=$2
pip() { "$python" -m pip install --disable-pip-version-check --quiet "$@"; }
uv() { "$(dirname "$python")/uv" pip install --python "$python" --quiet "$@"; }

# pyvips comes as source, plain Python: it must not build against a libvips of the system, but take its wheel's.
export PKG_CONFIG_LIBDIR=/nowhere

if ! { pip --require-hashes -r deploy/installer.txt && uv --require-hashes -r "$requirements"; }; then
  echo "uv could not install them: pip goes on, which takes a minute longer" >&2
  pip --no-compile --require-hashes -r "$requirements"
fi
pip --no-deps --no-build-isolation -e .
