/* backend/host/shim.h: <metal_stdlib> for kernels that clang compiles for the CPU.  Only generated files include it.
 *
 * Covers the subset of docs/kernels.md and no more.  With VMT_ADDRESS_SPACES pointers carry their address space, so
 * that the compiler refuses what Metal would; without it sanitizers see every access.  Vectors are the compiler's own,
 * because a class can't have methods on objects in an address space. */
#ifndef VMT_BACKEND_HOST_SHIM_H
#define VMT_BACKEND_HOST_SHIM_H

#include "backend/host/lane.h"

#if defined(VMT_ADDRESS_SPACES)
#define device      __attribute__((address_space(1)))
#define constant    const __attribute__((address_space(2)))
#define threadgroup __attribute__((address_space(3)))
#else
#define device
#define constant const
#define threadgroup
#endif
#define thread

#if defined(__x86_64__)
/* What the compiler calls to round to bfloat; older runtime libraries lack it.  To nearest, ties to even. */
extern "C" __attribute__((weak, noinline)) __bf16 __truncsfbf2(float x) {
    uint32_t bits = __builtin_bit_cast(uint32_t, x);
    bool is_nan = (bits & 0x7FFFFFFFu) > 0x7F800000u;
    bits = is_nan ? bits | 0x400000u : bits + 0x7FFFu + (bits >> 16 & 1);
    return __builtin_bit_cast(__bf16, (uint16_t)(bits >> 16));
}
#endif

#define VMT_KERNEL    __attribute__((convergent)) static inline
#define METAL_FUNC    __attribute__((convergent)) static inline
#define VMT_CONSTANT  static
#define VMT_DIMS(...) __VA_ARGS__

