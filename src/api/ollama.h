/* api/ollama.h: the API of Ollama's clients. */
#ifndef VMT_API_OLLAMA_H
#define VMT_API_OLLAMA_H

#include "api/answer.h"
#include "json/json_writer.h"

extern const vmt_dialect vmt_ollama_chat;     /* POST /api/chat */
extern const vmt_dialect vmt_ollama_generate; /* POST /api/generate */
extern const vmt_dialect vmt_ollama_show;     /* POST /api/show */
extern const vmt_dialect vmt_ollama_pull;     /* POST /api/pull */

void vmt_ollama_root(vmt_api *api, vmt_http_exchange *x);    /* GET / */
void vmt_ollama_version(vmt_api *api, vmt_http_exchange *x); /* GET /api/version */
void vmt_ollama_tags(vmt_api *api, vmt_http_exchange *x);    /* GET /api/tags */
void vmt_ollama_ps(vmt_api *api, vmt_http_exchange *x);      /* GET /api/ps */
/* 501 for what a server of one model does not do. */
void vmt_ollama_refuse(vmt_api *api, vmt_http_exchange *x);

/* {"error":"..."} */
void vmt_ollama_error_body(const vmt_fault *fault, vmt_buf *out);
/* The served name behind a client's name, whose tag "latest" may be left out on either side; or -1. */
int32_t vmt_ollama_find_model(const vmt_api_config *config, vmt_str name);
/* "model" or, as older clients have it, "name": must be served.  *served is the name to go on with. */
bool vmt_ollama_read_model(vmt_job *job, vmt_json body, vmt_str *given, vmt_str *served);
/* 2026-01-02T03:04:05.678901234Z */
#define VMT_OLLAMA_TIME_BYTES 40
void vmt_ollama_time(int64_t unix_ns, char text[VMT_OLLAMA_TIME_BYTES]);

/* ---- what a request says beside its messages */

typedef struct vmt_ollama_fields {
    vmt_str prompt, suffix, system, template_text;
    vmt_json messages, tools, images, options, format, think, keep_alive;
    bool stream, raw;
    int64_t num_predict; /* VMT_FIELD_UNSET: no limit */
} vmt_ollama_fields;

/* Text thread.  What chat and generate share; *body lives inside parse(). */
bool vmt_ollama_read(vmt_job *job, vmt_ollama_fields *fields, vmt_str *given, vmt_str *served, vmt_json *body);
bool vmt_ollama_translate_chat(vmt_job *job, const vmt_ollama_fields *fields, vmt_str served, vmt_buf *chat_body);
/* With raw the body is a completion's: no messages. */
bool vmt_ollama_translate_generate(vmt_job *job, const vmt_ollama_fields *fields, vmt_str served,
                                   vmt_buf *chat_body);

#endif
