/* vmetal tokenize: text to ids, ids to text, messages to a prompt, with a model's own tokenizer and template. */
#include "base/clock.h"
#include "base/file.h"
#include "cli/bundle.h"
#include "cli/command_error.h"
#include "cli/commands.h"
#include "json/json_writer.h"

#define INPUT_MAX ((size_t)1 << 30) /* bytes of standard input, or of one line of it */

typedef struct tokenize_options {
    vmt_flag_list args; /* MODEL [TEXT] */
    vmt_bundle_options bundle;
    bool json, decode, add_special, skip_special, add_generation_prompt;
    vmt_str chat;
} tokenize_options;

static const tokenize_options defaults = {
    .bundle = VMT_BUNDLE_DEFAULTS, .add_special = true, .add_generation_prompt = true};

#define ROW(n, k, v, f, d, h)                                                                      \
    .name = n, .kind = VMT_FLAG_##k, .group = "Options", .value = v, .default_text = d, .help = h, \
    .offset = offsetof(tokenize_options, f)

static const vmt_flag flags[] = {
    {ROW("json", BOOL, NULL, json, NULL,
         "standard input is JSON lines: {\"text\": ...} gives {\"ids\": [...]}, with --decode the other way "
         "round")},
    {ROW("decode", BOOL, NULL, decode, NULL, "ids to text; ids are separated by blanks or commas")},
    {ROW("chat", STR, "FILE", chat, NULL,
         "render a JSON list of messages (or {\"messages\": ..., \"tools\": ...}) with the chat template; with "
         "--json "
         "also its ids")},
    {ROW("add-special-tokens", BOOL, NULL, add_special, "on", "begin with BOS and the like, as the model wants")},
    {ROW("skip-special-tokens", BOOL, NULL, skip_special, NULL, "leave special tokens out of decoded text")},
    {ROW("add-generation-prompt", BOOL, NULL, add_generation_prompt, "on",
         "end a chat with the answer's beginning")},
    {ROW("tokenizer", STR, "PATH", bundle.tokenizer, "the model's",
         "take the tokenizer from this folder or file")},
    {ROW("chat-template", STR, "FILE|TEXT", bundle.chat_template, "the model's", "Jinja chat template")},
    {ROW("download-dir", STR, "DIR", bundle.download_dir, NULL, "where fetched models are kept")},
    {ROW("quiet", BOOL, NULL, bundle.quiet, NULL, "no progress bars")},
};

struct work {
    const tokenize_options *options;
    vmt_bundle bundle;
    vmt_err *err;
};

/* ---- one text, one list of ids */

static vmt_status encode(struct work *w, vmt_str text, bool add_special, vmt_tokens *out) {
    vmt_encode_options options = {.add_special = add_special};
    return vmt_tokenizer_encode(w->bundle.tokenizer, text, options, out, w->err);
}

static void write_ids(vmt_json_writer *json, const vmt_tokens *tokens) {
    vmt_json_begin_array(json);
    for (size_t i = 0; i < tokens->len; i++) vmt_json_i64(json, tokens->ids[i]);
    vmt_json_end_array(json);
}

static vmt_status push_id(struct work *w, vmt_tokens *tokens, int64_t id) {
    if (id < 0 || id >= (int64_t)vmt_tokenizer_vocab_size(w->bundle.tokenizer)) {
        return vmt_fail(w->err, VMT_E_INVALID, "id %lld is outside the vocabulary of %u", (long long)id,
                        vmt_tokenizer_vocab_size(w->bundle.tokenizer));
    }
    VMT_TRY(vmt_array_grow((void **)&tokens->ids, &tokens->cap, tokens->len + 1, sizeof *tokens->ids, INPUT_MAX));
    tokens->ids[tokens->len++] = (int32_t)id;
    return VMT_OK;
}

static vmt_status read_ids(struct work *w, vmt_str text, vmt_tokens *tokens) {
    static const char separators[] = " \t\r\n,[]";
    for (size_t at = 0; at < text.len;) {
        size_t end = at;
        while (end < text.len && (text.ptr[end] == '\0' || strchr(separators, text.ptr[end]) == NULL)) end++;
        vmt_str word = vmt_str_slice(text, at, end);
        int64_t id;
        at = end + 1;
        if (word.len == 0) continue;
        if (!vmt_str_to_i64(word, &id)) {
            return vmt_fail(w->err, VMT_E_INVALID, "\"%.*s\" is not a token id", (int)VMT_MIN(word.len, 40),
                            word.ptr);
        }
        VMT_TRY(push_id(w, tokens, id));
    }
    return VMT_OK;
}

static vmt_status convert_text(struct work *w, vmt_str text, vmt_buf *out) {
    vmt_tokens tokens = {0};
    vmt_status status;
    if (w->options->decode) {
        status = read_ids(w, text, &tokens);
        if (status == VMT_OK) {
            vmt_tokenizer_decode(w->bundle.tokenizer, tokens.ids, tokens.len, w->options->skip_special, out);
        }
    } else {
        status = encode(w, text, w->options->add_special, &tokens);
        for (size_t i = 0; i < tokens.len; i++) vmt_buf_printf(out, "%s%d", i > 0 ? " " : "", tokens.ids[i]);
    }
    vmt_buf_append_byte(out, '\n');
    vmt_tokens_free(&tokens);
    return status;
}

