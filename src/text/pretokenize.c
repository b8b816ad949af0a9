#include "text/pretokenize.h"
#include "text/unicode_class.h"

struct run {
    const vmt_pretokenizer *pre;
    vmt_scratch *scratch;
    vmt_word_sink sink;
    bool at_start;
};

static vmt_status run_stage(const struct run *run, uint32_t stage_idx, vmt_str text, bool at_start);

/* The spans of one stage, matches and gaps in turn, on their way to the next stage. */
struct splitter {
    const struct run *run;
    const vmt_stage *stage;
    uint32_t stage_idx;
    vmt_str text;
    bool at_start;
    bool have_held, held_match, last_match;
    size_t held_begin, held_end;
};

static inline vmt_status one_word(const struct run *run, vmt_str word) {
    return run->sink.words(run->sink.model, run->scratch, (const uint8_t *)word.ptr, 0, &word.len, 1);
}

static inline vmt_status pass_on(struct splitter *sp, size_t begin, size_t end) {
    if (begin == end) return VMT_OK;
    vmt_str piece = {sp->text.ptr + begin, end - begin};
    if (sp->stage_idx + 1 == sp->run->pre->num_stages) {
        return one_word(sp->run, piece);
    }
    return run_stage(sp->run, sp->stage_idx + 1, piece, sp->at_start && begin == 0);
}

static vmt_status release_held(struct splitter *sp) {
    if (!sp->have_held) return VMT_OK;
    sp->have_held = false;
    return pass_on(sp, sp->held_begin, sp->held_end);
}

static vmt_status hold(struct splitter *sp, size_t begin, size_t end, bool is_match) {
    VMT_TRY(release_held(sp));
    sp->have_held = true;
    sp->held_match = is_match;
    sp->held_begin = begin;
    sp->held_end = end;
    return VMT_OK;
}

static vmt_status on_span(struct splitter *sp, size_t begin, size_t end, bool is_match) {
    is_match ^= sp->stage->invert;
    bool joins = false;
    switch (sp->stage->behavior) {
    case VMT_SPLIT_ISOLATED: return pass_on(sp, begin, end);
    case VMT_SPLIT_REMOVED: return is_match ? VMT_OK : pass_on(sp, begin, end);
    case VMT_SPLIT_CONTIGUOUS: joins = sp->have_held && is_match == sp->last_match; break;
    case VMT_SPLIT_MERGED_WITH_PREVIOUS: joins = sp->have_held && is_match && !sp->last_match; break;
    case VMT_SPLIT_MERGED_WITH_NEXT: joins = sp->have_held && sp->held_match && !is_match; break;
    }
    sp->last_match = is_match;
    if (!joins) return hold(sp, begin, end, is_match);
    sp->held_end = end;
    sp->held_match = is_match;
    return VMT_OK;
}

static vmt_status split_by_scan(struct splitter *sp) {
    const uint8_t *s = (const uint8_t *)sp->text.ptr;
    size_t len = sp->text.len;
    vmt_scan scan = sp->stage->scan;
    size_t ends[VMT_WORD_BATCH];
    bool every_span = sp->stage->behavior == VMT_SPLIT_ISOLATED ||
                      (sp->stage->behavior == VMT_SPLIT_REMOVED && sp->stage->invert);
    if (every_span && sp->stage_idx + 1 == sp->run->pre->num_stages) { /* the path of nearly every tokenizer */
        vmt_word_sink sink = sp->run->sink;
        for (size_t pos = 0; pos < len;) {
            uint32_t n = vmt_scan_words(scan, s, len, pos, ends, VMT_WORD_BATCH);
            VMT_TRY(sink.words(sink.model, sp->run->scratch, s, pos, ends, n));
            pos = ends[n - 1];
        }
        return VMT_OK;
    }
    for (size_t pos = 0; pos < len;) {
        uint32_t n = vmt_scan_words(scan, s, len, pos, ends, VMT_WORD_BATCH);
        for (uint32_t i = 0; i < n; pos = ends[i++]) VMT_TRY(on_span(sp, pos, ends[i], true));
    }
    return release_held(sp);
}

static vmt_status split_by_regex(struct splitter *sp) {
    size_t gap = 0, from = 0;
    bool not_empty = false;
    for (;;) {
        vmt_regex_span m;
        vmt_status status = vmt_regex_next(sp->stage->regex, sp->run->scratch, sp->text, from, not_empty, &m);
        if (status == VMT_E_NOT_FOUND) break;
        VMT_TRY(status);
        if (m.begin > gap) VMT_TRY(on_span(sp, gap, m.begin, false));
        VMT_TRY(on_span(sp, m.begin, m.end, true));
        gap = from = m.end;
        not_empty = true;
    }
    if (gap < sp->text.len) VMT_TRY(on_span(sp, gap, sp->text.len, false));
    return release_held(sp);
}

static vmt_status split_by_class(struct splitter *sp) {
    const uint8_t *s = (const uint8_t *)sp->text.ptr;
    size_t gap = 0;
    for (size_t pos = 0; pos < sp->text.len;) {
        uint32_t n, c = vmt_utf8_decode_valid(s + pos, &n);
        if (sp->stage->in_class(c)) {
            if (pos > gap) VMT_TRY(on_span(sp, gap, pos, false));
            VMT_TRY(on_span(sp, pos, pos + n, true));
            gap = pos + n;
        }
        pos += n;
    }
    if (gap < sp->text.len) VMT_TRY(on_span(sp, gap, sp->text.len, false));
    return release_held(sp);
}

