/* backend/cuda/shim.h: <metal_stdlib> for kernels that NVRTC compiles.  Embedded in the binary as text; no C file
 * includes it.  Covers the subset of docs/kernels.md and no more, and needs no header of CUDA's.
 *
 * half and bfloat are stored in 16 bits and computed in float.  Unqualified functions may be as rough as Metal's fast
 * ones; precise:: ones are CUDA's own. */
#ifndef VMT_BACKEND_CUDA_SHIM_H
#define VMT_BACKEND_CUDA_SHIM_H

#define METAL_FUNC                       __device__ __forceinline__
#define VMT_KERNEL                       __device__ __forceinline__
#define VMT_CONSTANT                     static __device__
#define VMT_DIMS(...)                    __VA_ARGS__
#define VMT_THREADGROUP(name, dims, ...) __shared__ __align__(16) __VA_ARGS__ name dims

namespace metal {

typedef signed char int8_t;
typedef short int16_t;
typedef int int32_t;
typedef long int64_t;
typedef unsigned char uint8_t;
typedef unsigned short uint16_t;
typedef unsigned int uint32_t;
typedef unsigned long uint64_t;
typedef unsigned char uchar;
typedef unsigned short ushort;
typedef unsigned int uint;
typedef unsigned long ulong;

template <typename To, typename From> METAL_FUNC To as_type(From v) {
    static_assert(sizeof(To) == sizeof(From), "as_type keeps the size");
    To out;
    memcpy(&out, &v, sizeof out);
    return out;
}

/* ---- 16-bit floats */

struct half {
    unsigned short bits;
    half() = default;
    METAL_FUNC half(float v) { asm("cvt.rn.f16.f32 %0, %1;" : "=h"(bits) : "f"(v)); }
    METAL_FUNC operator float() const {
        float v;
        asm("cvt.f32.f16 %0, %1;" : "=f"(v) : "h"(bits));
        return v;
    }
    METAL_FUNC half &operator+=(float v) { return *this = half(float(*this) + v); }
    METAL_FUNC half &operator-=(float v) { return *this = half(float(*this) - v); }
    METAL_FUNC half &operator*=(float v) { return *this = half(float(*this) * v); }
};
struct bfloat {
    unsigned short bits;
    bfloat() = default;
    METAL_FUNC bfloat(float v) { asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(bits) : "f"(v)); }
    METAL_FUNC operator float() const { return as_type<float>((unsigned)bits << 16); }
    METAL_FUNC bfloat &operator+=(float v) { return *this = bfloat(float(*this) + v); }
    METAL_FUNC bfloat &operator-=(float v) { return *this = bfloat(float(*this) - v); }
    METAL_FUNC bfloat &operator*=(float v) { return *this = bfloat(float(*this) * v); }
};

/* ---- vectors */

template <typename T, int N> struct vec;
template <typename T> struct __align__(2 * sizeof(T)) vec<T, 2> {
    T x, y;
    vec() = default;
    METAL_FUNC vec(T s) : x(s), y(s) {}
    METAL_FUNC vec(T x_, T y_) : x(x_), y(y_) {}
    template <typename U> METAL_FUNC explicit vec(vec<U, 2> v) : x(T(v.x)), y(T(v.y)) {}
    METAL_FUNC T &operator[](uint i) { return (&x)[i]; }
    METAL_FUNC T operator[](uint i) const { return (&x)[i]; }
};
template <typename T> struct vec<T, 3> {
    T x, y, z;
    vec() = default;
    METAL_FUNC vec(T s) : x(s), y(s), z(s) {}
    METAL_FUNC vec(T x_, T y_, T z_) : x(x_), y(y_), z(z_) {}
    METAL_FUNC T &operator[](uint i) { return (&x)[i]; }
    METAL_FUNC T operator[](uint i) const { return (&x)[i]; }
};
template <typename T> struct __align__(4 * sizeof(T)) vec<T, 4> {
    T x, y, z, w;
    vec() = default;
    METAL_FUNC vec(T s) : x(s), y(s), z(s), w(s) {}
    METAL_FUNC vec(T x_, T y_, T z_, T w_) : x(x_), y(y_), z(z_), w(w_) {}
    METAL_FUNC vec(vec<T, 2> a, vec<T, 2> b) : x(a.x), y(a.y), z(b.x), w(b.y) {}
    template <typename U> METAL_FUNC explicit vec(vec<U, 4> v) : x(T(v.x)), y(T(v.y)), z(T(v.z)), w(T(v.w)) {}
    METAL_FUNC T &operator[](uint i) { return (&x)[i]; }
    METAL_FUNC T operator[](uint i) const { return (&x)[i]; }
};