/* ---- JSON lines */

static vmt_status encode_object(struct work *w, vmt_json object, vmt_json_writer *json) {
    vmt_str text;
    vmt_tokens tokens = {0};
    bool add_special = w->options->add_special;
    if (!vmt_json_get_str(VMT_JSON_AT(object, "text"), &text)) {
        return vmt_fail(w->err, VMT_E_INVALID, "it has no string called text");
    }
    vmt_json_get_bool(VMT_JSON_AT(object, "add_special_tokens"), &add_special);
    vmt_status status = encode(w, text, add_special, &tokens);
    vmt_json_key(json, "ids");
    write_ids(json, &tokens);
    vmt_tokens_free(&tokens);
    return status;
}

static vmt_status decode_object(struct work *w, vmt_json object, vmt_json_writer *json) {
    vmt_json ids = VMT_JSON_AT(object, "ids"), item;
    vmt_tokens tokens = {0};
    vmt_buf text;
    vmt_status status = VMT_OK;
    bool skip_special = w->options->skip_special;
    vmt_json_get_bool(VMT_JSON_AT(object, "skip_special_tokens"), &skip_special);
    if (vmt_json_typeof(ids) != VMT_JSON_ARRAY) {
        return vmt_fail(w->err, VMT_E_INVALID, "it has no list called ids");
    }
    vmt_buf_init(&text, 0);
    for (vmt_json_iter it = vmt_json_iter_begin(ids); status == VMT_OK && vmt_json_iter_next(&it, NULL, &item);) {
        int64_t id = -1;
        vmt_json_get_i64(item, &id);
        status = push_id(w, &tokens, id);
    }
    if (status == VMT_OK) vmt_tokenizer_decode(w->bundle.tokenizer, tokens.ids, tokens.len, skip_special, &text);
    vmt_json_key(json, "text");
    vmt_json_str(json, vmt_buf_str(&text));
    vmt_buf_free(&text);
    vmt_tokens_free(&tokens);
    return status;
}

static vmt_status convert_line(struct work *w, vmt_str line, vmt_buf *out) {
    vmt_json_doc *doc = NULL;
    vmt_json_writer json;
    vmt_json_writer_init(&json, out);
    VMT_TRY(vmt_json_parse(&doc, line, w->err));
    vmt_json object = vmt_json_root(doc);
    vmt_json_begin_object(&json);
    vmt_status status = w->options->decode ? decode_object(w, object, &json) : encode_object(w, object, &json);
    vmt_json_end_object(&json);
    vmt_json_doc_destroy(doc);
    vmt_buf_append_byte(out, '\n');
    return status;
}

static vmt_status print(struct work *w, vmt_buf *out) {
    if (out->failed) return vmt_fail(w->err, VMT_E_NO_MEMORY, "no memory for the output");
    bool is_written = fwrite(out->ptr, 1, out->len, stdout) == out->len && fflush(stdout) == 0;
    vmt_buf_clear(out);
    return is_written ? VMT_OK : vmt_fail(w->err, VMT_E_IO, "can't write to standard output");
}

static vmt_status convert_lines(struct work *w) {
    char *line = NULL;
    size_t cap = 0;
    ssize_t len;
    vmt_buf out;
    vmt_status status = VMT_OK;
    vmt_buf_init(&out, 0);
    while (status == VMT_OK && (len = getline(&line, &cap, stdin)) >= 0) {
        vmt_str text = vmt_str_trim((vmt_str){line, (size_t)len});
        if (text.len == 0) continue;
        status = convert_line(w, text, &out);
        if (status == VMT_OK) status = print(w, &out);
    }
    vmt_buf_free(&out);
    free(line);
    return status;
}

/* ---- messages */

static vmt_str special_text(const struct work *w, int32_t id) {
    return id >= 0 ? vmt_tokenizer_spelling(w->bundle.tokenizer, id) : (vmt_str){"", 0};
}

static vmt_status render(struct work *w, vmt_json root, vmt_buf *prompt) {
    if (w->bundle.chat_template == NULL) {
        return vmt_fail(w->err, VMT_E_NOT_FOUND, "the model has no chat template; give one with --chat-template");
    }
    bool is_list = vmt_json_typeof(root) == VMT_JSON_ARRAY;
    vmt_json messages = is_list ? root : VMT_JSON_AT(root, "messages"), tools = VMT_JSON_AT(root, "tools");
    if (vmt_json_typeof(messages) != VMT_JSON_ARRAY) {
        return vmt_fail(w->err, VMT_E_INVALID, "--chat: the file holds no list of messages");
    }
    vmt_template_var vars[] = {
        {.name = VMT_STR("messages"), .json = messages},
        {.name = VMT_STR("add_generation_prompt"), .boolean = w->options->add_generation_prompt},
        {.name = VMT_STR("bos_token"), .text = special_text(w, vmt_tokenizer_bos(w->bundle.tokenizer))},
        {.name = VMT_STR("eos_token"), .text = special_text(w, vmt_tokenizer_eos(w->bundle.tokenizer))},
        {.name = VMT_STR("tools"), .json = tools, .boolean = -1},
    };
    vmt_render_options options = {vars, VMT_COUNT(vars), vmt_clock_unix_s()};
    return vmt_chat_template_render(w->bundle.chat_template, &options, prompt, w->err);
}

