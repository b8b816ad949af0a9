#include "cli/scripted_runner.h"
#include "json/json.h"

#include <stdlib.h>

#define PEAK 100.0f /* above logits of 0: nothing else is ever sampled */

struct script {
    vmt_tokens tokens;
    vmt_buf match; /* empty: taken in turn */
};

/* What was said after the token in a slot. */
struct said {
    int32_t script; /* -1: nothing */
    uint32_t idx;   /* of its tokens */
};

struct vmt_scripted_runner {
    vmt_scripted_runner_config config;
    struct script *scripts;
    uint32_t num_scripts;
    uint32_t turn;
    int32_t *slots;    /* [num_blocks * block_size] token ids */
    struct said *said; /* likewise */
    int32_t *prompt;   /* [max_model_len] */
    vmt_buf text;      /* of a prompt */
    float *logits;
    size_t logits_cap; /* floats */
};

static vmt_status add_text(vmt_scripted_runner *r, struct script *script, vmt_str text, vmt_err *err) {
    return vmt_tokenizer_encode(r->config.tokenizer, text, (vmt_encode_options){0}, &script->tokens, err);
}

static vmt_status add_texts(vmt_scripted_runner *r, struct script *script, vmt_json given, vmt_err *err) {
    vmt_json piece;
    vmt_str text;
    if (vmt_json_get_str(given, &text)) return add_text(r, script, text, err);
    if (vmt_json_typeof(given) != VMT_JSON_ARRAY) {
        return vmt_fail(err, VMT_E_INVALID, "script %u has no \"text\"", r->num_scripts);
    }
    for (vmt_json_iter it = vmt_json_iter_begin(given); vmt_json_iter_next(&it, NULL, &piece);) {
        if (!vmt_json_get_str(piece, &text)) {
            return vmt_fail(err, VMT_E_INVALID, "script %u has a piece of text that is no string", r->num_scripts);
        }
        VMT_TRY(add_text(r, script, text, err));
    }
    return VMT_OK;
}

static vmt_status read_script(vmt_scripted_runner *r, vmt_str line, vmt_err *err) {
    vmt_json_doc *doc = NULL;
    struct script *script = &r->scripts[r->num_scripts++];
    vmt_str match = {0};
    VMT_TRY(vmt_json_parse(&doc, line, err));
    vmt_json_get_str(VMT_JSON_AT(vmt_json_root(doc), "match"), &match);
    vmt_buf_append(&script->match, match);
    vmt_status status = add_texts(r, script, VMT_JSON_AT(vmt_json_root(doc), "text"), err);
    vmt_json_doc_destroy(doc);
    return status;
}

static vmt_status read_scripts(vmt_scripted_runner *r, vmt_str scripts, vmt_err *err) {
    size_t num_lines = 1;
    for (size_t i = 0; i < scripts.len; i++) num_lines += scripts.ptr[i] == '\n';
    if (num_lines > VMT_SCRIPTS_MAX) {
        return vmt_fail(err, VMT_E_EXHAUSTED, "%zu scripts, the limit is %u", num_lines, VMT_SCRIPTS_MAX);
    }
    r->scripts = calloc(num_lines, sizeof *r->scripts);
    if (!r->scripts) return vmt_fail(err, VMT_E_NO_MEMORY, "no memory for the scripts");
    for (size_t at = 0; at < scripts.len;) {
        size_t end = vmt_str_find(scripts, VMT_STR("\n"), at);
        if (end == SIZE_MAX) end = scripts.len;
        vmt_str line = vmt_str_trim(vmt_str_slice(scripts, at, end));
        if (line.len) VMT_TRY(read_script(r, line, err));
        at = end + 1;
    }
    return r->num_scripts ? VMT_OK : vmt_fail(err, VMT_E_INVALID, "the fake model has no script");
}

vmt_status vmt_scripted_runner_create(vmt_scripted_runner **out, vmt_str scripts,
                                      const vmt_scripted_runner_config *config, vmt_err *err) {
    *out = NULL;
    vmt_scripted_runner *r = calloc(1, sizeof *r);
    if (!r) return vmt_fail(err, VMT_E_NO_MEMORY, "no memory for the fake model");
    r->config = *config;
    size_t num_slots = (size_t)config->num_blocks * config->block_size;
    r->slots = calloc(num_slots, sizeof *r->slots);
    r->said = calloc(num_slots, sizeof *r->said);
    r->prompt = calloc(config->max_model_len, sizeof *r->prompt);
    vmt_status status = VMT_OK;
    if (!r->slots || !r->said || !r->prompt) {
        status = vmt_fail(err, VMT_E_NO_MEMORY, "no memory for the fake model");
    }
    if (status == VMT_OK) status = read_scripts(r, scripts, err);
    if (status != VMT_OK) {
        vmt_scripted_runner_destroy(r);
        return status;
    }
    *out = r;
    return VMT_OK;
}