template <typename T> struct vmt_same {
    typedef T type;
};
#define VMT_OPERATOR(op)                                                                                       \
    template <typename T, int N> METAL_FUNC vec<T, N> operator op(vec<T, N> a, vec<T, N> b) {                  \
        vec<T, N> out;                                                                                         \
        for (int i = 0; i < N; i++) out[i] = T(a[i] op b[i]);                                                  \
        return out;                                                                                            \
    }                                                                                                          \
    template <typename T, int N> METAL_FUNC vec<T, N> operator op(vec<T, N> a, typename vmt_same<T>::type b) { \
        return a op vec<T, N>(b);                                                                              \
    }                                                                                                          \
    template <typename T, int N> METAL_FUNC vec<T, N> operator op(typename vmt_same<T>::type a, vec<T, N> b) { \
        return vec<T, N>(a) op b;                                                                              \
    }                                                                                                          \
    template <typename T, int N> METAL_FUNC vec<T, N> &operator op##=(vec<T, N> &a, vec<T, N> b) {             \
        return a = a op b;                                                                                     \
    }                                                                                                          \
    template <typename T, int N>                                                                               \
    METAL_FUNC vec<T, N> &operator op##=(vec<T, N> &a, typename vmt_same<T>::type b) {                         \
        return a = a op vec<T, N>(b);                                                                          \
    }
VMT_OPERATOR(+)
VMT_OPERATOR(-)
VMT_OPERATOR(*)
VMT_OPERATOR(/)
VMT_OPERATOR(&)
VMT_OPERATOR(|)
VMT_OPERATOR(^)
VMT_OPERATOR(<<)
VMT_OPERATOR(>>)
#undef VMT_OPERATOR
template <typename T, int N> METAL_FUNC vec<T, N> operator-(vec<T, N> a) {
    vec<T, N> out;
    for (int i = 0; i < N; i++) out[i] = T(-a[i]);
    return out;
}

#define VMT_VECTORS(T)      \
    typedef vec<T, 2> T##2; \
    typedef vec<T, 3> T##3; \
    typedef vec<T, 4> T##4;
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
#undef VMT_VECTORS

/* ---- numbers */

#define FLT_MAX      3.402823466e+38f
#define FLT_MIN      1.175494351e-38f
#define HALF_MAX     (half(65504.0f))
#define M_PI_F       3.14159265358979323846f
#define M_SQRT1_2_F  0.70710678118654752440f
#define M_2_SQRTPI_F 1.12837916709551257390f
#define M_LOG2E_F    1.44269504088896340736f
#define M_LN2_F      0.69314718055994530942f
#define INT_MAX      2147483647
#define UINT_MAX     4294967295u

#define VMT_MATH1(name, call)                                         \
    METAL_FUNC float name(float x) {                                  \
        return call;                                                  \
    }                                                                 \
    template <int N> METAL_FUNC vec<float, N> name(vec<float, N> v) { \
        for (int i = 0; i < N; i++) v[i] = name(v[i]);                \
        return v;                                                     \
    }
#define VMT_MATH_COMMON                       \
    VMT_MATH1(ceil, ::ceilf(x))               \
    VMT_MATH1(floor, ::floorf(x))             \
    VMT_MATH1(round, ::roundf(x))             \
    VMT_MATH1(rint, ::rintf(x))               \
    VMT_MATH1(trunc, ::truncf(x))             \
    VMT_MATH1(fabs, ::fabsf(x))               \
    VMT_MATH1(tan, ::tanf(x))                 \
    VMT_MATH1(tanh, ::tanhf(x))               \
    VMT_MATH1(sqrt, ::sqrtf(x))               \
    METAL_FUNC float pow(float x, float y) {  \
        return ::powf(x, y);                  \
    }                                         \
    METAL_FUNC float fmin(float x, float y) { \
        return ::fminf(x, y);                 \
    }                                         \
    METAL_FUNC float fmax(float x, float y) { \
        return ::fmaxf(x, y);                 \
    }
