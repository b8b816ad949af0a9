/* api/test_api.h: for tests: the whole server in this process, with a model that knows the alphabet.
 *
 * Loop, HTTP server, API and engine are the real ones.  The tokenizer has a token per byte, and four more:
 * TEST_EOS, TEST_BOS and two to spare.  The model looks at the last token only:
 *   'a' .. 'y'  the next letter     'z'  a space      ' '  'a'          so text in small letters goes on for ever
 *   'A' .. 'Y'  the next letter     'Z'  TEST_EOS     '!'  TEST_EOS     and in capitals ends
 *   '0' .. '8'  the next digit      '9'  '0'          anything else     'A'
 *   C3 and A9 follow each other: "éééé..." */
#ifndef VMT_API_TEST_API_H
#define VMT_API_TEST_API_H

#include "api/api.h"
#include "http/test_server.h"

#define TEST_EOS       256
#define TEST_BOS       257
#define TEST_VOCAB     260u
#define TEST_MODEL_LEN 512u
#define TEST_BLOCKS    4097u
#define TEST_NAME      "letters"
/* Begins every message with its role and leaves the last one open, so that the model goes on from it. */
#define TEST_TEMPLATE "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}"

typedef struct test_api test_api;

typedef struct test_api_options {
    void (*adjust)(vmt_api_config *config); /* may change what create() gets; or NULL */
    uint32_t waiting_max;                   /* of the engine; 0: 4096 */
    uint32_t write_high_bytes;              /* of the HTTP server; 0: its default */
    uint64_t step_ns;                       /* how long the model takes; set_step_ns() cuts a step short */
    const char *spares[2];                  /* spellings of the last two tokens; NULL: <|spare0|>, <|spare1|> */
    bool is_headless;                       /* what it gives are hidden states, says the model */
} test_api_options;

test_api *test_api_start(vmt_test *t, const test_api_options *options);
void test_api_stop(test_api *a); /* asserts that every block came back */
uint16_t test_api_port(const test_api *a);
vmt_engine *test_api_engine(test_api *a);
/* The next num_steps steps of the model fail. */
void test_api_fail(test_api *a, uint32_t num_steps);
void test_api_set_step_ns(test_api *a, uint64_t step_ns);
void test_api_abort_all(test_api *a);
/* Waits until the engine holds no block and runs nothing; fails the case if it never does. */
void test_api_wait_idle(vmt_test *t, test_api *a);

/* ---- requests, each on a connection of its own; answers live in t->arena */
typedef struct test_answer {
    int status;
    vmt_str head, body; /* body is dechunked */
} test_answer;

/* headers: further lines, each ended by CRLF; may be NULL. */
test_answer test_get(vmt_test *t, const test_api *a, const char *path);
test_answer test_request(vmt_test *t, const test_api *a, const char *method, const char *path, const char *headers,
                         vmt_str body);
test_answer test_post(vmt_test *t, const test_api *a, const char *path, const char *body); /* JSON, id "t" */
/* Sends the request and leaves the answer to the caller. */
int test_open(vmt_test *t, const test_api *a, const char *path, const char *body);
/* A copy with " for every ': JSON that can be read in a test. */
vmt_str test_quoted(vmt_test *t, const char *text);
/* body with every "created":N as "created":0. */
vmt_str test_undated(vmt_test *t, vmt_str body);
/* The JSON of the answer; fails the case if it is none.  Destroyed by the caller. */
vmt_json_doc *test_parse(vmt_test *t, vmt_str body);
/* All delta texts of a stream put together, by choice. */
vmt_str test_stream_text(vmt_test *t, vmt_str body, int64_t choice);

#endif
