#!/usr/bin/env python3
"""What transformers makes of the tiny checkpoints when they pool.

    python make_pooling.py      needs torch, transformers; the folders that make_models.py wrote

Each folder gets hidden.bin: float32 [len(prompt), hidden], the states after the final norm, of the prompt in
expected.json.  qwen3 gets pooling.json beside it: for texts whose tokens are their bytes, the rows that last, mean and
CLS pooling give, and for pairs of texts the logits of two tokens behind the prompt of Qwen3-Reranker.
"""

import json
import os
import tempfile

import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from make_models import HERE, MODELS

EOS, CONTEXT = 255, 1024
NO, YES = ord("n"), ord("y")
TEXTS = ["a", "The quick brown fox jumps over the lazy dog.", "Gr\u00fc\u00dfe aus K\u00f6ln, \u6771\u4eac", "x" * 200]
PAIRS = [["What is the capital of China?", "The capital of China is Beijing."],
         ["What is the capital of China?", "Gravity pulls bodies towards each other."],
         ["What is the capital of China?", ""]]
PROMPT = ('<|im_start|>system\nJudge whether the Document meets the requirements based on the Query and the Instruct '
          'provided. Note that the answer can only be "yes" or "no".<|im_end|>\n<|im_start|>user\n<Instruct>: Given a '
          'web search query, retrieve relevant passages that answer the query\n<Query>: {}\n<Document>: {}<|im_end|>\n'
          '<|im_start|>assistant\n<think>\n\n</think>\n\n')


def load(name, **overrides):
    """The checkpoint's weights in float32."""
    with tempfile.TemporaryDirectory() as folder:
        with open(os.path.join(HERE, name, "config.json")) as f:
            config = {**json.load(f), **overrides, "torch_dtype": "float32", "dtype": "float32"}
        with open(os.path.join(folder, "config.json"), "w") as f:
            json.dump(config, f)
        state = load_file(os.path.join(HERE, name, "model.safetensors"))
        save_file({k: v.to(torch.float32) for k, v in state.items()}, os.path.join(folder, "model.safetensors"),
                  metadata={"format": "pt"})
        return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()


def states(model, ids):
    with torch.no_grad():
        return model.model(torch.tensor([ids])).last_hidden_state[0]


def main():
    for name in MODELS:
        with open(os.path.join(HERE, name, "expected.json")) as f:
            prompt = json.load(f)["prompt"]
        states(load(name), prompt).numpy().astype("<f4").tofile(os.path.join(HERE, name, "hidden.bin"))
    model = load("qwen3", max_position_embeddings=CONTEXT)
    texts, pairs = [], []
    for text in TEXTS:
        rows = states(model, [*text.encode(), EOS]).double()
        texts.append({"text": text, "last": rows[-1].tolist(), "mean": rows.mean(0).tolist(), "cls": rows[0].tolist()})
    for query, document in PAIRS:
        ids = list(PROMPT.format(query, document).encode())
        with torch.no_grad():
            logits = model(torch.tensor([ids])).logits[0, -1]
        pairs.append({"query": query, "document": document, "num_tokens": len(ids), "no": logits[NO].item(),
                      "yes": logits[YES].item()})
    with open(os.path.join(HERE, "qwen3", "pooling.json"), "w") as f:
        json.dump({"context": CONTEXT, "eos": EOS, "texts": texts, "pairs": pairs}, f)
        f.write("\n")


if __name__ == "__main__":
    main()