#define VMT_MATH_PRECISE                        \
    VMT_MATH_COMMON                             \
    VMT_MATH1(exp, ::expf(x))                   \
    VMT_MATH1(exp2, ::exp2f(x))                 \
    VMT_MATH1(exp10, ::exp10f(x))               \
    VMT_MATH1(log, ::logf(x))                   \
    VMT_MATH1(log2, ::log2f(x))                 \
    VMT_MATH1(log10, ::log10f(x))               \
    VMT_MATH1(sin, ::sinf(x))                   \
    VMT_MATH1(cos, ::cosf(x))                   \
    VMT_MATH1(rsqrt, ::rsqrtf(x))               \
    METAL_FUNC float divide(float x, float y) { \
        return x / y;                           \
    }
METAL_FUNC float vmt_exp2(float x) {
    float v;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(v) : "f"(x));
    return v;
}
#define VMT_MATH_FAST                           \
    VMT_MATH_COMMON                             \
    VMT_MATH1(exp, ::__expf(x))                 \
    VMT_MATH1(exp2, vmt_exp2(x))                \
    VMT_MATH1(exp10, ::__exp10f(x))             \
    VMT_MATH1(log, ::__logf(x))                 \
    VMT_MATH1(log2, ::__log2f(x))               \
    VMT_MATH1(log10, ::__log10f(x))             \
    VMT_MATH1(sin, ::sinf(x))                   \
    VMT_MATH1(cos, ::cosf(x))                   \
    VMT_MATH1(rsqrt, ::rsqrtf(x))               \
    METAL_FUNC float divide(float x, float y) { \
        return ::__fdividef(x, y);              \
    }
VMT_MATH_FAST
namespace fast {
VMT_MATH_FAST
}
namespace precise {
VMT_MATH_PRECISE
}
#undef VMT_MATH_FAST
#undef VMT_MATH_PRECISE
#undef VMT_MATH_COMMON
#undef VMT_MATH1

METAL_FUNC bool isnan(float x) {
    return x != x;
}
METAL_FUNC bool isinf(float x) {
    return ::fabsf(x) > FLT_MAX;
}
METAL_FUNC float fma(float a, float b, float c) {
    return ::fmaf(a, b, c);
}
template <int N> METAL_FUNC vec<float, N> fma(vec<float, N> a, vec<float, N> b, vec<float, N> c) {
    for (int i = 0; i < N; i++) a[i] = ::fmaf(a[i], b[i], c[i]);
    return a;
}
template <typename T> METAL_FUNC T min(T a, T b) {
    return b < a ? b : a;
}
template <typename T> METAL_FUNC T max(T a, T b) {
    return a < b ? b : a;
}
METAL_FUNC float min(float a, float b) {
    return ::fminf(a, b);
}
METAL_FUNC float max(float a, float b) {
    return ::fmaxf(a, b);
}
template <typename T, int N> METAL_FUNC vec<T, N> min(vec<T, N> a, vec<T, N> b) {
    for (int i = 0; i < N; i++) a[i] = min(a[i], b[i]);
    return a;
}
template <typename T, int N> METAL_FUNC vec<T, N> max(vec<T, N> a, vec<T, N> b) {
    for (int i = 0; i < N; i++) a[i] = max(a[i], b[i]);
    return a;
}
template <typename T> METAL_FUNC T clamp(T x, T low, T high) {
    return min(max(x, low), high);
}
METAL_FUNC float abs(float x) {
    return ::fabsf(x);
}
METAL_FUNC int abs(int x) {
    return x < 0 ? -x : x;
}
template <int N> METAL_FUNC vec<float, N> abs(vec<float, N> v) {
    return fabs(v);
}
template <typename T> METAL_FUNC T select(T if_false, T if_true, bool which) {
    return which ? if_true : if_false;
}
template <typename T> METAL_FUNC T mix(T a, T b, T t) {
    return a + (b - a) * t;
}
METAL_FUNC float sign(float x) {
    return x > 0.0f ? 1.0f : x < 0.0f ? -1.0f : 0.0f;
}
METAL_FUNC float dot(vec<float, 2> a, vec<float, 2> b) {
    return a.x * b.x + a.y * b.y;
}
METAL_FUNC float dot(vec<float, 4> a, vec<float, 4> b) {
    return a.x * b.x + a.y * b.y + a.z * b.z + a.w * b.w;
}
METAL_FUNC uint popcount(uint x) {
    return (uint)::__popc(x);
}
METAL_FUNC uint clz(uint x) {
    return (uint)::__clz((int)x);
}
METAL_FUNC uint ctz(uint x) {
    return x ? (uint)(::__ffs((int)x) - 1) : 32u;
}
METAL_FUNC uint mulhi(uint a, uint b) {
    return ::__umulhi(a, b);
}
METAL_FUNC uint extract_bits(uint x, uint offset, uint bits) {
    return bits == 0 ? 0u : (x >> offset) & (0xFFFFFFFFu >> (32u - bits));
}

