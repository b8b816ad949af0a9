/* The server in this process: whole answers and streams of chat and completions. */
#include "api/test_api.h"

#include <stdio.h>

#define CHAT        "/v1/chat/completions"
#define COMPLETIONS "/v1/completions"
#define FINGERPRINT "vmetal-" VMT_VERSION "-"

/* The answer with its date and the hash of its fingerprint taken out. */
static vmt_str golden(vmt_test *t, vmt_str body) {
    vmt_str undated = test_undated(t, body);
    size_t at = vmt_str_find(undated, VMT_STR(FINGERPRINT), 0);
    if (at == SIZE_MAX) return undated;
    at += sizeof FINGERPRINT - 1;
    return vmt_arena_printf(t->arena, "%.*sH%.*s", (int)at, undated.ptr, (int)(undated.len - at - 8),
                            undated.ptr + at + 8);
}

static void chat_whole(vmt_test *t) {
    test_api *a = test_api_start(t, NULL);
    test_answer x = test_post(t, a, CHAT, "{\"model\":\"letters\",\"messages\":[{\"role\":\"user\",\"content\":\"W\"}]}");
    vmt_expect_eq(t, x.status, 200);
    vmt_expect_slice(t, golden(t, x.body),
                     VMT_STR("{\"id\":\"chatcmpl-t\",\"object\":\"chat.completion\",\"created\":0,\"model\":\"letters\","
                             "\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"XYZ\","
                             "\"refusal\":null,\"annotations\":null,\"audio\":null,\"function_call\":null,"
                             "\"reasoning\":null},\"logprobs\":null,\"finish_reason\":\"stop\",\"stop_reason\":null,"
                             "\"token_ids\":null}],\"service_tier\":null,\"system_fingerprint\":\"" FINGERPRINT "H\","
                             "\"usage\":{\"prompt_tokens\":7,\"total_tokens\":11,\"completion_tokens\":4,"
                             "\"prompt_tokens_details\":{\"cached_tokens\":0}},\"prompt_logprobs\":null,"
                             "\"prompt_token_ids\":null,\"prompt_text\":null,\"kv_transfer_params\":null,"
                             "\"metrics\":null}"));
    test_api_stop(a);
}

VMT_TEST_MAIN(((const vmt_test_case[]){{"chat_whole", chat_whole}, {0}}))
