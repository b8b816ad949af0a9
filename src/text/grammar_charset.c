#include "text/grammar_charset.h"
#include "base/buf.h"
#include "text/unicode_class.h"

#include <stdlib.h>

#define CHAR_MAX_ 0x10FFFFu

void vmt_charset_free(vmt_charset *set) {
    free(set->ranges);
    *set = (vmt_charset){0};
}

void vmt_charset_clear(vmt_charset *set) {
    set->num_ranges = 0;
    set->status = VMT_OK;
}

void vmt_charset_add(vmt_charset *set, uint32_t lo, uint32_t hi) {
    if (set->status != VMT_OK) return;
    set->status = vmt_array_grow((void **)&set->ranges, &set->cap, (size_t)set->num_ranges + 1,
                                 sizeof *set->ranges, VMT_CHARSET_RANGES_MAX);
    if (set->status == VMT_OK) set->ranges[set->num_ranges++] = (vmt_char_range){lo, hi};
}

static int compare(const void *a, const void *b) {
    const vmt_char_range *x = a, *y = b;
    return x->lo < y->lo ? -1 : x->lo > y->lo;
}

/* Sorted, disjoint, not touching. */
static void normalize(vmt_charset *set) {
    if (set->num_ranges == 0) return;
    qsort(set->ranges, set->num_ranges, sizeof *set->ranges, compare);
    uint32_t n = 0;
    for (uint32_t i = 1; i < set->num_ranges; i++) {
        vmt_char_range *last = &set->ranges[n], r = set->ranges[i];
        if (r.lo <= last->hi + 1)
            last->hi = VMT_MAX(last->hi, r.hi);
        else
            set->ranges[++n] = r;
    }
    set->num_ranges = n + 1;
}

void vmt_charset_negate(vmt_charset *set) {
    normalize(set);
    uint32_t n = set->num_ranges, lo = 0;
    /* The gaps go behind the ranges, and then to the front. */
    for (uint32_t i = 0; i < n; i++) {
        vmt_char_range r = set->ranges[i];
        if (r.lo > lo) vmt_charset_add(set, lo, r.lo - 1);
        lo = r.hi + 1;
    }
    if (lo <= CHAR_MAX_) vmt_charset_add(set, lo, CHAR_MAX_);
    if (set->status != VMT_OK) return;
    set->num_ranges -= n;
    memmove(set->ranges, set->ranges + n, set->num_ranges * sizeof *set->ranges);
}

static const vmt_char_range digits[] = {{'0', '9'}};
static const vmt_char_range words[] = {{'0', '9'}, {'A', 'Z'}, {'_', '_'}, {'a', 'z'}};
static const vmt_char_range spaces[] = {{9, 13},          {32, 32},         {0xA0, 0xA0},     {0x1680, 0x1680},
                                        {0x2000, 0x200A}, {0x2028, 0x2029}, {0x202F, 0x202F}, {0x205F, 0x205F},
                                        {0x3000, 0x3000}, {0xFEFF, 0xFEFF}};

void vmt_charset_add_class(vmt_charset *set, char letter) {
    const vmt_char_range *ranges = spaces;
    size_t n = VMT_COUNT(spaces);
    char lower = (char)(letter | 0x20);
    if (lower == 'd') {
        ranges = digits;
        n = VMT_COUNT(digits);
    } else if (lower == 'w') {
        ranges = words;
        n = VMT_COUNT(words);
    }
    uint32_t lo = 0;
    for (size_t i = 0; i < n; i++) {
        if (lower == letter)
            vmt_charset_add(set, ranges[i].lo, ranges[i].hi);
        else if (ranges[i].lo > lo)
            vmt_charset_add(set, lo, ranges[i].lo - 1);
        lo = ranges[i].hi + 1;
    }
    if (lower != letter) vmt_charset_add(set, lo, CHAR_MAX_);
}

