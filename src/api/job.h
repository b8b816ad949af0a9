/* api/job.h: one request that needs text threads or the engine, from its exchange to its last byte.
 *
 *   create ─► PARSING ─────► RUNNING ─────────► (FORMATTING) ─► ANSWERED ─► freed
 *   loop      text thread    loop and engine     text thread     loop, once the engine lets go of every generation
 *
 * The job owns an arena with a byte cap and everything in it.  While it is with a text thread the loop touches only
 * `x` and `is_aborted`.  The peer may leave at any time: x becomes NULL and the job lives on until nobody else holds
 * it.  A dialect says how one API reads requests and writes answers; the job does the rest. */
#ifndef VMT_API_JOB_H
#define VMT_API_JOB_H

#include "api/context.h"
#include "api/error.h"
#include "api/logprobs.h"
#include "api/sampling_fields.h"
#include "base/hash.h"
#include "text/detokenizer.h"
#include "text/stop.h"

#define VMT_JOB_ARENA_BYTES_MAX  ((size_t)256 << 20) /* one request's prompts, rings and choices */
#define VMT_JOB_ANSWER_BYTES_MAX ((size_t)1 << 30)   /* one choice's text or logprobs, kept for a whole answer */
#define VMT_JOB_CHOICES_MAX      16384u              /* prompts times n */
#define VMT_JOB_DOCS_MAX         24u

typedef struct vmt_choice vmt_choice;

/* How one API speaks.  A new API is a file with one of these and a row in routes.c. */
typedef struct vmt_dialect {
    const char *name;      /* for logs */
    const char *id_prefix; /* "chatcmpl-" */
    bool no_engine;        /* answers from parse() alone */
    unsigned tasks;        /* 1u << VMT_TASK_...: servers that can answer; 0: those that generate */
    /* Text thread.  Reads job->body and calls vmt_job_prepare(); or, for an answer without generation, appends it to
     * job->out.  false: job->fault says why. */
    bool (*parse)(vmt_job *job);
    /* Loop.  A token of this choice; its text comes later, with on_delta.  May be NULL. */
    void (*on_token)(vmt_job *job, vmt_choice *choice, const vmt_output_token *token);
    /* Stream: before the first delta of any choice.  May be NULL. */
    void (*on_start)(vmt_job *job);
    /* Stream: before the first delta of this choice, again and again while it returns true: it has more to send, and
     * other work gets its turn in between.  May be NULL. */
    bool (*on_prompt)(vmt_job *job, vmt_choice *choice);
    /* Stream: choice->text is new, or the choice finished, or both. */
    void (*on_delta)(vmt_job *job, vmt_choice *choice);
    /* Stream: what follows the last delta. */
    void (*on_end)(vmt_job *job);
    /* Whole: appends the body to job->out.  Loop, or a text thread when there is much. */
    void (*on_final)(vmt_job *job);
    /* Appends an error body to out.  In a stream it is sent as one event, followed by end_of_stream. */
    void (*on_error)(const vmt_fault *fault, vmt_buf *out);
    const char *end_of_stream; /* "[DONE]" or NULL */
    const char *content_type;  /* of a whole answer; NULL: application/json */
    int busy_status;           /* instead of 503 when a queue is full; 0: none */
    bool is_ndjson;            /* Stream: lines of JSON, which the dialect ends with a newline; no events */
    bool starts_early;         /* Stream: on_start as soon as the engine has the request */
    /* Stream: nothing was sent for a while.  NULL: a comment that clients skip. */
    void (*on_ping)(vmt_job *job);
    /* Stream: says job->fault in events of the dialect's own.  NULL: on_error's body is the one event. */
    void (*on_stream_error)(vmt_job *job);
    /* Frees what job->request owns outside the arena.  May be NULL. */
    void (*on_free)(vmt_job *job);
} vmt_dialect;

typedef struct vmt_prompt {
    vmt_str text;       /* what it was tokenized from, in the arena; ptr NULL for token-id prompts */
    vmt_tokens tokens;  /* owned */
    uint64_t num_chars; /* code points of its tokens' texts; only with logprobs and echo */
} vmt_prompt;

/* Where the model's turn begins, if it is to be kept (api/turns.h). */
typedef struct vmt_open_turn {
    bool is_open;
    vmt_hash128 before;
    uint64_t before_bytes;
    uint32_t num_led;  /* tokens at the prompt's end that are the turn's */
    uint64_t num_read; /* tokens of former turns that were looked at for this request */
} vmt_open_turn;

/* A prompt's generation: n choices. */
typedef struct vmt_job_gen {
    vmt_job *job;
    vmt_generation *gen;
    uint32_t prompt_idx;
    bool is_submitted, has_ended, is_counted;
} vmt_job_gen;

