#!/usr/bin/env python3
"""What MLX makes of quantized matrices, and a tiny model quantized by it.

    python make_mlx.py [vectors]      needs mlx, torch, transformers (and gguf, safetensors, which make_models.py imports)

mlx_vectors.bin: records until the end of the file, all numbers little-endian:
    u32 mode (0 affine, 1 mxfp4), bits, group size, type (0 float32, 1 float16, 2 bfloat16), rows, cols, rows of x
    words of quants, scales, biases (affine), x: as MLX has them, scales, biases and x of the type (mxfp4: u8 scales)
    float32 [rows, cols]: the weights that mx.dequantize gives in float32
    float32 [rows of x, rows]: mx.quantized_matmul(x, w) on the same numbers in float32, since MLX's CPU sums in the
        type of x, bfloat16 too

mlx/: a Qwen3 of 3 layers, its matrices quantized by MLX with bits and groups that differ from layer to layer, as
mlx-lm's config.json says them; expected.json and logits.bin are those of transformers on the dequantized weights.
"""

import json
import os
import struct
import sys

import mlx.core as mx
import numpy as np
import torch
from transformers import AutoConfig, AutoModelForCausalLM

import make_models

HERE = os.path.dirname(os.path.abspath(__file__))
TYPES = [mx.float32, mx.float16, mx.bfloat16]
MARGIN_MIN = 0.35  # the CPU rounds activations to 8 bits

CONFIG = {
    **make_models.BASE,
    "architectures": ["Qwen3ForCausalLM"], "model_type": "qwen3", "torch_dtype": "bfloat16", "hidden_size": 128,
    "intermediate_size": 128, "num_hidden_layers": 3, "head_dim": 32, "tie_word_embeddings": True,
    "rope_parameters": {"rope_type": "default", "rope_theta": 1000000.0},
}
DEFAULT = {"group_size": 64, "bits": 4, "mode": "affine"}
# Parts of names; the first that is found counts.  None: not quantized.
OVERRIDES = [
    ("embed_tokens", {"group_size": 32, "bits": 8}),
    ("layers.0.self_attn.q_proj", {"group_size": 32, "bits": 6}),
    ("layers.1.self_attn.v_proj", {"group_size": 128, "bits": 8}),
    ("layers.1.self_attn.o_proj", {"group_size": 32, "bits": 5}),
    ("layers.1.mlp.gate_proj", {"group_size": 32, "bits": 3}),
    ("layers.1.mlp.up_proj", {"group_size": 32, "bits": 3}),
    ("layers.2.self_attn.o_proj", {"group_size": 32, "bits": 2}),
    ("layers.2.mlp.gate_proj", {"group_size": 64, "bits": 6}),
    ("layers.2.mlp.down_proj", None),
]


def raw(a):
    return np.array(a.view(mx.uint16) if a.dtype == mx.bfloat16 else a).tobytes()


def write_vectors(path):
    mx.random.seed(7)
    kinds = [(0, bits, group) for bits in (2, 3, 4, 5, 6, 8) for group in (32, 64, 128)] + [(1, 4, 32)]
    with open(path, "wb") as out:
        for i, (mode, bits, group) in enumerate(kinds):
            dtype, rows, cols, num_x = TYPES[(i + i // 3) % 3], 5, 256, 3
            w = mx.random.normal((rows, cols)).astype(dtype)
            x = mx.random.normal((num_x, cols)).astype(dtype)
            kind = {"group_size": group, "bits": bits, "mode": "mxfp4" if mode else "affine"}
            parts = mx.quantize(w, **kind)
            wide = parts if mode else [parts[0], parts[1].astype(mx.float32), parts[2].astype(mx.float32)]
            dequantized = mx.dequantize(*wide, **kind, **({"dtype": mx.float32} if mode else {})).astype(mx.float32)
            y = mx.quantized_matmul(x.astype(mx.float32), *wide, transpose=True, **kind)
            out.write(struct.pack("<7I", mode, bits, group, TYPES.index(dtype), rows, cols, num_x))
            for a in (*parts, x, dequantized, y):
                out.write(raw(a))


def kind_of(name):
    for part, kind in OVERRIDES:
        if part in name:
            return kind
    return DEFAULT


def quantize(model):
    """Tensors as MLX stores them; the model gets what they stand for."""
    tensors, section = {}, dict(DEFAULT)
    for name, p in model.named_parameters():
        a = mx.array(p.data.numpy()).astype(mx.bfloat16)
        kind = kind_of(name) if p.ndim == 2 else None
        if kind is None:
            tensors[name] = a
            p.data.copy_(torch.from_numpy(np.array(a.astype(mx.float32))))
            continue
        stem = name[:-len(".weight")]
        if kind is not DEFAULT:
            section[stem] = kind
        kind = {"mode": "affine", **kind}
        words, scales, biases = mx.quantize(a, **kind)
        tensors.update({name: words, stem + ".scales": scales, stem + ".biases": biases})
        wide = mx.dequantize(words, scales.astype(mx.float32), biases.astype(mx.float32), **kind)
        p.data.copy_(torch.from_numpy(np.array(wide)))
    section.update({stem[:-len(".weight")]: False for stem in tensors
                    if stem.endswith("proj.weight") and kind_of(stem) is None})
    return tensors, section


def make_model(folder):
    os.makedirs(folder, exist_ok=True)
    fields = {k: v for k, v in CONFIG.items() if k != "torch_dtype"}
    config = AutoConfig.for_model(**json.loads(json.dumps(fields)))
    config._attn_implementation = "eager"
    model = AutoModelForCausalLM.from_config(config).to(torch.float32).eval()
    make_models.MARGIN_MIN, make_models.GREEDY = MARGIN_MIN, 24
    for seed in range(1, 4000):
        make_models.fill(model, seed)
        tensors, section = quantize(model)
        g = torch.Generator().manual_seed(1000 + seed)
        prompt = torch.randint(0, make_models.VOCAB - 2, (make_models.PROMPT,), generator=g).tolist()
        tokens, margin = make_models.greedy(model, prompt)
        if tokens is not None:
            break
    else:
        sys.exit("no seed gives clear margins")
    with torch.no_grad():
        logits = model(torch.tensor([prompt])).logits[0].numpy().astype("<f4")
    mx.save_safetensors(os.path.join(folder, "model.safetensors"), tensors, metadata={"format": "mlx"})
    with open(os.path.join(folder, "config.json"), "w") as f:
        json.dump({**CONFIG, "quantization": section, "quantization_config": section}, f, indent=1)
        f.write("\n")
    with open(os.path.join(folder, "expected.json"), "w") as f:
        json.dump({"prompt": prompt, "greedy": tokens}, f)
        f.write("\n")
    logits.tofile(os.path.join(folder, "logits.bin"))
    print(f"mlx: seed {seed}, margin {margin:.3f}, logits std {logits.std():.2f}, {len(set(tokens))} distinct")


if __name__ == "__main__":
    torch.set_num_threads(1)
    write_vectors(os.path.join(HERE, "mlx_vectors.bin"))
    if "vectors" not in sys.argv:
        make_model(os.path.join(HERE, "mlx"))
