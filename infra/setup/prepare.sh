#!/usr/bin/env bash
# Prepare this machine: Java 17 or newer, and .venv from requirements.lock. Safe to call again; does nothing when all is there.
set -euo pipefail
cd "$(dirname "$0")/../.."

. infra/setup/progress.sh
as_root_on_debian() { [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null && grep -qiE 'debian|ubuntu' /etc/os-release; }
apt_install() { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$@"; }
java_packages() { apt_install openjdk-17-jre-headless || apt_install default-jre-headless; }

java_major() {
  local java="java"
  [ -n "${JAVA_HOME:-}" ] && java="$JAVA_HOME/bin/java"
  "$java" -version 2>&1 | sed -nE 's/.*version "([0-9]+).*/\1/p' | head -n 1
}

java="$(java_major || true)"
if [ "${java:-0}" -lt 17 ]; then
  if as_root_on_debian; then
    watched "Java 17" apt_status java_packages
  else
    say "Java 17 or newer is missing: install a JRE (Debian: apt-get install openjdk-17-jre-headless; macOS: brew install openjdk@17) and run this again"
    exit 1
  fi
fi

python=""
for candidate in "${PYTHON:-}" python3.11 python3; do
  if [ -n "$candidate" ] && command -v "$candidate" >/dev/null && "$candidate" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null; then
    python="$candidate"
    break
  fi
done
if [ -z "$python" ]; then
  say "Python 3.11 is missing: install it (Debian 12: apt-get install python3 python3-venv) or name it with PYTHON=/path/to/python3.11"
  exit 1
fi

stamp=.venv/.ready
if [ ! -e "$stamp" ] || [ requirements.lock -nt "$stamp" ] || [ pyproject.toml -nt "$stamp" ]; then
  if ! "$python" -c 'import ensurepip' 2>/dev/null; then
    if as_root_on_debian; then watched "Python's venv module" apt_status apt_install python3-venv; else
      say "Python's venv module is missing: install python3-venv and run this again"
      exit 1
    fi
  fi
  [ -x .venv/bin/python ] || "$python" -m venv .venv
  # exec: who ends this script ends pip, too
  pip_install() { exec env PYTHONUNBUFFERED=1 .venv/bin/python -m pip install --disable-pip-version-check --progress-bar off "$@"; }
  say "installing $(grep -c '^[^ #].*==' requirements.lock) locked packages into .venv, then torch: two or three minutes"
  # no-deps: the lock is whole, and what it leaves out (torch) has a line of its own
  watched "locked packages" pip_status pip_install --require-hashes --no-deps -r requirements.lock
  watched "torch" pip_status pip_install "torch==2.13.0"
  watched "gristmill" pip_status pip_install --no-deps --no-build-isolation -e .
  touch "$stamp"
fi
