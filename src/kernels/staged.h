/* kernels/staged.h: quantized weights as matvec_staged reads them: rows in pieces of 16 bytes through threadgroup
 * memory, quants as two elements of T in a word.
 *
 * A part of a row is SPANS times 256 columns, 8 blocks of 32 each.  Lane 4 * r + t copies row r's pieces t, t + 4, ...,
 * and reads of row r in each block 8 quants:
 *
 *   SPANS, SPAN_BYTES   of a part; of 256 columns of a row
 *   ROW_BYTES           of a part in threadgroup memory, with what keeps the banks apart
 *   WORDS               words a lane loads for two blocks
 *   open()              this lane's row
 *   copy()              its share of a part
 *   load(), decode()    its quants of blocks 2 * pair and 2 * pair + 1: 4 words each, of which word 2 * m + r has k
 *                       2t + 8r and 2t + 8r + 1 of the block's m-th product of matrices (kernels/mma.h)
 *   column(block, t, i) where value i = 4 * m + 2 * r + e stands among the 256;  the weight is
 *                       scale * (value - zero(block, i)) + bias
 *   scales()            of block t and of block t + 4 */
#ifndef VMT_KERNELS_STAGED_H
#define VMT_KERNELS_STAGED_H

#include "kernels/copy.h"
#include "kernels/load.h"
#include "kernels/matmul_kargs.h"

/* Pieces t, t + 4, ... of NUM; to and from are at the lane's first. */
template <uint NUM> METAL_FUNC void staged_copy(threadgroup uchar *to, const device uchar *from, uint t) {
#pragma unroll
    for (uint i = 0; i < NUM; i += 4)
        if (i + 4 <= NUM || i + t < NUM) copy_16(to + i * 16, from + i * 16);
}

/* Two constants in registers: zero is 0, which no compiler can know.  A logic instruction of a GPU has room for one
 * constant, and a second one would be fetched anew each time. */
METAL_FUNC uint2 staged_constants(uint zero, uint a, uint b) {
    return uint2(simd_broadcast_first(a | zero), simd_broadcast_first(b | zero));
}

/* The low or the high nibbles of four bytes, as T and a number: bytes 0 and 2 in a word, 1 and 3. */
template <typename T> struct staged_nibbles {};
template <> struct staged_nibbles<half> {
    enum { LOW = 0x64006400, HIGH = 0x54005400 };
    static float low_zero() { return 1024.0f; }
    static float high_zero() { return 64.0f; }
    static void low(uint w, uint2 above, thread uint *q) {
        q[0] = (w & 0x000f000fu) | above.x;
        q[1] = (w >> 8 & 0x000f000fu) | above.x;
    }
    static void high(uint w, uint2 above, thread uint *q) {
        q[0] = (w & 0x00f000f0u) | above.y;
        q[1] = (w >> 8 & 0x00f000f0u) | above.y;
    }
};
template <> struct staged_nibbles<bfloat> {
    enum { LOW = 0x43004300, HIGH = 0x43004300 };
    static float low_zero() { return 128.0f; }
    static float high_zero() { return 128.0f; }
    static void low(uint w, uint2 above, thread uint *q) {
        q[0] = (w & 0x000f000fu) | above.x;
        q[1] = (w >> 8 & 0x000f000fu) | above.x;
    }
    static void high(uint w, uint2 above, thread uint *q) { low(w >> 4, above, q); }
};

METAL_FUNC ushort staged_ushort(const threadgroup uchar *p) {
    return *(const threadgroup ushort *)p;
}

