#!/usr/bin/env python3
"""The serving rows again, with a load client that is not ours: guidellm (PyPI), in an environment of its own.

    GUIDELLM=.../bin/guidellm [LLAMA_SERVER=...] confirm_serving.py VMETAL MODEL.gguf TOKENIZER_DIR [STREAMS ...]

TOKENIZER_DIR holds a tokenizer.json, from which guidellm makes prompts of 256 tokens.  Its gaps are means per request.
BENCH_SERVE_SECONDS=80: how long each server is measured."""

import json
import os
import subprocess
import sys
import tempfile

import serving


def measure(server, streams, tokenizer):
    with tempfile.TemporaryDirectory() as folder:
        report = f"{folder}/report.json"
        seconds = os.environ.get("BENCH_SERVE_SECONDS", "80")
        args = [os.environ["GUIDELLM"], "run", "--disable-console", "--tokenizer",
                f"kind=huggingface_auto,model={tokenizer}", "--backend",
                f"kind=openai_http,target=http://127.0.0.1:{server.port},request_format=/v1/completions",
                "--profile", f"kind=concurrent,streams={streams}",
                "--constraint", f"kind=max_duration,seconds={seconds}",
                "--data", f"kind=synthetic_text,prompt_tokens={serving.IN_TOKENS},output_tokens={serving.OUT_TOKENS}",
                "--output", f"kind=json,path={report}"]
        subprocess.run(args, check=True, capture_output=True, env={**os.environ, "HF_HUB_OFFLINE": "1"})
        with open(report) as f:
            metrics = json.load(f)["benchmarks"][0]["metrics"]
    return {"tok/s": metrics["output_tokens_per_second"]["total"]["mean"],
            "first token p50": metrics["time_to_first_token_ms"]["successful"]["median"] / 1e3,
            "gap p99": metrics["inter_token_latency_ms"]["successful"]["percentiles"]["p99"] / 1e3}


def main():
    if len(sys.argv) < 4 or "GUIDELLM" not in os.environ:
        sys.exit(__doc__)
    vmetal, model, tokenizer = sys.argv[1:4]
    for streams in [int(s) for s in sys.argv[4:]] or serving.STREAMS:
        for kind, program in serving.contenders(vmetal):
            server = serving.Server(kind, program, model, slots=streams)
            try:
                server.complete(serving.prompt_of(1, 8), 4)
                got = measure(server, streams, tokenizer)
            finally:
                server.stop()
            print(f"{streams} streams, {kind}: " + ", ".join(f"{k} {v:.3g}" for k, v in got.items()), flush=True)


if __name__ == "__main__":
    main()
