#include "backend/metal/chips.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

static const vmt_chip chips[] = {
    {"M1", 8, 68, 2.6, 16, 13},         {"M1-Pro", 16, 200, 5.3, 32, 13},
    {"M1-Max", 32, 400, 10.6, 64, 13},  {"M1-Ultra", 64, 800, 21.2, 128, 13},
    {"M2", 10, 100, 3.58, 24, 14},      {"M2-Pro", 19, 200, 6.8, 32, 14},
    {"M2-Max", 38, 400, 13.6, 96, 14},  {"M2-Ultra", 76, 800, 27.2, 192, 14},
    {"M3", 10, 100, 3.5, 24, 15},       {"M3-Pro", 18, 150, 6.4, 36, 15},
    {"M3-Max", 40, 400, 14.1, 128, 15}, {"M3-Ultra", 80, 819, 28.3, 512, 15},
    {"M4", 10, 120, 3.8, 32, 16},       {"M4-Pro", 20, 273, 8.1, 64, 16},
    {"M4-Max", 40, 546, 16.2, 128, 16}, {"M5", 10, 153, 4.0, 32, 17},
    {"M5-Pro", 20, 307, 8.0, 64, 17},   {"M5-Max", 40, 614, 16.0, 128, 17},
};

/* Reported by others: a quantized matrix-vector product streams 97 % of an M3 Max's bandwidth at its best, a dense one
 * 87 % of an M5 Pro's and 78 % of an M5 Max's; dependent dispatches of one concurrent encoder lie 0.5 to 1.3 us apart,
 * of a serial one 2; a command buffer's border costs the GPU about 20 us; matrix products over many rows reach 61 to
 * 83 % of the shader cores' rate. */
#define BANDWIDTH_SHARE 0.85
#define FLOPS_SHARE     0.65
#define BARRIER_NS      1300.0
#define DISPATCH_NS     100.0
#define COMMANDS_NS     20000.0

static bool same_name(vmt_str a, const char *b) {
    size_t i = 0;
    for (; *b; b++, i++) {
        if (i >= a.len) return false;
        char want = *b, got = a.ptr[i];
        if (want == '-' && (got == ' ' || got == '-' || got == '_')) continue;
        if (tolower((unsigned char)want) != tolower((unsigned char)got)) return false;
    }
    return i == a.len;
}

const vmt_chip *vmt_chip_find(vmt_str name) {
    for (size_t i = 0; i < VMT_COUNT(chips); i++) {
        if (same_name(name, chips[i].name)) return &chips[i];
    }
    return NULL;
}

const char *vmt_chip_list(char *out, size_t cap) {
    size_t len = 0;
    out[0] = 0;
    for (size_t i = 0; i < VMT_COUNT(chips) && len < cap; i++) {
        len += (size_t)snprintf(out + len, cap - len, "%s%s", i ? ", " : "", chips[i].name);
    }
    return out;
}

vmt_step_prediction vmt_chip_predict(const vmt_chip *chip, const vmt_step_cost *cost) {
    double bytes_ns = (double)cost->bytes / chip->gb_per_s; /* 10^9 bytes a second are 1 byte a ns */
    double flops_ns = (double)cost->flops / (chip->tflops * 1e3);
    vmt_step_prediction p = {
        .ceiling_ns = VMT_MAX(bytes_ns, flops_ns),
        .memory_ns = bytes_ns / BANDWIDTH_SHARE,
        .compute_ns = flops_ns / FLOPS_SHARE,
        .gaps_ns = cost->num_dispatches * DISPATCH_NS + cost->num_barriers * BARRIER_NS + COMMANDS_NS,
    };
    p.total_ns = VMT_MAX(p.memory_ns, p.compute_ns) + p.gaps_ns;
    return p;
}
