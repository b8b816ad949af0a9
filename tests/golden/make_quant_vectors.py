#!/usr/bin/env python3
"""Writes quant_vectors.bin: random blocks of every weight format and what the `gguf` package makes of them.

usage: make_quant_vectors.py OUT        needs: numpy, gguf

Records until the end of the file: name (8 bytes, NUL-padded), num_src_bytes (u32 LE), num_elems (u32 LE), the source
bytes, the elements as float32 LE.  src/tensor/dtype_test.c compares bit for bit.
"""
import struct
import sys

import numpy as np
from gguf import GGMLQuantizationType as T
from gguf.quants import dequantize

# Per format: block bytes, block elements, and where its f16 fields lie (random bits there could be NaN).
FORMATS = [
    ("F32", T.F32, 4, 1, []),
    ("F16", T.F16, 2, 1, [0]),
    ("BF16", T.BF16, 2, 1, []),
    ("Q8_0", T.Q8_0, 34, 32, [0]),
    ("Q4_0", T.Q4_0, 18, 32, [0]),
    ("Q4_1", T.Q4_1, 20, 32, [0, 2]),
    ("Q5_0", T.Q5_0, 22, 32, [0]),
    ("Q5_1", T.Q5_1, 24, 32, [0, 2]),
    ("Q4_K", T.Q4_K, 144, 256, [0, 2]),
    ("Q5_K", T.Q5_K, 176, 256, [0, 2]),
    ("Q6_K", T.Q6_K, 210, 256, [208]),
    ("MXFP4", T.MXFP4, 17, 32, []),
]
ELEMS = 1024


def main():
    rng = np.random.default_rng(20240229)
    with open(sys.argv[1], "wb") as out:
        for name, qtype, block_bytes, block_elems, f16_at in FORMATS:
            num_blocks = ELEMS // block_elems
            if name in ("F32", "BF16"):
                values = rng.standard_normal(ELEMS).astype(np.float32).view(np.uint8).reshape(num_blocks, 4)
                blocks = np.ascontiguousarray(values[:, 4 - block_bytes:])
            else:
                blocks = rng.integers(0, 256, (num_blocks, block_bytes), dtype=np.uint8)
            if name == "MXFP4":
                blocks[:, 0] %= 250  # the exponents above are near infinity
            for at in f16_at:
                f16 = (rng.standard_normal(num_blocks) * 2.0 ** rng.integers(-26, 4, num_blocks)).astype(np.float16)
                blocks[:, at:at + 2] = f16.view(np.uint8).reshape(num_blocks, 2)
            flat = blocks.reshape(1, -1)
            if name in ("F32", "F16"):
                want = flat.view(np.float32 if name == "F32" else np.float16).astype(np.float32)
            else:
                want = dequantize(flat, qtype).astype(np.float32)
            assert want.size == ELEMS and np.isfinite(want).all()
            out.write(struct.pack("<8sII", name.encode(), flat.size, ELEMS))
            out.write(flat.tobytes())
            out.write(want.astype("<f4").tobytes())


main()