static vmt_status print_chat(struct work *w, vmt_str prompt) {
    vmt_buf out;
    vmt_tokens tokens = {0};
    vmt_json_writer json;
    vmt_status status = VMT_OK;
    vmt_buf_init(&out, 0);
    if (w->options->json) {
        status = encode(w, prompt, false, &tokens);
        vmt_json_writer_init(&json, &out);
        vmt_json_begin_object(&json);
        vmt_json_key(&json, "prompt");
        vmt_json_str(&json, prompt);
        vmt_json_key(&json, "ids");
        write_ids(&json, &tokens);
        vmt_json_end_object(&json);
        vmt_buf_append_byte(&out, '\n');
    } else {
        vmt_buf_append(&out, prompt);
    }
    if (status == VMT_OK) status = print(w, &out);
    vmt_tokens_free(&tokens);
    vmt_buf_free(&out);
    return status;
}

static vmt_status convert_chat(struct work *w) {
    vmt_buf text, prompt;
    vmt_json_doc *doc = NULL;
    vmt_str path = vmt_arena_dup(w->bundle.arena, w->options->chat);
    if (path.ptr == NULL) return vmt_fail(w->err, VMT_E_NO_MEMORY, "no memory for a path");
    vmt_buf_init(&text, 0);
    vmt_buf_init(&prompt, 0);
    vmt_status status = vmt_file_read(&text, path.ptr, INPUT_MAX, w->err);
    if (status == VMT_OK) status = vmt_json_parse(&doc, vmt_buf_str(&text), w->err);
    if (status == VMT_OK) status = render(w, vmt_json_root(doc), &prompt);
    if (status == VMT_OK) status = print_chat(w, vmt_buf_str(&prompt));
    vmt_json_doc_destroy(doc);
    vmt_buf_free(&prompt);
    vmt_buf_free(&text);
    return status;
}

/* ---- the command */

static vmt_status read_stdin(struct work *w, vmt_buf *text) {
    char chunk[65536];
    size_t len;
    while ((len = fread(chunk, 1, sizeof chunk, stdin)) > 0) vmt_buf_append(text, (vmt_str){chunk, len});
    if (ferror(stdin)) return vmt_fail(w->err, VMT_E_IO, "can't read standard input");
    if (text->failed)
        return vmt_fail(w->err, VMT_E_EXHAUSTED, "standard input has more than %zu bytes", INPUT_MAX);
    return VMT_OK;
}

static vmt_status convert(struct work *w) {
    const tokenize_options *o = w->options;
    vmt_bundle_options bundle = o->bundle;
    bundle.model = o->args.items[0];
    VMT_TRY(vmt_bundle_open(&w->bundle, &bundle, w->err));
    if (o->chat.len > 0) return convert_chat(w);
    if (o->json) return convert_lines(w);
    vmt_buf in, out;
    vmt_buf_init(&in, INPUT_MAX);
    vmt_buf_init(&out, 0);
    bool has_text = o->args.num > 1;
    vmt_status status = has_text ? VMT_OK : read_stdin(w, &in);
    vmt_str text = has_text ? o->args.items[1] : vmt_buf_str(&in);
    if (!has_text && vmt_str_ends(text, VMT_STR("\n"))) text.len--; /* what `echo` adds is not meant */
    if (status == VMT_OK) status = convert_text(w, text, &out);
    if (status == VMT_OK) status = print(w, &out);
    vmt_buf_free(&in);
    vmt_buf_free(&out);
    return status;
}

static int run(const void *options) {
    vmt_err err = {0};
    struct work w = {.options = options, .err = &err};
    if (w.options->args.num == 0) {
        fprintf(stderr,
                "vmetal tokenize: which MODEL? for example: vmetal tokenize SmolLM2-135M-Instruct \"Hello\"\n");
        return VMT_EXIT_USAGE;
    }
    vmt_status status = convert(&w);
    vmt_bundle_close(&w.bundle);
    return status == VMT_OK ? EXIT_SUCCESS : vmt_command_fail("tokenize", status, &err);
}

const vmt_command vmt_tokenize_command = {
    .name = "tokenize",
    .summary = "turns text into token ids and back, or renders a chat",
    .usage = "vmetal tokenize MODEL [TEXT] [flags]",
    .positional = "MODEL and TEXT",
    .flags = flags,
    .num_flags = VMT_COUNT(flags),
    .positional_offset = offsetof(tokenize_options, args),
    .positionals_max = 2,
    .example = "vmetal tokenize SmolLM2-135M-Instruct \"Hello, world\"",
    .run = run,
    .defaults = &defaults,
    .options_bytes = sizeof(tokenize_options),
};