template <typename T, uint N> struct staged_q4_0 {
    enum { SPANS = N, SPAN_BYTES = 144, ROW_BYTES = N == 1 ? 144 : 304, WORDS = 2, LOW = staged_nibbles<T>::LOW, HIGH = staged_nibbles<T>::HIGH, HAS_BIAS = 0 };
    const device uchar *row;

    void open(const device uchar *data, const device uchar *, const device uchar *, uint row_idx,
              constant vmt_matmul_kargs &args, uint t) {
        row = data + ulong(row_idx) * args.row_bytes + t * 16;
    }
    void copy(threadgroup uchar *to, uint part, uint t) const {
        staged_copy<SPANS * SPAN_BYTES / 16>(to, row + part * (SPANS * SPAN_BYTES), t);
    }
    /* Quants of even blocks begin in the middle of a word: lane 0 takes the first two and the last two. */
    static void load(const threadgroup uchar *part, uint span, uint pair, uint t, thread uint *w) {
        const threadgroup uint *p = (const threadgroup uint *)(part + (span * SPAN_BYTES + pair * 36));
        w[0] = uint((ulong(p[t]) | ulong(p[4]) << 32) >> (t == 0 ? 16u : 0u));
        w[1] = p[5 + t];
    }
    static void decode(const thread uint *w, uint2 above, thread uint *q) {
#pragma unroll
        for (uint b = 0; b < 2; b++) {
            staged_nibbles<T>::low(w[b], above, q + 4 * b);
            staged_nibbles<T>::high(w[b], above, q + 4 * b + 2);
        }
    }
    static uint column(uint block, uint t, uint i) {
        uint byte = i % 4 / 2 + i % 2 * 2;
        uint quant = block % 2 == 1 ? 4 * t + byte : t > 0 ? 4 * t - 2 + byte : byte < 2 ? byte : 12 + byte;
        return block * 32 + i / 4 * 16 + quant;
    }
    static float zero(uint, uint i) {
        return 8.0f + (i < 4 ? staged_nibbles<T>::low_zero() : staged_nibbles<T>::high_zero());
    }
    static void scales(const threadgroup uchar *part, uint span, uint t, thread float *scale, thread float *) {
        const threadgroup uchar *p = part + (span * SPAN_BYTES + t * 18);
        scale[0] = half_of_bits(staged_ushort(p));
        scale[1] = half_of_bits(staged_ushort(p + 72));
    }
};

template <typename T, uint N> struct staged_q8_0 {
    enum { SPANS = N, SPAN_BYTES = 272, ROW_BYTES = N == 1 ? 272 : 560, WORDS = 4, LOW = 0x64806480, HIGH = 0, HAS_BIAS = 0 };
    const device uchar *row;

    void open(const device uchar *data, const device uchar *, const device uchar *, uint row_idx,
              constant vmt_matmul_kargs &args, uint t) {
        row = data + ulong(row_idx) * args.row_bytes + t * 16;
    }
    void copy(threadgroup uchar *to, uint part, uint t) const {
        staged_copy<SPANS * SPAN_BYTES / 16>(to, row + part * (SPANS * SPAN_BYTES), t);
    }
    static void load(const threadgroup uchar *part, uint span, uint pair, uint t, thread uint *w) {
        const threadgroup uint *p = (const threadgroup uint *)(part + (span * SPAN_BYTES + pair * 68));
        w[0] = uint((ulong(p[t]) | ulong(p[8]) << 32) >> (t == 0 ? 16u : 0u));
        w[1] = p[4 + t];
        w[2] = p[9 + t];
        w[3] = p[13 + t];
    }
    /* A byte with its sign bit turned over is the quant and 128; under it a half has 1024. */
    static void decode(const thread uint *w, uint2 above, thread uint *q) {
#pragma unroll
        for (uint i = 0; i < 4; i++) {
            q[2 * i] = (w[i] & 0x00ff00ffu) ^ above.x;
            q[2 * i + 1] = (w[i] >> 8 & 0x00ff00ffu) ^ above.x;
        }
    }
    static uint column(uint block, uint t, uint i) {
        uint byte = i % 4 / 2 + i % 2 * 2;
        uint quant = block % 2 == 1 || i >= 4 ? 4 * t + i / 4 * 16 + byte
                     : t > 0                  ? 4 * t - 2 + byte
                     : byte < 2               ? byte
                                              : 28 + byte;
        if (block % 2 == 0 && i >= 4) quant -= 2;
        return block * 32 + quant;
    }
    static float zero(uint, uint) { return 1152.0f; }
    static void scales(const threadgroup uchar *part, uint span, uint t, thread float *scale, thread float *) {
        const threadgroup uchar *p = part + (span * SPAN_BYTES + t * 34);
        scale[0] = half_of_bits(staged_ushort(p));
        scale[1] = half_of_bits(staged_ushort(p + 136));
    }
};

