#include "api/thinking_budget.h"

static void ignore(void *ctx, const vmt_output_event *event) {
    (void)ctx;
    (void)event;
}

bool vmt_thinking_budget_init(vmt_thinking_budget *b, const vmt_thinking_options *options) {
    const vmt_output_options parser = {
        .dialect = vmt_tool_dialect_is_whole_answer(options->dialect) ? options->dialect : NULL,
        .reasoning = options->reasoning,
        .begins_in_reasoning = options->begins_in_reasoning,
        .on_event = ignore,
    };
    *b = (vmt_thinking_budget){
        .tokenizer = options->tokenizer,
        .parser = vmt_output_parser_create(&parser),
        .close_ids = options->close_ids,
        .num_close_ids = options->num_close_ids,
        .max = options->max,
    };
    return b->parser != NULL;
}

void vmt_thinking_budget_reset(vmt_thinking_budget *b) {
    vmt_output_parser_destroy(b->parser);
    *b = (vmt_thinking_budget){0};
}

int32_t vmt_thinking_budget_forced(const vmt_thinking_budget *b) {
    if (!b->parser || b->is_over || b->num_used < b->max) return -1;
    bool is_inside = b->num_forced > 0 || vmt_output_parser_in_reasoning(b->parser);
    return is_inside ? b->close_ids[b->num_forced] : -1;
}

void vmt_thinking_budget_accept(vmt_thinking_budget *b, int32_t token_id) {
    if (!b->parser || b->is_over) return;
    if (vmt_thinking_budget_forced(b) >= 0) {
        b->is_over = ++b->num_forced == b->num_close_ids;
        return;
    }
    bool was_inside = vmt_output_parser_in_reasoning(b->parser);
    /* Without memory the parser stands still, and the worst that happens is that the budget is not kept. */
    (void)vmt_output_parser_push(b->parser, vmt_tokenizer_bytes(b->tokenizer, token_id));
    if (was_inside && vmt_output_parser_in_reasoning(b->parser)) b->num_used++;
}