namespace metal {

using ::int16_t;
using ::int32_t;
using ::int64_t;
using ::int8_t;
using ::uint16_t;
using ::uint32_t;
using ::uint64_t;
using ::uint8_t;
typedef unsigned char uchar;
typedef unsigned short ushort;
typedef unsigned int uint;
typedef unsigned long ulong;
typedef _Float16 half;
typedef __bf16 bfloat;
typedef __SIZE_TYPE__ size_t;

template <typename T, int N> using vec = T __attribute__((ext_vector_type(N)));
#define VMT_VECTORS(T)                                  \
    typedef T T##2 __attribute__((ext_vector_type(2))); \
    typedef T T##3 __attribute__((ext_vector_type(3))); \
    typedef T T##4 __attribute__((ext_vector_type(4)));
VMT_VECTORS(char)
VMT_VECTORS(uchar)
VMT_VECTORS(short)
VMT_VECTORS(ushort)
VMT_VECTORS(int)
VMT_VECTORS(uint)
VMT_VECTORS(long)
VMT_VECTORS(ulong)
VMT_VECTORS(half)
VMT_VECTORS(bfloat)
VMT_VECTORS(float)
VMT_VECTORS(bool)
#undef VMT_VECTORS

/* ---- float4(a, b, c, d): the compiler's vectors have no constructors of several arguments */

template <typename T> struct vmt_make2 {
    static inline vec<T, 2> make() { return (vec<T, 2>)(T)0; }
    static inline vec<T, 2> make(T x) { return vec<T, 2>{x, x}; }
    static inline vec<T, 2> make(T x, T y) { return vec<T, 2>{x, y}; }
    template <typename U> static inline vec<T, 2> make(vec<U, 2> v) {
        return __builtin_convertvector(v, vec<T, 2>);
    }
};
template <typename T> struct vmt_make3 {
    static inline vec<T, 3> make(T x) { return vec<T, 3>{x, x, x}; }
    static inline vec<T, 3> make(T x, T y, T z) { return vec<T, 3>{x, y, z}; }
    template <typename U> static inline vec<T, 3> make(vec<U, 3> v) {
        return __builtin_convertvector(v, vec<T, 3>);
    }
};
template <typename T> struct vmt_make4 {
    static inline vec<T, 4> make() { return (vec<T, 4>)(T)0; }
    static inline vec<T, 4> make(T x) { return vec<T, 4>{x, x, x, x}; }
    static inline vec<T, 4> make(T x, T y, T z, T w) { return vec<T, 4>{x, y, z, w}; }
    static inline vec<T, 4> make(vec<T, 2> a, vec<T, 2> b) { return vec<T, 4>{a.x, a.y, b.x, b.y}; }
    template <typename U> static inline vec<T, 4> make(vec<U, 4> v) {
        return __builtin_convertvector(v, vec<T, 4>);
    }
};
#define char2(...)   vmt_make2<char>::make(__VA_ARGS__)
#define uchar2(...)  vmt_make2<uchar>::make(__VA_ARGS__)
#define short2(...)  vmt_make2<short>::make(__VA_ARGS__)
#define ushort2(...) vmt_make2<ushort>::make(__VA_ARGS__)
#define int2(...)    vmt_make2<int>::make(__VA_ARGS__)
#define uint2(...)   vmt_make2<uint>::make(__VA_ARGS__)
#define half2(...)   vmt_make2<half>::make(__VA_ARGS__)
#define bfloat2(...) vmt_make2<bfloat>::make(__VA_ARGS__)
#define float2(...)  vmt_make2<float>::make(__VA_ARGS__)
#define ulong2(...)  vmt_make2<ulong>::make(__VA_ARGS__)
#define uint3(...)   vmt_make3<uint>::make(__VA_ARGS__)
#define float3(...)  vmt_make3<float>::make(__VA_ARGS__)
#define char4(...)   vmt_make4<char>::make(__VA_ARGS__)
#define uchar4(...)  vmt_make4<uchar>::make(__VA_ARGS__)
#define short4(...)  vmt_make4<short>::make(__VA_ARGS__)
#define ushort4(...) vmt_make4<ushort>::make(__VA_ARGS__)
#define int4(...)    vmt_make4<int>::make(__VA_ARGS__)
#define uint4(...)   vmt_make4<uint>::make(__VA_ARGS__)
#define half4(...)   vmt_make4<half>::make(__VA_ARGS__)
#define bfloat4(...) vmt_make4<bfloat>::make(__VA_ARGS__)
#define float4(...)  vmt_make4<float>::make(__VA_ARGS__)

template <typename To, typename From> static inline To as_type(From v) {
    static_assert(sizeof(To) == sizeof(From), "as_type keeps the size");
    return __builtin_bit_cast(To, v);
}

/* ---- numbers */

#define FLT_MAX      3.402823466e+38f
#define FLT_MIN      1.175494351e-38f
#define HALF_MAX     ((half)65504.0f)
#define M_PI_F       3.14159265358979323846f
#define M_SQRT1_2_F  0.70710678118654752440f
#define M_2_SQRTPI_F 1.12837916709551257390f
#define M_LOG2E_F    1.44269504088896340736f
#define M_LN2_F      0.69314718055994530942f
#define INT_MAX      2147483647
#define UINT_MAX     4294967295u

/* Of a scalar; of a vector, component by component. */
#define VMT_MATH1(name, call)                                            \
    static inline float name(float x) {                                  \
        return call;                                                     \
    }                                                                    \
    template <int N> static inline vec<float, N> name(vec<float, N> v) { \
        for (int i = 0; i < N; i++) v[i] = name((float)v[i]);            \
        return v;                                                        \
    }
#define VMT_MATH_ALL                               \
    VMT_MATH1(exp, __builtin_expf(x))              \
    VMT_MATH1(exp2, __builtin_exp2f(x))            \
    VMT_MATH1(exp10, __builtin_powf(10.0f, x))     \
    VMT_MATH1(log, __builtin_logf(x))              \
    VMT_MATH1(log2, __builtin_log2f(x))            \
    VMT_MATH1(log10, __builtin_log10f(x))          \
    VMT_MATH1(sin, __builtin_sinf(x))              \
    VMT_MATH1(cos, __builtin_cosf(x))              \
    VMT_MATH1(tan, __builtin_tanf(x))              \
    VMT_MATH1(tanh, __builtin_tanhf(x))            \
    VMT_MATH1(sqrt, __builtin_sqrtf(x))            \
    VMT_MATH1(rsqrt, 1.0f / __builtin_sqrtf(x))    \
    VMT_MATH1(ceil, __builtin_ceilf(x))            \
    VMT_MATH1(floor, __builtin_floorf(x))          \
    VMT_MATH1(round, __builtin_roundf(x))          \
    VMT_MATH1(rint, __builtin_rintf(x))            \
    VMT_MATH1(trunc, __builtin_truncf(x))          \
    VMT_MATH1(fabs, __builtin_fabsf(x))            \
    static inline float pow(float x, float y) {    \
        return __builtin_powf(x, y);               \
    }                                              \
    static inline float divide(float x, float y) { \
        return x / y;                              \
    }                                              \
    static inline float fmin(float x, float y) {   \
        return __builtin_fminf(x, y);              \
    }                                              \
    static inline float fmax(float x, float y) {   \
        return __builtin_fmaxf(x, y);              \
    }
VMT_MATH_ALL
namespace precise {
VMT_MATH_ALL
}
namespace fast {
VMT_MATH_ALL
}
#undef VMT_MATH_ALL
#undef VMT_MATH1

static inline bool isnan(float x) {
    return x != x;
}
static inline bool isinf(float x) {
    return __builtin_isinf(x);
}
static inline float fma(float a, float b, float c) {
    return __builtin_fmaf(a, b, c);
}
template <int N> static inline vec<float, N> fma(vec<float, N> a, vec<float, N> b, vec<float, N> c) {
    return __builtin_elementwise_fma(a, b, c);
}
template <typename T> static inline T min(T a, T b) {
    return __builtin_elementwise_min(a, b);
}
template <typename T> static inline T max(T a, T b) {
    return __builtin_elementwise_max(a, b);
}
template <typename T> static inline T clamp(T x, T low, T high) {
    return min(max(x, low), high);
}
template <typename T> static inline T abs(T x) {
    return __builtin_elementwise_abs(x);
}
template <typename T> static inline T select(T if_false, T if_true, bool which) {
    return which ? if_true : if_false;
}
template <typename T> static inline T mix(T a, T b, T t) {
    return a + (b - a) * t;
}
static inline float sign(float x) {
    return x > 0.0f ? 1.0f : x < 0.0f ? -1.0f : 0.0f;
}
static inline float dot(vec<float, 2> a, vec<float, 2> b) {
    return a.x * b.x + a.y * b.y;
}
static inline float dot(vec<float, 4> a, vec<float, 4> b) {
    return a.x * b.x + a.y * b.y + a.z * b.z + a.w * b.w;
}
static inline uint popcount(uint x) {
    return (uint)__builtin_popcount(x);
}
static inline uint clz(uint x) {
    return x ? (uint)__builtin_clz(x) : 32u;
}
static inline uint ctz(uint x) {
    return x ? (uint)__builtin_ctz(x) : 32u;
}
static inline uint mulhi(uint a, uint b) {
    return (uint)((ulong)a * b >> 32);
}
static inline uint extract_bits(uint x, uint offset, uint bits) {
    return bits == 0 ? 0u : (x >> offset) & (0xFFFFFFFFu >> (32u - bits));
}

/* ---- barriers */

enum class mem_flags { mem_none = 0, mem_device = 1, mem_threadgroup = 2 };
constexpr mem_flags operator|(mem_flags a, mem_flags b) {
    return (mem_flags)((int)a | (int)b);
}

#define VMT_SITE     const char *file = __builtin_FILE(), int line = __builtin_LINE()
#define VMT_HERE(op) (vmt_host_site{op, file, line})
#define VMT_SIMD     template <typename T> __attribute__((convergent)) static inline

__attribute__((convergent)) static inline void threadgroup_barrier(mem_flags, VMT_SITE) {
    vmt_host_barrier(VMT_HERE("threadgroup_barrier"));
}

/* ---- simdgroups: 32 lanes that put their values side by side */

template <typename T> static inline T vmt_slot(const void *slots, uint lane) {
    T v;
    __builtin_memcpy(&v, (const char *)slots + lane * VMT_HOST_SLOT_BYTES, sizeof v);
    return v;
}
/* In pairs, as a tree: the order that hardware has. */
template <typename T, T (*Op)(T, T)> static void vmt_reduce(void *slots) {
    T v[32];
    for (uint i = 0; i < 32; i++) v[i] = vmt_slot<T>(slots, i);
    for (uint width = 16; width > 0; width /= 2) {
        for (uint i = 0; i < width; i++) v[i] = Op(v[i], v[i + width]);
    }
    __builtin_memcpy(slots, &v[0], sizeof(T));
}
template <typename T> static inline T vmt_add(T a, T b) {
    return (T)(a + b);
}
template <typename T> static inline T vmt_min(T a, T b) {
    return a < b ? a : b;
}
template <typename T> static inline T vmt_max(T a, T b) {
    return a > b ? a : b;
}
template <typename T> static inline T vmt_or(T a, T b) {
    return a | b;
}
template <typename T> static inline T vmt_and(T a, T b) {
    return a & b;
}
static inline uint vmt_lane(void) {
    return vmt_host_lane_idx();
}

#define VMT_REDUCE(name, op)                                                                           \
    VMT_SIMD T name(T v, VMT_SITE) {                                                                   \
        return vmt_slot<T>(vmt_host_exchange(&v, sizeof v, vmt_reduce<T, op<T>>, VMT_HERE(#name)), 0); \
    }
VMT_REDUCE(simd_sum, vmt_add)
VMT_REDUCE(simd_min, vmt_min)
VMT_REDUCE(simd_max, vmt_max)
VMT_REDUCE(simd_or, vmt_or)
VMT_REDUCE(simd_and, vmt_and)
#undef VMT_REDUCE

#define VMT_SHUFFLE(name, argument, from)                                              \
    VMT_SIMD T name(T v, argument, VMT_SITE) {                                         \
        const void *slots = vmt_host_exchange(&v, sizeof v, nullptr, VMT_HERE(#name)); \
        uint lane = vmt_lane();                                                        \
        (void)lane;                                                                    \
        return vmt_slot<T>(slots, from);                                               \
    }
VMT_SHUFFLE(simd_shuffle, ushort source, source & 31)
VMT_SHUFFLE(simd_shuffle_xor, ushort mask, (lane ^ mask) & 31)
VMT_SHUFFLE(simd_shuffle_down, ushort delta, lane + delta < 32 ? lane + delta : lane)
VMT_SHUFFLE(simd_shuffle_up, ushort delta, lane >= delta ? lane - delta : lane)
VMT_SHUFFLE(simd_broadcast, ushort source, source & 31)
VMT_SHUFFLE(quad_shuffle_xor, ushort mask, (lane ^ (mask & 3)) & 31)
#undef VMT_SHUFFLE
VMT_SIMD T simd_broadcast_first(T v, VMT_SITE) {
    return vmt_slot<T>(vmt_host_exchange(&v, sizeof v, nullptr, VMT_HERE("simd_broadcast_first")), 0);
}
VMT_SIMD T quad_sum(T v, VMT_SITE) {
    const void *slots = vmt_host_exchange(&v, sizeof v, nullptr, VMT_HERE("quad_sum"));
    uint first = vmt_lane() & ~3u;
    return (T)((vmt_slot<T>(slots, first) + vmt_slot<T>(slots, first + 2)) +
               (vmt_slot<T>(slots, first + 1) + vmt_slot<T>(slots, first + 3)));
}
VMT_SIMD T simd_prefix_inclusive_sum(T v, VMT_SITE) {
    const void *slots = vmt_host_exchange(&v, sizeof v, nullptr, VMT_HERE("simd_prefix_inclusive_sum"));
    T sum = vmt_slot<T>(slots, 0);
    for (uint i = 1; i <= vmt_lane(); i++) sum = (T)(sum + vmt_slot<T>(slots, i));
    return sum;
}
VMT_SIMD T simd_prefix_exclusive_sum(T v, VMT_SITE) {
    const void *slots = vmt_host_exchange(&v, sizeof v, nullptr, VMT_HERE("simd_prefix_exclusive_sum"));
    T sum = (T)0;
    for (uint i = 0; i < vmt_lane(); i++) sum = (T)(sum + vmt_slot<T>(slots, i));
    return sum;
}
__attribute__((convergent)) static inline bool simd_any(bool v, VMT_SITE) {
    return simd_or<uint>(v, file, line) != 0;
}
__attribute__((convergent)) static inline bool simd_all(bool v, VMT_SITE) {
    return simd_and<uint>(v, file, line) != 0;
}
/* A fence among the 32 lanes. */
__attribute__((convergent)) static inline void simdgroup_barrier(mem_flags, VMT_SITE) {
    uint none = 0;
    vmt_host_exchange(&none, sizeof none, nullptr, VMT_HERE("simdgroup_barrier"));
}

/* ---- 8x8 matrices over the lanes: lane's elements are two neighbours of a row, where Apple's GPUs are known to have
 * them */

template <typename T, int Cols, int Rows> struct simdgroup_matrix {
    vec<T, 2> elements;
    inline vec<T, 2> &thread_elements() { return elements; }
};
template <typename T> using vmt_matrix = simdgroup_matrix<T, 8, 8>;
typedef vmt_matrix<half> simdgroup_half8x8;
typedef vmt_matrix<bfloat> simdgroup_bfloat8x8;
typedef vmt_matrix<float> simdgroup_float8x8;

static inline uint vmt_matrix_row(uint lane) {
    return (lane >> 2 & 4u) + (lane >> 1 & 3u);
}
static inline uint vmt_matrix_col(uint lane) {
    return (lane >> 2 & 2u) * 2u + (lane & 1u) * 2u;
}
/* P is a pointer in any address space; origin is (column, row). */
template <typename T, typename P>
static inline void simdgroup_load(vmt_matrix<T> &m, P *p, ulong stride, ulong2 origin = ulong2{0, 0},
                                  bool transpose = false) {
    uint row = vmt_matrix_row(vmt_lane()), col = vmt_matrix_col(vmt_lane());
    P *from = p + origin.y * stride + origin.x;
    m.elements.x = transpose ? from[col * stride + row] : from[row * stride + col];
    m.elements.y = transpose ? from[(col + 1) * stride + row] : from[row * stride + col + 1];
}
template <typename T, typename P>
static inline void simdgroup_store(vmt_matrix<T> m, P *p, ulong stride, ulong2 origin = ulong2{0, 0},
                                   bool transpose = false) {
    uint row = vmt_matrix_row(vmt_lane()), col = vmt_matrix_col(vmt_lane());
    P *to = p + origin.y * stride + origin.x;
    to[transpose ? col * stride + row : row * stride + col] = m.elements.x;
    to[transpose ? (col + 1) * stride + row : row * stride + col + 1] = m.elements.y;
}
struct vmt_mma_slot {
    float a[2], b[2], c[2];
};
static void vmt_mma(void *slots) {
    float a[8][8], b[8][8], c[8][8];
    for (uint lane = 0; lane < 32; lane++) {
        vmt_mma_slot slot = vmt_slot<vmt_mma_slot>(slots, lane);
        for (uint i = 0; i < 2; i++) {
            a[vmt_matrix_row(lane)][vmt_matrix_col(lane) + i] = slot.a[i];
            b[vmt_matrix_row(lane)][vmt_matrix_col(lane) + i] = slot.b[i];
            c[vmt_matrix_row(lane)][vmt_matrix_col(lane) + i] = slot.c[i];
        }
    }
    for (uint row = 0; row < 8; row++) {
        for (uint k = 0; k < 8; k++) {
            for (uint col = 0; col < 8; col++) c[row][col] += a[row][k] * b[k][col];
        }
    }
    for (uint lane = 0; lane < 32; lane++) {
        vmt_mma_slot *slot = (vmt_mma_slot *)((char *)slots + lane * VMT_HOST_SLOT_BYTES);
        for (uint i = 0; i < 2; i++) slot->c[i] = c[vmt_matrix_row(lane)][vmt_matrix_col(lane) + i];
    }
}
template <typename A, typename B>
__attribute__((convergent)) static inline void simdgroup_multiply_accumulate(vmt_matrix<float> &d, vmt_matrix<A> a,
                                                                             vmt_matrix<B> b, vmt_matrix<float> c,
                                                                             VMT_SITE) {
    vmt_mma_slot slot = {{(float)a.elements.x, (float)a.elements.y},
                         {(float)b.elements.x, (float)b.elements.y},
                         {c.elements.x, c.elements.y}};
    const void *slots = vmt_host_exchange(&slot, sizeof slot, vmt_mma, VMT_HERE("simdgroup_multiply_accumulate"));
    slot = vmt_slot<vmt_mma_slot>(slots, vmt_lane());
    d.elements.x = slot.c[0];
    d.elements.y = slot.c[1];
}

/* ---- atomics: relaxed, on device and threadgroup memory */

enum memory_order { memory_order_relaxed };
struct atomic_uint {
    uint value;
};
struct atomic_int {
    int value;
};
#define VMT_ATOMIC(name, builtin)                                                             \
    template <typename A, typename V> static inline auto name(A *object, V v, memory_order) { \
        typedef __typeof__(+object->value) T;                                                 \
        return (T)builtin((T *)&object->value, (T)v, __ATOMIC_RELAXED);                       \
    }
VMT_ATOMIC(atomic_fetch_add_explicit, __atomic_fetch_add)
VMT_ATOMIC(atomic_fetch_sub_explicit, __atomic_fetch_sub)
VMT_ATOMIC(atomic_fetch_or_explicit, __atomic_fetch_or)
VMT_ATOMIC(atomic_fetch_and_explicit, __atomic_fetch_and)
VMT_ATOMIC(atomic_fetch_min_explicit, __atomic_fetch_min)
VMT_ATOMIC(atomic_fetch_max_explicit, __atomic_fetch_max)
VMT_ATOMIC(atomic_exchange_explicit, __atomic_exchange_n)
#undef VMT_ATOMIC
template <typename A> static inline auto atomic_load_explicit(A *object, memory_order) {
    typedef __typeof__(+object->value) T;
    return (T)__atomic_load_n((T *)&object->value, __ATOMIC_RELAXED);
}
template <typename A, typename V> static inline void atomic_store_explicit(A *object, V v, memory_order) {
    typedef __typeof__(+object->value) T;
    __atomic_store_n((T *)&object->value, (T)v, __ATOMIC_RELAXED);
}

/* ---- arguments of entries */

/* Becomes whatever pointer or reference the kernel's parameter is. */
struct vmt_any_buffer {
    void *address;
    template <typename T> operator device T *() const { return (device T *)address; }
};
struct vmt_any_args {
    const void *address;
    template <typename T> operator constant T &() const { return *(constant T *)address; }
};
static inline vec<uint, 3> vmt_uint3(const uint32_t *v) {
    return vec<uint, 3>{v[0], v[1], v[2]};
}

} // namespace metal

/* `threadgroup T name[n]` at the top of a kernel. */
#define VMT_THREADGROUP(name, dims, ...)                   \
    typedef __typeof__(__VA_ARGS__ dims) vmt_array_##name; \
    threadgroup vmt_array_##name &name =                   \
        *(threadgroup vmt_array_##name *)vmt_host_threadgroup_array(sizeof(vmt_array_##name))

#endif
