#!/usr/bin/env python3
"""What transformers says for SmolLM2-135M-Instruct: 64 greedy tokens for chat-formatted prompts, and the margin in nats
between the two best choices at each.

    python make_smollm2.py FILE.gguf > smollm2.json      needs torch, transformers, gguf

The weights are those of the GGUF file, dequantized to float32, so that only the arithmetic differs.
"""

import json
import os
import sys

import torch
from transformers import AutoTokenizer

import gguf_to_hf

PROMPTS = [
    "What is the capital of France?",
    "Write a haiku about the sea.",
    "Explain why the sky is blue to a child.",
    "List three uses of a paperclip.",
    "Translate 'good morning' into Spanish.",
    "Write a Python function that adds two numbers.",
    "Who wrote Romeo and Juliet?",
    "What is 12 times 12? Show your work.",
]
TOKENS = 64


def main():
    path = sys.argv[1]
    torch.set_num_threads(1)
    tokenizer = AutoTokenizer.from_pretrained(os.path.dirname(path) or ".", gguf_file=os.path.basename(path))
    model = gguf_to_hf.load(path)
    cases = []
    for text in PROMPTS:
        prompt = tokenizer.apply_chat_template([{"role": "user", "content": text}], add_generation_prompt=True,
                                               return_dict=False)
        ids, cache, tokens, margins = list(prompt), None, [], []
        while len(tokens) < TOKENS:
            with torch.no_grad():
                out = model(torch.tensor([ids]), past_key_values=cache, use_cache=True)
            cache, top = out.past_key_values, out.logits[0, -1].topk(2)
            ids = [top.indices[0].item()]
            tokens += ids
            margins.append(round((top.values[0] - top.values[1]).item(), 4))
            if ids[0] == tokenizer.eos_token_id:
                break
        cases.append({"text": text, "prompt": list(prompt), "tokens": tokens, "margins": margins})
        print(f"{text!r}: {tokenizer.decode(tokens)!r}", file=sys.stderr)
    lines = ",\n".join(json.dumps(c) for c in cases)
    print('{"cases": [\n' + lines + "\n]}")


if __name__ == "__main__":
    main()
