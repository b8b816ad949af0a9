/* api/choice_output.h: a choice's text, taken apart into reasoning, content and tool calls, for the dialects to
 * write.
 *
 * What the request wants is fixed while it is parsed (text thread); the events arrive on the loop.  Without a
 * parser the text is content as it is. */
#ifndef VMT_API_CHOICE_OUTPUT_H
#define VMT_API_CHOICE_OUTPUT_H

#include "api/api.h"
#include "text/output_parser.h"

#define VMT_CALL_ID_MAX 320u /* bytes: functions.NAME:IDX */

/* What the server knows of its model's ways. */
typedef struct vmt_output_rules {
    const vmt_tool_dialect *dialect;      /* NULL: none known */
    const vmt_reasoning_style *reasoning; /* likewise */
    bool reasoning_by_name;               /* --reasoning-parser, not the template */
    bool takes_late_systems;              /* the template does (api/chat_merge.h) */
} vmt_output_rules;

/* From the names and the template of config.  VMT_E_INVALID for a name that is none. */
vmt_status vmt_output_rules_resolve(vmt_output_rules *out, const vmt_api_config *config, vmt_err *err);

/* What a request wants. */
typedef struct vmt_output_wish {
    const vmt_tool_dialect *dialect;
    const vmt_reasoning_style *reasoning;
    bool begins_in_reasoning, only_first_call, drops_reasoning;
    bool may_begin_reasoning; /* the prompt leaves it to the model */
    bool has_tools;           /* calls are looked for */
    bool must_call;           /* and there is nothing else */
    vmt_str named_tool;       /* that must be called, in the arena; empty: any */
    vmt_json_doc *tools;      /* owned by the job; NULL: none */
} vmt_output_wish;

typedef struct vmt_choice_call {
    vmt_str name;
    char id[VMT_CALL_ID_MAX];
    vmt_buf args;  /* of a stream: not sent yet */
    bool is_sent;  /* its start */
    bool is_whole; /* no more of it will come: its arguments are one JSON object */
    bool is_void;  /* nor here: it broke, and what the model wrote stands in the content */
    bool is_ended; /* its end was told, by dialects that tell it */
} vmt_choice_call;

typedef struct vmt_choice_output {
    const vmt_output_wish *wish;
    vmt_output_parser *parser; /* NULL: none is needed */
    vmt_arena *arena;          /* the request's */
    vmt_buf *content;          /* the choice's text */
    vmt_buf reasoning;
    vmt_choice_call *calls;
    size_t calls_cap;
    uint32_t num_calls, num_whole;
    uint32_t first_unsent;         /* calls before it are whole and sent */
    uint32_t num_reasoning_tokens; /* tokens after which the text stood inside reasoning */
    uint64_t digest;               /* of the content so far, vmt_said_digest() */
    bool failed;
} vmt_choice_output;

/* A text's digest, white space left out: clients trim what they send back.  FNV-1a, piece by piece. */
#define VMT_SAID_DIGEST_BEGIN UINT64_C(0xcbf29ce484222325)
static inline uint64_t vmt_said_digest(uint64_t digest, vmt_str text) {
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        if (c > ' ') digest = (digest ^ c) * UINT64_C(0x100000001b3);
    }
    return digest;
}

/* Text thread.  false: no memory. */
bool vmt_choice_output_init(vmt_choice_output *out, const vmt_output_wish *wish, vmt_arena *arena,
                            vmt_buf *content);
void vmt_choice_output_free(vmt_choice_output *out);

/* ---- loop */

/* Text that the stop strings let pass. */
void vmt_choice_output_push(vmt_choice_output *out, vmt_str text);
/* One token's text was pushed. */
void vmt_choice_output_count(vmt_choice_output *out);
void vmt_choice_output_finish(vmt_choice_output *out, bool was_cut);
/* What was waiting is sent. */
void vmt_choice_output_clear(vmt_choice_output *out);

#endif