void vmt_scripted_runner_destroy(vmt_scripted_runner *r) {
    if (!r) return;
    for (uint32_t i = 0; i < r->num_scripts; i++) {
        vmt_tokens_free(&r->scripts[i].tokens);
        vmt_buf_free(&r->scripts[i].match);
    }
    free(r->scripts);
    free(r->slots);
    free(r->said);
    free(r->prompt);
    free(r->logits);
    vmt_buf_free(&r->text);
    free(r);
}

/* A row of the batch that wants logits: sequence seq_idx after its first len tokens. */
struct row {
    const vmt_batch *batch;
    uint32_t seq_idx, len;
    uint32_t num_new; /* of len: this step's */
};

static size_t slot_of(const vmt_scripted_runner *r, const struct row *row, uint32_t position) {
    const int32_t *table = row->batch->block_tables + (size_t)row->seq_idx * row->batch->block_table_stride;
    uint32_t size = r->config.block_size;
    return (size_t)table[position / size] * size + position % size;
}

static struct said choose(vmt_scripted_runner *r, const struct row *row) {
    for (uint32_t i = 0; i < row->len; i++) r->prompt[i] = r->slots[slot_of(r, row, i)];
    vmt_buf_clear(&r->text);
    vmt_tokenizer_decode(r->config.tokenizer, r->prompt, row->len, false, &r->text);
    uint32_t num_plain = 0;
    for (uint32_t i = 0; i < r->num_scripts; i++) {
        vmt_str match = vmt_buf_str(&r->scripts[i].match);
        num_plain += match.len == 0;
        if (match.len && vmt_str_find(vmt_buf_str(&r->text), match, 0) != SIZE_MAX) {
            return (struct said){(int32_t)i, 0};
        }
    }
    uint32_t turn = num_plain ? r->turn++ % num_plain : 0;
    for (uint32_t i = 0; i < r->num_scripts; i++) {
        if (r->scripts[i].match.len == 0 && turn-- == 0) return (struct said){(int32_t)i, 0};
    }
    return (struct said){-1, 0};
}

/* The new tokens go on with what was being said: one token of whatever kind, or several of the script. */
static bool goes_on(const vmt_scripted_runner *r, const struct row *row, struct said before) {
    if (before.script < 0 || row->num_new == 1) return before.script >= 0;
    const vmt_tokens *script = &r->scripts[before.script].tokens;
    for (uint32_t i = 0; i < row->num_new; i++) {
        int32_t id = r->slots[slot_of(r, row, row->len - row->num_new + i)];
        if (before.idx + i >= script->len || script->ids[before.idx + i] != id) return false;
    }
    return true;
}

static int32_t next_token(vmt_scripted_runner *r, const struct row *row) {
    struct said now = {-1, 0};
    if (row->len > row->num_new) {
        struct said before = r->said[slot_of(r, row, row->len - row->num_new - 1)];
        if (goes_on(r, row, before)) now = (struct said){before.script, before.idx + row->num_new};
    }
    if (now.script < 0) now = choose(r, row);
    r->said[slot_of(r, row, row->len - 1)] = now;
    if (now.script < 0 || now.idx >= r->scripts[now.script].tokens.len) return r->config.eos_id;
    return r->scripts[now.script].tokens.ids[now.idx];
}

static vmt_status forward(void *self, const vmt_batch *batch, float **logits, vmt_err *err) {
    vmt_scripted_runner *r = self;
    uint32_t vocab = r->config.vocab;
    size_t need = (size_t)batch->num_logits * vocab;
    if (need > r->logits_cap) {
        float *grown = realloc(r->logits, need * sizeof *grown);
        if (!grown) return vmt_fail(err, VMT_E_NO_MEMORY, "no memory for the fake model's logits");
        r->logits = grown;
        r->logits_cap = need;
    }
    for (uint32_t i = 0; i < batch->num_tokens; i++) {
        r->slots[batch->slot_mapping[i]] = batch->token_ids[i];
        r->said[batch->slot_mapping[i]].script = -1;
    }
    if (need) memset(r->logits, 0, need * sizeof *r->logits);
    uint32_t k = 0;
    for (uint32_t i = 0; i < batch->num_seqs; i++) {
        uint32_t begin = batch->cu_seqlens_q[i], end = batch->cu_seqlens_q[i + 1];
        for (; k < batch->num_logits && batch->logit_rows[k] < end; k++) {
            uint32_t num_after = end - 1 - batch->logit_rows[k];
            const struct row row = {batch, i, batch->seq_lens[i] - num_after, end - begin - num_after};
            int32_t id = next_token(r, &row);
            if (id >= 0 && (uint32_t)id < vocab) r->logits[(size_t)k * vocab + (uint32_t)id] = PEAK;
        }
    }
    *logits = r->logits;
    return VMT_OK;
}

vmt_runner vmt_scripted_runner_face(vmt_scripted_runner *r) {
    return (vmt_runner){
        .self = r,
        .vocab = r->config.vocab,
        .max_model_len = r->config.max_model_len,
        .forward = forward,
    };
}
