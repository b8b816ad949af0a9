#!/usr/bin/env python3
"""What transformers makes of the tiny checkpoints when they pool.

    python make_pooling.py      needs torch, transformers, gguf; the folders that make_models.py wrote

Each folder gets hidden.bin: float32 [len(prompt), hidden], the states after the final norm, of the prompt in
expected.json.  qwen3 gets pooling.json beside it: for texts whose tokens are their bytes, the rows that last, mean and
CLS pooling give, and for pairs of texts the logits of two tokens behind the prompt of Qwen3-Reranker; and rank.gguf, itself as a reranker.
"""

import json
import os
import tempfile

import gguf
import numpy as np
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from make_models import HERE, MODELS, gguf_names

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


def byte_letters():
    """GPT-2's letter for each byte: printable ones stand for themselves."""
    plain = [*range(33, 127), *range(0xa1, 0xad), *range(0xae, 0x100)]
    others = [b for b in range(256) if b not in plain]
    return [chr(b) if b in plain else chr(256 + others.index(b)) for b in range(256)]


def write_rank(model):
    """qwen3 as llama.cpp's converter writes a Qwen3-Reranker: the rows of two tokens are a tensor of their own."""
    w = gguf.GGUFWriter(os.path.join(HERE, "qwen3", "rank.gguf"), "qwen3")
    c = model.config
    w.add_block_count(c.num_hidden_layers)
    w.add_context_length(CONTEXT)
    w.add_embedding_length(c.hidden_size)
    w.add_feed_forward_length(c.intermediate_size)
    w.add_head_count(c.num_attention_heads)
    w.add_head_count_kv(c.num_key_value_heads)
    w.add_key_length(c.head_dim)
    w.add_value_length(c.head_dim)
    w.add_layer_norm_rms_eps(c.rms_norm_eps)
    w.add_rope_freq_base(c.rope_parameters["rope_theta"])
    w.add_rope_dimension_count(c.head_dim)
    w.add_pooling_type(gguf.PoolingType.RANK)
    w.add_classifier_output_labels(["yes", "no"])
    w.add_tokenizer_model("gpt2")
    w.add_tokenizer_pre("gpt-2")
    w.add_token_list([*byte_letters()[:EOS], "<|endoftext|>"])
    w.add_token_types([1] * EOS + [3])
    w.add_token_merges([f"{byte_letters()[0]} {byte_letters()[0]}"])  # llama.cpp wants one; it makes no token
    w.add_bos_token_id(EOS)
    w.add_eos_token_id(EOS)
    w.add_add_bos_token(False)
    w.add_add_eos_token(False)
    w.add_chat_template([{"name": "rerank", "template": PROMPT.format("{query}", "{document}")}])
    rename = gguf_names(False)
    state = {k: v for k, v in model.state_dict().items() if k != "lm_head.weight"}
    for name, t in state.items():
        a = t.numpy()
        w.add_tensor(rename(name), a.astype(np.float16 if a.ndim == 2 else np.float32))
    embed = state["model.embed_tokens.weight"].numpy()
    w.add_tensor("cls.output.weight", np.stack([embed[YES], embed[NO]]).astype(np.float32))
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


def main():
    for name in MODELS:
        with open(os.path.join(HERE, name, "expected.json")) as f:
            prompt = json.load(f)["prompt"]
        states(load(name), prompt).numpy().astype("<f4").tofile(os.path.join(HERE, name, "hidden.bin"))
    model = load("qwen3", max_position_embeddings=CONTEXT)
    write_rank(model)
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
