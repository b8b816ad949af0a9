/* dequantize: out = rows of W as plain numbers, for a library that multiplies these.
 *                                                            reference: vmt_matrix_row in tensor/matrix.c
 *
 *   data, scales, biases   W, as tensor/matrix.h has it; absent ones are never read
 *   out  [num_rows, cols]  T  of 16 bits; row 0 is W's row first_row
 *
 * Grid      threadgroups (ceil(num_rows * ceil(cols / 32) / 256)); 256 threads, each dequantizes 32 columns of a row.
 * Memory    bound by it: a store of a simdgroup writes whole sectors of 32 bytes.  Two neighbours write what both have
 *           together, the even one columns 0 .. 7 of each 16, the odd one 8 .. 15.
 * Requires  cols a multiple of 8, at most 2^31 numbers.
 * Numerics  the format's value in floats, rounded to T once. */
#include <metal_stdlib>
#include "kernels/dequantize_kargs.h"
#include "kernels/matmul_instances.h"
using namespace metal;

/* 8 numbers as they lie in memory. */
template <typename T> METAL_FUNC uint4 words_of(const thread float *v) {
    uint4 words;
    words.x = as_type<uint>(vec2_cast<T>(float2(v[0], v[1])));
    words.y = as_type<uint>(vec2_cast<T>(float2(v[2], v[3])));
    words.z = as_type<uint>(vec2_cast<T>(float2(v[4], v[5])));
    words.w = as_type<uint>(vec2_cast<T>(float2(v[6], v[7])));
    return words;
}

/* a, or b where the mask's bits are set.  With a condition the compiler makes two stores of it, of half the lanes. */
METAL_FUNC uint4 blend(uint4 a, uint4 b, uint mask) {
    return uint4((a.x & ~mask) | (b.x & mask), (a.y & ~mask) | (b.y & mask), (a.z & ~mask) | (b.z & mask),
                 (a.w & ~mask) | (b.w & mask));
}

template <typename F, typename T>
[[kernel, max_total_threads_per_threadgroup(VMT_DEQUANTIZE_THREADS)]]
void dequantize(const device uchar *data [[buffer(0)]],
                const device uchar *scales [[buffer(1)]],
                const device uchar *biases [[buffer(2)]],
                device T *out [[buffer(3)]],
                constant vmt_dequantize_kargs &args [[buffer(4)]],
                uint3 tg [[threadgroup_position_in_grid]],
                uint tid [[thread_index_in_threadgroup]]) {
    uint unit = tg.x * VMT_DEQUANTIZE_THREADS + tid;
    uint units_per_row = (args.cols + VMT_DEQUANTIZE_VALUES - 1) / VMT_DEQUANTIZE_VALUES;
    bool is_inside = unit < args.num_rows * units_per_row;
    uint row_idx = is_inside ? unit / units_per_row : 0;
    uint column = is_inside ? unit % units_per_row * VMT_DEQUANTIZE_VALUES : 0;
    F row;
    row.open(data, scales, biases, args.first_row + row_idx, args.row_bytes, args.cols, args.group_shift);
    float w[VMT_DEQUANTIZE_VALUES];
    row.run(column, w);
    row.run(column | 16u, w + 16); /* zeros past a row, which only plain ones have */

    uint at = row_idx * args.cols + column, count = is_inside ? args.cols - column : 0;
    uint other_at = simd_shuffle_xor(at, 1), other_count = simd_shuffle_xor(count, 1);
    uint parity = tid % 2, odd = 0u - parity;
    uint even_at = parity != 0 ? other_at : at, even_count = parity != 0 ? other_count : count;
    uint odd_at = parity != 0 ? at : other_at, odd_count = parity != 0 ? count : other_count;
#pragma unroll
    for (uint i = 0; i < VMT_DEQUANTIZE_VALUES; i += 16) {
        uint4 low = words_of<T>(w + i), high = words_of<T>(w + i + 8);
        uint4 got = simd_shuffle_xor(blend(high, low, odd), 1);
        uint part = i + parity * 8;
        if (part < even_count) *(device uint4 *)(out + even_at + part) = blend(low, got, odd);
        if (part < odd_count) *(device uint4 *)(out + odd_at + part) = blend(got, high, odd);
    }
}

// ---- instantiations
#define DEQUANTIZE(format, type, T)                                     \
    template [[host_name("dequantize_" #format "_" #type)]] [[kernel]] \
    decltype(dequantize<quant_##format<T>, T>) dequantize<quant_##format<T>, T>;
#define DEQUANTIZE_F16(format)  DEQUANTIZE(format, f16, half)
#define DEQUANTIZE_BF16(format) DEQUANTIZE(format, bf16, bfloat)
DEQUANTIZE_F16(f32)
DEQUANTIZE_F16(bf16)
VMT_MATMUL_QUANTIZED(DEQUANTIZE_F16)
DEQUANTIZE_BF16(f32)
DEQUANTIZE_BF16(f16)
VMT_MATMUL_QUANTIZED(DEQUANTIZE_BF16)