/* ---- barriers */

enum class mem_flags { mem_none = 0, mem_device = 1, mem_threadgroup = 2 };
METAL_FUNC constexpr mem_flags operator|(mem_flags a, mem_flags b) {
    return (mem_flags)((int)a | (int)b);
}
METAL_FUNC void threadgroup_barrier(mem_flags) {
    __syncthreads();
}
METAL_FUNC void simdgroup_barrier(mem_flags) {
    __syncwarp();
}

/* ---- dispatches that follow one another: the next one's threadgroups may come to the card, and wait there until this
 * one is done and its memory is seen */

METAL_FUNC void vmt_next_may_come() {
#if __CUDA_ARCH__ >= 900
    asm volatile("griddepcontrol.launch_dependents;");
#endif
}
METAL_FUNC void vmt_wait_for_previous() {
#if __CUDA_ARCH__ >= 900
    asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}

/* ---- simdgroups are warps */

#define VMT_ALL_LANES 0xFFFFFFFFu
template <typename T> METAL_FUNC uint vmt_to_bits(T v) {
    static_assert(sizeof(T) == 4, "simd functions take 32-bit values, half and bfloat");
    return as_type<uint>(v);
}
METAL_FUNC uint vmt_to_bits(half v) {
    return v.bits;
}
METAL_FUNC uint vmt_to_bits(bfloat v) {
    return v.bits;
}
METAL_FUNC uint vmt_to_bits(bool v) {
    return v;
}
METAL_FUNC uint vmt_to_bits(ushort v) {
    return v;
}
template <typename T> struct vmt_from_bits {
    static METAL_FUNC T get(uint bits) { return as_type<T>(bits); }
};
template <> struct vmt_from_bits<half> {
    static METAL_FUNC half get(uint bits) { return as_type<half>((ushort)bits); }
};
template <> struct vmt_from_bits<bfloat> {
    static METAL_FUNC bfloat get(uint bits) { return as_type<bfloat>((ushort)bits); }
};
template <> struct vmt_from_bits<ushort> {
    static METAL_FUNC ushort get(uint bits) { return (ushort)bits; }
};
template <> struct vmt_from_bits<bool> {
    static METAL_FUNC bool get(uint bits) { return bits != 0; }
};
template <typename T> METAL_FUNC T simd_shuffle(T v, ushort source) {
    return vmt_from_bits<T>::get(__shfl_sync(VMT_ALL_LANES, vmt_to_bits(v), source));
}
template <typename T> METAL_FUNC T simd_broadcast(T v, ushort source) {
    return simd_shuffle(v, source);
}
template <typename T> METAL_FUNC T simd_broadcast_first(T v) {
    return simd_shuffle(v, 0);
}
template <typename T> METAL_FUNC T simd_shuffle_xor(T v, ushort mask) {
    return vmt_from_bits<T>::get(__shfl_xor_sync(VMT_ALL_LANES, vmt_to_bits(v), mask));
}
template <typename T> METAL_FUNC T quad_shuffle_xor(T v, ushort mask) {
    return simd_shuffle_xor(v, (ushort)(mask & 3));
}
template <typename T> METAL_FUNC T simd_shuffle_up(T v, ushort delta) {
    return vmt_from_bits<T>::get(__shfl_up_sync(VMT_ALL_LANES, vmt_to_bits(v), delta));
}
template <typename T> METAL_FUNC T simd_shuffle_down(T v, ushort delta) {
    return vmt_from_bits<T>::get(__shfl_down_sync(VMT_ALL_LANES, vmt_to_bits(v), delta));
}
template <typename T, int N> METAL_FUNC vec<T, N> simd_shuffle_xor(vec<T, N> v, ushort mask) {
    for (int i = 0; i < N; i++) v[i] = simd_shuffle_xor(v[i], mask);
    return v;
}
template <typename T> METAL_FUNC T simd_sum(T v) {
    for (ushort mask = 16; mask > 0; mask /= 2) v = T(v + simd_shuffle_xor(v, mask));
    return v;
}
template <typename T> METAL_FUNC T simd_max(T v) {
    for (ushort mask = 16; mask > 0; mask /= 2) v = max(v, simd_shuffle_xor(v, mask));
    return v;
}
template <typename T> METAL_FUNC T simd_min(T v) {
    for (ushort mask = 16; mask > 0; mask /= 2) v = min(v, simd_shuffle_xor(v, mask));
    return v;
}
template <typename T> METAL_FUNC T simd_or(T v) {
    return (T)__reduce_or_sync(VMT_ALL_LANES, (uint)v);
}
template <typename T> METAL_FUNC T simd_and(T v) {
    return (T)__reduce_and_sync(VMT_ALL_LANES, (uint)v);
}
METAL_FUNC uint simd_sum(uint v) {
    return __reduce_add_sync(VMT_ALL_LANES, v);
}
METAL_FUNC uint simd_max(uint v) {
    return __reduce_max_sync(VMT_ALL_LANES, v);
}
METAL_FUNC uint simd_min(uint v) {
    return __reduce_min_sync(VMT_ALL_LANES, v);
}
template <typename T> METAL_FUNC T quad_sum(T v) {
    v = T(v + simd_shuffle_xor(v, 2));
    return T(v + simd_shuffle_xor(v, 1));
}
template <typename T> METAL_FUNC T simd_prefix_inclusive_sum(T v) {
    for (ushort delta = 1; delta < 32; delta *= 2) {
        T other = simd_shuffle_up(v, delta);
        if ((threadIdx.x & 31u) >= delta) v = T(v + other);
    }
    return v;
}
template <typename T> METAL_FUNC T simd_prefix_exclusive_sum(T v) {
    T before = simd_shuffle_up(simd_prefix_inclusive_sum(v), 1);
    return (threadIdx.x & 31u) == 0 ? T(0) : before;
}
METAL_FUNC bool simd_any(bool v) {
    return __any_sync(VMT_ALL_LANES, v);
}
METAL_FUNC bool simd_all(bool v) {
    return __all_sync(VMT_ALL_LANES, v);
}

