/* cli/session.h: a person's talk with a server: which one, which model, one answer at a time on standard output.
 *
 * Ctrl-C ends the answer, not the program; vmt_session_interrupted() tells the prompt about it. */
#ifndef VMT_CLI_SESSION_H
#define VMT_CLI_SESSION_H

#include "cli/openai_request.h"

typedef struct vmt_session_options {
    vmt_str url, model_name, api_key;
    vmt_str quick; /* -q: one message, then out; ptr NULL: interactive */
    bool stats;
} vmt_session_options;

typedef struct vmt_session {
    vmt_http_client *client;
    vmt_openai_target target;
    vmt_str model; /* owned */
    bool shows_stats;
    vmt_buf *answer; /* where the text is collected meanwhile; or NULL */
} vmt_session;

/* Asks the server for its first model unless one is named; takes over SIGINT. */
vmt_status vmt_session_open(vmt_session *s, const vmt_session_options *options, vmt_err *err);
void vmt_session_close(vmt_session *s);
/* Posts body, prints the answer as it comes and appends it to answer (which may be NULL).  VMT_E_CANCELLED after
 * Ctrl-C: what came is printed and kept. */
vmt_status vmt_session_ask(vmt_session *s, const char *path, vmt_str body, vmt_buf *answer, vmt_err *err);
/* Ctrl-C since the last call? */
bool vmt_session_interrupted(void);

/* A line from the person: with editing and history on a terminal, else as it comes.  false at the end of input;
 * *was_interrupted says that Ctrl-C ended it.  The line is in out, without its newline. */
bool vmt_session_read_line(const char *prompt, vmt_buf *out, bool *was_interrupted);

#define VMT_SESSION_DEFAULTS {.url = {"http://localhost:8000/v1", 24}}

#endif
