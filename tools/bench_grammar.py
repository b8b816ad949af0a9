#!/usr/bin/env python3
"""Compile and mask times of grammars beside xgrammar and llguidance, on the same schemas, texts and tokens.

  bench_grammar.py BENCH TOKENIZER SCHEMAS ... [--rounds N] [--csv]

BENCH is grammar_bench, TOKENIZER a tokenizer.json, SCHEMAS are JSON lists of {name, schema, instances}.  Every instance
is tokenized; before each token the mask is computed and must hold it.  A schema without instances is only compiled.
Times are of the processor: threads of a library count together.  Each round is a process of its own, so no library
keeps anything from the round before.  Needs the packages numpy, tokenizers, xgrammar (with torch) and llguidance; a library
that is missing is left out.
"""

import argparse
import json
import subprocess
import sys
import time


def percentiles(values):
    values = sorted(values)

    def at(share):
        return values[min(len(values) - 1, int(len(values) * share))]

    return at(0.5), at(0.9), at(0.99), values[-1], sum(values) / len(values)


def row(name, compiles, masks, refused, as_csv):
    c, m = percentiles(compiles), percentiles(masks)
    if as_csv:
        times = [f"{t / 1e6:.3f}" for t in (c[0], c[2], c[3])] + [f"{t / 1e3:.2f}" for t in (m[0], m[1], m[2], m[3])]
        print(",".join([name, *times, str(len(masks)), str(refused)]))
        return
    print(f"{name:11} compile ms  p50 {c[0] / 1e6:7.2f}  p99 {c[2] / 1e6:7.2f}  max {c[3] / 1e6:7.2f}   "
          f"mask us  p50 {m[0] / 1e3:6.1f}  p90 {m[1] / 1e3:6.1f}  p99 {m[2] / 1e3:7.1f}  max {m[3] / 1e3:7.1f}  "
          f"mean {m[4] / 1e3:6.1f}   {len(masks)} masks, {refused} refused")


def run_ours(options, entries):
    compiles, masks, refused = [], [], 0
    process = subprocess.Popen([options.bench, options.tokenizer], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                               stderr=subprocess.DEVNULL, text=True)
    for entry in entries:
        texts = [json.dumps(instance, ensure_ascii=False) for instance in entry.get("instances", [])]
        question = {"kind": "schema", "source": json.dumps(entry["schema"]), "time": texts}
        process.stdin.write(json.dumps(question) + "\n")
        process.stdin.flush()
        answer = json.loads(process.stdout.readline())
        refused += "error" in answer
        compiles.append(answer["compile_ns"])
        masks += answer.get("mask_ns", [])
    process.stdin.close()
    process.wait()
    return compiles, masks, refused


def run_library(entries, tokenizer, make, eos):
    """make() gives compile(schema) -> matcher, mask(matcher) -> has(id), accept(matcher, id)."""
    compile_schema, mask, accept = make()
    compiles, masks, refused = [], [], 0
    for entry in entries:
        source = json.dumps(entry["schema"])
        begin = time.process_time_ns()
        try:
            fresh = compile_schema(source)
        except Exception:  # each library has its own kinds
            refused += 1
            continue
        compiles.append(time.process_time_ns() - begin)
        for instance in entry.get("instances", []):
            matcher = fresh()
            for token_id in tokenizer.encode(json.dumps(instance, ensure_ascii=False)).ids + [eos]:
                begin = time.process_time_ns()
                has = mask(matcher)
                elapsed = time.process_time_ns() - begin
                if not has(token_id):
                    break
                masks.append(elapsed)
                if not accept(matcher, token_id):
                    break
    return compiles, masks, refused


def xgrammar_face(options, tokenizer, eos, size):
    import torch
    import xgrammar

    torch.set_num_threads(1)
    spelled = [tokenizer.id_to_token(i) or "" for i in range(size)]
    info = xgrammar.TokenizerInfo(spelled, vocab_type=xgrammar.VocabType.BYTE_LEVEL, vocab_size=size,
                                  stop_token_ids=[eos])
    compiler = xgrammar.GrammarCompiler(info, max_threads=1, cache_enabled=False)
    bits = xgrammar.allocate_token_bitmask(1, size)

    def compile_schema(source):
        compiled = compiler.compile_json_schema(source, any_whitespace=True, strict_mode=False)
        return lambda: xgrammar.GrammarMatcher(compiled)

    def mask(matcher):
        matcher.fill_next_token_bitmask(bits)
        return lambda token_id: int(bits[0, token_id // 32]) >> (token_id % 32) & 1

    return compile_schema, mask, lambda matcher, token_id: matcher.accept_token(token_id)


def llguidance_face(options, tokenizer, eos, size):
    import llguidance
    import llguidance.numpy

    with open(options.tokenizer, encoding="utf-8") as file:
        native = llguidance.LLTokenizer(file.read(), n_vocab=size, eos_token=eos)
    bits = llguidance.numpy.allocate_token_bitmask(1, size)

    def compile_schema(source):
        grammar = llguidance.LLMatcher.grammar_from_json_schema(source)
        first = llguidance.LLMatcher(native, grammar)
        if first.is_error():
            raise ValueError(first.get_error())
        return first.deep_copy

    def mask(matcher):
        llguidance.numpy.fill_next_token_bitmask(matcher, bits, 0)
        return lambda token_id: int(bits[0, token_id // 32]) >> (token_id % 32) & 1

    return compile_schema, mask, lambda matcher, token_id: matcher.consume_token(token_id)


FACES = {"xgrammar": xgrammar_face, "llguidance": llguidance_face}


def run_face(options, entries):
    import tokenizers

    tokenizer = tokenizers.Tokenizer.from_file(options.tokenizer)
    size = tokenizer.get_vocab_size(with_added_tokens=True)
    eos = next(tokenizer.token_to_id(text) for text in ("<|im_end|>", "</s>", "<|endoftext|>")
               if tokenizer.token_to_id(text) is not None)
    face = FACES[options.face]
    print(json.dumps(run_library(entries, tokenizer, lambda: face(options, tokenizer, eos, size), eos)))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bench")
    parser.add_argument("tokenizer")
    parser.add_argument("schemas", nargs="+")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--csv", action="store_true")
    parser.add_argument("--face", help=argparse.SUPPRESS)
    options = parser.parse_args()
    entries = []
    for path in options.schemas:
        with open(path, encoding="utf-8") as file:
            entries += json.load(file)
    if options.face:
        run_face(options, entries)
        return 0
    if options.csv:
        print("library,compile_p50_ms,compile_p99_ms,compile_max_ms,mask_p50_us,mask_p90_us,mask_p99_us,mask_max_us,"
              "masks,refused")
    for name in ("ours", *FACES):
        compiles, masks, refused = [], [], 0
        for _ in range(options.rounds):
            if name == "ours":
                result = run_ours(options, entries)
            else:
                done = subprocess.run([sys.executable, __file__, options.bench, options.tokenizer, *options.schemas,
                                       "--face", name], capture_output=True, text=True, check=False)
                if done.returncode != 0:
                    print(f"{name}: {done.stderr.strip().splitlines()[-1]}", file=sys.stderr)
                    break
                result = json.loads(done.stdout.strip().splitlines()[-1])
            compiles += result[0]
            masks += result[1]
            refused = result[2]
        if masks:
            row(name, compiles, masks, refused, options.csv)
    return 0


if __name__ == "__main__":
    sys.exit(main())
