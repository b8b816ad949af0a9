/* api/constraint.h: what holds a choice to the form that its request asked for: a grammar, a budget of reasoning
 * tokens, or both, as the engine's vmt_constraint.
 *
 * Compiled and created on a text thread while the job is prepared; used by the engine; freed with the job. */
#ifndef VMT_API_CONSTRAINT_H
#define VMT_API_CONSTRAINT_H

#include "api/job.h"

#define VMT_CONSTRAINED_CHOICES_MAX 1024u /* of one request: each has a matcher beside the arena */

/* What job->fields, job->output and the server's rules ask for.  false: job->fault. */
bool vmt_job_compile_constraints(vmt_job *job);
/* For the sequences of a prompt: [job->n] in the arena, or NULL when nothing limits them.  After compile. */
bool vmt_job_create_constraints(vmt_job *job, uint32_t prompt_idx, const vmt_constraint **out);
void vmt_job_free_constraints(vmt_job *job);

#endif
