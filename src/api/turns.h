/* api/turns.h: a conversation's turns of the model, spoken again as they were sampled.
 *
 * Clients send the whole conversation with each request, and the model's turns come back as JSON.  A template would
 * write them anew: other white space, other keys' order, other escapes, other tokens.  What was computed for them would
 * be lost from there on.  So each finished turn is kept with its tokens, and where the same prompt is continued by a
 * message that means the same, those tokens stand in the new prompt in place of the template's words.
 *
 *   rendered  ....<assistant>  {"name": "f", "arguments": {"a": 1}}  <end>....
 *   prompt    ....<assistant>  what was sampled                      <end>....
 *             `-- same as in the former prompt, by hash              `-- the token that ended the turn
 *
 * A turn whose reasoning the template leaves out is the template's: its rule decides what a model sees of former
 * thoughts.  A client that does not send reasoning back gets it put back in turns with tool calls, by the call's id,
 * before the template decides.
 *
 * Text threads, but for hear() and keep(): the loop. */
#ifndef VMT_API_TURNS_H
#define VMT_API_TURNS_H

#include "api/chat_render.h"

/* Tokenizes the rendered conversation into prompt prompt_idx, with the turns that are known.  messages: as the template
 * saw them.  false: job->fault. */
bool vmt_turns_encode(vmt_job *job, const vmt_conversation *conversation, bool add_special);
/* The reasoning of a message that has none and calls tools; false: none is known. */
bool vmt_turns_recall_reasoning(vmt_job *job, vmt_json tools, vmt_json message, vmt_buf *out);

/* A token that the choice said, its end included. */
void vmt_turns_hear(vmt_job *job, vmt_choice *choice, int32_t token_id);
/* The choice ended as finish says. */
void vmt_turns_keep(vmt_job *job, vmt_choice *choice, vmt_finish finish);

#endif