static const struct {
    const char *name, *long_name;
    uint32_t mask;
} categories[] = {
    {"L", "Letter", VMT_GC_MASK_L},
    {"Lu", "Uppercase_Letter", VMT_GC_BIT(VMT_GC_LU)},
    {"Ll", "Lowercase_Letter", VMT_GC_BIT(VMT_GC_LL)},
    {"Lt", "Titlecase_Letter", VMT_GC_BIT(VMT_GC_LT)},
    {"Lm", "Modifier_Letter", VMT_GC_BIT(VMT_GC_LM)},
    {"Lo", "Other_Letter", VMT_GC_BIT(VMT_GC_LO)},
    {"M", "Mark", VMT_GC_MASK_M},
    {"Mn", "Nonspacing_Mark", VMT_GC_BIT(VMT_GC_MN)},
    {"Mc", "Spacing_Mark", VMT_GC_BIT(VMT_GC_MC)},
    {"Me", "Enclosing_Mark", VMT_GC_BIT(VMT_GC_ME)},
    {"N", "Number", VMT_GC_MASK_N},
    {"Nd", "Decimal_Number", VMT_GC_BIT(VMT_GC_ND)},
    {"Nl", "Letter_Number", VMT_GC_BIT(VMT_GC_NL)},
    {"No", "Other_Number", VMT_GC_BIT(VMT_GC_NO)},
    {"P", "Punctuation", VMT_GC_MASK_P},
    {"Pc", "Connector_Punctuation", VMT_GC_BIT(VMT_GC_PC)},
    {"Pd", "Dash_Punctuation", VMT_GC_BIT(VMT_GC_PD)},
    {"Ps", "Open_Punctuation", VMT_GC_BIT(VMT_GC_PS)},
    {"Pe", "Close_Punctuation", VMT_GC_BIT(VMT_GC_PE)},
    {"Pi", "Initial_Punctuation", VMT_GC_BIT(VMT_GC_PI)},
    {"Pf", "Final_Punctuation", VMT_GC_BIT(VMT_GC_PF)},
    {"Po", "Other_Punctuation", VMT_GC_BIT(VMT_GC_PO)},
    {"S", "Symbol", VMT_GC_MASK_S},
    {"Sm", "Math_Symbol", VMT_GC_BIT(VMT_GC_SM)},
    {"Sc", "Currency_Symbol", VMT_GC_BIT(VMT_GC_SC)},
    {"Sk", "Modifier_Symbol", VMT_GC_BIT(VMT_GC_SK)},
    {"So", "Other_Symbol", VMT_GC_BIT(VMT_GC_SO)},
    {"Z", "Separator", VMT_GC_BIT(VMT_GC_ZS) | VMT_GC_BIT(VMT_GC_ZL) | VMT_GC_BIT(VMT_GC_ZP)},
    {"Zs", "Space_Separator", VMT_GC_BIT(VMT_GC_ZS)},
    {"Cc", "Control", VMT_GC_BIT(VMT_GC_CC)},
};

bool vmt_charset_add_category(vmt_charset *set, vmt_str name, bool is_negated) {
    static const char *const prefixes[] = {"gc=", "General_Category="};
    for (size_t i = 0; i < VMT_COUNT(prefixes); i++) {
        vmt_str prefix = vmt_str_from(prefixes[i]);
        if (vmt_str_starts(name, prefix)) name = vmt_str_slice(name, prefix.len, name.len);
    }
    size_t k = 0;
    while (k < VMT_COUNT(categories) && !vmt_str_eq_c(name, categories[k].name) &&
           !vmt_str_eq_c(name, categories[k].long_name)) {
        k++;
    }
    if (k == VMT_COUNT(categories)) return false;
    uint32_t lo = 0;
    bool was_in = false;
    for (uint32_t c = 0; c <= CHAR_MAX_ + 1; c++) {
        bool is_in = c <= CHAR_MAX_ && ((vmt_unicode_gc_bit(c) & categories[k].mask) != 0) != is_negated;
        if (is_in && !was_in) lo = c;
        if (!is_in && was_in) vmt_charset_add(set, lo, c - 1);
        was_in = is_in;
    }
    return true;
}

void vmt_charset_emit(vmt_charset *set, vmt_rules *rules, uint32_t from, uint32_t to) {
    if (set->status != VMT_OK) vmt_rules_fail(rules, set->status);
    normalize(set);
    for (uint32_t i = 0; i < set->num_ranges; i++) {
        vmt_rules_chars(rules, from, to, set->ranges[i].lo, set->ranges[i].hi);
    }
}
