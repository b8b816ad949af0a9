#!/usr/bin/env python3
"""GGUF files of published shapes with random weights, for the speed of GPUs alone.   Needs numpy.

    make_gpu_models.py OUT_DIR [SHAPE.FORMAT ...]        llama-8b or qwen3-0.6b; BF16, Q8_0 or Q4_0

Without a vocabulary: token ids go in, token ids come out.  Matrices repeat one random piece, so that the largest file is
written in seconds; they are larger than any cache together, and nothing in a kernel depends on their values."""

import pathlib
import struct
import sys

import numpy as np

SHAPES = {
    "llama-8b": dict(arch="llama", layers=32, hidden=4096, ffn=14336, heads=32, kv_heads=8, head_dim=128, vocab=128256,
                     context=131072, theta=5e5, tied=False, qk_norm=False),
    "qwen3-0.6b": dict(arch="qwen3", layers=28, hidden=1024, ffn=3072, heads=16, kv_heads=8, head_dim=128, vocab=151936,
                       context=40960, theta=1e6, tied=True, qk_norm=True),
}
DEVIATION = 0.02
PIECE = 1 << 24  # elements drawn at random
ALIGN = 32
F32, TYPES = 0, {"BF16": 30, "Q8_0": 8, "Q4_0": 2}
UINT32, FLOAT32, STRING = 4, 6, 8


def piece(name, rng):
    """Bytes of PIECE elements, and how many elements and bytes a block has."""
    if name == "BF16":
        x = rng.standard_normal(PIECE, dtype=np.float32) * np.float32(DEVIATION)
        return (x.view(np.uint32) >> 16).astype(np.uint16).view(np.uint8), 1, 2
    quants, deviation = (32, 74) if name == "Q8_0" else (16, 4.6)
    blocks = np.empty((PIECE // 32, 2 + quants), dtype=np.uint8)
    blocks[:, :2] = np.full((1, 1), DEVIATION / deviation, dtype=np.float16).view(np.uint8)
    blocks[:, 2:] = rng.integers(0, 256, (PIECE // 32, quants), dtype=np.uint8)
    return blocks.reshape(-1), 32, 2 + quants


def tensors(s):
    matrix, vector = True, False
    q, kv = s["heads"] * s["head_dim"], s["kv_heads"] * s["head_dim"]
    yield "token_embd.weight", (s["vocab"], s["hidden"]), matrix
    yield "output_norm.weight", (s["hidden"],), vector
    if not s["tied"]:
        yield "output.weight", (s["vocab"], s["hidden"]), matrix
    for i in range(s["layers"]):
        layer = f"blk.{i}."
        yield layer + "attn_norm.weight", (s["hidden"],), vector
        yield layer + "ffn_norm.weight", (s["hidden"],), vector
        if s["qk_norm"]:
            yield layer + "attn_q_norm.weight", (s["head_dim"],), vector
            yield layer + "attn_k_norm.weight", (s["head_dim"],), vector
        yield layer + "attn_q.weight", (q, s["hidden"]), matrix
        yield layer + "attn_k.weight", (kv, s["hidden"]), matrix
        yield layer + "attn_v.weight", (kv, s["hidden"]), matrix
        yield layer + "attn_output.weight", (s["hidden"], q), matrix
        yield layer + "ffn_gate.weight", (s["ffn"], s["hidden"]), matrix
        yield layer + "ffn_up.weight", (s["ffn"], s["hidden"]), matrix
        yield layer + "ffn_down.weight", (s["hidden"], s["ffn"]), matrix


def text(value):
    raw = value.encode()
    return struct.pack("<Q", len(raw)) + raw


def metadata(s):
    a = s["arch"]
    yield "general.architecture", STRING, a
    yield f"{a}.block_count", UINT32, s["layers"]
    yield f"{a}.context_length", UINT32, s["context"]
    yield f"{a}.embedding_length", UINT32, s["hidden"]
    yield f"{a}.feed_forward_length", UINT32, s["ffn"]
    yield f"{a}.attention.head_count", UINT32, s["heads"]
    yield f"{a}.attention.head_count_kv", UINT32, s["kv_heads"]
    yield f"{a}.attention.key_length", UINT32, s["head_dim"]
    yield f"{a}.attention.value_length", UINT32, s["head_dim"]
    yield f"{a}.attention.layer_norm_rms_epsilon", FLOAT32, 1e-5
    yield f"{a}.rope.freq_base", FLOAT32, s["theta"]
    yield f"{a}.rope.dimension_count", UINT32, s["head_dim"]
    yield f"{a}.vocab_size", UINT32, s["vocab"]
    yield "tokenizer.ggml.model", STRING, "no_vocab"


def write(path, s, name):
    data, block_elems, block_bytes = piece(name, np.random.default_rng(1))
    pairs, infos, sizes, offset = b"", b"", [], 0
    rows = list(metadata(s))
    for key, kind, value in rows:
        packed = text(value) if kind == STRING else struct.pack("<I" if kind == UINT32 else "<f", value)
        pairs += text(key) + struct.pack("<I", kind) + packed
    for tensor, shape, is_matrix in tensors(s):
        elems = int(np.prod(shape))
        size = elems // block_elems * block_bytes if is_matrix else elems * 4
        infos += text(tensor) + struct.pack("<I", len(shape)) + struct.pack(f"<{len(shape)}Q", *reversed(shape))
        infos += struct.pack("<IQ", TYPES[name] if is_matrix else F32, offset)
        sizes.append((size, is_matrix))
        offset += (size + ALIGN - 1) // ALIGN * ALIGN
    with open(path, "wb") as out:
        out.write(struct.pack("<4sIQQ", b"GGUF", 3, len(sizes), len(rows)) + pairs + infos)
        for size, is_matrix in sizes:
            out.write(b"\0" * (-out.tell() % ALIGN))
            if not is_matrix:
                out.write(np.ones(size // 4, dtype=np.float32).tobytes())
                continue
            view = memoryview(data)
            while size > 0:
                size -= out.write(view[:min(size, len(view))])
        out.write(b"\0" * (-out.tell() % ALIGN))


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    folder = pathlib.Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for what in sys.argv[2:] or [f"{shape}.{name}" for shape in SHAPES for name in TYPES]:
        shape, name = what.rsplit(".", 1)
        path = folder / f"{what}.gguf"
        write(path, SHAPES[shape], name)
        print(path)


if __name__ == "__main__":
    main()
