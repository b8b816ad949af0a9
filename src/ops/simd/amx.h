/* ops/simd/amx.h: tile configuration, for sources compiled with AMX. */
#ifndef VMT_OPS_SIMD_AMX_H
#define VMT_OPS_SIMD_AMX_H

#include <immintrin.h>
#include <stdint.h>

typedef struct amx_config { /* LDTILECFG's operand */
    uint8_t palette, start_row, reserved[14];
    uint16_t col_bytes[16];
    uint8_t rows[16];
} amx_config;

static inline void amx_shape(amx_config *config, int tile, uint32_t rows, uint32_t col_bytes) {
    config->palette = 1;
    config->rows[tile] = (uint8_t)rows;
    config->col_bytes[tile] = (uint16_t)col_bytes;
}

static inline void amx_load_config(const amx_config *config) {
    /* gcc 12 takes the load to read the first eight bytes alone, and may drop the stores of the others. */
    __asm__ volatile("" : : "r"(config) : "memory");
    _tile_loadconfig(config);
}

/* The compiler does not know that tile loads read memory. */
#define AMX_ORDER_MEMORY() __asm__ volatile("" ::: "memory")

#endif
