#!/usr/bin/env python3
"""GGUF files that have a model's shape: without weights for `vmetal bench predict`, which reads none of them, or with
random ones for the speed of GPUs.

    make_shapes.py [--random] OUT_DIR [llama-3.1-8b qwen3-0.6b ...] [Q4_K Q8_0 ...]

Without --random the tensors are a hole at the file's end: an 8B model takes a few kilobytes of disk, and Python 3 alone
will do.  With it (numpy; BF16, Q8_0 and Q4_0) matrices repeat one random piece, so that the largest file is written in
seconds: together they are larger than any cache, and nothing in a kernel depends on their values.  Every matrix has the
named format and norms are F32; there is no vocabulary, token ids go in and come out."""

import pathlib
import struct
import sys

U32, F32, STRING = 4, 6, 8
# GGML's type number, elements and bytes of a block.
FORMATS = {"F32": (0, 1, 4), "F16": (1, 1, 2), "Q4_0": (2, 32, 18), "Q8_0": (8, 32, 34), "Q4_K": (12, 256, 144),
           "Q6_K": (14, 256, 210), "BF16": (30, 1, 2)}
ALIGN = 32
SHAPES = {
    "llama-3.1-8b": {"arch": "llama", "layers": 32, "hidden": 4096, "ffn": 14336, "heads": 32, "kv_heads": 8, "head_dim": 128,
                     "vocab": 128256, "context": 131072, "theta": 5e5, "qk_norm": False, "tied": False},
    "qwen3-0.6b": {"arch": "qwen3", "layers": 28, "hidden": 1024, "ffn": 3072, "heads": 16, "kv_heads": 8, "head_dim": 128,
                   "vocab": 151936, "context": 40960, "theta": 1e6, "qk_norm": True, "tied": True},
    "qwen3-8b": {"arch": "qwen3", "layers": 36, "hidden": 4096, "ffn": 12288, "heads": 32, "kv_heads": 8, "head_dim": 128,
                 "vocab": 151936, "context": 40960, "theta": 1e6, "qk_norm": True, "tied": False},
    "llama-3.3-70b": {"arch": "llama", "layers": 80, "hidden": 8192, "ffn": 28672, "heads": 64, "kv_heads": 8, "head_dim": 128,
                      "vocab": 128256, "context": 131072, "theta": 5e5, "qk_norm": False, "tied": False},
}

DEVIATION = 0.02  # of random weights
PIECE = 1 << 24   # elements that are drawn


def string(text):
    return struct.pack("<Q", len(text)) + text.encode()


def key(name, kind, value):
    packed = string(value) if kind == STRING else struct.pack("<I" if kind == U32 else "<f", value)
    return string(name) + struct.pack("<I", kind) + packed


def tensors(s, fmt):
    q, kv = s["heads"] * s["head_dim"], s["kv_heads"] * s["head_dim"]
    yield "token_embd.weight", (s["hidden"], s["vocab"]), fmt
    yield "output_norm.weight", (s["hidden"],), "F32"
    if not s["tied"]:
        yield "output.weight", (s["hidden"], s["vocab"]), fmt
    for i in range(s["layers"]):
        for name, cols, rows in (("attn_q", s["hidden"], q), ("attn_k", s["hidden"], kv), ("attn_v", s["hidden"], kv),
                                 ("attn_output", q, s["hidden"]), ("ffn_gate", s["hidden"], s["ffn"]),
                                 ("ffn_up", s["hidden"], s["ffn"]), ("ffn_down", s["ffn"], s["hidden"])):
            yield f"blk.{i}.{name}.weight", (cols, rows), fmt
        for name in ("attn_norm", "ffn_norm"):
            yield f"blk.{i}.{name}.weight", (s["hidden"],), "F32"
        for name in ("attn_q_norm", "attn_k_norm") if s["qk_norm"] else ():
            yield f"blk.{i}.{name}.weight", (s["head_dim"],), "F32"


