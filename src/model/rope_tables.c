/* model/rope_tables.c: see the header. */
#include "model/rope_tables.h"
#include <math.h>

#define TWO_PI 6.283185307179586476925

static double plain(double theta, uint32_t i, uint32_t dim) {
    return pow(theta, -2.0 * i / dim);
}

/* Long wavelengths are stretched by factor, short ones kept, with a linear blend between. */
static double llama3(const vmt_model_config *c, double freq) {
    double wavelength = TWO_PI / freq, context = c->rope_original_context;
    if (wavelength < context / c->rope_high_freq_factor) return freq;
    if (wavelength > context / c->rope_low_freq_factor) return freq / c->rope_factor;
    double blend =
        (context / wavelength - c->rope_low_freq_factor) / (c->rope_high_freq_factor - c->rope_low_freq_factor);
    return (1.0 - blend) * freq / c->rope_factor + blend * freq;
}

/* The dimension whose wavelength fits so many rotations into the original context (arXiv:2309.00071). */
static double yarn_dim(const vmt_model_config *c, double rotations) {
    return c->rotary_dim * log(c->rope_original_context / (rotations * TWO_PI)) / (2.0 * log(c->rope_theta));
}

static double yarn(const vmt_model_config *c, double freq, uint32_t i) {
    double low = fmax(floor(yarn_dim(c, c->yarn_beta_fast)), 0.0);
    double high = fmin(ceil(yarn_dim(c, c->yarn_beta_slow)), c->rotary_dim - 1.0);
    if (low == high) high += 0.001;
    double ramp = fmin(fmax((i - low) / (high - low), 0.0), 1.0);
    return freq / c->rope_factor * ramp + freq * (1.0 - ramp);
}

/* NTK-aware base for a context longer than the one trained on. */
static double dynamic_theta(const vmt_model_config *c, uint32_t context_max) {
    if (context_max <= c->rope_original_context) return c->rope_theta;
    double stretch = c->rope_factor * context_max / c->rope_original_context - (c->rope_factor - 1.0);
    return c->rope_theta * pow(stretch, c->rotary_dim / (c->rotary_dim - 2.0));
}

static double attention_factor(const vmt_model_config *c) {
    if (c->rope_attention_factor > 0) return c->rope_attention_factor;
    if (c->rope_scaling == VMT_ROPE_YARN) return c->rope_factor <= 1.0 ? 1.0 : 0.1 * log(c->rope_factor) + 1.0;
    if (c->rope_scaling != VMT_ROPE_LONGROPE) return 1.0;
    double factor = c->rope_factor > 0 ? c->rope_factor : (double)c->context_max / c->rope_original_context;
    return factor <= 1.0 ? 1.0 : sqrt(1.0 + log(factor) / log(c->rope_original_context));
}

void vmt_rope_table_init(vmt_rope_table *out, const vmt_model_config *c, uint32_t context_max) {
    double theta = c->rope_scaling == VMT_ROPE_DYNAMIC ? dynamic_theta(c, context_max) : c->rope_theta;
    bool is_long = context_max > c->rope_original_context;
    for (uint32_t i = 0; i < c->rotary_dim / 2; i++) {
        double freq = plain(theta, i, c->rotary_dim);
        switch (c->rope_scaling) {
        case VMT_ROPE_PLAIN:
        case VMT_ROPE_DYNAMIC: break;
        case VMT_ROPE_LINEAR: freq /= c->rope_factor; break;
        case VMT_ROPE_LLAMA3: freq = llama3(c, freq); break;
        case VMT_ROPE_YARN: freq = yarn(c, freq, i); break;
        case VMT_ROPE_LONGROPE: freq /= (double)(is_long ? c->longrope_long[i] : c->longrope_short[i]); break;
        case VMT_ROPE_GGUF_FACTORS: freq /= (double)c->longrope_short[i]; break;
        }
        out->inv_freq[i] = (float)freq;
    }
    out->attention_factor = (float)attention_factor(c);
}