/* ---- atomics */

enum memory_order { memory_order_relaxed };
struct atomic_uint {
    uint value;
};
struct atomic_int {
    int value;
};
#define VMT_ATOMIC(name, call)                                        \
    METAL_FUNC uint name(atomic_uint *object, uint v, memory_order) { \
        return call(&object->value, v);                               \
    }                                                                 \
    METAL_FUNC int name(atomic_int *object, int v, memory_order) {    \
        return call(&object->value, v);                               \
    }
VMT_ATOMIC(atomic_fetch_add_explicit, ::atomicAdd)
VMT_ATOMIC(atomic_fetch_sub_explicit, ::atomicSub)
VMT_ATOMIC(atomic_fetch_or_explicit, ::atomicOr)
VMT_ATOMIC(atomic_fetch_and_explicit, ::atomicAnd)
VMT_ATOMIC(atomic_fetch_min_explicit, ::atomicMin)
VMT_ATOMIC(atomic_fetch_max_explicit, ::atomicMax)
VMT_ATOMIC(atomic_exchange_explicit, ::atomicExch)
VMT_ATOMIC(atomic_store_explicit, ::atomicExch)
#undef VMT_ATOMIC
METAL_FUNC uint atomic_load_explicit(const atomic_uint *object, memory_order) {
    return *(const volatile uint *)&object->value;
}
METAL_FUNC int atomic_load_explicit(const atomic_int *object, memory_order) {
    return *(const volatile int *)&object->value;
}

/* ---- arguments of entries: become whatever pointer the kernel's parameter is */

struct vmt_any_in {
    const void *address;
    template <typename T> METAL_FUNC operator const T *() const { return (const T *)address; }
};
struct vmt_any_out {
    void *address;
    template <typename T> METAL_FUNC operator T *() const { return (T *)address; }
};

} // namespace metal

#define device
#define threadgroup
#define thread
#define constant const

#endif