def random_piece(fmt):
    """The bytes of PIECE random elements."""
    import numpy as np
    rng = np.random.default_rng(1)
    if fmt == "BF16":
        x = rng.standard_normal(PIECE, dtype=np.float32) * np.float32(DEVIATION)
        return (x.view(np.uint32) >> 16).astype(np.uint16).tobytes()
    quants, deviation = {"Q8_0": (32, 74), "Q4_0": (16, 4.6)}[fmt]  # deviation of uniform quants
    blocks = np.empty((PIECE // 32, 2 + quants), dtype=np.uint8)
    blocks[:, :2] = np.full((1, 1), DEVIATION / deviation, dtype=np.float16).view(np.uint8)
    blocks[:, 2:] = rng.integers(0, 256, (PIECE // 32, quants), dtype=np.uint8)
    return blocks.tobytes()


def write_tensor(file, piece, size):
    piece = memoryview(piece)
    file.write(b"\0" * (-file.tell() % ALIGN))
    while size > 0:
        size -= file.write(piece[:size])


def write(path, name, fmt, is_random):
    s = SHAPES[name]
    arch = s["arch"]
    keys = [key("general.architecture", STRING, arch), key("general.name", STRING, f"{name}, {'random' if is_random else 'shape alone'}, {fmt}"),
            key("tokenizer.ggml.model", STRING, "no_vocab")]
    for field, value in (("block_count", s["layers"]), ("context_length", s["context"]), ("embedding_length", s["hidden"]),
                         ("feed_forward_length", s["ffn"]), ("attention.head_count", s["heads"]),
                         ("attention.head_count_kv", s["kv_heads"]), ("attention.key_length", s["head_dim"]),
                         ("attention.value_length", s["head_dim"]), ("rope.dimension_count", s["head_dim"]), ("vocab_size", s["vocab"])):
        keys.append(key(f"{arch}.{field}", U32, value))
    keys.append(key(f"{arch}.rope.freq_base", F32, s["theta"]))
    keys.append(key(f"{arch}.attention.layer_norm_rms_epsilon", F32, 1e-5))
    infos, offset, sizes = b"", 0, []
    for tensor, dims, tensor_fmt in tensors(s, fmt):
        number, block, block_bytes = FORMATS[tensor_fmt]
        elems = 1
        for dim in dims:
            elems *= dim
        infos += string(tensor) + struct.pack(f"<I{len(dims)}Q", len(dims), *dims) + struct.pack("<IQ", number, offset)
        sizes.append((elems // block * block_bytes, tensor_fmt))
        offset += -(-sizes[-1][0] // ALIGN) * ALIGN
    head = b"GGUF" + struct.pack("<IQQ", 3, len(sizes), len(keys)) + b"".join(keys) + infos
    data_begin = -(-len(head) // ALIGN) * ALIGN
    with open(path, "wb") as file:
        file.write(head)
        pieces = {"F32": struct.pack("<f", 1) * 8192, fmt: random_piece(fmt)} if is_random else {}
        for size, tensor_fmt in sizes if is_random else ():
            write_tensor(file, pieces[tensor_fmt], size)
        file.truncate(data_begin + offset)
    print(path)


def main():
    words = [w for w in sys.argv[1:] if w != "--random"]
    is_random = len(words) < len(sys.argv) - 1
    if not words:
        sys.exit(__doc__)
    out, words = pathlib.Path(words[0]), words[1:]
    unknown = [w for w in words if w not in SHAPES and w not in FORMATS]
    if unknown:
        sys.exit(f"{unknown[0]} is unknown; known are {', '.join([*SHAPES, *FORMATS])}")
    out.mkdir(parents=True, exist_ok=True)
    for name in [w for w in words if w in SHAPES] or ["llama-3.1-8b", "qwen3-0.6b"]:
        for fmt in [w for w in words if w in FORMATS] or (["BF16", "Q8_0", "Q4_0"] if is_random else ["Q4_K", "Q8_0"]):
            write(out / f"{name}.{fmt}.gguf", name, fmt, is_random)


if __name__ == "__main__":
    main()