struct vmt_choice {
    vmt_job_gen *gen;
    uint32_t index; /* prompt_idx * n + seq_idx */
    uint32_t seq_idx;
    vmt_detokenizer detok;
    vmt_choice_output output; /* fills text, and holds reasoning and calls */
    vmt_stop *stop;           /* NULL: no stop strings */
    /* Of a stream: what was not sent yet.  Of a whole answer: everything. */
    vmt_buf text;
    vmt_tokens said;   /* every token, if the turn is to be kept */
    vmt_buf token_ids; /* JSON numbers joined by commas; only with return_token_ids */
    vmt_buf chat_logprobs;
    vmt_logprobs_lists logprobs;
    uint32_t num_tokens;   /* taken so far */
    uint32_t num_unsent;   /* of them since the last delta */
    uint32_t num_echoed;   /* prompt tokens that on_prompt sent */
    uint64_t echo_offset;  /* code points of them */
    vmt_output_token held; /* with is_holding: the last token, taken before its end was published */
    bool is_holding, has_role_sent, has_prompt_sent, has_sent, is_finished;
    vmt_finish finish;
    int32_t stop_token_id;   /* -1: none */
    int32_t stop_string_idx; /* -1: none */
    uint64_t last_token_ns;
};

typedef enum vmt_job_stage {
    VMT_JOB_PARSING,
    VMT_JOB_RUNNING,
    VMT_JOB_FORMATTING,
    VMT_JOB_ANSWERED
} vmt_job_stage;

struct vmt_job {
    vmt_text_work work; /* first */
    vmt_api *api;
    const vmt_dialect *dialect;
    vmt_http_exchange *x; /* NULL: the peer is gone, or has its answer */
    vmt_job *prev, *next; /* in api->jobs */
    vmt_job_stage stage;
    bool is_aborted, is_counted, has_begun, has_started, wants_pump;
    vmt_arena *arena;
    vmt_buf body;                         /* the request's; freed after parse() */
    vmt_json_doc *docs[VMT_JOB_DOCS_MAX]; /* freed after parse() */
    uint32_t num_docs;
    vmt_fault fault;
    vmt_buf out;
    int64_t created_unix_s;
    uint64_t arrived_ns, last_write_ns;
    vmt_str header_id; /* X-Request-Id, or empty */
    vmt_str id;        /* with the dialect's prefix; set by parse() */
    vmt_str model;     /* the served name that was asked for */

    void *request;              /* the dialect's own */
    vmt_sampling_fields fields; /* values that point into docs are dead after parse() */
    vmt_sampling sampling;
    vmt_logprobs_style logprobs_style;
    bool wants_logprobs, has_echo;
    uint32_t stream_interval;
    vmt_str *stop_strings;
    uint32_t num_stop_strings;
    vmt_str cache_salt;
    vmt_output_wish output;
    vmt_open_turn turn;
    const char *format_param;  /* what the API calls response_format; NULL: that */
    struct vmt_limits *limits; /* constraint.c; in the arena */
    vmt_prompt *prompts;
    vmt_job_gen *gens;
    uint32_t num_prompts, n;
    vmt_choice *choices;
    uint32_t num_choices, num_finished;
};

/* ---- loop thread */

/* Takes the exchange: answers 503, or gives a job that will answer. */
void vmt_job_start(vmt_api *api, vmt_http_exchange *x, const vmt_dialect *dialect);
/* Work came back from the text threads. */
void vmt_jobs_on_text_done(void *api);
/* The engine has news. */
void vmt_jobs_on_progress(void *api);
/* Time to look for silent streams. */
void vmt_jobs_on_ping_timer(void *api);
void vmt_jobs_abort_all(vmt_api *api);
/* The engine and the text threads are stopped: frees what is left. */
void vmt_jobs_destroy_all(vmt_api *api);

/* One SSE event, or bytes of NDJSON; begins the stream if need be. */
void vmt_job_send(vmt_job *job, const char *event_name, const vmt_buf *data);

/* ---- text thread, inside parse() */

/* Parses text into a document that lives until parse() has returned. */
bool vmt_job_parse_json(vmt_job *job, vmt_str text, const char *what, vmt_json *out);
/* NULL: the fault is set. */
void *vmt_job_alloc(vmt_job *job, size_t count, size_t elem_bytes);
/* A copy in the arena; ptr NULL on failure, with the fault set. */
vmt_str vmt_job_dup(vmt_job *job, vmt_str s);

/* ---- any of them */
/* "stop", "length", "tool_calls", "abort"; NULL while it runs */
const char *vmt_choice_finish_name(const vmt_choice *choice);
static inline vmt_choice *vmt_job_gen_choice(const vmt_job_gen *gen, uint32_t seq_idx) {
    return &gen->job->choices[gen->prompt_idx * gen->job->n + seq_idx];
}

#endif
