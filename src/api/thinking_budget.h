/* api/thinking_budget.h: how many tokens a choice may reason for; when they are spent, the marker that ends
 * reasoning is what the model says next.
 *
 *   count while the text stands inside reasoning ─► spent: force the marker, token by token ─► nothing more to do
 *
 * Engine thread, or its mask thread, one at a time. */
#ifndef VMT_API_THINKING_BUDGET_H
#define VMT_API_THINKING_BUDGET_H

#include "text/output_parser.h"
#include "text/tokenizer.h"

typedef struct vmt_thinking_budget {
    const vmt_tokenizer *tokenizer;
    vmt_output_parser *parser; /* tells where the text stands; NULL: there is no budget */
    const int32_t *close_ids;  /* [num_close_ids] borrowed */
    uint32_t num_close_ids, num_forced;
    uint32_t max, num_used; /* tokens inside reasoning */
    bool is_over;
} vmt_thinking_budget;

typedef struct vmt_thinking_options {
    const vmt_tokenizer *tokenizer;
    const vmt_tool_dialect *dialect;
    const vmt_reasoning_style *reasoning;
    bool begins_in_reasoning;
    const int32_t *close_ids; /* the end marker's tokens, one at least */
    uint32_t num_close_ids;
    uint32_t max;
} vmt_thinking_options;

/* false: no memory. */
bool vmt_thinking_budget_init(vmt_thinking_budget *budget, const vmt_thinking_options *options);
void vmt_thinking_budget_reset(vmt_thinking_budget *budget);

/* The token that must come next, or -1. */
int32_t vmt_thinking_budget_forced(const vmt_thinking_budget *budget);
void vmt_thinking_budget_accept(vmt_thinking_budget *budget, int32_t token_id);

#endif
