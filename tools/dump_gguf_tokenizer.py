#!/usr/bin/env python3
"""The tokenizer fields of a GGUF file as one line of JSON, for tokenizer_bench.   Needs: pip install gguf
Usage: dump_gguf_tokenizer.py MODEL.gguf > tokenizer.gguf.json"""
import json
import sys

from gguf import GGUFReader


def main():
    fields = GGUFReader(sys.argv[1]).fields

    def get(key, default):
        field = fields.get("tokenizer.ggml." + key)
        return default if field is None else field.contents()

    out = {"gguf": get("model", ""), "pre": get("pre", ""), "tokens": get("tokens", []), "merges": get("merges", [])}
    for key, name in (("kinds", "token_type"), ("scores", "scores")):
        if "tokenizer.ggml." + name in fields:
            out[key] = get(name, [])
    for key, name in (("bos_id", "bos_token_id"), ("eos_id", "eos_token_id"), ("unk_id", "unknown_token_id")):
        out[key] = get(name, -1)
    for key, name in (("add_bos", "add_bos_token"), ("add_eos", "add_eos_token"), ("add_space_prefix",) * 2):
        out[key] = int(get(name, -1))
    json.dump(out, sys.stdout, ensure_ascii=False, separators=(",", ":"))


main()
