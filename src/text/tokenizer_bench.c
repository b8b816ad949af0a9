/* Speed of a tokenizer, and a way to ask it from a script.
 *
 *   tokenizer_bench TOKENIZER TEXT [ROUNDS]   load time, then MB/s of processor time per
 *                                             round: the first starts with an empty cache
 *   tokenizer_bench TOKENIZER --lines         for each line of stdin, a JSON string or {"text": ..., "special": bool,
 *                                             "plain": bool} or {"ids": [...], "skip_special": bool}:
 *                                             a line with the ids, or with the text as a JSON string
 *
 * TOKENIZER is a tokenizer.json, or JSON with the fields of a GGUF file (tools/dump_gguf_tokenizer.py). */
#include "base/file.h"
#include "json/json_writer.h"
#include "text/detokenizer.h"
#include "text/tokenizer.h"
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define INPUT_MAX ((size_t)1 << 30)

/* Processor time of this thread: on a busy machine the one clock that tells programs apart. */
static uint64_t clock_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static int fail(const vmt_err *err) {
    fprintf(stderr, "%s\n", err->msg);
    return 1;
}

static int32_t get_int(vmt_json object, const char *key) {
    int64_t value = -1;
    bool flag;
    vmt_json member = vmt_json_member(object, vmt_str_from(key));
    if (vmt_json_get_bool(member, &flag)) value = flag;
    vmt_json_get_i64(member, &value);
    return (int32_t)value;
}

static uint32_t get_strings(vmt_json object, const char *key, vmt_str **out) {
    vmt_json list = vmt_json_member(object, vmt_str_from(key)), item;
    vmt_str name;
    uint32_t n = 0;
    *out = calloc(vmt_json_size(list) + 1, sizeof **out);
    for (vmt_json_iter it = vmt_json_iter_begin(list); vmt_json_iter_next(&it, &name, &item); n++) {
        vmt_json_get_str(item, &(*out)[n]);
    }
    return n;
}

static vmt_status load_gguf(vmt_tokenizer **tok, vmt_json root, vmt_err *err) {
    vmt_tokenizer_gguf spec = {0};
    vmt_json item;
    vmt_str key, *tokens, *merges;
    vmt_json_get_str(VMT_JSON_AT(root, "gguf"), &spec.model);
    vmt_json_get_str(VMT_JSON_AT(root, "pre"), &spec.pre);
    spec.num_tokens = get_strings(root, "tokens", &tokens);
    spec.num_merges = get_strings(root, "merges", &merges);
    int32_t *kinds = calloc(spec.num_tokens + 1u, sizeof *kinds);
    float *scores = calloc(spec.num_tokens + 1u, sizeof *scores);
    uint32_t n = 0;
    for (vmt_json_iter it = vmt_json_iter_begin(VMT_JSON_AT(root, "kinds"));
         n < spec.num_tokens && vmt_json_iter_next(&it, &key, &item); n++) {
        int64_t value = 0;
        vmt_json_get_i64(item, &value);
        kinds[n] = (int32_t)value;
        spec.kinds = kinds;
    }
    n = 0;
    for (vmt_json_iter it = vmt_json_iter_begin(VMT_JSON_AT(root, "scores"));
         n < spec.num_tokens && vmt_json_iter_next(&it, &key, &item); n++) {
        double value = 0;
        vmt_json_get_f64(item, &value);
        scores[n] = (float)value;
        spec.scores = scores;
    }
    spec.tokens = tokens;
    spec.merges = merges;
    spec.bos_id = get_int(root, "bos_id");
    spec.eos_id = get_int(root, "eos_id");
    spec.unk_id = get_int(root, "unk_id");
    spec.pad_id = -1;
    spec.add_bos = get_int(root, "add_bos");
    spec.add_eos = get_int(root, "add_eos");
    spec.add_space_prefix = get_int(root, "add_space_prefix");
    vmt_status status = vmt_tokenizer_from_gguf(tok, &spec, err);
    free(tokens);
    free(merges);
    free(kinds);
    free(scores);
    return status;
}

static vmt_status load(vmt_tokenizer **tok, const char *path, uint64_t *ns, vmt_err *err) {
    vmt_map map;
    uint64_t begin = clock_ns();
    VMT_TRY(vmt_map_open(&map, path, err));
    vmt_str text = {(const char *)map.data, map.size};
    vmt_status status;
    if (vmt_str_starts(text, VMT_STR("{\"gguf\""))) {
        vmt_json_doc *doc = NULL;
        status = vmt_json_parse(&doc, text, err);
        if (status == VMT_OK) status = load_gguf(tok, vmt_json_root(doc), err);
        vmt_json_doc_destroy(doc);
    } else {
        status = vmt_tokenizer_from_json(tok, text, err);
    }
    vmt_map_close(&map);
    *ns = clock_ns() - begin;
    return status;
}

