#!/usr/bin/env python3
"""Perplexity of a GGUF model as it is served (int8 activations) and with its weights as floats, on a fixed text.

    compare_perplexity.py MODEL.gguf [--text FILE] [--limit 0.005] [--reference]        Needs: pip install gguf numpy

The float path is the same program on a copy of the model whose matrices are dequantized to F32; --reference adds
transformers' figure for the same ids (pip install transformers torch accelerate). 
Exits 1 if the two differ by more than --limit.
The text, tests/golden/founding_documents.txt, is in the public domain: the Declaration of Independence (1776), six
amendments (1791), the Gettysburg Address (1863)."""

import argparse
import pathlib
import re
import subprocess
import sys
import tempfile

import gguf
import numpy as np

ROOT = pathlib.Path(__file__).resolve().parent.parent


def write_floats(source, path):
    """A copy of the model with every tensor as F32."""
    reader = gguf.GGUFReader(source)
    writer = gguf.GGUFWriter(path, reader.fields["general.architecture"].contents())
    for name, field in reader.fields.items():
        if name.startswith("GGUF.") or name == "general.architecture":
            continue
        sub_type = field.types[-1] if field.types[0] == gguf.GGUFValueType.ARRAY else None
        writer.add_key_value(name, field.contents(), field.types[0], sub_type)
    for t in reader.tensors:
        data = gguf.quants.dequantize(t.data, t.tensor_type).astype(np.float32)
        writer.add_tensor(t.name, data.reshape([int(n) for n in reversed(t.shape)]))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def perplexity(model, ids):
    got = subprocess.run([ROOT / "build/model_bench", "-x", model], input=ids, capture_output=True, text=True, check=True)
    return float(re.search(r"perplexity ([\d.]+)", got.stdout).group(1))


def reference(model, ids):
    import torch
    from transformers import AutoModelForCausalLM

    net = AutoModelForCausalLM.from_pretrained(model.parent, gguf_file=model.name, dtype=torch.float32)
    t = torch.tensor([[int(i) for i in re.findall(r"\d+", ids)]])
    with torch.no_grad():
        return float(torch.exp(net(t, labels=t).loss))


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("model", type=pathlib.Path)
    p.add_argument("--text", type=pathlib.Path, default=ROOT / "tests/golden/founding_documents.txt")
    p.add_argument("--limit", type=float, default=0.005)
    p.add_argument("--reference", action="store_true")
    a = p.parse_args()
    ids = subprocess.run([ROOT / "build/vmetal", "tokenize", a.model, "--quiet"], input=a.text.read_text(),
                         capture_output=True, text=True, check=True).stdout
    with tempfile.TemporaryDirectory() as folder:
        floats = pathlib.Path(folder) / "floats.gguf"
        write_floats(a.model, floats)
        served, exact = perplexity(a.model, ids), perplexity(floats, ids)
    difference = served / exact - 1
    print(f"tokens {len(re.findall(r'[0-9]+', ids))}  int8 activations {served:.4f}  floats {exact:.4f}  "
          f"difference {100 * difference:+.3f} %")
    if a.reference:
        print(f"transformers {reference(a.model, ids):.4f}")
    sys.exit(abs(difference) > a.limit)


if __name__ == "__main__":
    main()
