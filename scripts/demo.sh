#!/bin/sh
# demo.sh VMETAL MODEL: serves the model on a free port, asks one question, shows the streamed answer, stops.
set -eu
vmetal=$1 model=$2
question=${QUESTION:-What is the capital of France, and what is it known for?}
log=$(mktemp)
port=$("$vmetal" free-port)
"$vmetal" serve "$model" --port "$port" --quiet >"$log" 2>&1 &
pid=$!
trap 'kill "$pid" 2>/dev/null || true; rm -f "$log"' EXIT INT TERM
tries=0
until curl -fs "http://127.0.0.1:$port/health" >/dev/null 2>&1; do
    tries=$((tries + 1))
    if ! kill -0 "$pid" 2>/dev/null || [ "$tries" -gt 6000 ]; then
        cat "$log" >&2
        exit 1
    fi
    sleep 0.1
done
echo "> $question"
"$vmetal" chat --url "http://127.0.0.1:$port/v1" --stats -q "$question"
kill -TERM "$pid"
wait "$pid"
trap 'rm -f "$log"' EXIT
