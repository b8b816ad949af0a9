#!/bin/sh
# demo.sh VMETAL MODEL: serves the model on a free port, asks one question, shows the streamed answer, stops.
set -eu
vmetal=$1 model=$2
question=${QUESTION:-Why is the sky blue?}
# Fetched here, in the foreground, so that its progress can be seen.
"$vmetal" fetch "$model" >/dev/null
log=$(mktemp)
"$vmetal" serve "$model" --port 0 --quiet 2>"$log" &
pid=$!
trap 'kill "$pid" 2>/dev/null || true; rm -f "$log"' EXIT INT TERM
address=""
while [ -z "$address" ]; do
    if ! kill -0 "$pid" 2>/dev/null; then
        cat "$log" >&2
        exit 1
    fi
    sleep 0.05
    address=$(sed -n 's/.*event=ready address=\([^ ]*\).*/\1/p' "$log")
done
echo "> $question"
"$vmetal" chat --url "$address/v1" --temperature 0 --max-tokens 150 --stats -q "$question"
kill -TERM "$pid"
wait "$pid"
trap 'rm -f "$log"' EXIT