static vmt_status split_by_words(struct splitter *sp) {
    const uint8_t *s = (const uint8_t *)sp->text.ptr;
    size_t begin = 0;
    int kind = -1; /* 0 white space, 1 word, 2 other */
    for (size_t pos = 0; pos < sp->text.len;) {
        uint32_t n, c = vmt_utf8_decode_valid(s + pos, &n);
        uint8_t facts = vmt_unicode_facts_of(c);
        int now = (facts & VMT_UNICODE_WORD) ? 1 : (facts & VMT_UNICODE_SPACE) ? 0 : 2;
        if (now != kind && kind > 0) VMT_TRY(pass_on(sp, begin, pos));
        if (now != kind) begin = pos;
        kind = now;
        pos += n;
    }
    return kind > 0 ? pass_on(sp, begin, sp->text.len) : VMT_OK;
}

static vmt_status no_memory(const struct run *run) {
    return vmt_fail(run->scratch->err, VMT_E_NO_MEMORY, "no memory to split the text");
}

/* Markers of the text are spaces to the model if its keys are (see vmt_pretokenizer.metaspace and marker). */
static vmt_status split_by_metaspace(struct splitter *sp) {
    static const char lower_block[] = "\xE2\x96\x81";
    const vmt_stage *stage = sp->stage;
    vmt_buf *buf = &sp->run->scratch->stage[sp->stage_idx];
    vmt_str text = sp->text, marker = {stage->marker, stage->marker_len};
    vmt_buf_clear(buf);
    bool to_space = marker.len == 1;
    bool starts = text.ptr[0] == ' ' || vmt_str_starts(text, marker) ||
                  (to_space && vmt_str_starts(text, vmt_str_from(lower_block)));
    if (!starts && (stage->prepend == 2 || (stage->prepend == 1 && sp->at_start))) vmt_buf_append(buf, marker);
    for (size_t pos = 0; pos < text.len;) {
        size_t hit = vmt_str_find(text, to_space ? vmt_str_from(lower_block) : VMT_STR(" "), pos);
        size_t end = VMT_MIN(hit, text.len);
        vmt_buf_append(buf, vmt_str_slice(text, pos, end));
        if (hit == SIZE_MAX) break;
        vmt_buf_append(buf, marker);
        pos = end + (to_space ? 3 : 1);
    }
    if (buf->failed) return no_memory(sp->run);
    sp->text = text = vmt_buf_str(buf);
    sp->run->scratch->readable_end = (const uint8_t *)text.ptr + text.len;
    size_t begin = 0;
    for (size_t pos = 1; stage->split && pos + marker.len <= text.len; pos++) {
        if (text.ptr[pos] != marker.ptr[0] || memcmp(text.ptr + pos, marker.ptr, marker.len) != 0) continue;
        if (pos > begin) VMT_TRY(pass_on(sp, begin, pos));
        begin = pos;
    }
    return pass_on(sp, begin, text.len);
}

static vmt_status add_prefix(struct splitter *sp) {
    if (sp->text.ptr[0] != ' ') {
        vmt_buf *buf = &sp->run->scratch->stage[sp->stage_idx];
        vmt_buf_clear(buf);
        vmt_buf_append_byte(buf, ' ');
        vmt_buf_append(buf, sp->text);
        if (buf->failed) return no_memory(sp->run);
        sp->text = vmt_buf_str(buf);
        sp->run->scratch->readable_end = (const uint8_t *)sp->text.ptr + sp->text.len;
    }
    return pass_on(sp, 0, sp->text.len);
}

static vmt_status run_stage(const struct run *run, uint32_t stage_idx, vmt_str text, bool at_start) {
    if (text.len == 0) return VMT_OK;
    if (stage_idx == run->pre->num_stages) {
        return one_word(run, text);
    }
    struct splitter sp = {.run = run,
                          .stage = &run->pre->stages[stage_idx],
                          .stage_idx = stage_idx,
                          .text = text,
                          .at_start = at_start};
    const uint8_t *readable_end = run->scratch->readable_end;
    vmt_status status = VMT_OK;
    switch (sp.stage->kind) {
    case VMT_STAGE_SCAN: status = split_by_scan(&sp); break;
    case VMT_STAGE_REGEX: status = split_by_regex(&sp); break;
    case VMT_STAGE_CLASS: status = split_by_class(&sp); break;
    case VMT_STAGE_WORDS: status = split_by_words(&sp); break;
    case VMT_STAGE_METASPACE: status = split_by_metaspace(&sp); break;
    case VMT_STAGE_PREFIX: status = add_prefix(&sp); break;
    }
    run->scratch->readable_end = readable_end;
    return status;
}

vmt_status vmt_pretokenize(const vmt_pretokenizer *pre, vmt_scratch *scratch, vmt_str text, bool at_start,
                           vmt_word_sink sink) {
    struct run run = {.pre = pre, .scratch = scratch, .sink = sink, .at_start = at_start};
    return run_stage(&run, 0, text, at_start);
}