static bool flag(vmt_json object, const char *key) {
    bool value = false;
    vmt_json_get_bool(vmt_json_member(object, vmt_str_from(key)), &value);
    return value;
}

static void answer_decode(const vmt_tokenizer *tok, vmt_json root, vmt_json_writer *w) {
    vmt_json item;
    vmt_str key;
    vmt_tokens tokens = {0};
    for (vmt_json_iter it = vmt_json_iter_begin(VMT_JSON_AT(root, "ids")); vmt_json_iter_next(&it, &key, &item);) {
        int64_t id = -1;
        vmt_json_get_i64(item, &id);
        if (vmt_array_grow((void **)&tokens.ids, &tokens.cap, tokens.len + 1, sizeof *tokens.ids, 1u << 30) != 0)
            break;
        tokens.ids[tokens.len++] = (int32_t)id;
    }
    vmt_buf text;
    vmt_buf_init(&text, 0);
    vmt_tokenizer_decode(tok, tokens.ids, tokens.len, flag(root, "skip_special"), &text);
    vmt_json_str(w, vmt_buf_str(&text));
    vmt_buf_free(&text);
    vmt_tokens_free(&tokens);
}

static int answer_lines(const vmt_tokenizer *tok) {
    char *line = NULL;
    size_t cap = 0;
    ssize_t n;
    vmt_buf out;
    vmt_buf_init(&out, 0);
    while ((n = getline(&line, &cap, stdin)) > 0) {
        vmt_err err = {0};
        vmt_json_doc *doc = NULL;
        if (vmt_json_parse(&doc, (vmt_str){line, (size_t)n}, &err) != VMT_OK) return fail(&err);
        vmt_json root = vmt_json_root(doc);
        vmt_json_writer w;
        vmt_buf_clear(&out);
        vmt_json_writer_init(&w, &out);
        vmt_str text;
        if (vmt_json_get_str(root, &text) || vmt_json_get_str(VMT_JSON_AT(root, "text"), &text)) {
            vmt_tokens tokens = {0};
            vmt_encode_options options = {.add_special = flag(root, "special"),
                                          .plain_special = flag(root, "plain")};
            if (vmt_tokenizer_encode(tok, text, options, &tokens, &err) != VMT_OK) {
                vmt_json_c_str(&w, err.msg);
            } else {
                vmt_json_begin_array(&w);
                for (size_t i = 0; i < tokens.len; i++) vmt_json_i64(&w, tokens.ids[i]);
                vmt_json_end_array(&w);
            }
            vmt_tokens_free(&tokens);
        } else {
            answer_decode(tok, root, &w);
        }
        vmt_buf_append_byte(&out, '\n');
        fwrite(out.ptr, 1, out.len, stdout);
        vmt_json_doc_destroy(doc);
    }
    fflush(stdout);
    vmt_buf_free(&out);
    free(line);
    return 0;
}

int main(int argc, char **argv) {
    if (argc < 3) {
        fprintf(stderr, "usage: tokenizer_bench TOKENIZER TEXT [ROUNDS] | tokenizer_bench TOKENIZER --lines\n");
        return 2;
    }
    vmt_err err = {0};
    vmt_tokenizer *tok;
    uint64_t load_ns;
    if (load(&tok, argv[1], &load_ns, &err) != VMT_OK) return fail(&err);
    if (strcmp(argv[2], "--lines") == 0) {
        int rc = answer_lines(tok);
        vmt_tokenizer_destroy(tok);
        return rc;
    }
    vmt_buf text, back;
    vmt_buf_init(&text, 0);
    vmt_buf_init(&back, 0);
    if (vmt_file_read(&text, argv[2], INPUT_MAX, &err) != VMT_OK) return fail(&err);
    printf("load_ms=%.1f bytes=%zu", (double)load_ns / 1e6, text.len);
    uint64_t rounds = 3;
    if (argc > 3 && !vmt_str_to_u64(vmt_str_from(argv[3]), &rounds)) rounds = 3;
    vmt_tokens tokens = {0};
    for (uint64_t i = 0; i < rounds; i++) {
        tokens.len = 0;
        uint64_t begin = clock_ns();
        if (vmt_tokenizer_encode(tok, vmt_buf_str(&text), (vmt_encode_options){0}, &tokens, &err))
            return fail(&err);
        double seconds = (double)(clock_ns() - begin) / 1e9;
        printf(" mb_per_s=%.1f", (double)text.len / 1e6 / seconds);
    }
    uint64_t begin = clock_ns();
    vmt_tokenizer_decode(tok, tokens.ids, tokens.len, false, &back);
    double seconds = (double)(clock_ns() - begin) / 1e9;
    printf(" tokens=%zu decode_mb_per_s=%.1f\n", tokens.len, (double)back.len / 1e6 / seconds);
    vmt_tokens_free(&tokens);
    vmt_buf_free(&text);
    vmt_buf_free(&back);
    vmt_tokenizer_destroy(tok);
    return 0;
}