/* A block is a sub-block; a pair of them shares 32 bytes. */
template <typename T, uint N> struct staged_q4_k {
    enum { SPANS = N, SPAN_BYTES = 144, ROW_BYTES = N == 1 ? 144 : 304, WORDS = 2, LOW = staged_nibbles<T>::LOW, HIGH = staged_nibbles<T>::HIGH, HAS_BIAS = 1 };
    const device uchar *row;

    void open(const device uchar *data, const device uchar *, const device uchar *, uint row_idx,
              constant vmt_matmul_kargs &args, uint t) {
        row = data + ulong(row_idx) * args.row_bytes + t * 16;
    }
    void copy(threadgroup uchar *to, uint part, uint t) const {
        staged_copy<SPANS * SPAN_BYTES / 16>(to, row + part * (SPANS * SPAN_BYTES), t);
    }
    static void load(const threadgroup uchar *part, uint span, uint pair, uint t, thread uint *w) {
        const threadgroup uint *p = (const threadgroup uint *)(part + (span * SPAN_BYTES + 16 + pair * 32));
        w[0] = p[t];
        w[1] = p[4 + t];
    }
    static void decode(const thread uint *w, uint2 above, thread uint *q) {
#pragma unroll
        for (uint m = 0; m < 2; m++) {
            staged_nibbles<T>::low(w[m], above, q + 2 * m);
            staged_nibbles<T>::high(w[m], above, q + 4 + 2 * m);
        }
    }
    static uint column(uint block, uint t, uint i) { return block * 32 + i / 4 * 16 + 4 * t + i % 4 / 2 + i % 2 * 2; }
    static float zero(uint block, uint) {
        return block % 2 == 0 ? staged_nibbles<T>::low_zero() : staged_nibbles<T>::high_zero();
    }
    static void scales(const threadgroup uchar *part, uint span, uint t, thread float *scale, thread float *bias) {
        const threadgroup uchar *p = part + span * SPAN_BYTES;
        uint both = *(const threadgroup uint *)p, low = p[4 + t], mid = p[8 + t], high = p[12 + t];
        float d = half_of_bits(ushort(both)), dmin = -half_of_bits(ushort(both >> 16));
        scale[0] = d * float(low & 63u);
        bias[0] = dmin * float(mid & 63u);
        scale[1] = d * float((high & 15u) | (low >> 2 & 48u));
        bias[1] = dmin * float(high >> 4 | (mid >> 2 & 48u));
    }
};

/* 4 bits, groups of 64: behind a part's quants its 8 scales and 8 biases. */
template <typename T, uint N> struct staged_mlx4 {
    enum { SPANS = N, SPAN_BYTES = 128, ROW_BYTES = 304, WORDS = 2, LOW = staged_nibbles<T>::LOW, HIGH = staged_nibbles<T>::HIGH, HAS_BIAS = 1, SCALES = 256, BIASES = 272 };
    const device uchar *row, *affine; /* affine: scales in lane 0, biases in lane 1 */

    void open(const device uchar *data, const device uchar *scales, const device uchar *biases, uint row_idx,
              constant vmt_matmul_kargs &args, uint t) {
        row = data + ulong(row_idx) * args.row_bytes + t * 16;
        affine = (t == 0 ? scales : biases) + ulong(row_idx) * (args.cols >> 6) * 2;
    }
    void copy(threadgroup uchar *to, uint part, uint t) const {
        staged_copy<SPANS * SPAN_BYTES / 16>(to, row + part * (SPANS * SPAN_BYTES), t);
        if (t < 2) copy_16(to + SCALES, affine + part * 16);
    }
    static void load(const threadgroup uchar *part, uint span, uint pair, uint t, thread uint *w) {
        const threadgroup uint *p = (const threadgroup uint *)(part + (span * SPAN_BYTES + pair * 32));
        w[0] = p[t];
        w[1] = p[4 + t];
    }
    static void decode(const thread uint *w, uint2 above, thread uint *q) {
#pragma unroll
        for (uint b = 0; b < 2; b++) {
            staged_nibbles<T>::low(w[b], above, q + 4 * b);
            staged_nibbles<T>::high(w[b], above, q + 4 * b + 2);
        }
    }
    static uint column(uint block, uint t, uint i) {
        return block * 32 + 8 * t + (i % 4 / 2 + i % 2 * 2) * 2 + i / 4;
    }
    static float zero(uint, uint i) {
        return i < 4 ? staged_nibbles<T>::low_zero() : staged_nibbles<T>::high_zero();
    }
    static void scales(const threadgroup uchar *part, uint span, uint t, thread float *scale, thread float *bias) {
        const threadgroup uchar *p = part + (SCALES + span * 8 + t / 2 * 2);
        scale[0] = element<T>::of_bits(staged_ushort(p));
        scale[1] = element<T>::of_bits(staged_ushort(p + 4));
        bias[0] = element<T>::of_bits(staged_ushort(p + 16));
        bias[1] = element<T>::of_bits(staged_ushort(p + 20));
    }
};

template <typename T> using q4_0_of_2 = staged_q4_0<T, 2>;
template <typename T> using q4_k_of_2 = staged_q4_k<T, 2>;
template <typename T> using mlx4_of_2 = staged_mlx4<T, 2>;
template <typename T> using q8_0_of_1 = staged_q8_0<T, 1>;

#endif
