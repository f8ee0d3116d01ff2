# Run a long command and say every few seconds how far it is. Sourced by prepare.sh.
#
#   watched WHAT STATUS COMMAND...   STATUS is a function: the log's path in, one line about it out
#
# The command's output goes to a log that is shown only when it fails. On a terminal one line is written over, elsewhere
# a line is added every TOLD_SECONDS.

TOLD_SECONDS="${TOLD_SECONDS:-5}"

say() { printf 'gristmill: %s\n' "$*" >&2; }

watched() {
  local what="$1" status="$2" log start line code=0
  shift 2
  log="$(mktemp)"
  start=$SECONDS
  "$@" >"$log" 2>&1 &
  local pid=$!
  # Ctrl-C reaches the command by itself only where there is a terminal.
  trap 'kill '"$pid"' 2>/dev/null || true' INT TERM
  while kill -0 "$pid" 2>/dev/null; do
    line="$what: $("$status" "$log"), $((SECONDS - start)) s"
    if [ -t 2 ]; then
      printf '\r\033[Kgristmill: %s' "$line" >&2
      sleep 1
    else
      say "$line"
      sleep "$TOLD_SECONDS"
    fi
  done
  wait "$pid" || code=$?
  trap - INT TERM
  if [ -t 2 ]; then printf '\r\033[K' >&2; fi
  if [ "$code" = 0 ]; then
    say "$what: done in $((SECONDS - start)) s"
  else
    tail -n 20 "$log" >&2
    say "$what: failed (exit code $code); the lines above are the end of $log"
    return "$code"
  fi
  rm -f "$log"
}

# pip's log: packages looked up, MB fetched, then MB on the disk while it unpacks them.
pip_status() {
  awk -v installed="$(du -sm .venv 2>/dev/null | cut -f 1)" '
    /^Collecting / { packages++ }
    /Downloading .*\(.* kB\)/ { sub(/.*\(/, ""); mb += $1 / 1000 }
    /Downloading .*\(.* MB\)/ { sub(/.*\(/, ""); mb += $1 }
    /Downloading .*\(.* GB\)/ { sub(/.*\(/, ""); mb += $1 * 1000 }
    /^Installing collected packages/ { installing = 1 }
    END {
      printf "%d packages found, %.0f MB fetched", packages, mb
      if (installing) printf ", unpacking: %d MB in .venv", installed
    }' "$1"
}

# apt's log: archives fetched, packages set up.
apt_status() {
  awk '/^Get:/ { fetched++ } /^Setting up / { ready++ }
    END { printf "%d files fetched, %d packages set up", fetched, ready }' "$1"
}
