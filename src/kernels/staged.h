/* kernels/staged.h: quantized weights as matvec_staged reads them: 4 rows at a time through threadgroup memory, quants
 * as two elements of T in a word.
 *
 * A part of a row is 1024 columns: 4 spans of 256, 8 blocks of 32 each.  In threadgroup memory a span begins every
 * STAGED_SPAN_BYTES.  Lane 8 * r + i copies row r's pieces of 16 bytes i, i + 8, ...; lane 4 * g + t multiplies row
 * g % 4.
 *
 *   HAS_BIAS, LOW, HIGH   constants of decode() for staged_constants()
 *   open()                lane i's row
 *   copy()                its share of a part; to: where the row begins
 *   load(), decode()      8 quants of each of a span's blocks 2 * pair and 2 * pair + 1: 4 words each, of which word
 *                         2 * m + r has k 2t + 8r and 2t + 8r + 1 of the block's m-th product (kernels/mma.h)
 *   column(block, t, i)   where value i = 4 * m + 2 * r + e stands in a span;  the weight is
 *                         scale * (value - zero(block, i)) + bias
 *   scales()              of blocks 4 * upper .. 4 * upper + 3 */
#ifndef VMT_KERNELS_STAGED_H
#define VMT_KERNELS_STAGED_H

#include "kernels/copy.h"
#include "kernels/load.h"
#include "kernels/matmul_kargs.h"

constant constexpr uint STAGED_SPAN_BYTES = 144;

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
    enum { LOW = 0x43004300, HIGH = 0 };
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
METAL_FUNC uint staged_word(const threadgroup uchar *p) {
    return *(const threadgroup uint *)p;
}

/* Rows of 36 pieces a part, in threadgroup memory as they are in the file. */
struct staged_row {
    const device uchar *at;

    void open(const device uchar *data, const device uchar *, const device uchar *, uint row_idx,
              constant vmt_matmul_kargs &args, uint i) {
        at = data + ulong(row_idx) * args.row_bytes + i * 16;
    }
    void copy(threadgroup uchar *to, uint part, uint i) const {
        const device uchar *from = at + part * (4 * STAGED_SPAN_BYTES);
#pragma unroll
        for (uint j = 0; j < 4; j++) copy_16(to + (i + 8 * j) * 16, from + j * 128);
        if (i < 4) copy_16(to + (i + 32) * 16, from + 512);
    }
};

template <typename T> struct staged_q4_0 {
    enum { HAS_BIAS = 0, LOW = staged_nibbles<T>::LOW, HIGH = staged_nibbles<T>::HIGH };
    staged_row row;

    void open(const device uchar *data, const device uchar *scales, const device uchar *biases, uint row_idx,
              constant vmt_matmul_kargs &args, uint i) {
        row.open(data, scales, biases, row_idx, args, i);
    }
    void copy(threadgroup uchar *to, uint part, uint i) const { row.copy(to, part, i); }
    /* Quants of even blocks begin in the middle of a word: lane 0 takes the first two and the last two. */
    static void load(const threadgroup uchar *span, uint pair, uint t, thread uint *w) {
        const threadgroup uint *p = (const threadgroup uint *)(span + pair * 36);
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
    static void scales(const threadgroup uchar *, const threadgroup uchar *span, uint, uint upper,
                       thread float *scale, thread float *) {
#pragma unroll
        for (uint j = 0; j < 4; j++) scale[j] = half_of_bits(staged_ushort(span + upper * 72 + j * 18));
    }
};

/* A block is a sub-block; a pair of them shares 32 bytes. */
template <typename T> struct staged_q4_k {
    enum { HAS_BIAS = 1, LOW = staged_nibbles<T>::LOW, HIGH = staged_nibbles<T>::HIGH };
    staged_row row;

    void open(const device uchar *data, const device uchar *scales, const device uchar *biases, uint row_idx,
              constant vmt_matmul_kargs &args, uint i) {
        row.open(data, scales, biases, row_idx, args, i);
    }
    void copy(threadgroup uchar *to, uint part, uint i) const { row.copy(to, part, i); }
    static void load(const threadgroup uchar *span, uint pair, uint t, thread uint *w) {
        const threadgroup uint *p = (const threadgroup uint *)(span + 16 + pair * 32);
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
    static uint column(uint block, uint t, uint i) {
        return block * 32 + i / 4 * 16 + 4 * t + i % 4 / 2 + i % 2 * 2;
    }
    static float zero(uint block, uint) {
        return block % 2 == 0 ? staged_nibbles<T>::low_zero() : staged_nibbles<T>::high_zero();
    }
    static void scales(const threadgroup uchar *, const threadgroup uchar *span, uint, uint upper,
                       thread float *scale, thread float *bias) {
        uint4 head = *(const threadgroup uint4 *)span;
        float d = half_of_bits(ushort(head.x)), dmin = -half_of_bits(ushort(head.x >> 16));
        uint factors = upper == 0 ? head.y & 0x3f3f3f3fu : (head.w & 0x0f0f0f0fu) | (head.y >> 2 & 0x30303030u);
        uint mins = upper == 0 ? head.z & 0x3f3f3f3fu : (head.w >> 4 & 0x0f0f0f0fu) | (head.z >> 2 & 0x30303030u);
#pragma unroll
        for (uint j = 0; j < 4; j++) {
            scale[j] = d * float(factors >> 8 * j & 0xffu);
            bias[j] = dmin * float(mins >> 8 * j & 0xffu);
        }
    }
};

/* 4 bits in groups of 64: behind the quants of each span 16 bytes of the part's scales (spans 0, 1) or biases. */
template <typename T> struct staged_mlx4 {
    enum { HAS_BIAS = 1, LOW = staged_nibbles<T>::LOW, HIGH = staged_nibbles<T>::HIGH };
    const device uchar *at, *affine; /* affine: scales in lanes 0 and 1, biases in lanes 2 and 3 */

    void open(const device uchar *data, const device uchar *scales, const device uchar *biases, uint row_idx,
              constant vmt_matmul_kargs &args, uint i) {
        at = data + ulong(row_idx) * args.row_bytes + i * 16;
        affine = (i < 2 ? scales : biases) + ulong(row_idx) * (args.cols / 64 * 2) + i % 2 * 16;
    }
    void copy(threadgroup uchar *to, uint part, uint i) const {
#pragma unroll
        for (uint j = 0; j < 4; j++) copy_16(to + j * STAGED_SPAN_BYTES + i * 16, at + part * 512 + j * 128);
        if (i < 4) copy_16(to + i * STAGED_SPAN_BYTES + 128, affine + part * 32);
    }
    static void load(const threadgroup uchar *span, uint pair, uint t, thread uint *w) {
        const threadgroup uint *p = (const threadgroup uint *)(span + pair * 32);
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
    static void scales(const threadgroup uchar *row, const threadgroup uchar *, uint span_idx, uint upper,
                       thread float *scale, thread float *bias) {
        const threadgroup uchar *p = row + (span_idx / 2 * STAGED_SPAN_BYTES + 128 + span_idx % 2 * 8 + upper * 4);
        uint s = staged_word(p), b = staged_word(p + 2 * STAGED_SPAN_BYTES);
#pragma unroll
        for (uint j = 0; j < 4; j++) {
            scale[j] = element<T>::of_bits(j < 2 ? s & 0xffffu : s >> 16);
            bias[j] = element<T>::of_bits(j < 2 ? b & 0xffffu : b >> 16);
        }
    }
};

#endif
